//! Sixteen lanes of `f32` on each instruction set, and what is written with instructions of its own: the products of `int8`.
//!
//! This folder alone has `unsafe` code. Two reasons make it sound:
//!
//! - Values of the lane types of AVX2 and AVX-512 are made only below [`Isa::run`], and an [`Isa`] exists only for a path that the CPU has.
//! - [`parallel`] hands out each piece of an output once, by an atomic counter.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod parallel;
pub(crate) mod portable;

use crate::path::Path;

/// Width of all vectors.
pub(crate) const LANES: usize = 16;

/// Inputs per block of quantised weights and of activations.
pub(crate) const BLOCK: usize = 32;

/// Three times 2²²: adding and subtracting it rounds to an integer, ties to even.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// Four-bit weights with an offset: 16 outputs, 32 inputs, weight = `scale` · nibble + `offset`.
///
/// The nibbles of inputs `8g + j` (low) and `8g + 4 + j` (high) of output `l` are in byte `64g + 4l + j`: four neighbouring bytes meet four
/// inputs, as the instructions for `int8` products want it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct TileQ4 {
    pub(crate) nibbles: [u8; 256],
    /// Half precision.
    pub(crate) scales: [u16; LANES],
    /// Half precision.
    pub(crate) offsets: [u16; LANES],
}

/// Eight-bit weights: 16 outputs, 32 inputs, weight = `scale` · (byte − 128). Input `4g + j` of output `l` is byte `64g + 4l + j`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct TileQ8 {
    pub(crate) bytes: [u8; 512],
    pub(crate) scales: [f32; LANES],
}

/// Rows of activations, quantised in blocks of 32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantised<'a> {
    /// Inputs per row.
    pub(crate) width: usize,
    /// Rows of `width`.
    pub(crate) values: &'a [i8],
    /// Rows of `width / 32`: scale of the block.
    pub(crate) scales: &'a [f32],
    /// Sum of the block's values.
    pub(crate) sums: &'a [i32],
    /// Scale times sum, rounded once.
    pub(crate) totals: &'a [f32],
}

impl Quantised<'_> {
    /// Panics unless it has `rows` whole rows: the kernels read without looking.
    fn check(&self, rows: usize, tiles: usize) {
        let blocks = rows * (self.width / BLOCK);
        assert!(
            self.width.is_multiple_of(BLOCK)
                && self.values.len() >= rows * self.width
                && self.scales.len() >= blocks
                && self.sums.len() >= blocks
                && self.totals.len() >= blocks
                && tiles * BLOCK == self.width,
            "activations are as large as the weights they meet"
        );
    }
}

/// Sixteen `f32`. Every operation is rounded once, and gives the same bits in every implementation.
pub(crate) trait Lanes: Copy {
    /// How many rows of activations meet a tile at once, at most.
    const ROWS: usize;

    fn splat(value: f32) -> Self;
    fn load(values: &[f32; LANES]) -> Self;
    /// From half precision.
    fn load_half(values: &[u16; LANES]) -> Self;
    fn store(self, to: &mut [f32; LANES]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self · factor + addend`, rounded once.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// The larger; `other` if either is a NaN (as the x86 instruction has it).
    fn max(self, other: Self) -> Self;
    /// The smaller; `other` if either is a NaN.
    fn min(self, other: Self) -> Self;
    /// To the nearest integer, ties to even; magnitudes must be below 2²². A zero result is positive.
    #[inline(always)]
    fn round(self) -> Self {
        self.add(Self::splat(ROUND)).sub(Self::splat(ROUND))
    }
    /// 2 to the power of lanes that are integers from −126 to 127.
    fn power_of_two(self) -> Self;
    /// The largest magnitude, as the bits of a non-negative `f32`; a NaN counts as larger than infinity.
    fn magnitude_bits(self) -> u32;
    /// Rounded to the nearest, ties to even; magnitudes must be below 2²². Keeps within ±127.
    fn to_bytes(self) -> [i8; LANES];
    /// One fused multiply-add.
    fn fma_one(value: f32, factor: f32, addend: f32) -> f32;

    /// Outputs of a tile column for `M` rows from `row` on: module docs of the crate, points 2 and 3.
    fn columns_q4<const M: usize>(
        tiles: &[TileQ4],
        rows: &Quantised<'_>,
        row: usize,
    ) -> [[f32; LANES]; M];

    /// As [`columns_q4`](Self::columns_q4), for weights of eight bits.
    fn columns_q8<const M: usize>(
        tiles: &[TileQ8],
        rows: &Quantised<'_>,
        row: usize,
    ) -> [[f32; LANES]; M];
}

/// Work that is written once and compiled for every path. `run` must be `#[inline(always)]`, and so must what it calls with lanes.
pub(crate) trait Job {
    type Output;
    fn run<L: Lanes>(self) -> Self::Output;
}

/// A path that the CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Isa(Path);

impl Isa {
    /// None if the CPU lacks the path.
    pub(crate) fn new(path: Path) -> Option<Self> {
        path.is_available().then_some(Self(path))
    }

    /// The fastest.
    pub(crate) fn best() -> Self {
        Self(Path::best())
    }

    pub(crate) fn path(self) -> Path {
        self.0
    }

    /// Runs the job with the path's lanes.
    #[inline]
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "functions with target features")]
            // SAFETY: an Isa exists only for a path whose features the CPU has.
            Path::Avx2 => unsafe { avx2::run(job) },
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "functions with target features")]
            // SAFETY: as above.
            Path::Avx512Vnni => unsafe { avx512::run(job) },
            _ => job.run::<portable::Portable>(),
        }
    }
}
