//! When a recording of spikes ran: from the first spike to the last, without long silences of all units.

/// A silence of all units is a gap if it is at least this long, in seconds ...
const GAP_S: f64 = 10.0;
/// ... and as long as so many spikes take on average: independent spikes at a constant rate pause so long with a
/// probability of e⁻¹⁰⁰, and slow or bursting units still have none of their pauses taken for gaps.
const GAP_SPIKES: f64 = 100.0;

/// Stretches in which spikes were recorded, `(first spike, last spike)` in seconds, in order; `times_s` are those of all
/// units, ascending.
///
/// Files rarely say when a recording was paused. What lies in a pause is no activity of zero: a model or a score that
/// takes it for that learns when somebody pressed a button. A silence of all units of at least 10 s that is as long as a
/// hundred spikes take on average is taken for a pause.
///
/// ```
/// let mut times: Vec<f64> = (0..1000).map(|i| f64::from(i) / 100.0).collect();
/// times.extend((0..1000).map(|i| 60.0 + f64::from(i) / 100.0));
/// assert_eq!(neurobrick_schema::recorded_stretches(&times), [(0.0, 9.99), (60.0, 69.99)]);
/// ```
pub fn recorded_stretches(times_s: &[f64]) -> Vec<(f64, f64)> {
    let (Some(&first), Some(&last)) = (times_s.first(), times_s.last()) else { return Vec::new() };
    let gap_s = GAP_S.max(GAP_SPIKES * (last - first) / times_s.len() as f64);
    let mut stretches = Vec::new();
    let mut start = first;
    for pair in times_s.windows(2) {
        if pair[1] - pair[0] >= gap_s {
            stretches.push((start, pair[0]));
            start = pair[1];
        }
    }
    stretches.push((start, last));
    stretches
}
