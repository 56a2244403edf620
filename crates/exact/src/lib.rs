//! CPU inference whose results are the same bits on every machine.
//!
//! Verification stands on this crate: whoever re-computes an answer gets the very bits that its maker got, so a check needs no
//! tolerance, and one prefill over prompt and answer checks what a decode of the answer made token by token.
//!
//! # The arithmetic
//!
//! [`ENGINE_VERSION`] names all of it. A change of any bit of any result is a new version.
//!
//! 1. Activations that meet quantised weights are rounded to `int8` in blocks of 32: scale `d = a / 127` where `a` is the block's
//!    largest magnitude, `q = round_ties_even(x · (1 / d))` kept within ±127. A block whose `a` is below 2⁻¹⁰⁰ is all zero.
//! 2. Products of quantised weights and activations are summed as integers, which is exact in any order.
//! 3. Each output is one chain of `f32` fused multiply-adds over the blocks in order: `acc = fma(Σ w·q, d_w · d, acc)`, and for weights
//!    with an offset then `acc = fma(m_w, d · Σ q, acc)`. Unquantised weights are one chain over the inputs in order.
//! 4. Lanes of vector registers are outputs (or positions, or elements), never parts of one sum; so a width of 4, 8 or 16 lanes gives the
//!    same chain. Where a sum over a vector is needed (norms, softmax), it has 16 partial sums by index modulo 16 and then a fixed tree.
//! 5. `exp`, `ln` and `erf` are polynomials of this crate ([Cephes](https://www.netlib.org/cephes/), single precision; rational `erf` after
//!    Eigen). Sines and cosines of rotary positions come from the `libm` crate in `f64`. No function of the platform is called.
//! 6. `fma` has one rounding everywhere: the instruction where the CPU has one, else [software](https://doi.org/10.1109/TC.2008.71)
//!    (Boldo and Melquiond: emulation of fma by rounding to odd).
//! 7. Threads divide outputs, never a sum. A row never sees which other rows are in its step.
//! 8. No value is ever a NaN: activations that are not finite end the step with an error, on every path alike, and weights that are not
//!    finite are refused.
//!
//! Hence the result of a row depends on the weights and on its own tokens alone: not on the path (AVX-512, AVX2, portable), the number of
//! threads, the batch, the size of prefill chunks, nor on whether it was decoded or prefilled. What it deliberately does not do: I/O,
//! clocks, threads of its own, tokenising, other processors than the CPU.
//!
//! The IEEE 754 environment must be the default (round to nearest, subnormals kept), as it is in any Rust program that does not change it.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numeric code: sizes are checked where they come in, and rounding to integers is the point"
)]

mod activation;
mod attention;
pub mod bert;
pub mod cache;
pub mod gguf;
mod half;
pub mod linear;
pub mod llama;
mod math;
pub mod path;
pub mod pool;
pub mod referee;
pub mod safetensors;
pub mod sample;
mod simd;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trace;

/// Names the arithmetic: it is raised when any bit of any result changes.
pub const ENGINE_VERSION: u16 = 1;
