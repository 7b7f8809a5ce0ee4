//! Events of spikes: which are in a window, which units are seen, and what is refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use neurobrick_core::Tokenizer;
use neurobrick_schema::{Interval, Spikes};
use neurobrick_tokenize::{Spike, SpikeEvents, SpikeWindow};

fn window(units: Option<Vec<usize>>, spikes: Vec<Spike>) -> SpikeWindow {
    SpikeWindow { n_units: 3, units, spikes }
}

#[test]
fn windows_are_half_open_and_hold_the_units_that_are_seen() {
    let spikes = Spikes::new(vec![0.9, 1.0, 1.25, 1.5, 2.0], vec![0, 1, 2, 1, 0]).unwrap();
    let cut = |units| {
        let window = SpikeWindow::cut(&spikes, Interval { start_s: 1.0, end_s: 2.0 }, 3, units);
        window.spikes.iter().map(|spike| (spike.unit, spike.time_s)).collect::<Vec<_>>()
    };
    assert_eq!(cut(None), [(1, 0.0), (2, 0.25), (1, 0.5)]);
    assert_eq!(cut(Some(vec![2, 0])), [(2, 0.25)], "in whatever order they are named");
}

#[test]
fn units_that_are_seen_have_a_start_and_an_end_whether_they_spike_or_not() {
    let spikes = vec![Spike { unit: 2, time_s: 0.25 }];
    let tokens = SpikeEvents::new(1.0).unwrap().tokenize(&[window(Some(vec![0, 2]), spikes)]).unwrap();
    assert!(tokens.values.is_none());
    let events: Vec<_> =
        tokens.places.of_window(0).iter().map(|e| (e.kind, e.sources.start, e.start_s, e.end_s)).collect();
    let (start, end, spike) = (SpikeEvents::START, SpikeEvents::END, SpikeEvents::SPIKE);
    let expected = [
        (start, 0, 0.0, 0.0),
        (end, 0, 1.0, 1.0),
        (start, 2, 0.0, 0.0),
        (end, 2, 1.0, 1.0),
        (spike, 2, 0.25, 0.25),
    ];
    assert_eq!(events, expected);
}

#[test]
fn spikes_of_units_that_are_not_seen_are_refused() {
    let refused = [
        (
            window(None, vec![Spike { unit: 3, time_s: 0.5 }]),
            "a spike of unit 3 at 0.5 s: the session has 3 units",
        ),
        (window(Some(vec![0]), vec![Spike { unit: 1, time_s: 0.5 }]), "of which the window sees 1"),
        (window(Some(vec![7]), vec![]), "to see unit 7 of a session of 3 units"),
        (window(None, vec![Spike { unit: 1, time_s: f64::NAN }]), "times are finite"),
    ];
    for (window, expected) in refused {
        let message = SpikeEvents::new(1.0).unwrap().tokenize(&[window]).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
