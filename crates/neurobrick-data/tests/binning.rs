//! Laws of binning.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use neurobrick_data::{Alignment, DataError, SessionData, WindowConfig};
use neurobrick_schema::{
    Activity, BinnedCounts, Card, Column, ColumnValues, Consent, DatasetId, Interval, Recording, SessionId,
    SessionInfo, Spikes, SubjectId, Trials, Unit,
};
use proptest::prelude::*;

const N_UNITS: usize = 3;

/// Trials of one second every two seconds from `offset_s`; the column `go` lies a quarter second after each start
/// and is missing in the second trial.
fn recording(activity: Activity, n_trials: usize, offset_s: f64) -> Recording {
    let card = Card {
        source: "made up for a test".into(),
        citation: String::new(),
        license: "CC0-1.0".into(),
        species: None,
        consent: Consent::NonHuman,
        ethics: None,
        changes: Vec::new(),
        source_files: Vec::new(),
        notes: None,
    };
    let info = SessionInfo {
        session: SessionId::new("binning").unwrap(),
        subject: SubjectId::new("nobody").unwrap(),
        dataset: DatasetId::new("made-up").unwrap(),
        card,
    };
    let unit = |i: usize| Unit { id: format!("u{i}"), region: "CA1".into(), depth_um: None, quality: None };
    let start = |i: usize| offset_s + 2.0 * i as f64;
    let intervals = (0..n_trials).map(|i| Interval::new(start(i), start(i) + 1.0).unwrap()).collect();
    let go = (0..n_trials).map(|i| (i != 1).then(|| start(i) + 0.25)).collect();
    let column = Column {
        name: "go".into(),
        unit: Some("s".into()),
        description: None,
        values: ColumnValues::Float(go),
    };
    let trials = Trials::new(intervals, vec![column]).unwrap();
    Recording::new(info, (0..N_UNITS).map(unit).collect(), activity, trials).unwrap()
}

fn window(start_s: f64, end_s: f64, bin_size_s: f64) -> WindowConfig {
    WindowConfig { align: Alignment::TrialStart, start_s, end_s, bin_size_s }
}

fn spikes() -> impl Strategy<Value = Vec<(u32, u32)>> {
    // Milliseconds (kept off the edges of bins by half of one) and units.
    prop::collection::vec((0u32..8000, 0u32..3), 1..200)
}

fn of_spikes(spikes: &[(u32, u32)], offset_s: f64) -> Recording {
    let times = spikes.iter().map(|(ms, _)| offset_s + (f64::from(*ms) + 0.5) / 1000.0).collect();
    let units = spikes.iter().map(|(_, unit)| *unit).collect();
    recording(Activity::Spikes(Spikes::from_unsorted(times, units).unwrap()), 4, offset_s)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every spike inside a trial's window is counted once, whatever the bin size.
    #[test]
    fn spikes_are_conserved(spikes in spikes(), per_s in prop::sample::select(vec![1u32, 4, 10, 50])) {
        let recording = of_spikes(&spikes, 0.0);
        let data = SessionData::new(&recording, &window(0.0, 1.0, 1.0 / f64::from(per_s))).unwrap();
        for (row, &trial) in data.trial_idx().iter().enumerate() {
            for unit in 0..N_UNITS {
                let from = u32::try_from(2000 * trial).unwrap();
                let inside = |&&(ms, u): &&(u32, u32)| u as usize == unit && (from..from + 1000).contains(&ms);
                let expected = spikes.iter().filter(inside).count();
                let found: usize =
                    data.counts().slice(ndarray::s![row, .., unit]).iter().map(|&c| usize::from(c)).sum();
                prop_assert_eq!(found, expected, "trial {}, unit {}", trial, unit);
            }
        }
        prop_assert_eq!(data.n_trials() + data.excluded().len(), 4);
    }

    /// Moving trials and spikes together changes nothing; the shift is exact in binary.
    #[test]
    fn shifting_time_changes_nothing(spikes in spikes(), quarters in 1u32..4000) {
        let of = |offset_s| SessionData::new(&of_spikes(&spikes, offset_s), &window(0.0, 1.0, 0.125)).unwrap();
        let (still, moved) = (of(0.0), of(f64::from(quarters) / 4.0));
        prop_assert_eq!(still.counts(), moved.counts());
    }

    /// Moving the window by one bin moves the counts by one bin.
    #[test]
    fn shifting_the_window_shifts_the_counts(spikes in spikes()) {
        let recording = of_spikes(&spikes, 0.0);
        let early = SessionData::new(&recording, &window(0.0, 0.75, 0.125)).unwrap();
        let late = SessionData::new(&recording, &window(0.125, 0.875, 0.125)).unwrap();
        for (row, trial) in early.trial_idx().iter().enumerate() {
            let Some(other) = late.trial_idx().iter().position(|t| t == trial) else { continue };
            let (a, b) = (early.counts().slice(ndarray::s![row, 1.., ..]), late.counts().slice(ndarray::s![other, ..5, ..]));
            prop_assert_eq!(a, b);
        }
    }

    /// Coarser bins are sums of finer ones.
    #[test]
    fn recorded_counts_add_up(values in prop::collection::vec(0u16..9, 4 * N_UNITS * 12), factor in prop::sample::select(vec![1usize, 2, 3, 4])) {
        let counts = BinnedCounts::new(0.05, 4, N_UNITS, 12, values.clone()).unwrap();
        let recording = recording(Activity::Counts(counts), 4, 0.0);
        let data = SessionData::new(&recording, &window(0.0, 0.6, 0.05 * factor as f64)).unwrap();
        for ((trial, bin, unit), &count) in data.counts().indexed_iter() {
            let first = (trial * N_UNITS + unit) * 12 + bin * factor;
            prop_assert_eq!(count, values[first..first + factor].iter().sum::<u16>());
        }
        prop_assert_eq!(data.n_bins(), 12 / factor);
    }
}

#[test]
fn bins_are_half_open_and_edges_belong_to_the_later_bin() {
    let spikes = Spikes::new(vec![0.0, 0.25, 0.5, 0.999, 1.0, 2.0], vec![0, 0, 0, 0, 0, 0]).unwrap();
    let data =
        SessionData::new(&recording(Activity::Spikes(spikes), 1, 0.0), &window(0.0, 1.0, 0.25)).unwrap();
    assert_eq!(data.counts().slice(ndarray::s![0, .., 0]).to_vec(), [1, 1, 1, 1]);
    assert_eq!(data.mean_rates(&[0]), Some(vec![1.0, 0.0, 0.0]));
    assert_eq!(data.mean_rates(&[]), None);
}

#[test]
fn trials_without_an_event_or_outside_the_recording_are_excluded() {
    let spikes = Spikes::new(vec![-1.0, 0.3, 4.3, 4.9], vec![2, 0, 1, 2]).unwrap();
    let recording = recording(Activity::Spikes(spikes), 4, 0.0);
    let align = WindowConfig { align: Alignment::Column("go".into()), ..window(-0.25, 0.25, 0.25) };
    let data = SessionData::new(&recording, &align).unwrap();
    assert_eq!(data.trial_idx(), [0, 2]);
    let excluded: Vec<(usize, &str)> = data.excluded().iter().map(|e| (e.trial, e.reason.as_str())).collect();
    assert_eq!(excluded, [(1, "no alignment event"), (3, "window reaches beyond the recorded spikes")]);
    assert_eq!(data.counts().slice(ndarray::s![.., 1, ..]), ndarray::array![[1, 0, 0], [0, 1, 0]]);
    let unknown = WindowConfig { align: Alignment::Column("stop".into()), ..align };
    let error = SessionData::new(&recording, &unknown).unwrap_err();
    assert!(matches!(&error, DataError::UnknownAlignment { known, .. } if known == "go"), "{error}");
}

#[test]
fn windows_share_no_spike() {
    let spikes = Spikes::new(vec![0.0, 0.5, 1.5, 2.5, 9.0], vec![0; 5]).unwrap();
    let recording = recording(Activity::Spikes(spikes), 3, 0.0);
    // Trials start at 0, 2 and 4 s or so; windows of 3 s overlap, windows up to the next start do not.
    let starts: Vec<f64> = recording.trials().intervals().iter().map(|i| i.start_s).collect();
    let step = starts[1] - starts[0];
    let apart = SessionData::new(&recording, &window(0.0, step, step)).unwrap();
    assert_eq!((apart.trial_idx(), apart.excluded().len()), (&[0, 1, 2][..], 0));
    let overlapping = SessionData::new(&recording, &window(0.0, 1.5 * step, 0.5 * step)).unwrap();
    assert_eq!(overlapping.trial_idx(), [0, 2]);
    assert_eq!(overlapping.excluded()[0].reason, "window overlaps that of an earlier trial");
}

#[test]
fn grids_that_do_not_fit_are_refused() {
    let counts = BinnedCounts::new(0.05, 1, N_UNITS, 12, vec![1; N_UNITS * 12]).unwrap();
    let recording = recording(Activity::Counts(counts), 1, 0.0);
    for (start_s, end_s, bin_size_s) in
        [(0.0, 0.65, 0.05), (0.0, 0.6, 0.075), (0.025, 0.525, 0.05), (-0.05, 0.5, 0.05)]
    {
        let error = SessionData::new(&recording, &window(start_s, end_s, bin_size_s)).unwrap_err();
        assert!(matches!(error, DataError::IncompatibleGrid { .. }), "{error}");
    }
    for (start_s, end_s, bin_size_s) in
        [(0.0, 0.5, 0.15), (0.0, 0.0, 0.05), (0.5, 0.0, 0.05), (0.0, 0.5, 0.0)]
    {
        let error = window(start_s, end_s, bin_size_s).n_bins().unwrap_err();
        assert!(matches!(error, DataError::UnevenWindow { .. }), "{error}");
    }
    assert_eq!(window(0.0, 0.6, 0.02).n_bins().unwrap(), 30, "0.6 / 0.02 is not 30 in binary");
}
