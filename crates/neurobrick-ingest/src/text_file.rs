//! Text files of which only the content tells the format: a look at the first lines, and the whole text.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::error::IngestError;

/// What is looked at to recognize a file.
const HEAD_BYTES: u64 = 4096;
/// Longest text file that is read.
const MAX_BYTES: u64 = 2 << 30;

/// The first line, or as much of it as a look shows; `None` where it is no text.
pub(crate) fn first_line(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut bytes).ok()?;
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    Some(line.trim_start_matches('\u{feff}').trim_end().to_owned())
}

/// The bytes of a text file, of one that ends in `gz` those that were packed.
///
/// Errors: [`IngestError::Io`]; [`IngestError::Malformed`] for what cannot be unpacked or is longer than 2 GiB.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, IngestError> {
    if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz")) {
        return fs::read(path).map_err(IngestError::io("read", path));
    }
    let file = File::open(path).map_err(IngestError::io("open", path))?;
    let mut bytes = Vec::new();
    let unpacked = flate2::read::MultiGzDecoder::new(file).take(MAX_BYTES + 1).read_to_end(&mut bytes);
    unpacked.map_err(|error| IngestError::malformed(path, "the packed text", error))?;
    if bytes.len() as u64 > MAX_BYTES {
        let detail = format!("over {MAX_BYTES} bytes long when unpacked; cut it into parts");
        return Err(IngestError::malformed(path, "the packed text", detail));
    }
    Ok(bytes)
}

/// The whole text.
///
/// Errors: [`IngestError::Io`]; [`IngestError::Malformed`] for what is not UTF-8 or longer than 2 GiB.
pub(crate) fn read_text(path: &Path) -> Result<String, IngestError> {
    let length = path.metadata().map_err(IngestError::io("measure", path))?.len();
    if length > MAX_BYTES {
        let detail = format!("{length} bytes long, at most {MAX_BYTES} are read; cut it into parts");
        return Err(IngestError::malformed(path, "the text", detail));
    }
    let bytes = fs::read(path).map_err(IngestError::io("read", path))?;
    let text = String::from_utf8(bytes).map_err(|error| IngestError::malformed(path, "the text", error))?;
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}
