//! Files of a submission to `BrainWideBench`, and the schema that each is held against before it is written.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::f16;
use ndarray::Array3;
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::EvaluateError;

/// Version of the layout.
const FORMAT: &str = "1";

/// A task of the benchmark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BwbTask {
    /// TS1: a behavior by bin.
    Behavior(String),
    /// TS1: events by bin.
    Events(String),
    /// TS1: classes of trials.
    Classes(String),
    /// TS2: hidden units.
    CoSmoothing,
    /// TS2: the last tenth of a window.
    Forecasting,
    /// TS3: regions of units.
    Regions,
}

impl fmt::Display for BwbTask {
    /// The name in paths: `ts1_wheel_speed`, `ts2_co_smoothing`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behavior(name) | Self::Events(name) | Self::Classes(name) => write!(f, "ts1_{name}"),
            Self::CoSmoothing => f.write_str("ts2_co_smoothing"),
            Self::Forecasting => f.write_str("ts2_forecasting"),
            Self::Regions => f.write_str("ts3_regions"),
        }
    }
}

impl BwbTask {
    /// What its tensor holds, and its axes.
    fn schema(&self) -> Schema {
        match self {
            Self::Behavior(_) => Schema { tensor: "behavior", axes: &["window", "bin", "value"], ..SCHEMA },
            Self::Events(_) => Schema { tensor: "log_rates", axes: &["window", "bin", "value"], ..SCHEMA },
            Self::CoSmoothing | Self::Forecasting => SCHEMA,
            Self::Classes(_) => Schema { axes: &["window", "value"], ..CLASSES },
            Self::Regions => Schema { is_timed: false, axes: &["unit", "value"], ..CLASSES },
        }
    }
}

/// What a file of a task must hold.
struct Schema {
    /// The tensor of predictions.
    tensor: &'static str,
    dtype: Dtype,
    axes: &'static [&'static str],
    /// Whether windows have starts, in `window_start_s`.
    is_timed: bool,
}

const SCHEMA: Schema =
    Schema { tensor: "log_rates", dtype: Dtype::F16, axes: &["window", "bin", "unit"], is_timed: true };
const CLASSES: Schema =
    Schema { tensor: "class", dtype: Dtype::I64, axes: &["window", "value"], is_timed: true };

/// What was predicted.
#[derive(Clone, Debug, PartialEq)]
pub enum Prediction {
    /// By window, bin, and unit or value.
    Values(Array3<f64>),
    /// By window or unit: a place in the list of classes.
    Classes(Vec<usize>),
}

/// One file: what one system predicted for one task on one session with one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct BwbSubmission {
    /// The system.
    pub system: String,
    /// The task.
    pub task: BwbTask,
    /// The session.
    pub session: SessionId,
    /// The system's seed.
    pub seed: u64,
    /// Size of a bin, in seconds.
    pub bin_size_s: f64,
    /// Names of the units that the last axis of rates, or the first of regions, stands for; none for TS1.
    pub units: Vec<String>,
    /// Names of classes, in the order of their numbers; none where values are predicted.
    pub classes: Vec<String>,
    /// Start of every window on the clock of the session, in seconds, all different; none for TS3.
    pub window_start_s: Vec<f64>,
    /// What was predicted.
    pub prediction: Prediction,
}

impl BwbSubmission {
    /// Where the file lies below the folder of a submission: `system/task/session/seed_1.safetensors`.
    pub fn path(&self) -> PathBuf {
        let Self { system, task, session, seed, .. } = self;
        Path::new(system)
            .join(task.to_string())
            .join(session.as_str())
            .join(format!("seed_{seed}.safetensors"))
    }

    /// Writes the file below `folder`, after it has passed its schema; returns its path. Values are half precision, starts
    /// double, classes whole numbers; names and sizes stand in the metadata.
    ///
    /// # Errors
    /// [`EvaluateError::BadFile`] with what breaks the schema; or if it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, EvaluateError> {
        let path = folder.join(self.path());
        let bad = |message: String| EvaluateError::BadFile { path: path.clone(), message };
        let bytes = self.encode().map_err(bad)?;
        check(&self.task, &bytes).map_err(bad)?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(EvaluateError::io("create", parent))?;
        }
        write_file(&path, &bytes)?;
        Ok(path)
    }

    fn encode(&self) -> Result<Vec<u8>, String> {
        let (shape, bytes): (Vec<usize>, Vec<u8>) = match &self.prediction {
            Prediction::Values(values) => {
                let half = values.iter().flat_map(|&value| f16::from_f64(value).to_le_bytes());
                (values.shape().to_vec(), half.collect())
            }
            Prediction::Classes(classes) => {
                let whole = classes.iter().map(|&class| i64::try_from(class).unwrap_or(i64::MAX));
                (vec![classes.len(), 1], whole.flat_map(i64::to_le_bytes).collect())
            }
        };
        let dtype = match self.prediction {
            Prediction::Values(_) => Dtype::F16,
            Prediction::Classes(_) => Dtype::I64,
        };
        let starts: Vec<u8> = self.window_start_s.iter().flat_map(|start| start.to_le_bytes()).collect();
        let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).map_err(|e| e.to_string());
        let mut tensors = vec![(self.task.schema().tensor, view(dtype, shape, bytes.as_slice())?)];
        if !self.window_start_s.is_empty() {
            let shape = vec![self.window_start_s.len()];
            tensors.push(("window_start_s", view(Dtype::F64, shape, starts.as_slice())?));
        }
        let list = |names: &[String]| serde_json::to_string(names).map_err(|e| e.to_string());
        let facts = BTreeMap::from([
            ("format", FORMAT.to_owned()),
            ("system", self.system.clone()),
            ("task", self.task.to_string()),
            ("session", self.session.to_string()),
            ("seed", self.seed.to_string()),
            ("bin_size_s", self.bin_size_s.to_string()),
            ("units", list(&self.units)?),
            ("classes", list(&self.classes)?),
        ]);
        let facts: HashMap<String, String> =
            facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        safetensors::serialize(tensors, Some(facts)).map_err(|e| e.to_string())
    }
}

/// Values as a file holds them, so that what is scored is what is submitted.
pub fn in_half_precision(values: &mut Array3<f64>) {
    values.mapv_inplace(|value| f16::from_f64(value).to_f64());
}

/// Holds an encoded file against the schema of its task.
fn check(task: &BwbTask, bytes: &[u8]) -> Result<(), String> {
    let schema = task.schema();
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let facts = header.metadata().clone().unwrap_or_default();
    let fact = |name: &str| facts.get(name).ok_or_else(|| format!("metadata has no `{name}`"));
    if *fact("format")? != FORMAT || *fact("task")? != task.to_string() {
        return Err(format!("it is no file of {task} in format {FORMAT}"));
    }
    for name in ["system", "session", "seed"] {
        if fact(name)?.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
    }
    let bin_size_s: f64 = fact("bin_size_s")?.parse().map_err(|_| "`bin_size_s` is no number".to_owned())?;
    if !(bin_size_s.is_finite() && bin_size_s > 0.0) {
        return Err(format!("`bin_size_s` is {bin_size_s}, not above zero"));
    }
    let names = |name: &str| -> Result<Vec<String>, String> {
        serde_json::from_str(fact(name)?).map_err(|e| format!("`{name}` is no list of names: {e}"))
    };
    let (units, classes) = (names("units")?, names("classes")?);
    let tensor = file.tensor(schema.tensor).map_err(|_| format!("there is no tensor `{}`", schema.tensor))?;
    if tensor.dtype() != schema.dtype || tensor.shape().len() != schema.axes.len() {
        let (got, shape) = (tensor.dtype(), tensor.shape());
        return Err(format!(
            "`{}` is {got:?} of shape {shape:?}, not {:?} by {}",
            schema.tensor,
            schema.dtype,
            schema.axes.join(", ")
        ));
    }
    if tensor.shape().contains(&0) {
        return Err(format!("`{}` is empty: its shape is {:?}", schema.tensor, tensor.shape()));
    }
    let length = |axis: &str| schema.axes.iter().position(|a| *a == axis).map(|place| tensor.shape()[place]);
    if let Some(n) = length("unit").filter(|&n| n != units.len()) {
        return Err(format!("`{}` has {n} units, `units` names {}", schema.tensor, units.len()));
    }
    if let Some(n) = length("value").filter(|&n| n != 1) {
        return Err(format!("`{}` has {n} values, one is predicted", schema.tensor));
    }
    check_starts(&file, &schema, length("window"))?;
    check_values(tensor.data(), &schema, classes.len())
}

fn check_starts(file: &SafeTensors<'_>, schema: &Schema, n_windows: Option<usize>) -> Result<(), String> {
    let expected = 1 + usize::from(schema.is_timed);
    if file.len() != expected {
        return Err(format!("it holds {} tensors, not {expected}", file.len()));
    }
    if !schema.is_timed {
        return Ok(());
    }
    let starts =
        file.tensor("window_start_s").map_err(|_| "there is no tensor `window_start_s`".to_owned())?;
    if starts.dtype() != Dtype::F64 || starts.shape() != [n_windows.unwrap_or(0)] {
        let (dtype, shape) = (starts.dtype(), starts.shape());
        return Err(format!(
            "`window_start_s` is {dtype:?} of shape {shape:?}, not F64 of {n_windows:?} windows"
        ));
    }
    let mut times: Vec<f64> =
        starts.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    times.sort_unstable_by(f64::total_cmp);
    if let Some(time) = times.iter().find(|time| !time.is_finite()) {
        return Err(format!("a window starts at {time}"));
    }
    match times.windows(2).find(|pair| pair[0].to_bits() == pair[1].to_bits()) {
        Some(pair) => Err(format!("two windows start at {} s", pair[0])),
        None => Ok(()),
    }
}

fn check_values(data: &[u8], schema: &Schema, n_classes: usize) -> Result<(), String> {
    if schema.dtype == Dtype::F16 {
        let values = data.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes));
        return match values.enumerate().find(|(_, value)| !value.is_finite()) {
            Some((place, value)) => Err(format!("`{}` is {value} at place {place}", schema.tensor)),
            None => Ok(()),
        };
    }
    let mut classes = data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
    match classes.find(|class| usize::try_from(*class).map_or(true, |class| class >= n_classes)) {
        Some(class) => Err(format!("class {class} is none of the {n_classes} that `classes` names")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn rates() -> BwbSubmission {
        BwbSubmission {
            system: "made".to_owned(),
            task: BwbTask::CoSmoothing,
            session: SessionId::new("s1").unwrap(),
            seed: 3,
            bin_size_s: 0.02,
            units: vec!["a".to_owned(), "b".to_owned()],
            classes: Vec::new(),
            window_start_s: vec![0.5, 0.52, 1.0],
            prediction: Prediction::Values(Array3::from_shape_fn((3, 4, 2), |(b, t, n)| {
                0.1 * (b + t) as f64 - n as f64
            })),
        }
    }

    fn classes() -> BwbSubmission {
        BwbSubmission {
            task: BwbTask::Regions,
            classes: vec!["CTX".to_owned(), "TH".to_owned()],
            window_start_s: Vec::new(),
            prediction: Prediction::Classes(vec![1, 0]),
            ..rates()
        }
    }

    #[test]
    fn what_was_written_is_what_others_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = rates().write(folder.path()).unwrap();
        assert!(path.ends_with("made/ts2_co_smoothing/s1/seed_3.safetensors"), "{}", path.display());
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = file.tensor("log_rates").unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F16, &[3, 4, 2][..]));
        // Half precision has eleven bits: 0.1 (2 + 3) - 1 is off by less than 0.0003.
        let last = f16::from_le_bytes(tensor.data()[46..].try_into().unwrap()).to_f64();
        assert!((last + 0.5).abs() < 3e-4, "{last}");
        let starts = file.tensor("window_start_s").unwrap();
        assert_eq!(starts.data()[8..16], 0.52f64.to_le_bytes());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["units"], "[\"a\",\"b\"]");
        classes().write(folder.path()).unwrap();
    }

    #[test]
    fn what_breaks_the_schema_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let check = |file: BwbSubmission, part: &str| {
            let error = file.write(folder.path()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
        };
        let with = |value: f64| {
            let mut file = rates();
            file.prediction = Prediction::Values(Array3::from_elem((3, 4, 2), value));
            file
        };
        check(with(f64::NAN), "`log_rates` is NaN at place 0");
        check(with(7e4), "`log_rates` is inf");
        check(BwbSubmission { units: vec!["a".to_owned()], ..rates() }, "has 2 units, `units` names 1");
        check(BwbSubmission { window_start_s: vec![0.5, 0.5, 1.0], ..rates() }, "two windows start at 0.5 s");
        check(
            BwbSubmission { window_start_s: vec![0.5, 1.0], ..rates() },
            "`window_start_s` is F64 of shape [2]",
        );
        check(BwbSubmission { window_start_s: Vec::new(), ..rates() }, "it holds 1 tensors, not 2");
        check(BwbSubmission { bin_size_s: 0.0, ..rates() }, "`bin_size_s` is 0");
        check(BwbSubmission { system: String::new(), ..rates() }, "`system` is empty");
        check(BwbSubmission { task: BwbTask::Behavior("speed".to_owned()), ..rates() }, "has 2 values");
        check(
            BwbSubmission { task: BwbTask::Classes("choice".to_owned()), ..rates() },
            "`class` is F16 of shape",
        );
        let empty = Prediction::Values(Array3::zeros((0, 4, 2)));
        check(BwbSubmission { prediction: empty, ..rates() }, "is empty");
        let beyond = Prediction::Classes(vec![1, 2]);
        check(BwbSubmission { prediction: beyond, ..classes() }, "class 2 is none of the 2");
    }
}
