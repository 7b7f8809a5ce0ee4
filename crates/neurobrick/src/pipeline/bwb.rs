//! `BrainWideBench`'s suites on sessions of one's own: baselines and models scored, and their submissions written.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use ndarray::{Array2, Array3, Axis, s};
use neurobrick_data::{DataError, Grid, ticks};
use neurobrick_evaluate::protocols::bwb::{
    self, BwbRow, BwbSubmission, BwbTable, BwbTask, Hidden, Predicted, Prediction, RegionDecoder, Told,
    Windows,
};
use neurobrick_evaluate::read_recording;
use neurobrick_metrics::{MetricError, balanced_accuracy, macro_f1, poisson_d2, r2};
use neurobrick_models::rounded;
use neurobrick_schema::atomic::write_file;
use neurobrick_schema::{Recording, SessionId, Store};
use neurobrick_train::{EvalTask, TaskPlan, predict};

use super::evaluate::load_session_model;
use super::training::note_left_out;
use crate::config::{BehaviorTarget, BwbConfig, ClassTarget, EventTarget, ModelSource};
use crate::pipeline::{Observer, Progress};
use crate::{Compute, LoadedSession, PipelineError, RunFolder, RunManifest, load_sessions};

/// Runs the suites on every session, and writes `bwb.json`, `bwb.md`, `manifest.json` and, below `submissions`, one file per
/// system, task and session into `out`.
///
/// # Errors
/// If data, models, columns, signals or tables are missing, or a file cannot be written. A task that cannot be scored on a
/// session is recorded with its reason.
pub fn brain_wide_bench(
    config: &BwbConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<BwbTable, PipelineError> {
    config.validate()?;
    let folder = RunFolder::open(out)?;
    folder.check_config(config)?;
    let started = Instant::now();
    let sessions = load_sessions(&config.data, &config.sessions, config.seed)?;
    let mut state = Progress {
        stage: "bwb".to_owned(),
        done: 0,
        total: sessions.len() as u64 + u64::from(!config.region_fit_sessions.is_empty()),
        message: String::new(),
    };
    let store = Store::open(&config.data.store)?;
    let mut run = Run { config, out, rows: Vec::new() };
    for session in &sessions {
        state.message = session.hash.session.to_string();
        observer.progress(&state);
        note_left_out(&session.train.data, observer);
        let recording = read_recording(&store, &config.data, &session.hash.session)?;
        Scored::new(&mut run, session, &recording)?.all(compute)?;
        state.done += 1;
    }
    if !config.region_fit_sessions.is_empty() {
        "regions".clone_into(&mut state.message);
        observer.progress(&state);
        run.regions(&sessions, &store, observer)?;
        state.done += 1;
    }
    observer.progress(&state);
    for row in &run.rows {
        if let Some(reason) = &row.undefined {
            let session = row.session.as_ref().map_or("all sessions", SessionId::as_str);
            observer.note(&format!("{session}: {} is undefined: {reason}", row.task));
        }
    }
    let table = BwbTable { format_version: 1, rows: run.rows };
    folder.settle_config(config)?;
    let hashes = sessions.into_iter().map(|session| session.hash).collect();
    let mut manifest = RunManifest::new(command, config.seed, compute, hashes);
    manifest.stages.push(("bwb".to_owned(), started.elapsed().as_secs_f64()));
    folder.write_json("bwb.json", &table)?;
    folder.write_json("manifest.json", &manifest)?;
    write_file(&out.join("bwb.md"), table.markdown().as_bytes())?;
    Ok(table)
}

struct Run<'a> {
    config: &'a BwbConfig,
    out: &'a Path,
    rows: Vec<BwbRow>,
}

impl Run<'_> {
    fn undefined(&mut self, task: BwbTask, session: Option<&SessionId>, error: &impl std::fmt::Display) {
        self.rows.push(BwbRow {
            task,
            session: session.cloned(),
            system: bwb::EVERY_SYSTEM.to_owned(),
            score: None,
            bits_per_spike: None,
            n: 0,
            choice: "–".to_owned(),
            undefined: Some(error.to_string()),
        });
    }

    /// Writes a prediction, and keeps its score.
    fn keep(
        &mut self,
        file: &BwbSubmission,
        choice: String,
        n: usize,
        score: Result<(f64, Option<f64>), MetricError>,
    ) -> Result<(), PipelineError> {
        file.write(&self.out.join("submissions"))?;
        self.row(&file.task, Some(&file.session), file.system.clone(), (choice, n), score);
        Ok(())
    }

    fn row(
        &mut self,
        task: &BwbTask,
        session: Option<&SessionId>,
        system: String,
        (choice, n): (String, usize),
        score: Result<(f64, Option<f64>), MetricError>,
    ) {
        let undefined = score.as_ref().err().map(ToString::to_string);
        let (score, bits_per_spike) = score.map_or((None, None), |(score, bits)| (Some(score), bits));
        let (task, session) = (task.clone(), session.cloned());
        self.rows.push(BwbRow { task, session, system, score, bits_per_spike, n, choice, undefined });
    }

    /// Suite TS3: units of the scored sessions by what the units of others look like. Sessions without a unit that spikes
    /// are left out.
    fn regions(
        &mut self,
        sessions: &[LoadedSession],
        store: &Store,
        observer: &mut dyn Observer,
    ) -> Result<(), PipelineError> {
        let config = self.config;
        let left_out = |session: &LoadedSession, observer: &mut dyn Observer| {
            let id = &session.hash.session;
            observer.note(&format!("{id}: no unit spikes; left out of {}", BwbTask::Regions));
        };
        let mut learned = Vec::new();
        for session in &load_sessions(&config.data, &config.region_fit_sessions, config.seed)? {
            let (units, places) = bwb::unit_features(&session.train.data);
            if places.is_empty() {
                left_out(session, observer);
            }
            learned.push(units);
        }
        let decoder = match RegionDecoder::fit(&learned) {
            Ok(decoder) => decoder,
            Err(error) => {
                self.undefined(BwbTask::Regions, None, &error);
                return Ok(());
            }
        };
        let names = &decoder.names;
        // Of every system: its choice, the truth and what it said of the units of all sessions.
        let mut told: BTreeMap<String, (String, Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for session in sessions {
            let (units, places) = bwb::unit_features(&session.train.data);
            let id = &session.hash.session;
            if places.is_empty() {
                left_out(session, observer);
                continue;
            }
            let systems = decoder.predict(&units.features)?;
            let recording = read_recording(store, &config.data, id)?;
            // A division that no learning session has is missed, whatever is said of its units.
            let class = |name: &String| names.binary_search(name).unwrap_or(names.len());
            for Told { system, choice, prediction: classes } in systems {
                let entry = told.entry(system.clone()).or_insert_with(|| (choice, Vec::new(), Vec::new()));
                for (unit, region) in units.regions.iter().enumerate() {
                    if let Some(region) = region {
                        entry.1.push(class(region));
                        entry.2.push(classes[unit]);
                    }
                }
                let file = BwbSubmission {
                    system,
                    task: BwbTask::Regions,
                    session: id.clone(),
                    seed: config.seed,
                    bin_size_s: config.data.window.bin_size_s,
                    units: places.iter().map(|&unit| recording.units()[unit].id.clone()).collect(),
                    classes: names.clone(),
                    window_start_s: Vec::new(),
                    prediction: Prediction::Classes(classes),
                };
                file.write(&self.out.join("submissions"))?;
            }
        }
        if told.is_empty() {
            let error = MetricError::Empty { what: "set of units that spike" };
            self.undefined(BwbTask::Regions, None, &error);
        }
        for (system, (choice, truth, predicted)) in told {
            let score = macro_f1(&truth, &predicted).map(|f1| (f1, None));
            self.row(&BwbTask::Regions, None, system, (choice, truth.len()), score);
        }
        Ok(())
    }
}

/// One session under its suites.
struct Scored<'a, 'b> {
    run: &'a mut Run<'b>,
    session: &'a LoadedSession,
    recording: &'a Recording,
    windows: Windows,
    n_bins: usize,
}

impl<'a, 'b> Scored<'a, 'b> {
    fn new(
        run: &'a mut Run<'b>,
        session: &'a LoadedSession,
        recording: &'a Recording,
    ) -> Result<Self, PipelineError> {
        let n_bins = run.config.window_bins()?;
        let (data, stride) = (&session.train.data, run.config.stride_bins);
        let windows = Windows::sliding(&session.train.split.test, data.n_bins(), n_bins, stride);
        Ok(Self { run, session, recording, windows, n_bins })
    }

    fn all(&mut self, compute: Compute) -> Result<(), PipelineError> {
        let config = self.run.config;
        for target in &config.behaviors {
            self.behavior(target)?;
        }
        for target in &config.events {
            self.events(target)?;
        }
        for target in &config.labels {
            self.classes(target)?;
        }
        self.activity(compute)
    }

    fn file(&self, system: String, task: BwbTask, prediction: Prediction) -> BwbSubmission {
        BwbSubmission {
            system,
            task,
            session: self.session.hash.session.clone(),
            seed: self.run.config.seed,
            bin_size_s: self.session.train.data.bin_size_s(),
            units: Vec::new(),
            classes: Vec::new(),
            window_start_s: self.windows.starts_s(&self.session.train.data),
            prediction,
        }
    }

    /// Suite TS2.
    fn activity(&mut self, compute: Compute) -> Result<(), PipelineError> {
        let data = &self.session.train.data;
        let ids: Vec<String> = self.recording.units().iter().map(|unit| unit.id.clone()).collect();
        let hidden = match Hidden::new(&ids, self.n_bins) {
            Err(error @ DataError::BadHoldout { .. }) => {
                for task in [BwbTask::CoSmoothing, BwbTask::Forecasting] {
                    self.run.undefined(task, Some(data.session()), &error);
                }
                return Ok(());
            }
            found => found?,
        };
        let all: Vec<usize> = (0..data.n_trials()).collect();
        let counts = self.windows.cut(&data.counts_of(&all));
        let [mut co_smoothing, mut forecasts] =
            bwb::activity(&self.session.train, &hidden, &self.windows, self.n_bins);
        for source in &self.run.config.models {
            let [units, future] = self.of_model(source, &hidden, compute)?;
            co_smoothing.push(units);
            forecasts.push(future);
        }
        let hidden_counts = counts.select(Axis(2), &hidden.units);
        let hidden_ids: Vec<String> = hidden.units.iter().map(|&unit| ids[unit].clone()).collect();
        for (task, predictions, counts, units) in [
            (BwbTask::CoSmoothing, co_smoothing, &hidden_counts, &hidden_ids),
            (BwbTask::Forecasting, forecasts, &counts, &ids),
        ] {
            for Predicted { system, told } in predictions {
                let (choice, mut log_rates) = match told {
                    Ok(told) => told,
                    Err(error) => {
                        let session = Some(&self.session.hash.session);
                        self.run.row(&task, session, system, ("–".to_owned(), 0), Err(error));
                        continue;
                    }
                };
                bwb::in_half_precision(&mut log_rates);
                let score = bwb::activity_score(&log_rates, counts)
                    .map(|found| (found.poisson_d2, Some(found.bits_per_spike)));
                let file = BwbSubmission {
                    units: units.clone(),
                    ..self.file(system, task.clone(), Prediction::Values(log_rates))
                };
                self.run.keep(&file, choice, self.windows.n_windows(), score)?;
            }
        }
        Ok(())
    }

    /// What a model predicts of hidden units and of the last bins.
    fn of_model(
        &self,
        source: &ModelSource,
        hidden: &Hidden,
        compute: Compute,
    ) -> Result<[Predicted; 2], PipelineError> {
        let (config, hash) = (self.run.config, &self.session.hash);
        let (model, record) = load_session_model(&source.path, &hash.session, compute.device)?;
        record.check_scores(&config.data, config.seed, hash)?;
        let model = rounded(model, source.precision)?;
        let (data, test) = (&self.session.train.data, &self.session.train.split.test);
        let session = data.session().as_str();
        let future = TaskPlan {
            first_bin: data.n_bins() - hidden.n_forward,
            ..TaskPlan::new(
                EvalTask::ForwardPrediction,
                session,
                data.regions(),
                data.n_bins(),
                None,
                config.seed,
            )?
        };
        let asked = |plan: &TaskPlan| -> Result<Predicted, PipelineError> {
            let rates = predict(&model, data, test, plan, compute.n_threads, |_, _| {})?.rates;
            let told = bwb::floored_logs(rates).map(|log_rates| ("–".to_owned(), log_rates));
            Ok(Predicted { system: source.name.clone(), told })
        };
        Ok([asked(&hidden.plan(data.n_bins()))?, asked(&future)?])
    }

    fn behavior(&mut self, target: &BehaviorTarget) -> Result<(), PipelineError> {
        let data = &self.session.train.data;
        let values = target.decoded(data.behavior(self.recording, &target.measured())?);
        let task = BwbTask::Behavior(target.name.clone());
        match bwb::behavior(&self.session.train, &values) {
            Ok((systems, truth)) => self.by_bin(&task, systems, &truth, |truth, found| {
                r2::uniform(&truth.view().insert_axis(Axis(1)), &found.view().insert_axis(Axis(1)))
            }),
            Err(error) => {
                self.run.undefined(task, Some(&self.session.hash.session), &error);
                Ok(())
            }
        }
    }

    fn events(&mut self, target: &EventTarget) -> Result<(), PipelineError> {
        let counts = self.event_counts(target)?;
        let task = BwbTask::Events(target.name.clone());
        match bwb::events(&self.session.train, &counts) {
            Ok(systems) => {
                let logs = systems.into_iter().map(|told| Told { prediction: told.prediction.ln(), ..told });
                let truth = counts.insert_axis(Axis(2));
                self.by_bin(&task, logs.collect(), &truth, |truth, found| {
                    poisson_d2(&found.exp().view(), &truth.view())
                })
            }
            Err(error) => {
                self.run.undefined(task, Some(&self.session.hash.session), &error);
                Ok(())
            }
        }
    }

    /// Starts of a table's intervals, counted in the bins of every usable trial.
    fn event_counts(&self, target: &EventTarget) -> Result<Array2<f64>, PipelineError> {
        let data = &self.session.train.data;
        let table = self.recording.interval_table(&target.table).ok_or_else(|| {
            let known: Vec<&str> = self.recording.intervals().iter().map(|t| t.name.as_str()).collect();
            PipelineError::BadValue {
                field: "events.table".to_owned(),
                message: format!(
                    "session {} has no table `{}`; it has: {}",
                    data.session(),
                    target.table,
                    known.join(", ")
                ),
            }
        })?;
        let mut counts = Array2::zeros((data.n_trials(), data.n_bins()));
        for (trial, window) in data.windows().iter().enumerate() {
            let grid = Grid::new(window.start_s, data.bin_size_s(), data.n_bins())?;
            for event in table.rows.intervals() {
                if let Some(bin) = grid.bin_of(ticks(event.start_s)) {
                    counts[[trial, bin]] += 1.0;
                }
            }
        }
        Ok(counts)
    }

    /// Predictions `[trial, bin, 1]` cut into test windows, those with a bin that was not measured left out.
    fn by_bin(
        &mut self,
        task: &BwbTask,
        systems: bwb::Baselines<Array3<f64>>,
        truth: &Array3<f64>,
        score: impl Fn(&ndarray::Array1<f64>, &ndarray::Array1<f64>) -> Result<f64, MetricError>,
    ) -> Result<(), PipelineError> {
        let truth = self.windows.cut(truth);
        let measured: Vec<usize> = (0..self.windows.n_windows())
            .filter(|&window| truth.slice(s![window, .., ..]).iter().all(|value| value.is_finite()))
            .collect();
        let flat = |values: &Array3<f64>| -> ndarray::Array1<f64> {
            values.select(Axis(0), &measured).iter().copied().collect()
        };
        for Told { system, choice, prediction: values } in systems {
            let mut values = self.windows.cut(&values);
            bwb::in_half_precision(&mut values);
            let found = score(&flat(&truth), &flat(&values)).map(|score| (score, None));
            let file = self.file(system, task.clone(), Prediction::Values(values));
            self.run.keep(&file, choice, measured.len(), found)?;
        }
        Ok(())
    }

    /// Classes of trials; one window, the whole interval, for each labeled test trial.
    fn classes(&mut self, target: &ClassTarget) -> Result<(), PipelineError> {
        let (session, data) = (&self.session.train, &self.session.train.data);
        let (labels, names) = bwb::class_of_trials(session, &target.column)?;
        let test: Vec<usize> =
            session.split.test.iter().copied().filter(|&trial| labels[trial].is_some()).collect();
        let task = BwbTask::Classes(target.name.clone());
        let systems = match bwb::classes(session, &labels, &test) {
            Ok(systems) if !test.is_empty() => systems,
            Ok(_) => {
                let error = MetricError::Empty { what: "set of test trials with the label" };
                self.run.undefined(task, Some(data.session()), &error);
                return Ok(());
            }
            Err(error) => {
                self.run.undefined(task, Some(data.session()), &error);
                return Ok(());
            }
        };
        let truth: Vec<usize> = test.iter().filter_map(|&trial| labels[trial]).collect();
        for Told { system, choice, prediction: predicted } in systems {
            let score = balanced_accuracy(&truth, &predicted).map(|accuracy| (accuracy, None));
            let file = BwbSubmission {
                classes: names.clone(),
                window_start_s: test.iter().map(|&trial| data.windows()[trial].start_s).collect(),
                ..self.file(system, task.clone(), Prediction::Classes(predicted))
            };
            self.run.keep(&file, choice, test.len(), score)?;
        }
        Ok(())
    }
}
