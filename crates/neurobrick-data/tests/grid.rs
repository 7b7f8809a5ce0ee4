//! A time has exactly one bin, whatever floating point makes of it; and what is built on that.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod made;

use neurobrick_data::{Alignment, ContinuousCounts, DataError, Grid, SessionData, WindowConfig, ticks};
use neurobrick_schema::Spikes;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Spikes on edges, written as decimals of any of the field's clocks, lie in the bin that the edge begins.
    #[test]
    fn a_spike_on_an_edge_lies_in_the_bin_that_begins_there(
        bin_ms in prop::sample::select(vec![1_u32, 2, 5, 10, 16, 20, 25, 50, 100]),
        start_ms in 0_u32..4_000_000,
        n_bins in 1_usize..3000,
        bin in 0_usize..3000,
    ) {
        prop_assume!(bin < n_bins);
        let bin_size_s = f64::from(bin_ms) / 1000.0;
        let grid = Grid::new(f64::from(start_ms) / 1000.0, bin_size_s, n_bins).unwrap();
        let edge_ms = start_ms + bin_ms * u32::try_from(bin).unwrap();
        // The same time in milliseconds, in samples at 30 kHz, and as a sum of a start and bins.
        let ways = [
            f64::from(edge_ms) / 1000.0,
            f64::from(edge_ms * 30 / 30) * 0.001,
            f64::from(edge_ms) * 30.0 / 30_000.0,
            f64::from(start_ms) / 1000.0 + bin as f64 * bin_size_s,
        ];
        for time_s in ways {
            prop_assert_eq!(grid.bin_of(ticks(time_s)), Some(bin), "{} s", time_s);
        }
        prop_assert_eq!(grid.edge(bin), i64::from(edge_ms) * 1_000_000);
        prop_assert_eq!(grid.bin_of(grid.edge(bin) - 1), bin.checked_sub(1));
        prop_assert_eq!(grid.bin_of(grid.edge(n_bins)), None);
    }

    /// Also where bins are no whole number of nanoseconds, edges and bins agree with each other.
    #[test]
    fn every_tick_lies_between_the_edges_of_its_bin(
        rate_hz in 1_u32..70_000, n_bins in 1_usize..200_000, start_s in -1e4_f64..1e6, place in 0.0_f64..1.0,
    ) {
        let grid = Grid::new(start_s, 1.0 / f64::from(rate_hz), n_bins).unwrap();
        let (first, end) = (grid.edge(0), grid.edge(n_bins));
        #[expect(clippy::cast_possible_truncation, reason = "a share of a length")]
        let tick = first + ((end - first - 1) as f64 * place) as i64;
        let bin = grid.bin_of(tick).unwrap();
        prop_assert!(grid.edge(bin) <= tick && tick < grid.edge(bin + 1));
        prop_assert_eq!(grid.bin_of(grid.edge(bin)), Some(bin));
        prop_assert!(grid.edge(bin + 1) - grid.edge(bin) >= 1);
        let middle = ticks(grid.center_s(bin));
        prop_assert!((grid.edge(bin) - 1..=grid.edge(bin + 1)).contains(&middle));
    }

    /// Counting is placing spike by spike.
    #[test]
    fn counting_is_placing_one_by_one(
        spikes in prop::collection::vec((0_u32..20_000, 0_u32..4), 0..300),
        start in 0_u32..10_000, rate in prop::sample::select(vec![3_u32, 7, 50, 60, 1000]), n_bins in 1_usize..400,
    ) {
        let times = spikes.iter().map(|(tenth_ms, _)| f64::from(*tenth_ms) / 1e4).collect();
        let units = spikes.iter().map(|(_, unit)| *unit).collect();
        let spikes = Spikes::from_unsorted(times, units).unwrap();
        let grid = Grid::new(f64::from(start) / 1e4, 1.0 / f64::from(rate), n_bins).unwrap();
        let mut counts = vec![0; n_bins * 4];
        grid.count(spikes.times_s(), spikes.units(), 4, &mut counts).unwrap();
        let mut expected = vec![0; n_bins * 4];
        for (&time, &unit) in spikes.times_s().iter().zip(spikes.units()) {
            if let Some(bin) = grid.bin_of(ticks(time)) {
                expected[bin * 4 + unit as usize] += 1;
            }
        }
        prop_assert_eq!(counts, expected);
    }

    /// Ticks are rounded to the nearest, and keep their order.
    #[test]
    fn ticks_are_nearest_and_ordered(a in -3e6_f64..3e6, b in -3e6_f64..3e6) {
        prop_assert!((ticks(a) as f64 - a * 1e9).abs() <= 0.5);
        prop_assert_eq!(ticks(a) <= ticks(b), a <= b || ticks(a) == ticks(b));
    }
}

#[test]
fn floating_point_alone_would_misplace_spikes() {
    // 0.58 / 0.02 is 28.999999999999996: what a division makes of a spike on the edge of bin 29.
    let (time_s, bin_size_s) = (std::hint::black_box(0.58_f64), 0.02);
    assert!(time_s / bin_size_s < 29.0);
    assert_eq!(Grid::new(0.0, 0.02, 50).unwrap().bin_of(ticks(0.58)), Some(29));
    for (start_s, bin_size_s, n_bins) in [
        (0.0, 0.02, 0),
        (0.0, 1e-10, 5),
        (0.0, f64::NAN, 5),
        (f64::INFINITY, 0.1, 5),
        (0.0, 1e9, 1 << 31),
        (1e10, 0.1, 5),
    ] {
        assert!(
            matches!(Grid::new(start_s, bin_size_s, n_bins), Err(DataError::BadGrid { .. })),
            "{bin_size_s}"
        );
    }
    assert_eq!(ticks(1e300), -ticks(-1e300));
}

#[test]
fn windows_slide_over_a_whole_recording() {
    let times: Vec<f64> = (0..=1000).map(|i| 5.0 + f64::from(i) * 0.01).collect();
    let units = vec![0; times.len()];
    let recording = made::recording(1, Spikes::new(times, units).unwrap());
    let window = |every_s| WindowConfig {
        align: Alignment::Every(every_s),
        start_s: 0.0,
        end_s: 1.0,
        bin_size_s: 0.1,
    };
    let apart = SessionData::new(&recording, &window(1.0)).unwrap();
    assert_eq!((apart.n_trials(), apart.trials().len(), apart.excluded().len()), (10, 10, 0));
    assert!(apart.counts().iter().all(|&count| count == 10));
    let over = SessionData::new(&recording, &window(0.1)).unwrap();
    assert_eq!(over.n_trials(), 91);
    assert_eq!(ticks(over.windows()[17].start_s), ticks(6.7));
    for every_s in [0.0, -1.0, 0.25, f64::NAN] {
        assert!(matches!(SessionData::new(&recording, &window(every_s)), Err(DataError::BadStride { .. })));
    }
    let silent = made::recording(1, Spikes::default());
    assert_eq!(SessionData::new(&silent, &window(1.0)).unwrap().n_trials(), 0);
}

/// A pause of the recording is no activity of zero.
#[test]
fn windows_leave_out_gaps() {
    let times: Vec<f64> =
        (0..=4000).filter(|i| !(1001..3000).contains(i)).map(|i| f64::from(i) * 0.01).collect();
    let units = vec![0; times.len()];
    let recording = made::recording(1, Spikes::new(times, units).unwrap());
    let align = Alignment::Every(1.0);
    let window = WindowConfig { align, start_s: 0.0, end_s: 1.0, bin_size_s: 0.1 };
    let data = SessionData::new(&recording, &window).unwrap();
    assert_eq!(data.n_trials(), 20, "ten before the gap from 10 to 30 s, ten after");
    assert_eq!(data.excluded().len(), 20);
    assert!(data.excluded().iter().all(|e| e.reason.contains("gap")));
    let (first, second) = (data.windows()[3], data.windows()[15]);
    assert_eq!(
        (data.recorded_around(first), data.recorded_around(second)),
        (Some((0.0, 10.0)), Some((30.0, 40.0)))
    );
    assert!(data.counts().iter().all(|&count| count == 10));
}

#[test]
fn views_of_a_whole_session_are_its_windows() {
    let times: Vec<f64> = (0..500).map(|i| f64::from(i) * 0.02).collect();
    let units = (0..500).map(|i| i % 3).collect();
    let recording = made::recording(3, Spikes::new(times, units).unwrap());
    let whole = ContinuousCounts::new(&recording, 0.0, 10.0, 0.1).unwrap();
    assert_eq!(whole.counts().dim(), (100, 3));
    assert_eq!(whole.counts().iter().map(|&count| u32::from(count)).sum::<u32>(), 500);
    let starts: Vec<usize> = whole.window_starts(10, 30).collect();
    assert_eq!(starts, [0, 30, 60, 90]);
    assert_eq!(whole.window(30, 10), whole.counts().slice(ndarray::s![30..40, ..]));
    assert_eq!(whole.window_starts(101, 1).len(), 0);
    assert!(matches!(ContinuousCounts::new(&recording, 3.0, 3.0, 0.1), Err(DataError::BadGrid { .. })));
}

/// More than any machine can address, so that no system promises it: an error with the size instead of an abort.
#[test]
fn windows_that_no_memory_holds_are_refused_with_their_size() {
    let recording = made::recording(100_000, Spikes::new(vec![0.0, 2e6], vec![0, 0]).unwrap());
    let align = Alignment::Every(1000.0);
    let window = WindowConfig { align, start_s: 0.0, end_s: 1e6, bin_size_s: 0.01 };
    let error = SessionData::new(&recording, &window).unwrap_err().to_string();
    assert!(error.contains("windows of 100000000 bins and 100000 units take 20040"), "{error}");
    // So many windows that their list alone is too long.
    let align = Alignment::Every(1e-9);
    let window = WindowConfig { align, start_s: 0.0, end_s: 1e-9, bin_size_s: 1e-9 };
    let error = SessionData::new(&recording, &window).unwrap_err();
    assert!(matches!(error, DataError::TooLarge { n_bins: 1, .. }), "{error}");
    let error = ContinuousCounts::new(&recording, 0.0, 2e6, 5e-4).unwrap_err();
    assert!(matches!(error, DataError::TooLarge { n_windows: 1, n_bins: 4_000_000_000, .. }), "{error}");
}
