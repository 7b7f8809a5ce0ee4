//! Which instructions a kernel is compiled for, chosen at run time.

use pulp::{Arch, NullaryFnOnce};

/// Runs `body` compiled for the widest vectors this processor has (AVX-512, AVX2 or NEON).
///
/// Everything called in `body` that should profit must be `#[inline(always)]`; loops over slices are then
/// vectorized by the compiler. Fused multiply-adds and lanes are written out, so every instruction set gives the
/// same bits.
#[inline(always)]
pub(crate) fn vectorized<T>(body: impl FnOnce() -> T) -> T {
    Arch::new().dispatch(body)
}

/// [`vectorized`] for long kernels: structs of what the kernel needs, with an `#[inline(always)]` `call`.
///
/// A closure or named function is called once per instruction set, so the compiler leaves a long one out of line,
/// compiled for none of them; the attribute on a method holds.
#[inline(always)]
pub(crate) fn run<K: NullaryFnOnce>(kernel: K) -> K::Output {
    Arch::new().dispatch(kernel)
}
