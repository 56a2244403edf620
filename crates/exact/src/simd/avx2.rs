//! AVX2 with FMA: two registers of eight are the sixteen lanes.

#![expect(unsafe_code, reason = "instructions of a CPU that has AVX2")]
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

/// Lanes 0 to 7 and 8 to 15.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(__m256, __m256);

/// Runs a job with AVX2.
///
/// # Safety
///
/// The CPU must have the features.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<J: Job>(job: J) -> J::Output {
    job.run::<Avx2>()
}

macro_rules! instructions {
    ($code:expr) => {{
        // SAFETY: methods of Avx2 are called below `run` alone, whose caller saw that the CPU has the features; memory is reached through
        // references to arrays of the size of both registers.
        unsafe { $code }
    }};
}

impl Avx2 {
    #[inline(always)]
    fn both(self, other: Self, operation: impl Fn(__m256, __m256) -> __m256) -> Self {
        Self(operation(self.0, other.0), operation(self.1, other.1))
    }
}

impl Lanes for Avx2 {
    const ROWS: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        let half = instructions!(_mm256_set1_ps(value));
        Self(half, half)
    }

    #[inline(always)]
    fn load(values: &[f32; LANES]) -> Self {
        instructions!(Self(
            _mm256_loadu_ps(values.as_ptr()),
            _mm256_loadu_ps(values.as_ptr().add(8))
        ))
    }

    #[inline(always)]
    fn load_half(values: &[u16; LANES]) -> Self {
        instructions!(Self(
            _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().add(8).cast()))
        ))
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        instructions!({
            _mm256_storeu_ps(to.as_mut_ptr(), self.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), self.1);
        });
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.both(other, |a, b| instructions!(_mm256_add_ps(a, b)))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.both(other, |a, b| instructions!(_mm256_sub_ps(a, b)))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.both(other, |a, b| instructions!(_mm256_mul_ps(a, b)))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.both(other, |a, b| instructions!(_mm256_div_ps(a, b)))
    }

    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        instructions!(Self(
            _mm256_fmadd_ps(self.0, factor.0, addend.0),
            _mm256_fmadd_ps(self.1, factor.1, addend.1)
        ))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.both(other, |a, b| instructions!(_mm256_max_ps(a, b)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.both(other, |a, b| instructions!(_mm256_min_ps(a, b)))
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        let power = |value| {
            instructions!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(
                _mm256_add_epi32(_mm256_cvtps_epi32(value), _mm256_set1_epi32(127))
            )))
        };
        Self(power(self.0), power(self.1))
    }

    #[inline(always)]
    fn magnitude_bits(self) -> u32 {
        let mut bits = [0u32; 8];
        instructions!({
            let mask = _mm256_set1_epi32(0x7fff_ffff);
            let low = _mm256_and_si256(_mm256_castps_si256(self.0), mask);
            let high = _mm256_and_si256(_mm256_castps_si256(self.1), mask);
            _mm256_storeu_si256(bits.as_mut_ptr().cast(), _mm256_max_epu32(low, high));
        });
        bits.into_iter().fold(0, u32::max)
    }

    #[inline(always)]
    fn to_bytes(self) -> [i8; LANES] {
        let mut bytes = [0; LANES];
        instructions!({
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(self.0), _mm256_cvtps_epi32(self.1));
            // Packing works within halves of the register: 0 2 1 3 puts the words in order.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let most = _mm256_set1_epi16(127);
            let kept = _mm256_max_epi16(_mm256_min_epi16(words, most), _mm256_set1_epi16(-127));
            let packed = _mm_packs_epi16(
                _mm256_castsi256_si128(kept),
                _mm256_extracti128_si256::<1>(kept),
            );
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), packed);
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
#[target_feature(enable = "avx2")]
unsafe fn quad(values: *const i8, at: usize) -> __m256i {
    // SAFETY: as above.
    _mm256_set1_epi32(unsafe { values.add(at).cast::<i32>().read_unaligned() })
}

/// # Safety
///
/// `rows` must have the rows `row..row + M`, with a block for each tile.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn columns_q4<const M: usize>(
    tiles: &[TileQ4],
    rows: &Quantised<'_>,
    row: usize,
) -> [[f32; LANES]; M] {
    let blocks = tiles.len();
    let mut columns = [[0.0; LANES]; M];
    let nibble = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    for half in 0..2 {
        let mut sums = [_mm256_setzero_ps(); M];
        for (block, tile) in tiles.iter().enumerate() {
            // SAFETY: the caller's promise bounds every `at`; half a tile has four registers of nibbles and one of scales and offsets each.
            unsafe {
                let mut products = [_mm256_setzero_si256(); M];
                for group in 0..4 {
                    let from = tile.nibbles.as_ptr().add(group * 64 + half * 32);
                    let both = _mm256_load_si256(from.cast());
                    let low = _mm256_and_si256(both, nibble);
                    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), nibble);
                    for m in 0..M {
                        let at = ((row + m) * blocks + block) * BLOCK + group * 8;
                        let values = rows.values.as_ptr();
                        // At most 4 · 15 · 127 = 7620: no saturation.
                        let pairs = _mm256_add_epi16(
                            _mm256_maddubs_epi16(low, quad(values, at)),
                            _mm256_maddubs_epi16(high, quad(values, at + 4)),
                        );
                        products[m] = _mm256_add_epi32(products[m], _mm256_madd_epi16(pairs, ones));
                    }
                }
                let from = tile.scales.as_ptr().add(half * 8);
                let scales = _mm256_cvtph_ps(_mm_load_si128(from.cast()));
                let from = tile.offsets.as_ptr().add(half * 8);
                let offsets = _mm256_cvtph_ps(_mm_load_si128(from.cast()));
                for m in 0..M {
                    let at = (row + m) * blocks + block;
                    let scale =
                        _mm256_mul_ps(scales, _mm256_set1_ps(*rows.scales.get_unchecked(at)));
                    let total = _mm256_set1_ps(*rows.totals.get_unchecked(at));
                    let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[m]), scale, sums[m]);
                    sums[m] = _mm256_fmadd_ps(offsets, total, sum);
                }
            }
        }
        finish(&mut columns, half, sums);
    }
    columns
}

/// # Safety
///
/// As [`columns_q4`].
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn columns_q8<const M: usize>(
    tiles: &[TileQ8],
    rows: &Quantised<'_>,
    row: usize,
) -> [[f32; LANES]; M] {
    let blocks = tiles.len();
    let mut columns = [[0.0; LANES]; M];
    let sign = _mm256_set1_epi8(-128);
    let ones = _mm256_set1_epi16(1);
    for half in 0..2 {
        let mut sums = [_mm256_setzero_ps(); M];
        for (block, tile) in tiles.iter().enumerate() {
            // SAFETY: the caller's promise bounds every `at`; half a tile has eight registers of bytes and one of scales.
            unsafe {
                let mut products = [_mm256_setzero_si256(); M];
                for group in 0..8 {
                    let from = tile.bytes.as_ptr().add(group * 64 + half * 32);
                    let weights = _mm256_xor_si256(_mm256_load_si256(from.cast()), sign);
                    let magnitudes = _mm256_abs_epi8(weights);
                    for m in 0..M {
                        let at = ((row + m) * blocks + block) * BLOCK + group * 4;
                        let values = quad(rows.values.as_ptr(), at);
                        // At most 2 · 128 · 127 = 32512: no saturation. Values are never −128, so their sign can be turned.
                        let pairs =
                            _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(values, weights));
                        products[m] = _mm256_add_epi32(products[m], _mm256_madd_epi16(pairs, ones));
                    }
                }
                let scales = _mm256_load_ps(tile.scales.as_ptr().add(half * 8));
                for m in 0..M {
                    let at = (row + m) * blocks + block;
                    let scale =
                        _mm256_mul_ps(scales, _mm256_set1_ps(*rows.scales.get_unchecked(at)));
                    sums[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[m]), scale, sums[m]);
                }
            }
        }
        finish(&mut columns, half, sums);
    }
    columns
}

#[inline]
#[target_feature(enable = "avx2")]
fn finish<const M: usize>(columns: &mut [[f32; LANES]; M], half: usize, sums: [__m256; M]) {
    for m in 0..M {
        let to = columns[m][half * 8..half * 8 + 8].as_mut_ptr();
        // SAFETY: half a column has the register's size.
        unsafe { _mm256_storeu_ps(to, sums[m]) };
    }
}
