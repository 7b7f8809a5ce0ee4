//! The names of `lfads-torch`.

use neurobrick_core::ModelError;

use super::LfadsConfig;
use crate::torch::{KeyMap, Layout, Rules, Stretch, TorchSession};

impl LfadsConfig {
    /// The map to the names of `arsedler9/lfads-torch` at 007a555, for a model of sessions that lie in the dict as
    /// `sessions` says: read-ins and read-outs by row, Poisson likelihood, an autoregressive prior of inputs. Recurrent
    /// biases and the variance of the prior of initial conditions are frozen there, and must have the values they have
    /// here.
    ///
    /// # Errors
    /// If a session reads no unit or more than it has, or units drive the encoders directly and there is not one session,
    /// since the published encoders read one.
    pub fn key_map(&self, sessions: &[TorchSession]) -> Result<KeyMap, ModelError> {
        for TorchSession { stitch, n_units, n_read, .. } in sessions {
            let Some(n_read) = n_read else { continue };
            if !(1..=*n_units).contains(n_read) {
                return Err(ModelError::BadConfig {
                    field: "n_read",
                    expected: format!("from 1 to the {n_units} units of session {stitch}"),
                    received: n_read.to_string(),
                });
            }
        }
        let mut rules = Rules::default();
        let (drive, inputs) = match (self.d_read_in, sessions) {
            (Some(width), _) => ("drive", Stretch::all(width)),
            (None, [one]) => {
                let n_read = one.n_read.unwrap_or(one.n_units);
                ("stitches.0.drive", Stretch::in_own(n_read, 0, one.n_units))
            }
            (None, _) => {
                return Err(ModelError::Unsupported {
                    what: format!("lie in a state dict of LFADS with {} sessions", sessions.len()),
                    hint: "name one session, or set `d_read_in`: without a read-in the encoders read one session".to_owned(),
                });
            }
        };
        for (i, session) in sessions.iter().enumerate() {
            if let Some(width) = self.d_read_in {
                let (own, torch) = (format!("stitches.{i}.read_in"), format!("readin.{}", session.row));
                let n_read = session.n_read.unwrap_or(session.n_units);
                let inputs = Stretch::in_own(n_read, 0, session.n_units);
                let block = Layout::Block { inputs, outputs: Stretch::all(width) };
                rules.rule(format!("{own}.weight"), format!("{torch}.weight"), block);
                rules.rule(format!("{own}.bias"), format!("{torch}.bias"), Layout::AsIs);
            }
            rules.linear(&format!("stitches.{i}.read_out"), &format!("readout.{}", session.row));
        }
        encoder(&mut rules, "ic", self.d_ic_encoder, drive, inputs);
        rules.linear("encoder.to_initial", "encoder.ic_linear");
        if self.has_controller() {
            encoder(&mut rules, "ci", self.d_ci_encoder, drive, inputs);
        }
        self.generator(&mut rules);
        rules.rule("initial_prior.mean", "ic_prior.mean", Layout::AsIs);
        let log_var = self.initial_prior_var.ln();
        rules.constant("ic_prior.logvar", vec![self.d_initial], log_var, "the log of `initial_prior_var`");
        let why = "nothing, since no inputs are inferred";
        for (own, torch) in [("log_tau", "logtaus"), ("log_noise_var", "lognvars")] {
            let torch = format!("co_prior.{torch}");
            if self.has_controller() {
                rules.rule(format!("input_prior.{own}"), torch, Layout::AsIs);
            } else {
                rules.constant(torch, vec![0], 0.0, why);
            }
        }
        Ok(rules.into_map(Vec::new()))
    }

    fn generator(&self, rules: &mut Rules) {
        let (g, c, u, e) = (self.d_generator, self.d_controller, self.d_inputs, self.d_external);
        rules.linear("generator.from_initial", "decoder.ic_to_g0");
        let cell = "decoder.rnn.cell";
        rules.rule("generator.bias", format!("{cell}.gen_cell.bias_ih"), Layout::AsIs);
        recurrent(rules, "generator.cell", &format!("{cell}.gen_cell"), g);
        rules.rule("generator.to_factors.weight", format!("{cell}.fac_linear.weight"), Layout::Transposed);
        let into_generator = format!("{cell}.gen_cell.weight_ih");
        let part = |n, from| Layout::Block {
            inputs: Stretch::in_torch(n, from, u + e),
            outputs: Stretch::all(3 * g),
        };
        if u + e == 0 {
            rules.constant(
                &into_generator,
                vec![3 * g, 0],
                0.0,
                "nothing, since nothing drives the generator",
            );
        }
        if e > 0 {
            rules.rule("generator.from_external", &into_generator, part(e, u));
        }
        if !self.has_controller() {
            rules.constant("decoder.con_h0", vec![1, 0], 0.0, "nothing, since there is no controller");
            return;
        }
        rules.rule("generator.controller.into_generator", &into_generator, part(u, 0));
        rules.rule("generator.controller.start", "decoder.con_h0", Layout::AsIs);
        let (encoded, f) = (2 * self.d_ci_encoder, self.n_factors);
        let drive = |n, from| Layout::Block {
            inputs: Stretch::in_torch(n, from, encoded + f),
            outputs: Stretch::all(3 * c),
        };
        let torch = format!("{cell}.con_cell.weight_ih");
        rules.rule("generator.controller.from_encoder.weight", &torch, drive(encoded, 0));
        rules.rule("generator.controller.from_factors", &torch, drive(f, encoded));
        let bias = format!("{cell}.con_cell.bias_ih");
        rules.rule("generator.controller.from_encoder.bias", bias, Layout::AsIs);
        recurrent(rules, "generator.controller.cell", &format!("{cell}.con_cell"), c);
        rules.linear("generator.controller.to_inputs", &format!("{cell}.co_linear"));
    }
}

/// What a cell of `h` units keeps of itself.
fn recurrent(rules: &mut Rules, own: &str, torch: &str, h: usize) {
    rules.rule(format!("{own}.recurrent"), format!("{torch}.weight_hh"), Layout::Transposed);
    rules.constant(format!("{torch}.bias_hh"), vec![3 * h], 0.0, "frozen there; cells have one bias here");
}

/// An encoder of `h` units in each direction; its drives of both lie side by side here.
fn encoder(rules: &mut Rules, own: &str, h: usize, drive: &str, inputs: Stretch) {
    let torch = format!("encoder.{own}_enc");
    let start = Layout::Axes { own: vec![2, h], torch: vec![2, 1, h] };
    rules.rule(format!("encoder.{own}.start"), format!("{torch}_h0"), start);
    for (side, (ours, theirs)) in [("ahead", "fwd_gru"), ("back", "bwd_gru")].into_iter().enumerate() {
        let cell = format!("{torch}.{theirs}.cell");
        recurrent(rules, &format!("encoder.{own}.{ours}"), &cell, h);
        let outputs = Stretch::in_own(3 * h, side * 3 * h, 6 * h);
        let block = Layout::Block { inputs, outputs };
        rules.rule(format!("{drive}.{own}.weight"), format!("{cell}.weight_ih"), block);
        rules.rule(format!("{drive}.{own}.bias"), format!("{cell}.bias_ih"), Layout::Part(outputs));
    }
}
