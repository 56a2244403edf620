//! Rows of activations on their way into matrices.

use crate::{
    math::vectors,
    simd::{BLOCK, Job, Lanes, Quantised, parallel::Rows},
};

/// Below this largest magnitude a block is all zero: 1 / d would not be finite for much smaller ones. Bits of 2⁻¹⁰⁰.
const LEAST_BITS: u32 = (127 - 100) << 23;

/// Bits of infinity: nothing finite has as many.
const INFINITE_BITS: u32 = 0x7f80_0000;

/// Rows as they are, and quantised in blocks of 32.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activations {
    width: usize,
    rows: usize,
    pub(crate) plain: Vec<f32>,
    values: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<i32>,
    totals: Vec<f32>,
}

/// Where a row goes: the plain values, then what [`quantise`] fills.
pub(crate) type RowPieces<'a> = (
    Rows<'a, f32>,
    Rows<'a, i8>,
    Rows<'a, f32>,
    Rows<'a, i32>,
    Rows<'a, f32>,
);

impl Activations {
    /// Makes room; what was there is meaningless afterwards.
    pub(crate) fn resize(&mut self, rows: usize, width: usize) {
        (self.rows, self.width) = (rows, width);
        let blocks = rows * (width / BLOCK);
        grow(&mut self.plain, rows * width);
        grow(&mut self.values, rows * width);
        grow(&mut self.scales, blocks);
        grow(&mut self.sums, blocks);
        grow(&mut self.totals, blocks);
    }

    /// One piece per row.
    pub(crate) fn pieces(&mut self) -> RowPieces<'_> {
        let blocks = self.width / BLOCK;
        (
            Rows::new(&mut self.plain, self.width, self.rows),
            Rows::new(&mut self.values, self.width, self.rows),
            Rows::new(&mut self.scales, blocks, self.rows),
            Rows::new(&mut self.sums, blocks, self.rows),
            Rows::new(&mut self.totals, blocks, self.rows),
        )
    }

    /// Where the first row goes when it is quantised.
    pub(crate) fn row(&mut self) -> QuantisedRow<'_> {
        (
            &mut self.values,
            &mut self.scales,
            &mut self.sums,
            &mut self.totals,
        )
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn quantised(&self) -> Quantised<'_> {
        Quantised {
            width: self.width,
            values: &self.values,
            scales: &self.scales,
            sums: &self.sums,
            totals: &self.totals,
        }
    }
}

/// Lengthens a buffer; never shortens it, so that a later step need not fill it again.
pub(crate) fn grow<T: Clone + Default>(buffer: &mut Vec<T>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
}

/// Whether all values are finite.
pub(crate) struct IsFinite<'a>(pub(crate) &'a [f32]);

impl Job for IsFinite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<L: Lanes>(self) -> bool {
        let zero = L::splat(0.0);
        let mut sum = zero;
        for values in vectors(self.0) {
            // Zero times what is not finite is a NaN, which stays.
            sum = sum.add(L::load(values).mul(zero));
        }
        sum.magnitude_bits() < INFINITE_BITS
    }
}

/// Where a quantised row goes.
pub(crate) type QuantisedRow<'a> = (&'a mut [i8], &'a mut [f32], &'a mut [i32], &'a mut [f32]);

/// Quantises a row: module docs of the crate, point 1. False if a value is not finite.
#[inline(always)]
pub(crate) fn quantise<L: Lanes>(row: &[f32], to: QuantisedRow<'_>) -> bool {
    let (values, scales, sums, totals) = to;
    let mut is_finite = true;
    for (block, out) in values.chunks_exact_mut(BLOCK).enumerate() {
        let halves = vectors(&row[block * BLOCK..][..BLOCK]);
        let (first, second) = (L::load(&halves[0]), L::load(&halves[1]));
        let bits = first.magnitude_bits().max(second.magnitude_bits());
        is_finite &= bits < INFINITE_BITS;
        if !(LEAST_BITS..INFINITE_BITS).contains(&bits) {
            out.fill(0);
            (scales[block], sums[block], totals[block]) = (0.0, 0, 0.0);
            continue;
        }
        let scale = f32::from_bits(bits) / 127.0;
        let inverse = L::splat(1.0 / scale);
        out[..16].copy_from_slice(&first.mul(inverse).to_bytes());
        out[16..].copy_from_slice(&second.mul(inverse).to_bytes());
        let total: i32 = out.iter().map(|value| i32::from(*value)).sum();
        scales[block] = scale;
        sums[block] = total;
        totals[block] = scale * total as f32;
    }
    is_finite
}
