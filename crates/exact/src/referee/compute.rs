//! The functions of one row, each as the engine computes it, for whoever records a run and for the referee.

use crate::{
    activation::{Activations, quantise},
    attention::{PAGE, score, weigh},
    linear::{Linear, WeightError, WeightKind, multiply},
    llama::rotate,
    math::{add, rms_norm, silu, vectors, vectors_mut},
    pool::{Pool, Single},
    simd::{Isa, Job, Lanes},
};

struct Quantise<'a>(&'a mut Activations);

impl Job for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let plain = self.0.plain.clone();
        // What is not finite was refused when the run was made.
        let _ = quantise::<L>(&plain, self.0.row());
    }
}

/// A row on its way into matrices.
pub(super) fn activations(isa: Isa, x: &[f32]) -> Activations {
    let mut activations = Activations::default();
    activations.resize(1, x.len());
    activations.plain.copy_from_slice(x);
    isa.run(Quantise(&mut activations));
    activations
}

/// The product of a row with a matrix.
pub(super) fn product(isa: Isa, pool: &dyn Pool, matrix: &Linear, x: &Activations) -> Vec<f32> {
    let mut out = vec![0.0; matrix.padded_outputs()];
    multiply(isa, pool, &[matrix], x, &mut out);
    out.truncate(matrix.outputs());
    out
}

/// As [`product`], with some rows of a matrix as they stand in the file.
pub(super) fn product_of_bytes(
    isa: Isa,
    (kind, bytes, outputs): (WeightKind, &[u8], usize),
    x: &[f32],
) -> Result<Vec<f32>, WeightError> {
    let matrix = Linear::pack(kind, bytes, outputs, x.len())?;
    Ok(product(isa, &Single, &matrix, &activations(isa, x)))
}

/// The angles of a position, for each pair of elements of a head: cosines, then sines.
pub(super) fn angles(frequencies: &[f64], position: usize) -> (Vec<f32>, Vec<f32>) {
    let angle = |frequency: &f64| position as f64 * frequency;
    let cosines = frequencies
        .iter()
        .map(|frequency| libm::cos(angle(frequency)) as f32);
    let sines = frequencies
        .iter()
        .map(|frequency| libm::sin(angle(frequency)) as f32);
    (cosines.collect(), sines.collect())
}

struct Rotate<'a>(&'a mut [f32], &'a [f32], &'a [f32]);

impl Job for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        rotate::<L>(self.0, self.1, self.2);
    }
}

/// Turns whole heads, or a part of one, by the angles of its elements.
pub(super) fn turn(isa: Isa, elements: &mut [f32], (cosines, sines): (&[f32], &[f32])) {
    isa.run(Rotate(elements, cosines, sines));
}

struct Norm<'a>(&'a [f32], &'a [f32], f32, &'a mut [f32]);

impl Job for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        rms_norm::<L>(self.0, self.1, self.2, self.3);
    }
}

/// The norm of a row.
pub(super) fn norm(isa: Isa, x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    isa.run(Norm(x, weight, epsilon, &mut out));
    out
}

struct Add<'a>(&'a mut [f32], &'a [f32]);

impl Job for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        add::<L>(self.0, self.1);
    }
}

/// The sum of two rows.
pub(super) fn sum(isa: Isa, x: &[f32], y: &[f32]) -> Vec<f32> {
    let mut out = x.to_vec();
    isa.run(Add(&mut out, y));
    out
}

struct Gate<'a>(&'a [f32], &'a [f32], &'a mut [f32]);

impl Job for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let both = vectors(self.0).iter().zip(vectors(self.1));
        for ((gate, up), out) in both.zip(vectors_mut(self.2)) {
            silu(L::load(gate)).mul(L::load(up)).store(out);
        }
    }
}

/// The gated product of two rows.
pub(super) fn gate(isa: Isa, gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; gate.len()];
    isa.run(Gate(gate, up, &mut out));
    out
}

struct ScorePage<'a>(&'a [f32], &'a [f32], &'a mut [f32; PAGE]);

impl Job for ScorePage<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let size = self.0.len();
        let scale = L::splat(1.0 / (size as f32).sqrt());
        let [product] = score::<L, 1>(self.0, self.1, size);
        product.mul(scale).store(self.2);
    }
}

/// Products of a query with sixteen keys, element by element as in a page of the cache.
pub(super) fn score_page(isa: Isa, query: &[f32], keys: &[f32]) -> [f32; PAGE] {
    let mut scores = [0.0; PAGE];
    isa.run(ScorePage(query, keys, &mut scores));
    scores
}

struct Weigh<'a>(&'a mut [f32], usize);

impl Job for Weigh<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self) -> f32 {
        weigh::<L>(self.0, self.1)
    }
}

/// What positions weigh by their scores, and behind them the sum of all.
pub(super) fn weights(isa: Isa, scores: &[f32]) -> Vec<f32> {
    let positions = scores.len();
    let mut weights = scores.to_vec();
    weights.resize(positions.next_multiple_of(PAGE), 0.0);
    let sum = isa.run(Weigh(&mut weights, positions));
    weights.truncate(positions);
    weights.push(sum);
    weights
}

struct MixPage<'a>(&'a mut [f32], &'a [f32], &'a [f32]);

impl Job for MixPage<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self(mixed, weights, values) = self;
        for (weight, values) in weights.iter().zip(values.chunks_exact(mixed.len())) {
            let weight = L::splat(*weight);
            for (mixed, values) in vectors_mut(mixed).iter_mut().zip(vectors(values)) {
                L::load(values).fma(weight, L::load(mixed)).store(mixed);
            }
        }
    }
}

/// Adds values by their weights, position after position.
pub(super) fn mix_page(isa: Isa, mixed: &mut [f32], weights: &[f32], values: &[f32]) {
    isa.run(MixPage(mixed, weights, values));
}

struct Scale<'a>(&'a mut [f32], f32);

impl Job for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for values in vectors_mut(self.0) {
            L::load(values).mul(L::splat(self.1)).store(values);
        }
    }
}

/// Divides mixed values by the sum of their weights.
pub(super) fn divide(isa: Isa, mixed: &mut [f32], sum: f32) {
    isa.run(Scale(mixed, 1.0 / sum));
}
