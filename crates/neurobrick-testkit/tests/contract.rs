//! The contract accepts a sound model and notices every flaw it is there for.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::sessions::check_units;
use neurobrick_core::{Mode, ModelError, ModelInput, Output, PopulationModel, SessionSpec};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_testkit::contract::{self, N_BINS};
use neurobrick_testkit::{model_contract, test_device};

const WIDTH: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    NotFinite,
    UncheckedBins,
    Deaf,
    MixesBins,
    MixesTrials,
    ForgetsAWeight,
    StitchBySize,
    RedrawsKnownSessions,
    RedrawsTheCore,
    KeepsEveryToken,
    SeesItself,
    TakesTheLastUnit,
    CopiesParts,
}

/// Units → three latents → units, each bin by itself.
#[derive(Module, Debug)]
struct Toy {
    read_in: Vec<Param<Tensor<2>>>,
    read_out: Vec<Param<Tensor<2>>>,
    core: Param<Tensor<2>>,
    #[module(skip)]
    unsaved: f64,
    #[module(skip)]
    flaw: Flaw,
    #[module(skip)]
    table: Vec<SessionSpec>,
}

fn draw(shape: [usize; 2], seed: u64, name: &str) -> Param<Tensor<2>> {
    let address = name.bytes().fold(7u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut draws = Stream::new(seed, Domain::Init, [address, 0, 0]);
    let values: Vec<f64> = (0..shape[0] * shape[1]).map(|_| draws.normal() / 2.0).collect();
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &test_device()))
}

fn build(flaw: Flaw) -> impl Fn(&[SessionSpec], u64, &Device) -> Toy {
    move |sessions, seed, device| {
        let core = draw([WIDTH, WIDTH], seed, "core");
        let unsaved = if flaw == Flaw::ForgetsAWeight { seed as f64 } else { 0.0 };
        let empty = Toy { read_in: vec![], read_out: vec![], core, unsaved, flaw, table: vec![] };
        empty.with_sessions(sessions, seed, device).unwrap()
    }
}

impl PopulationModel for Toy {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, _mode: Mode<'_>) -> Result<Output, ModelError> {
        let mut idx = self.session_idx(&input.session)?;
        let spec = &self.table[idx];
        let [_, bins, units] = input.counts.dims();
        for (what, expected, received) in [("bins", N_BINS, bins), ("units", spec.n_units, units)] {
            if expected != received && (self.flaw != Flaw::UncheckedBins || what == "units") {
                return Err(ModelError::SizeMismatch {
                    session: spec.session.clone(),
                    what,
                    expected,
                    received,
                });
            }
        }
        if self.flaw == Flaw::StitchBySize {
            idx = self.table.iter().position(|s| s.n_units == units).unwrap_or(idx);
        }
        let counts = if self.flaw == Flaw::Deaf { input.counts.clone() * 0.0 } else { input.counts.clone() };
        let mut latents =
            counts.matmul(self.read_in[idx].val().unsqueeze()).matmul(self.core.val().unsqueeze());
        latents = match self.flaw {
            Flaw::MixesBins => latents.clone() + latents.mean_dim(1),
            Flaw::MixesTrials => latents.clone() + latents.mean_dim(0),
            Flaw::NotFinite => latents.sqrt(),
            _ => latents,
        };
        let log_rates = latents.clone().matmul(self.read_out[idx].val().unsqueeze()) + self.unsaved;
        Ok(Output { log_rates, latents })
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        _device: &Device,
    ) -> Result<Self, ModelError> {
        let mut model = Self { read_in: vec![], read_out: vec![], table: vec![], ..self.clone() };
        for spec in sessions {
            if model.session_idx(&spec.session).is_ok() {
                return Err(ModelError::DuplicateSession { session: spec.session.clone() });
            }
            let (read_in, read_out) = match self.session_idx(&spec.session) {
                Ok(idx) if self.flaw != Flaw::RedrawsKnownSessions => {
                    let (expected, received) = (self.table[idx].n_units, spec.n_units);
                    if expected != received {
                        let session = spec.session.clone();
                        return Err(ModelError::SizeMismatch { session, what: "units", expected, received });
                    }
                    (self.read_in[idx].clone(), self.read_out[idx].clone())
                }
                _ => {
                    let id = spec.session.as_str();
                    let fresh = |shape, part: &str| draw(shape, seed, &format!("{id}/{part}"));
                    (fresh([spec.n_units, WIDTH], "in"), fresh([WIDTH, spec.n_units], "out"))
                }
            };
            model.read_in.push(read_in);
            model.read_out.push(read_out);
            model.table.push(spec.clone());
        }
        match self.flaw {
            Flaw::RedrawsTheCore => model.core = draw([WIDTH, WIDTH], seed, "core"),
            Flaw::KeepsEveryToken => {
                model.table.extend(self.table.iter().filter(|s| !sessions.contains(s)).cloned());
            }
            _ => {}
        }
        Ok(model)
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        let core = if self.flaw == Flaw::CopiesParts {
            Param::from_tensor(self.core.val().detach())
        } else {
            self.core.clone()
        };
        Ok(Self {
            read_in: vec![self.read_in[idx].clone()],
            read_out: vec![self.read_out[idx].clone()],
            core,
            table: vec![self.table[idx].clone()],
            ..*self
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("read_")
    }

    fn forward_leave_one_out(&self, input: &ModelInput, units: &[usize]) -> Result<Tensor<3>, ModelError> {
        let [b, t, n] = input.counts.dims();
        let last = n - 1;
        if self.flaw != Flaw::TakesTheLastUnit {
            check_units(&self.table[self.session_idx(&input.session)?], units)?;
        }
        let answers = units.iter().map(|&unit| unit.min(last)).map(|unit| {
            let keep = if self.flaw == Flaw::SeesItself { 1.0 } else { 0.0 };
            let own = input.counts.clone().narrow(2, unit, 1) * keep;
            let counts = input.counts.clone().slice_assign([0..b, 0..t, unit..unit + 1], own);
            let log_rates = self.forward(&ModelInput { counts, ..input.clone() }, Mode::Eval)?.log_rates;
            Ok(log_rates.narrow(2, unit, 1).reshape([1, b, t]))
        });
        Ok(Tensor::cat(answers.collect::<Result<Vec<_>, ModelError>>()?, 0))
    }
}

model_contract!(sound_model, build(Flaw::None));

/// Runs one law on a flawed model; the law must panic.
macro_rules! noticed {
    ($($flaw:ident by $law:ident: $message:literal)*) => {
        $(
            #[test]
            #[should_panic(expected = $message)]
            fn $law() {
                contract::$law(build(Flaw::$flaw));
            }
        )*
    };
}

mod flaws {
    use super::*;

    noticed! {
        NotFinite by forward_answers_in_shape: "not finite"
        UncheckedBins by wrong_input_is_refused: "13 bins and 5 units gave None"
        Deaf by hidden_entries_do_not_leak: "visible counts do nothing"
        MixesBins by the_future_does_not_reach_the_past: "depend on later counts"
        MixesTrials by trials_do_not_see_each_other: "in and out of a batch"
        ForgetsAWeight by weights_survive_saving: "loaded weights answer differently"
        StitchBySize by sessions_are_told_apart_by_id: "share a stitch"
        RedrawsKnownSessions by known_sessions_are_kept: "answers differently"
        RedrawsTheCore by session_parameters_are_named: "core"
        CopiesParts by a_part_answers_as_the_whole: "parameters of its own"
        TakesTheLastUnit by units_that_are_not_there_are_refused: "unit 5 of 5 gave None"
        SeesItself by leave_one_out_is_one_pass_per_unit: "leave-one-out and a pass"
    }
}

#[test]
#[should_panic(expected = "the table of sessions is not as asked")]
fn sessions_that_stay_are_noticed() {
    contract::known_sessions_are_kept(build(Flaw::KeepsEveryToken));
}
