//! Tables of sessions: what every model of many sessions checks and keeps. A model that uses these obeys what its contract says of
//! unknown, repeated and changed sessions and of input of another size.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{Alignment, ModelError, ModelInput, SessionSpec};

/// Refuses a list that names a session twice, or has mean rates for another number of units.
///
/// # Errors
/// [`ModelError::DuplicateSession`], [`ModelError::SizeMismatch`].
pub fn check_unique(sessions: &[SessionSpec]) -> Result<(), ModelError> {
    for (i, spec) in sessions.iter().enumerate() {
        if sessions[..i].iter().any(|s| s.session == spec.session) {
            return Err(ModelError::DuplicateSession { session: spec.session.clone() });
        }
        if let Some(rates) = &spec.log_mean_rates {
            check_size(spec, "log mean rates", spec.n_units, rates.len())?;
        }
    }
    Ok(())
}

/// What belongs to each of `sessions`: its entry of `own` where `table` knows the session, what `fresh` makes elsewhere.
///
/// # Errors
/// If a session is listed twice, a known one has another number of units, or `fresh` fails.
pub fn kept_or_fresh<T: Clone>(
    sessions: &[SessionSpec],
    (table, own): (&[SessionSpec], &[T]),
    mut fresh: impl FnMut(&SessionSpec) -> Result<T, ModelError>,
) -> Result<Vec<T>, ModelError> {
    check_unique(sessions)?;
    let one =
        |spec: &SessionSpec| match table.iter().zip(own).find(|(known, _)| known.session == spec.session) {
            Some((known, kept)) => {
                check_size(spec, "units", known.n_units, spec.n_units)?;
                Ok(kept.clone())
            }
            None => fresh(spec),
        };
    sessions.iter().map(one).collect()
}

/// Refuses counts of other numbers of bins and units than the model was built for.
///
/// # Errors
/// [`ModelError::SizeMismatch`].
pub fn check_input(spec: &SessionSpec, n_bins: usize, input: &ModelInput) -> Result<(), ModelError> {
    let [_, bins, units] = input.counts.dims();
    check_size(spec, "bins", n_bins, bins)?;
    check_size(spec, "units", spec.n_units, units)
}

/// Refuses units that the session does not have.
///
/// # Errors
/// [`ModelError::UnknownUnit`].
pub fn check_units(spec: &SessionSpec, units: &[usize]) -> Result<(), ModelError> {
    units.iter().try_for_each(|&unit| unit_index(spec, unit).map(drop))
}

/// `units` as indices `[U]` to select them by.
///
/// # Errors
/// [`ModelError::UnknownUnit`].
pub fn unit_indices(
    spec: &SessionSpec,
    units: &[usize],
    device: &Device,
) -> Result<Tensor<1, Int>, ModelError> {
    let indices = units.iter().map(|&unit| unit_index(spec, unit)).collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::from_data(TensorData::new(indices, [units.len()]), device))
}

fn unit_index(spec: &SessionSpec, unit: usize) -> Result<i64, ModelError> {
    let (session, n_units) = (&spec.session, spec.n_units);
    let index = i64::try_from(unit).ok().filter(|_| unit < n_units);
    index.ok_or_else(|| ModelError::UnknownUnit { session: session.clone(), unit, n_units })
}

/// Refuses an alignment of other units than the session has, or of more components than fit into `n_channels`.
///
/// # Errors
/// [`ModelError::SizeMismatch`], [`ModelError::BadConfig`].
pub fn check_alignment(
    spec: &SessionSpec,
    n_channels: usize,
    alignment: &Alignment,
) -> Result<(), ModelError> {
    let (n, k) = (spec.n_units, alignment.n_components());
    for (what, wanted, given) in [
        ("units of the read-in", n, alignment.n_units()),
        ("units of the read-out", n, alignment.read_out.ncols()),
        ("log mean rates", n, alignment.log_mean_rates.len()),
        ("components of the read-out", k, alignment.read_out.nrows()),
        ("components of the bias", k, alignment.read_in_bias.len()),
    ] {
        check_size(spec, what, wanted, given)?;
    }
    if k <= n_channels {
        return Ok(());
    }
    Err(ModelError::BadConfig {
        field: "n_components",
        expected: format!("at most {n_channels}, the channels that the model's sessions share"),
        received: k.to_string(),
    })
}

/// Refuses `received` of `what` unless it is `expected`.
///
/// # Errors
/// [`ModelError::SizeMismatch`].
pub fn check_size(
    spec: &SessionSpec,
    what: &'static str,
    expected: usize,
    received: usize,
) -> Result<(), ModelError> {
    if expected == received {
        return Ok(());
    }
    Err(ModelError::SizeMismatch { session: spec.session.clone(), what, expected, received })
}
