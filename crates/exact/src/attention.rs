//! Attention of one row over paged keys and values.
//!
//! A page holds 16 positions of one head: keys as `head_size` vectors of 16 positions, then values as 16 rows of `head_size`. So lanes are
//! positions while scores are made, and elements while values are mixed; a score is two chains (even and odd elements) and their sum, a
//! mixed value is one chain over the positions in order, and the sum of weights is 16 chains by position modulo 16 with the fixed tree.

use crate::{
    activation::grow,
    math::{exp, largest, sum, vectors, vectors_mut},
    simd::{Job, LANES, Lanes},
};

/// Positions per page.
pub(crate) const PAGE: usize = LANES;

/// Floats of one head in one page: keys and values.
pub(crate) const fn head_floats(head_size: usize) -> usize {
    2 * PAGE * head_size
}

/// The keys and values of one head of one sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pages<'a> {
    pub(crate) data: &'a [f32],
    /// Which pages of the data, in the order of positions.
    pub(crate) table: &'a [u32],
    /// Floats per page.
    pub(crate) page_floats: usize,
    /// Where the head is in a page.
    pub(crate) offset: usize,
    pub(crate) head_size: usize,
}

impl Pages<'_> {
    #[inline(always)]
    fn head(&self, page: usize) -> (&[f32], &[f32]) {
        let start = self.table[page] as usize * self.page_floats + self.offset;
        let floats = head_floats(self.head_size);
        self.data[start..][..floats].split_at(floats / 2)
    }
}

/// Puts a key and a value into their slot of a head in a page.
pub(crate) fn write(head: &mut [f32], slot: usize, key: &[f32], value: &[f32]) {
    let (keys, values) = head.split_at_mut(PAGE * key.len());
    for (element, key) in key.iter().enumerate() {
        keys[element * PAGE + slot] = *key;
    }
    values[slot * value.len()..][..value.len()].copy_from_slice(value);
}

/// Queries of heads that share their keys, over the first positions of a sequence.
#[derive(Debug)]
pub(crate) struct Attend<'a> {
    /// Heads side by side.
    pub(crate) queries: &'a [f32],
    pub(crate) pages: Pages<'a>,
    /// How many positions.
    pub(crate) positions: usize,
    /// Working memory.
    pub(crate) scores: &'a mut Vec<f32>,
    /// As the queries.
    pub(crate) out: &'a mut [f32],
}

impl Job for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let size = self.pages.head_size;
        let padded = self.positions.next_multiple_of(PAGE);
        grow(self.scores, padded * 4);
        let (mut queries, mut out) = (self.queries, self.out);
        while !queries.is_empty() {
            let heads = (queries.len() / size).min(4);
            let (some, more) = queries.split_at(heads * size);
            let (mixed, rest) = out.split_at_mut(heads * size);
            let scores = &mut self.scores[..padded * heads];
            match heads {
                4 => attend::<L, 4>(some, &self.pages, self.positions, scores, mixed),
                3 => attend::<L, 3>(some, &self.pages, self.positions, scores, mixed),
                2 => attend::<L, 2>(some, &self.pages, self.positions, scores, mixed),
                _ => attend::<L, 1>(some, &self.pages, self.positions, scores, mixed),
            }
            (queries, out) = (more, rest);
        }
    }
}

/// `H` heads at once, so that each key and value is loaded once for all. The grouping changes no bit.
#[inline(always)]
fn attend<L: Lanes, const H: usize>(
    queries: &[f32],
    pages: &Pages<'_>,
    positions: usize,
    scores: &mut [f32],
    out: &mut [f32],
) {
    let size = pages.head_size;
    let padded = scores.len() / H;
    let scale = L::splat(1.0 / (size as f32).sqrt());
    for page in 0..padded / PAGE {
        let (keys, _) = pages.head(page);
        let products = score::<L, H>(queries, keys, size);
        for (head, product) in products.into_iter().enumerate() {
            let to = &mut vectors_mut(&mut scores[head * padded..][..padded])[page];
            product.mul(scale).store(to);
        }
    }
    let mut inverse = [0.0; H];
    for (head, inverse) in inverse.iter_mut().enumerate() {
        let scores = &mut scores[head * padded..][..padded];
        *inverse = 1.0 / weigh::<L>(scores, positions);
    }
    let mut element = 0;
    while size - element >= 64 {
        mix::<L, H, 4>(scores, pages, positions, element, &inverse, out);
        element += 64;
    }
    while size - element >= 32 {
        mix::<L, H, 2>(scores, pages, positions, element, &inverse, out);
        element += 32;
    }
    if element < size {
        mix::<L, H, 1>(scores, pages, positions, element, &inverse, out);
    }
}

/// Products of the queries with the sixteen keys of a page.
#[inline(always)]
pub(crate) fn score<L: Lanes, const H: usize>(
    queries: &[f32],
    keys: &[f32],
    size: usize,
) -> [L; H] {
    let mut even = [L::splat(0.0); H];
    let mut odd = [L::splat(0.0); H];
    let queries: [&[f32]; H] = std::array::from_fn(|head| &queries[head * size..][..size]);
    for (pair, keys) in vectors(keys).as_chunks::<2>().0.iter().enumerate() {
        let (first, second) = (L::load(&keys[0]), L::load(&keys[1]));
        for head in 0..H {
            even[head] = first.fma(L::splat(queries[head][2 * pair]), even[head]);
            odd[head] = second.fma(L::splat(queries[head][2 * pair + 1]), odd[head]);
        }
    }
    std::array::from_fn(|head| even[head].add(odd[head]))
}

/// Turns scores into weights, `exp(score − largest)`, and returns their sum. Positions beyond the last weigh nothing.
#[inline(always)]
pub(crate) fn weigh<L: Lanes>(scores: &mut [f32], positions: usize) -> f32 {
    scores[positions..].fill(f32::MIN);
    let mut most = L::splat(f32::MIN);
    for scores in vectors(scores) {
        most = L::load(scores).max(most);
    }
    let most = L::splat(largest(most));
    let last = scores.len() / PAGE - 1;
    let mut chains = L::splat(0.0);
    for (page, scores) in vectors_mut(scores).iter_mut().enumerate() {
        exp(L::load(scores).sub(most)).store(scores);
        if page == last {
            scores[positions - last * PAGE..].fill(0.0);
        }
        chains = chains.add(L::load(scores));
    }
    sum(chains)
}

/// Mixes `16 · C` elements of the values from `element` on.
#[inline(always)]
fn mix<L: Lanes, const H: usize, const C: usize>(
    weights: &[f32],
    pages: &Pages<'_>,
    positions: usize,
    element: usize,
    inverse: &[f32; H],
    out: &mut [f32],
) {
    let size = pages.head_size;
    let padded = weights.len() / H;
    let mut chains = [[L::splat(0.0); C]; H];
    for page in 0..padded / PAGE {
        let (_, values) = pages.head(page);
        let weights: [&[f32]; H] =
            std::array::from_fn(|head| &weights[head * padded + page * PAGE..][..PAGE]);
        for slot in 0..PAGE.min(positions - page * PAGE) {
            let values = vectors(&values[slot * size + element..][..C * LANES]);
            let values: [L; C] = std::array::from_fn(|c| L::load(&values[c]));
            for head in 0..H {
                let weight = L::splat(weights[head][slot]);
                for c in 0..C {
                    chains[head][c] = values[c].fma(weight, chains[head][c]);
                }
            }
        }
    }
    for head in 0..H {
        let out = vectors_mut(&mut out[head * size + element..][..C * LANES]);
        for c in 0..C {
            chains[head][c]
                .mul(L::splat(inverse[head]))
                .store(&mut out[c]);
        }
    }
}
