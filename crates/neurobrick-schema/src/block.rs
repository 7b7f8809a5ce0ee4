//! Many numbers in memory that the operating system gives in large pages.
//!
//! Fresh memory comes page by page, and every page costs a trap: for spikes of a long session, read at 4 KiB a page, the
//! traps take longer than everything else together. Pages of 2 MiB take a five-hundredth of the traps. They are only
//! asked for: a system without them gives small ones.

use std::fmt;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

/// Shorter blocks lie where the allocator puts them, which may be in pages that are there already.
const MAPPED_BYTES: usize = 8 << 20;

/// A slice of numbers that owns them.
pub(crate) enum Block<T> {
    /// From the allocator.
    Held(Vec<T>),
    /// From the operating system, by itself. Its start is that of a page, hence of a number.
    Mapped(MmapMut),
}

impl<T: Pod> Block<T> {
    /// So many zeros; `None` where memory does not suffice.
    pub(crate) fn zeros(length: usize) -> Option<Self> {
        let n_bytes = length.checked_mul(size_of::<T>())?;
        if n_bytes < MAPPED_BYTES {
            let mut values = Vec::new();
            values.try_reserve_exact(length).ok()?;
            values.resize(length, T::zeroed());
            return Some(Self::Held(values));
        }
        let map = MmapMut::map_anon(n_bytes).ok()?;
        // A wish, which changes no value.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Some(Self::Mapped(map))
    }
}

impl<T> From<Vec<T>> for Block<T> {
    fn from(values: Vec<T>) -> Self {
        Self::Held(values)
    }
}

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self::Held(Vec::new())
    }
}

impl<T: Pod> Deref for Block<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Held(values) => values,
            Self::Mapped(map) => bytemuck::cast_slice(map),
        }
    }
}

impl<T: Pod> DerefMut for Block<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Held(values) => values,
            Self::Mapped(map) => bytemuck::cast_slice_mut(map),
        }
    }
}

impl<T: Pod> Clone for Block<T> {
    fn clone(&self) -> Self {
        match Self::zeros(self.len()) {
            Some(mut copy) => {
                copy.copy_from_slice(self);
                copy
            }
            // Says of memory that does not suffice what every clone says.
            None => Self::Held(self.to_vec()),
        }
    }
}

impl<T: Pod + PartialEq> PartialEq for Block<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Block<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn long_and_short_blocks_are_slices() {
        for length in [0, 3, MAPPED_BYTES / 4 - 1, MAPPED_BYTES / 4 + 1] {
            let mut block = Block::<u32>::zeros(length).unwrap();
            assert_eq!(block.len(), length);
            assert!(block.iter().all(|&value| value == 0));
            if let Some(last) = block.last_mut() {
                *last = 7;
            }
            let copy = block.clone();
            assert_eq!(matches!(copy, Block::Mapped(_)), length * 4 >= MAPPED_BYTES);
            assert!(copy == block && copy.last().copied() == (length > 0).then_some(7));
            assert!(Block::from(block.to_vec()) == block);
        }
        assert!(Block::<f64>::zeros(usize::MAX).is_none());
    }
}
