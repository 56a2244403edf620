//! AVX-512 with VNNI: one register is the sixteen lanes.

#![expect(unsafe_code, reason = "instructions of a CPU that has AVX-512")]
#![expect(
    clippy::needless_range_loop,
    reason = "several arrays run side by side"
)]
#![cfg_attr(
    not(test),
    expect(
        clippy::wildcard_imports,
        reason = "the names of instructions are many and unmistakable"
    )
)]

use super::{BLOCK, Job, LANES, Lanes, Quantised, TileQ4, TileQ8};
use std::arch::x86_64::*;

/// Sixteen lanes in a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(__m512);

/// Runs a job with AVX-512.
///
/// # Safety
///
/// The CPU must have the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn run<J: Job>(job: J) -> J::Output {
    job.run::<Avx512>()
}

macro_rules! instructions {
    ($code:expr) => {{
        // SAFETY: methods of Avx512 are called below `run` alone, whose caller saw that the CPU has the features; memory is reached through
        // references to arrays of the register's size.
        unsafe { $code }
    }};
}

impl Lanes for Avx512 {
    const ROWS: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(instructions!(_mm512_set1_ps(value)))
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        Self(instructions!(_mm512_loadu_ps(values.as_ptr())))
    }

    #[inline(always)]
    fn load_half(values: &[u16; LANES]) -> Self {
        Self(instructions!(_mm512_cvtph_ps(_mm256_loadu_si256(
            values.as_ptr().cast()
        ))))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        instructions!(_mm512_storeu_ps(to.as_mut_ptr(), self.0));
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(instructions!(_mm512_add_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(instructions!(_mm512_sub_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(instructions!(_mm512_mul_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(instructions!(_mm512_div_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(instructions!(_mm512_fmadd_ps(self.0, factor.0, addend.0)))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(instructions!(_mm512_max_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(instructions!(_mm512_min_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(instructions!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(
            _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127))
        ))))
    }

    #[inline(always)]
    fn magnitude_bits(self) -> u32 {
        instructions!(_mm512_reduce_max_epu32(_mm512_and_si512(
            _mm512_castps_si512(self.0),
            _mm512_set1_epi32(0x7fff_ffff)
        )))
    }

    #[inline(always)]
    fn to_bytes(self) -> [i8; LANES] {
        let mut bytes = [0; LANES];
        instructions!({
            let most = _mm512_set1_epi32(127);
            let least = _mm512_set1_epi32(-127);
            let rounded = _mm512_cvtps_epi32(self.0);
            let kept = _mm512_max_epi32(_mm512_min_epi32(rounded, most), least);
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(kept));
        });
        bytes
    }

    #[inline(always)]
    fn fma_one(value: f32, factor: f32, addend: f32) -> f32 {
        value.mul_add(factor, addend)
    }

    #[inline(always)]
    fn columns_q4<const M: usize>(
        tiles: &[TileQ4],
        rows: &Quantised<'_>,
        row: usize,
    ) -> [[f32; LANES]; M] {
        rows.check(row + M, tiles.len());
        instructions!(columns_q4(tiles, rows, row))
    }

    #[inline(always)]
    fn columns_q8<const M: usize>(
        tiles: &[TileQ8],
        rows: &Quantised<'_>,
        row: usize,
    ) -> [[f32; LANES]; M] {
        rows.check(row + M, tiles.len());
        instructions!(columns_q8(tiles, rows, row))
    }
}

/// Four neighbouring bytes, in all lanes.
///
/// # Safety
///
/// `values + at` must point to four bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn quad(values: *const i8, at: usize) -> __m512i {
    // SAFETY: as above.
    _mm512_set1_epi32(unsafe { values.add(at).cast::<i32>().read_unaligned() })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn finish<const M: usize>(sums: [__m512; M]) -> [[f32; LANES]; M] {
    let mut columns = [[0.0; LANES]; M];
    for m in 0..M {
        // SAFETY: a column has the register's size.
        unsafe { _mm512_storeu_ps(columns[m].as_mut_ptr(), sums[m]) };
    }
    columns
}

/// # Safety
///
/// `rows` must have the rows `row..row + M`, with a block for each tile.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn columns_q4<const M: usize>(
    tiles: &[TileQ4],
    rows: &Quantised<'_>,
    row: usize,
) -> [[f32; LANES]; M] {
    let blocks = tiles.len();
    let mut sums = [_mm512_setzero_ps(); M];
    let nibble = _mm512_set1_epi8(15);
    for (block, tile) in tiles.iter().enumerate() {
        // SAFETY: the caller's promise bounds every `at`; a tile has four registers of nibbles and one of scales and offsets each.
        unsafe {
            let mut products = [_mm512_setzero_si512(); M];
            for group in 0..4 {
                let both = _mm512_load_si512(tile.nibbles.as_ptr().add(group * 64).cast());
                let low = _mm512_and_si512(both, nibble);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(both), nibble);
                for m in 0..M {
                    let at = ((row + m) * blocks + block) * BLOCK + group * 8;
                    let values = rows.values.as_ptr();
                    products[m] = _mm512_dpbusd_epi32(products[m], low, quad(values, at));
                    products[m] = _mm512_dpbusd_epi32(products[m], high, quad(values, at + 4));
                }
            }
            let scales = _mm512_cvtph_ps(_mm256_load_si256(tile.scales.as_ptr().cast()));
            let offsets = _mm512_cvtph_ps(_mm256_load_si256(tile.offsets.as_ptr().cast()));
            for m in 0..M {
                let at = (row + m) * blocks + block;
                let scale = _mm512_mul_ps(scales, _mm512_set1_ps(*rows.scales.get_unchecked(at)));
                let total = _mm512_set1_ps(*rows.totals.get_unchecked(at));
                let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[m]), scale, sums[m]);
                sums[m] = _mm512_fmadd_ps(offsets, total, sum);
            }
        }
    }
    finish(sums)
}

/// # Safety
///
/// As [`columns_q4`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn columns_q8<const M: usize>(
    tiles: &[TileQ8],
    rows: &Quantised<'_>,
    row: usize,
) -> [[f32; LANES]; M] {
    let blocks = tiles.len();
    let mut sums = [_mm512_setzero_ps(); M];
    for (block, tile) in tiles.iter().enumerate() {
        // SAFETY: the caller's promise bounds every `at`; a tile has eight registers of bytes and one of scales.
        unsafe {
            let mut products = [_mm512_setzero_si512(); M];
            for m in 0..M {
                let sum = *rows.sums.get_unchecked((row + m) * blocks + block);
                // The bytes are weights plus 128.
                products[m] = _mm512_set1_epi32(-128 * sum);
            }
            for group in 0..8 {
                let bytes = _mm512_load_si512(tile.bytes.as_ptr().add(group * 64).cast());
                for m in 0..M {
                    let at = ((row + m) * blocks + block) * BLOCK + group * 4;
                    let values = quad(rows.values.as_ptr(), at);
                    products[m] = _mm512_dpbusd_epi32(products[m], bytes, values);
                }
            }
            let scales = _mm512_load_ps(tile.scales.as_ptr());
            for m in 0..M {
                let at = (row + m) * blocks + block;
                let scale = _mm512_mul_ps(scales, _mm512_set1_ps(*rows.scales.get_unchecked(at)));
                sums[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[m]), scale, sums[m]);
            }
        }
    }
    finish(sums)
}
