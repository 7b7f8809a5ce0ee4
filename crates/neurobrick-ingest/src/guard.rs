//! A fence around decoders of other projects: a panic in one becomes an error that names the file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;

use crate::error::IngestError;

/// Who wants to know which part of a file is about to be decoded.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Has `listener` told of every part before it is decoded, so that its name outlives a crash. The first call of a
/// process counts.
pub(crate) fn listen(listener: Listener) {
    // A second listener would be of the same process, which has one parent.
    let _ = LISTENER.set(listener);
}

/// Says which part is about to be decoded.
pub(crate) fn announce(part: &str) {
    if let Some(listener) = LISTENER.get() {
        listener(part);
    }
}

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
