//! Plain Rust: what the other paths must agree with.

use super::{BLOCK, LANES, Lanes, Quantised, ROUND, TileQ4, TileQ8};
use crate::half::from_half;

/// Sixteen lanes as an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable([f32; LANES]);

/// `value · factor + addend` with one rounding.
#[inline(always)]
pub(crate) fn fma(value: f32, factor: f32, addend: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        value.mul_add(factor, addend)
    } else {
        software_fma(value, factor, addend)
    }
}

/// The product of two singles is exact in a double. The sum is rounded to odd there: where it is inexact, the last bit is set. Then
/// the rounding to single cannot be fooled by the first one, because a double has more than two bits more
/// (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", theorem 1).
#[inline(always)]
fn software_fma(value: f32, factor: f32, addend: f32) -> f32 {
    let product = f64::from(value) * f64::from(factor);
    let addend = f64::from(addend);
    let sum = product + addend;
    // Knuth's two-sum: the error of the sum, exactly.
    let part = sum - product;
    let error = (product - (sum - part)) + (addend - part);
    let bits = sum.to_bits();
    let is_inexact = error != 0.0 && error.is_finite();
    let is_even = bits & 1 == 0;
    // Towards the error: away from zero if both have one sign, else towards zero.
    let step = if (error > 0.0) == (sum > 0.0) {
        1
    } else {
        u64::MAX
    };
    let odd = if is_inexact && is_even {
        bits.wrapping_add(step)
    } else {
        bits
    };
    f64::from_bits(odd) as f32
}

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = f(a[lane], b[lane]);
    }
    out
}

impl Lanes for Portable {
    const ROWS: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    fn load_half(values: &[u16; LANES]) -> Self {
        Self(values.map(from_half))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(zip(self.0, other.0, |a, b| a + b))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(zip(self.0, other.0, |a, b| a - b))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(zip(self.0, other.0, |a, b| a * b))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(zip(self.0, other.0, |a, b| a / b))
    }

    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        let product = self.0.into_iter().zip(factor.0);
        let mut out = addend.0;
        for (out, (value, factor)) in out.iter_mut().zip(product) {
            *out = fma(value, factor, *out);
        }
        Self(out)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(zip(self.0, other.0, |a, b| if a > b { a } else { b }))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(zip(self.0, other.0, |a, b| if a < b { a } else { b }))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(
            self.0
                .map(|value| f32::from_bits(((value as i32 + 127) as u32) << 23)),
        )
    }

    #[inline(always)]
    fn magnitude_bits(self) -> u32 {
        let mut largest = 0;
        for value in self.0 {
            largest = largest.max(value.to_bits() & 0x7fff_ffff);
        }
        largest
    }

    #[inline(always)]
    fn to_bytes(self) -> [i8; LANES] {
        self.0
            .map(|value| (((value + ROUND) - ROUND) as i32).clamp(-127, 127) as i8)
    }

    #[inline(always)]
    fn fma_one(value: f32, factor: f32, addend: f32) -> f32 {
        fma(value, factor, addend)
    }

    #[inline(always)]
    fn columns_q4<const M: usize>(
        tiles: &[TileQ4],
        rows: &Quantised<'_>,
        row: usize,
    ) -> [[f32; LANES]; M] {
        rows.check(row + M, tiles.len());
        let mut columns = [[0.0; LANES]; M];
        for (block, tile) in tiles.iter().enumerate() {
            let (low, high) = spread(&tile.nibbles);
            for (m, column) in columns.iter_mut().enumerate() {
                let at = (row + m) * tiles.len() + block;
                let values = &rows.values[at * BLOCK..][..BLOCK];
                let mut sums = [0i32; LANES];
                for group in 0..4 {
                    let (first, second) = values[group * 8..][..8].split_at(4);
                    dot(&mut sums, &low[group * 64..][..64], first);
                    dot(&mut sums, &high[group * 64..][..64], second);
                }
                for lane in 0..LANES {
                    let scale = from_half(tile.scales[lane]) * rows.scales[at];
                    let sum = fma(sums[lane] as f32, scale, column[lane]);
                    column[lane] = fma(from_half(tile.offsets[lane]), rows.totals[at], sum);
                }
            }
        }
        columns
    }

    #[inline(always)]
    fn columns_q8<const M: usize>(
        tiles: &[TileQ8],
        rows: &Quantised<'_>,
        row: usize,
    ) -> [[f32; LANES]; M] {
        rows.check(row + M, tiles.len());
        let mut columns = [[0.0; LANES]; M];
        for (block, tile) in tiles.iter().enumerate() {
            let signed = tile.bytes.map(|byte| i16::from(byte) - 128);
            for (m, column) in columns.iter_mut().enumerate() {
                let at = (row + m) * tiles.len() + block;
                let values = &rows.values[at * BLOCK..][..BLOCK];
                let mut sums = [0i32; LANES];
                for group in 0..8 {
                    dot(
                        &mut sums,
                        &signed[group * 64..][..64],
                        &values[group * 4..][..4],
                    );
                }
                for lane in 0..LANES {
                    let scale = tile.scales[lane] * rows.scales[at];
                    column[lane] = fma(sums[lane] as f32, scale, column[lane]);
                }
            }
        }
        columns
    }
}

#[inline(always)]
fn spread(nibbles: &[u8; 256]) -> ([i16; 256], [i16; 256]) {
    (
        nibbles.map(|byte| i16::from(byte & 15)),
        nibbles.map(|byte| i16::from(byte >> 4)),
    )
}

/// Adds to each of 16 sums four products.
#[inline(always)]
fn dot(sums: &mut [i32; LANES], weights: &[i16], values: &[i8]) {
    for lane in 0..LANES {
        for j in 0..4 {
            sums[lane] += i32::from(weights[lane * 4 + j]) * i32::from(values[j]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(a: f32, b: f32, c: f32) {
        let (ours, theirs) = (software_fma(a, b, c), libm::fmaf(a, b, c));
        assert!(
            ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()),
            "{a:e} · {b:e} + {c:e}: {ours:e} is not {theirs:e}"
        );
    }

    #[test]
    fn software_fma_has_one_rounding_at_the_corners() {
        let corners = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            f32::from_bits(0x007f_ffff),
            -f32::from_bits(3),
            f32::MAX,
            f32::EPSILON,
            1.0 + f32::EPSILON,
            1.0 - f32::EPSILON / 2.0,
            16_777_217.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            1e-30,
            -3e-23,
        ];
        for a in corners {
            for b in corners {
                for c in corners {
                    same(a, b, c);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn software_fma_has_one_rounding(a: u32, b: u32, c: u32) {
            same(f32::from_bits(a), f32::from_bits(b), f32::from_bits(c));
        }

        #[test]
        fn software_fma_has_one_rounding_when_terms_cancel(a in -2f32..2.0, b in -2f32..2.0, exponent in -30i32..4, low: u32) {
            let near = -(a * b);
            same(a, b, f32::from_bits(near.to_bits() ^ (low & 7)));
            same(a, b, near * 2f32.powi(exponent));
            // Half-way cases: a product of 48 bits against a term whose last bit is far above.
            same(f32::from_bits(a.to_bits() & !0xfff), b, 2f32.powi(exponent + 24));
        }
    }
}
