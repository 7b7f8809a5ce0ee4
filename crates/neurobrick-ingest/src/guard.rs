//! A fence around decoders of other projects: a panic in one becomes an error that names the file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::error::IngestError;

/// Runs a decoder on a foreign file; a panic becomes [`IngestError::DecoderPanicked`].
///
/// `decode` may only give out what it returns, so nothing half-made is seen afterwards.
pub(crate) fn guarded<T>(
    path: &Path,
    decode: impl FnOnce() -> Result<T, IngestError>,
) -> Result<T, IngestError> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|payload| Err(IngestError::panicked(path, payload.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::panic, reason = "the panic is what is tested")]
    fn a_panic_becomes_an_error_with_the_file() {
        let result: Result<(), _> = guarded(Path::new("bad.pqt"), || panic!("range end index {}", 7));
        let message = result.err().map(|error| error.to_string());
        assert!(
            message.as_deref().is_some_and(|m| m.contains("bad.pqt") && m.contains("range end index 7")),
            "{message:?}"
        );
    }
}
