//! One side of a measurement of the path of the data: binning, windows, the store, NWB. `benches/peers/data_side.py` asks
//! it and its Python peers in turns.
//!
//! A line on standard input is a task, a line on standard output its seconds and what was computed, so that both sides can
//! be compared: `make FOLDER N_SPIKES N_UNITS SECONDS`, `bin`, `windows N`, `trainer N`, `store`, `nwb FILE`.
#![allow(clippy::print_stdout, reason = "answers go to standard output")]

use std::error::Error;
use std::hint::black_box;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use ndarray::Array3;
use neurobrick::core::{MaskScheme, ModelInput};
use neurobrick::data::{ContinuousCounts, Grid, RegionTable};
use neurobrick::ingest::{Nwb, Reader};
use neurobrick::random::{Domain, Stream};
use neurobrick::schema::{
    Activity, Card, Consent, DatasetId, Interval, Recording, SessionId, SessionInfo, Spikes, Store,
    SubjectId, Trials, Unit,
};

type Answer = Result<(f64, u64), Box<dyn Error>>;

const BIN_SIZE_S: f64 = 0.02;
const SEED: u64 = 42;

/// What the tasks work on.
struct Material {
    store: Store,
    recording: Recording,
    seconds: f64,
    /// Kept between turns, as a loader keeps its buffer.
    counts: Vec<u16>,
    continuous: Option<ContinuousCounts>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut material = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (seconds, check) = match (&words[..], &mut material) {
            (["make", folder, n_spikes, n_units, seconds], _) => {
                let started = Instant::now();
                let made = make(Path::new(folder), n_spikes.parse()?, n_units.parse()?, seconds.parse()?)?;
                let n_spikes = made.recording.n_spikes();
                material = Some(made);
                (started.elapsed().as_secs_f64(), n_spikes)
            }
            (["bin"], Some(material)) => bin(material)?,
            (["windows", n], Some(material)) => windows(material, n.parse()?)?,
            (["trainer", n], Some(material)) => trainer(material, n.parse()?)?,
            (["store"], Some(material)) => store(material)?,
            (["nwb", file], _) => nwb(Path::new(file))?,
            _ => return Err(format!("no such task, or nothing made yet: {line}").into()),
        };
        println!("{seconds} {check}");
    }
    Ok(())
}

/// Spikes at random times of random units, in a store and as raw numbers for the peers.
fn make(folder: &Path, n_spikes: usize, n_units: u32, seconds: f64) -> Result<Material, Box<dyn Error>> {
    let mut stream = Stream::new(SEED, Domain::Synthetic, [0; 3]);
    let mut times: Vec<f64> = (0..n_spikes).map(|_| stream.uniform() * seconds).collect();
    times.sort_by(f64::total_cmp);
    let n = usize::try_from(n_units)?;
    let units: Vec<u32> = (0..n_spikes).map(|_| u32::try_from(stream.below(n))).collect::<Result<_, _>>()?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("times.f64"),
        times.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>(),
    )?;
    std::fs::write(
        folder.join("units.u32"),
        units.iter().flat_map(|u| u.to_le_bytes()).collect::<Vec<u8>>(),
    )?;
    let card = Card {
        source: "made for a measurement".into(),
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
        session: SessionId::new("speed")?,
        subject: SubjectId::new("nobody")?,
        dataset: DatasetId::new("speed")?,
        card,
    };
    let unit = |i: u32| Unit { id: i.to_string(), region: "CA1".into(), depth_um: None, quality: None };
    let trials = Trials::new(vec![Interval::new(0.0, 1.0)?], Vec::new())?;
    let activity = Activity::Spikes(Spikes::new(times, units)?);
    let recording = Recording::new(info, (0..n_units).map(unit).collect(), activity, trials)?;
    let path: PathBuf = folder.join("store");
    let store = if path.exists() { Store::open(&path)? } else { Store::create(&path)? };
    store.write(&recording)?;
    Ok(Material { store, recording, seconds, counts: Vec::new(), continuous: None })
}

fn spikes(recording: &Recording) -> Result<&Spikes, Box<dyn Error>> {
    match recording.activity() {
        Activity::Spikes(spikes) => Ok(spikes),
        Activity::Counts(_) => Err("the recording has no spike times".into()),
    }
}

fn bin(material: &mut Material) -> Answer {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bins")]
    let n_bins = (material.seconds / BIN_SIZE_S).round() as usize;
    let n_units = material.recording.n_units();
    let grid = Grid::new(0.0, BIN_SIZE_S, n_bins)?;
    let spikes = spikes(&material.recording)?;
    material.counts.resize(n_bins * n_units, 0);
    let started = Instant::now();
    material.counts.fill(0);
    grid.count(spikes.times_s(), spikes.units(), n_units, &mut material.counts)
        .map_err(|unit| format!("unit {unit}"))?;
    let seconds = started.elapsed().as_secs_f64();
    Ok((seconds, placed(&material.counts)))
}

/// Copies `n` windows of a second, 50 bins, from everywhere in the session into a batch of 16.
fn windows(material: &mut Material, n: usize) -> Answer {
    if material.continuous.is_none() {
        let counts = ContinuousCounts::new(&material.recording, 0.0, material.seconds, BIN_SIZE_S)?;
        material.continuous = Some(counts);
    }
    let Some(counts) = &material.continuous else { return Err("not binned".into()) };
    let length = 50 * material.recording.n_units();
    let mut batch = vec![0_u16; 16 * length];
    let n_starts = counts.grid().n_bins() - 50;
    // Far apart in memory, and the same on the other side.
    let starts: Vec<usize> = (0..n).map(|index| index * 104_729 % n_starts).collect();
    let started = Instant::now();
    for (index, &start) in starts.iter().enumerate() {
        let place = &mut batch[index % 16 * length..][..length];
        let window = counts.window(start, 50);
        place.copy_from_slice(window.as_slice().ok_or("a window in pieces")?);
        black_box(&place);
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok((seconds, placed(&batch)))
}

/// Sum of counts times their places, so that two sides agree on every one.
fn placed(counts: &[u16]) -> u64 {
    let terms = counts.iter().zip(1_u64..).map(|(&count, place)| u64::from(count) * place);
    terms.fold(0, u64::wrapping_add)
}

/// All the way from the store: reads and checks the session, bins it, and makes `n` windows of a second from everywhere in it the
/// masked input of a model, 16 at a time.
fn trainer(material: &Material, n: usize) -> Answer {
    let session = &material.recording.info().session;
    let started = Instant::now();
    let recording = material.store.read(session)?;
    let counts = ContinuousCounts::new(&recording, 0.0, material.seconds, BIN_SIZE_S)?;
    let n_units = recording.n_units();
    let regions = RegionTable::new(&vec!["CA1"; n_units]);
    let scheme = MaskScheme::Neuron { ratio: 0.3 };
    let (n_starts, device) = (counts.grid().n_bins() - 50, Device::flex());
    let mut batch = Array3::<u16>::zeros((16, 50, n_units));
    for step in 0..n / 16 {
        for (index, mut place) in batch.outer_iter_mut().enumerate() {
            place.assign(&counts.window((step * 16 + index) * 104_729 % n_starts, 50));
        }
        let masking = scheme.draw(16, 50, &regions, SEED, [step as u64, 0]);
        black_box(ModelInput::new(session, batch.view(), &masking, &device));
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok((seconds, placed(batch.as_slice().ok_or("a batch in pieces")?)))
}

fn store(material: &Material) -> Answer {
    let session = &material.recording.info().session;
    let started = Instant::now();
    let recording = material.store.read(session)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok((seconds, recording.n_spikes()))
}

fn nwb(file: &Path) -> Answer {
    let started = Instant::now();
    let sources = Nwb.sessions(file)?;
    let source = sources.first().ok_or("no session")?;
    let recording = Nwb.read(source)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok((seconds, recording.n_spikes()))
}
