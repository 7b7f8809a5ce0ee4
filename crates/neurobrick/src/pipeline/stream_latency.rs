//! How long a stream takes to answer a bin.

use std::sync::mpsc::{TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use neurobrick_random::{Domain, Stream as Draws};
use neurobrick_stream::{CausalStream, Precision, SessionPlace, StreamError, StreamSizes, StreamWeights};
use serde::Serialize;

use crate::PipelineError;

/// Spikes per bin of the synthetic units: 5 Hz in bins of 20 ms.
const MEAN_COUNT: f64 = 0.1;
/// Synthetic bins, used in turn.
const N_DRAWN: usize = 64;
/// Bins answered before the clock counts.
const WARM_UP: usize = 200;

/// A stream with random weights of the size that training leaves, for measurements: time does not depend on values.
///
/// # Errors
/// If sizes are out of range.
pub fn random_stream(
    sizes: &StreamSizes,
    precision: Precision,
    seed: u64,
) -> Result<CausalStream, PipelineError> {
    let place = SessionPlace { stitch: 0, session_row: 0, prompt_row: Some(1) };
    let shapes = sizes.parameters(&place);
    let lookup = |name: &str| {
        let idx = shapes.iter().position(|(known, _)| known == name)?;
        let shape = shapes[idx].1.clone();
        let bound = if shape.len() == 2 { (shape[0] as f64).powf(-0.5) } else { 0.1 };
        let mut draws = Draws::new(seed, Domain::Synthetic, [0, idx as u64, 0]);
        #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
        let values = (0..shape.iter().product()).map(|_| draws.uniform_in(-bound, bound) as f32).collect();
        Some((shape, values))
    };
    let weights = StreamWeights::from_lookup(sizes, place, &lookup)?;
    Ok(CausalStream::new(&weights, precision)?)
}

/// How bins to be timed come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One right after the other's answer.
    BackToBack,
    /// After a sleep of this long: the clock starts when the thread has woken up.
    Asleep(Duration),
    /// This long after one another, from a thread of its own, while the stream keeps warm: the clock starts when that
    /// thread hands the bin over, so it counts how long the stream takes to notice.
    Warm(Duration),
}

/// Time from a bin's counts to the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamLatency {
    /// How weights are stored.
    pub precision: Precision,
    /// Units.
    pub n_units: usize,
    /// Width of a token.
    pub d_model: usize,
    /// Layers.
    pub n_layers: usize,
    /// Bytes of weights that every bin reads.
    pub weight_bytes: usize,
    /// Bins timed.
    pub n_bins: usize,
    /// Pause between bins in milliseconds; zero means one right after the other, with weights still in the caches.
    pub pause_ms: u64,
    /// Whether the stream kept its core and caches warm while it waited.
    pub kept_warm: bool,
    /// Half of the bins took at most this long.
    pub p50_us: f64,
    /// 99 % of the bins took at most this long.
    pub p99_us: f64,
    /// The slowest bin.
    pub max_us: f64,
}

impl StreamLatency {
    /// Times `n_bins` synthetic bins (at least 100) after a warm-up, windows one after the other, as `pace` has them come.
    ///
    /// # Errors
    /// If too few bins are asked for.
    pub fn measure(
        stream: &mut CausalStream,
        n_bins: usize,
        pace: Pace,
        seed: u64,
    ) -> Result<Self, PipelineError> {
        if n_bins < 100 {
            let message = format!("a 99th percentile needs at least 100 bins, received {n_bins}");
            return Err(PipelineError::BadValue { field: "bench".to_owned(), message });
        }
        let pause = match pace {
            Pace::BackToBack => Duration::ZERO,
            Pace::Asleep(pause) | Pace::Warm(pause) => pause,
        };
        let sizes = stream.sizes().clone();
        let mut draws = Draws::new(seed, Domain::Synthetic, [1, 0, 0]);
        let drawn: Vec<Vec<f32>> = (0..N_DRAWN)
            .map(|_| (0..sizes.n_units).map(|_| draws.poisson(MEAN_COUNT) as f32).collect())
            .collect();
        let mut bins = drawn.iter().cycle();
        for counts in bins.by_ref().take(WARM_UP) {
            timed(stream, counts)?;
        }
        let bins = bins.take(n_bins);
        let took = match pace {
            Pace::BackToBack => bins.map(|counts| timed(stream, counts)).collect::<Result<Vec<_>, _>>()?,
            Pace::Asleep(pause) => {
                let asleep = |counts: &Vec<f32>| {
                    thread::sleep(pause);
                    timed(stream, counts)
                };
                bins.map(asleep).collect::<Result<_, _>>()?
            }
            Pace::Warm(pause) => timed_warm(stream, bins, n_bins, pause)?,
        };
        let mut times: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e6).collect();
        times.sort_by(f64::total_cmp);
        // The smallest time that at least this share of bins kept.
        let percentile = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
        Ok(Self {
            precision: stream.precision(),
            n_units: sizes.n_units,
            d_model: sizes.d_model,
            n_layers: sizes.n_layers,
            weight_bytes: stream.weight_bytes(),
            n_bins,
            pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            kept_warm: matches!(pace, Pace::Warm(_)),
            p50_us: percentile(50),
            p99_us: percentile(99),
            max_us: percentile(100),
        })
    }
}

/// Times from the moment when another thread hands a bin over.
fn timed_warm<'a>(
    stream: &mut CausalStream,
    bins: impl Iterator<Item = &'a Vec<f32>>,
    n_bins: usize,
    pause: Duration,
) -> Result<Vec<Duration>, StreamError> {
    let (hand_over, arrivals) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..n_bins {
                thread::sleep(pause);
                // It fails when the stream has failed, which its own error tells.
                if hand_over.send(Instant::now()).is_err() {
                    return;
                }
            }
        });
        let mut times = Vec::with_capacity(n_bins);
        for counts in bins {
            let mut arrived = None;
            stream.keep_warm(|| match arrivals.try_recv() {
                Ok(at) => {
                    arrived = Some(at);
                    true
                }
                Err(TryRecvError::Empty) => false,
                Err(TryRecvError::Disconnected) => true,
            });
            let started = arrived.unwrap_or_else(Instant::now);
            timed(stream, counts)?;
            times.push(started.elapsed());
        }
        Ok(times)
    })
}

fn timed(stream: &mut CausalStream, counts: &[f32]) -> Result<Duration, StreamError> {
    let started = Instant::now();
    if stream.bins_left() == 0 {
        stream.begin_window();
    }
    std::hint::black_box(stream.predict_bin(counts)?);
    Ok(started.elapsed())
}
