//! The forward pass.

use super::{Layer, Logits, Model, Row, STEP_ROWS_MAX};
use crate::{
    activation::{Activations, IsFinite, QuantisedRow, grow, quantise},
    attention::{Attend, Pages, head_floats, write},
    cache::{Cache, CacheError, SequenceId},
    linear::multiply,
    math::{add, rms_norm, silu, vectors, vectors_mut},
    pool::Pool,
    simd::{
        Job, Lanes,
        parallel::{Rows, each_piece, each_piece_with},
    },
};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};
use thiserror::Error;

/// Why a step was not made. Sequences are as they were before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StepError {
    /// More rows than [`STEP_ROWS_MAX`].
    #[error("{0} rows are more than a step may have")]
    TooManyRows(usize),
    /// A token beyond the vocabulary.
    #[error("token {token}, where the vocabulary has {vocabulary}")]
    Token {
        /// As asked.
        token: u32,
        /// How many there are.
        vocabulary: usize,
    },
    /// A row does not follow its sequence.
    #[error("position {found}, where {expected} is next")]
    Position {
        /// As asked.
        found: u32,
        /// The sequence's length and its earlier rows.
        expected: usize,
    },
    /// A position beyond the context.
    #[error("position {position}, where the context has {context}")]
    Context {
        /// As asked.
        position: u32,
        /// How many there are.
        context: usize,
    },
    /// The cache was made for another shape.
    #[error("the cache is for models of another shape")]
    Shape,
    /// The cache has no room, or not the sequence.
    #[error("the cache cannot hold the rows")]
    Cache(#[from] CacheError),
    /// An activation is not finite.
    #[error("an activation is not a finite number")]
    NotFinite,
}

/// Working memory of a step; it grows to the largest step and is used again.
#[derive(Debug, Default)]
pub struct Workspace {
    sequences: Vec<SequenceId>,
    residual: Vec<f32>,
    normed: Activations,
    mixed: Activations,
    gated: Activations,
    projected: Vec<f32>,
    expanded: Vec<f32>,
    output: Vec<f32>,
    cosines: Vec<f32>,
    sines: Vec<f32>,
    scores: Vec<Mutex<Vec<f32>>>,
}

/// A row in which each norm and activation is made, and whether all is finite.
struct Progress {
    is_finite: AtomicBool,
}

impl Progress {
    fn note(&self, is_finite: bool) {
        if !is_finite {
            self.is_finite.store(false, Ordering::Relaxed);
        }
    }
}

impl Model {
    /// Appends the rows to their sequences and computes the logits that are wanted.
    ///
    /// A row's logits are the same bits whatever else is in the step. Cost: linear in rows, and each row's attention in its position.
    ///
    /// # Errors
    ///
    /// See [`StepError`]; the sequences and their lengths are then as before.
    pub fn step(
        &self,
        pool: &dyn Pool,
        cache: &mut Cache,
        rows: &[Row],
        logits: &mut Logits,
    ) -> Result<(), StepError> {
        logits.count = 0;
        if cache.shape != self.shape {
            return Err(StepError::Shape);
        }
        if rows.len() > STEP_ROWS_MAX {
            return Err(StepError::TooManyRows(rows.len()));
        }
        let mut work = std::mem::take(&mut cache.workspace);
        work.sequences.clear();
        let mut done = self.admit(cache, rows, &mut work.sequences);
        if done.is_ok() {
            done = self.forward(pool, cache, rows, &mut work, logits);
        }
        cache.finish(&work.sequences, done.is_ok());
        cache.workspace = work;
        done
    }

    /// Checks all rows and takes pages for them.
    fn admit(
        &self,
        cache: &mut Cache,
        rows: &[Row],
        sequences: &mut Vec<SequenceId>,
    ) -> Result<(), StepError> {
        let (vocabulary, context) = (self.shape.vocabulary, self.shape.context);
        for row in rows {
            let (token, position) = (row.token, row.position);
            if token as usize >= vocabulary {
                return Err(StepError::Token { token, vocabulary });
            }
            if position as usize >= context {
                return Err(StepError::Context { position, context });
            }
            let expected = cache.next_position(row.sequence)?;
            if position as usize != expected {
                let found = position;
                return Err(StepError::Position { found, expected });
            }
            if cache.expect_row(row.sequence) {
                sequences.push(row.sequence);
            }
        }
        Ok(cache.reserve(sequences)?)
    }

    fn forward(
        &self,
        pool: &dyn Pool,
        cache: &mut Cache,
        rows: &[Row],
        work: &mut Workspace,
        logits: &mut Logits,
    ) -> Result<(), StepError> {
        if rows.is_empty() {
            return Ok(());
        }
        let progress = Progress {
            is_finite: AtomicBool::new(true),
        };
        self.prepare(pool, rows, work);
        for (index, layer) in self.layers.iter().enumerate() {
            self.attention(pool, cache, rows, work, index, &progress);
            self.feed_forward(pool, layer, rows.len(), work, &progress);
        }
        self.predict(pool, rows, work, logits, &progress);
        if progress.is_finite.load(Ordering::Relaxed) {
            Ok(())
        } else {
            logits.count = 0;
            Err(StepError::NotFinite)
        }
    }

    /// Makes room, looks up embeddings and turns positions into angles.
    fn prepare(&self, pool: &dyn Pool, rows: &[Row], work: &mut Workspace) {
        let (count, shape) = (rows.len(), &self.shape);
        grow(&mut work.residual, count * shape.width);
        grow(
            &mut work.projected,
            count * (shape.query_width() + 2 * shape.kv_width()),
        );
        grow(&mut work.expanded, count * 2 * shape.ffn);
        grow(&mut work.output, count * shape.width);
        work.normed.resize(count, shape.width);
        work.mixed.resize(count, shape.query_width());
        work.gated.resize(count, shape.ffn);
        while work.scores.len() < pool.threads().max(1) {
            work.scores.push(Mutex::default());
        }
        work.cosines.clear();
        work.sines.clear();
        for (row, to) in rows.iter().zip(work.residual.chunks_exact_mut(shape.width)) {
            self.embedding.row(self.isa, row.token as usize, to);
            for frequency in &self.frequencies {
                let angle = f64::from(row.position) * frequency;
                work.cosines.push(libm::cos(angle) as f32);
                work.sines.push(libm::sin(angle) as f32);
            }
        }
    }

    /// Norm, projections, rotation, attention over each row's own sequence. Leaves what is to be added in `work.output`.
    fn attention(
        &self,
        pool: &dyn Pool,
        cache: &mut Cache,
        rows: &[Row],
        work: &mut Workspace,
        index: usize,
        progress: &Progress,
    ) {
        let (layer, shape) = (&self.layers[index], &self.shape);
        self.normalise(
            pool,
            work,
            rows.len(),
            index > 0,
            &layer.attention_norm,
            progress,
        );
        let matrices = [&layer.query, &layer.key, &layer.value];
        multiply(self.isa, pool, &matrices, &work.normed, &mut work.projected);
        self.isa.run(Remember {
            cache,
            rows,
            work,
            layer: index,
        });

        let group = shape.query_width() / shape.kv_heads;
        let stride = shape.query_width() + 2 * shape.kv_width();
        let half = shape.head_size / 2;
        let heads = Rows::new(&mut work.mixed.plain, group, rows.len() * shape.kv_heads);
        let (projected, cosines, sines) = (&mut work.projected, &work.cosines, &work.sines);
        for (row, projected) in projected
            .chunks_exact_mut(stride)
            .take(rows.len())
            .enumerate()
        {
            progress.note(self.isa.run(IsFinite(projected)));
            self.isa.run(Rotate {
                heads: &mut projected[..shape.query_width()],
                cosines: &cosines[row * half..][..half],
                sines: &sines[row * half..][..half],
            });
        }
        let (projected, cache) = (&*projected, &*cache);
        each_piece_with(pool, heads, &work.scores, |piece, out, scores| {
            let (row, head) = (piece / shape.kv_heads, piece % shape.kv_heads);
            self.isa.run(Attend {
                queries: &projected[row * stride + head * group..][..group],
                pages: Pages {
                    data: &cache.data,
                    table: cache.table(rows[row].sequence),
                    page_floats: cache.stride(),
                    offset: (index * shape.kv_heads + head) * head_floats(shape.head_size),
                    head_size: shape.head_size,
                },
                positions: rows[row].position as usize + 1,
                scores,
                out,
            });
        });
        each_piece(
            pool,
            work.mixed.pieces(),
            |_, (plain, values, scales, sums, totals)| {
                let to = (values, scales, sums, totals);
                progress.note(self.isa.run(Quantise { plain, to }));
            },
        );
        let matrices = [&layer.attention_output];
        multiply(self.isa, pool, &matrices, &work.mixed, &mut work.output);
    }

    /// Adds the attention's output, then norm, gate and projections. Leaves what is to be added in `work.output`.
    fn feed_forward(
        &self,
        pool: &dyn Pool,
        layer: &Layer,
        count: usize,
        work: &mut Workspace,
        progress: &Progress,
    ) {
        self.normalise(pool, work, count, true, &layer.ffn_norm, progress);
        let matrices = [&layer.gate, &layer.up];
        multiply(self.isa, pool, &matrices, &work.normed, &mut work.expanded);
        let (ffn, expanded) = (self.shape.ffn, &work.expanded);
        each_piece(
            pool,
            work.gated.pieces(),
            |row, (plain, values, scales, sums, totals)| {
                let (gate, up) = expanded[row * 2 * ffn..][..2 * ffn].split_at(ffn);
                progress.note(self.isa.run(Gate {
                    gate,
                    up,
                    plain,
                    to: (values, scales, sums, totals),
                }));
            },
        );
        multiply(
            self.isa,
            pool,
            &[&layer.down],
            &work.gated,
            &mut work.output,
        );
    }

    /// The last norm and the logits of rows that want them.
    fn predict(
        &self,
        pool: &dyn Pool,
        rows: &[Row],
        work: &mut Workspace,
        logits: &mut Logits,
        progress: &Progress,
    ) {
        let width = self.shape.width;
        let mut count = 0;
        for (index, _) in rows.iter().enumerate().filter(|(_, row)| row.wants_logits) {
            let row = index * width..(index + 1) * width;
            work.residual.copy_within(row.clone(), count * width);
            work.output.copy_within(row, count * width);
            count += 1;
        }
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        (logits.count, logits.stride) = (count, output.padded_outputs());
        logits.vocabulary = self.shape.vocabulary;
        if count == 0 {
            return;
        }
        work.normed.resize(count, width);
        self.normalise(pool, work, count, true, &self.norm, progress);
        grow(&mut logits.values, count * logits.stride);
        multiply(self.isa, pool, &[output], &work.normed, &mut logits.values);
        let rows = Rows::new(&mut logits.values, logits.stride, count);
        each_piece(pool, rows, |_, row| {
            progress.note(self.isa.run(IsFinite(row)))
        });
    }

    /// Adds `work.output` to the residual stream if told so, and puts its norm into `work.normed`.
    fn normalise(
        &self,
        pool: &dyn Pool,
        work: &mut Workspace,
        count: usize,
        adds: bool,
        weight: &[f32],
        progress: &Progress,
    ) {
        let width = self.shape.width;
        let residual = Rows::new(&mut work.residual, width, count);
        let output = &work.output;
        let pieces = (residual, work.normed.pieces());
        each_piece(
            pool,
            pieces,
            |row, (residual, (plain, values, scales, sums, totals))| {
                progress.note(self.isa.run(Normalise {
                    residual,
                    added: adds.then(|| &output[row * width..][..width]),
                    weight,
                    epsilon: self.epsilon,
                    plain,
                    to: (values, scales, sums, totals),
                }));
            },
        );
    }
}

struct Normalise<'a> {
    residual: &'a mut [f32],
    added: Option<&'a [f32]>,
    weight: &'a [f32],
    epsilon: f32,
    plain: &'a mut [f32],
    to: QuantisedRow<'a>,
}

impl Job for Normalise<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<L: Lanes>(self) -> bool {
        if let Some(added) = self.added {
            add::<L>(self.residual, added);
        }
        rms_norm::<L>(self.residual, self.weight, self.epsilon, self.plain);
        quantise::<L>(self.plain, self.to)
    }
}

struct Quantise<'a> {
    plain: &'a mut [f32],
    to: QuantisedRow<'a>,
}

impl Job for Quantise<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<L: Lanes>(self) -> bool {
        quantise::<L>(self.plain, self.to)
    }
}

struct Gate<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    plain: &'a mut [f32],
    to: QuantisedRow<'a>,
}

impl Job for Gate<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<L: Lanes>(self) -> bool {
        let both = vectors(self.gate).iter().zip(vectors(self.up));
        for ((gate, up), out) in both.zip(vectors_mut(self.plain)) {
            silu(L::load(gate)).mul(L::load(up)).store(out);
        }
        quantise::<L>(self.plain, self.to)
    }
}

/// Turns pairs of neighbouring elements by the angles of a position.
struct Rotate<'a> {
    heads: &'a mut [f32],
    cosines: &'a [f32],
    sines: &'a [f32],
}

impl Job for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        rotate::<L>(self.heads, self.cosines, self.sines);
    }
}

/// Turns each pair of neighbouring elements of heads by its angle.
#[inline(always)]
pub(crate) fn rotate<L: Lanes>(heads: &mut [f32], cosines: &[f32], sines: &[f32]) {
    for head in heads.chunks_exact_mut(2 * cosines.len()) {
        let pairs = head.as_chunks_mut::<2>().0;
        for ((pair, cosine), sine) in pairs.iter_mut().zip(cosines).zip(sines) {
            let [a, b] = *pair;
            pair[0] = L::fma_one(a, *cosine, -(b * sine));
            pair[1] = L::fma_one(a, *sine, b * cosine);
        }
    }
}

/// Turns the keys of all rows, and puts keys and values into the cache.
struct Remember<'a> {
    cache: &'a mut Cache,
    rows: &'a [Row],
    work: &'a mut Workspace,
    layer: usize,
}

impl Job for Remember<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let shape = self.cache.shape;
        let (queries, keys, size) = (shape.query_width(), shape.kv_width(), shape.head_size);
        let stride = queries + 2 * keys;
        let projected = self.work.projected.chunks_exact_mut(stride);
        let cosines = self.work.cosines.chunks_exact(size / 2);
        let sines = self.work.sines.chunks_exact(size / 2);
        for (((row, projected), cosines), sines) in
            self.rows.iter().zip(projected).zip(cosines).zip(sines)
        {
            let (keys, values) = projected[queries..].split_at_mut(keys);
            rotate::<L>(keys, cosines, sines);
            let heads = keys.chunks_exact(size).zip(values.chunks_exact(size));
            for (head, (key, value)) in heads.enumerate() {
                let position = row.position as usize;
                let slots = self.cache.page_positions();
                let to = self
                    .cache
                    .head_mut(row.sequence, position, self.layer, head);
                write(to, position % slots, key, value);
            }
        }
    }
}
