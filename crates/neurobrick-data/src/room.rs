//! Memory for counts, or an error that says how much they would take.

use neurobrick_schema::SessionId;

use crate::DataError;

/// Bytes that a window takes besides its counts: its times and numbers, in several lists.
const WINDOW_BYTES: usize = 64;

/// Size of counts, `[window, bin, unit]`.
#[expect(clippy::struct_field_names, reason = "counts are called n_ everywhere")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) n_windows: usize,
    pub(crate) n_bins: usize,
    pub(crate) n_units: usize,
}

impl Room {
    /// Fails if there is no memory for counts and windows, before any of it is taken.
    pub(crate) fn check(self, session: &SessionId) -> Result<(), DataError> {
        let row = self.n_bins.checked_mul(self.n_units).and_then(|n| n.checked_mul(size_of::<u16>()));
        let bytes = row.and_then(|row| row.checked_add(WINDOW_BYTES)?.checked_mul(self.n_windows));
        let is_there = bytes.is_some_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
        if is_there { Ok(()) } else { Err(self.error(session)) }
    }

    /// No count in any bin.
    pub(crate) fn zeros(self, session: &SessionId) -> Result<Vec<u16>, DataError> {
        let mut counts = Vec::new();
        let n = self.n_windows.checked_mul(self.n_bins).and_then(|n| n.checked_mul(self.n_units));
        match n {
            Some(n) if counts.try_reserve_exact(n).is_ok() => counts.resize(n, 0),
            _ => return Err(self.error(session)),
        }
        Ok(counts)
    }

    fn error(self, session: &SessionId) -> DataError {
        let Self { n_windows, n_bins, n_units } = self;
        DataError::TooLarge { session: session.clone(), n_windows, n_bins, n_units }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn sizes_that_no_number_holds_are_refused() {
        let session = SessionId::new("long").unwrap();
        let room = |n_windows, n_bins, n_units| Room { n_windows, n_bins, n_units };
        // 2^64 counts are none where lengths are multiplied without a look.
        for large in [room(1 << 31, 1 << 17, 1 << 16), room(usize::MAX, 1, 1), room(1, usize::MAX, 3)] {
            for refused in [large.check(&session), large.zeros(&session).map(drop)] {
                assert!(matches!(refused, Err(DataError::TooLarge { .. })), "{large:?}");
            }
        }
        let small = room(3, 5, 7);
        small.check(&session).unwrap();
        assert_eq!(small.zeros(&session).unwrap(), [0; 105]);
        let error = room(719_000, 200, 1000).error(&session).to_string();
        assert!(error.contains("719000 windows of 200 bins and 1000 units take 287.6 GB"), "{error}");
    }
}
