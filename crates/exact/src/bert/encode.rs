//! The forward pass.

use super::{Affine, Encoder, Layer, Norm};
use crate::{
    activation::Activations,
    attention::{Attend, PAGE, Pages, head_floats, write},
    linear::multiply,
    math::{add, dot, gelu, layer_norm, vectors, vectors_mut},
    pool::Pool,
    simd::{
        Job, Lanes,
        parallel::{Rows, each_piece, each_piece_with},
    },
};
use std::sync::Mutex;
use thiserror::Error;

/// The most tokens that are computed together, which bounds working memory; a longer text stands alone.
const ROWS_TOGETHER: usize = 1024;

/// Why a text has no vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A text without tokens.
    #[error("text {0} has no tokens")]
    Empty(usize),
    /// A text with more tokens than the encoder has positions.
    #[error("text {text} has {tokens} tokens, where {most} are the most")]
    TooLong {
        /// Which of the batch.
        text: usize,
        /// As asked.
        tokens: usize,
        /// Of the encoder.
        most: usize,
    },
    /// A token beyond the vocabulary.
    #[error("text {text} has token {token}, where the vocabulary has {vocabulary}")]
    Token {
        /// Which of the batch.
        text: usize,
        /// As asked.
        token: u32,
        /// How many there are.
        vocabulary: usize,
    },
    /// A vector is not of finite numbers.
    #[error("the vector of text {0} is not of finite numbers")]
    NotFinite(usize),
}

/// Texts that are computed together.
struct Work {
    /// First row and number of rows of each text.
    texts: Vec<(usize, usize)>,
    /// First page of each row's text, and how many rows the text has.
    row_text: Vec<(usize, usize)>,
    state: Activations,
    mixed: Activations,
    expanded: Activations,
    projected: Vec<f32>,
    output: Vec<f32>,
    pages: Vec<f32>,
    table: Vec<u32>,
    scores: Vec<Mutex<Vec<f32>>>,
}

impl Encoder {
    /// The vector of each text, given as tokens with those that begin and end it. Its length is one.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`]; nothing is computed if a text is wrong in form.
    pub fn encode(&self, pool: &dyn Pool, batch: &[&[u32]]) -> Result<Vec<Vec<f32>>, EncodeError> {
        self.check(batch)?;
        let mut vectors = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while !rest.is_empty() {
            let mut rows = 0;
            let fits = |text: &&&[u32]| {
                rows += text.len();
                rows <= ROWS_TOGETHER
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (together, more) = rest.split_at(count);
            self.encode_together(pool, together, &mut vectors);
            rest = more;
        }
        let is_finite = |vector: &Vec<f32>| vector.iter().all(|value| value.is_finite());
        match vectors.iter().position(|vector| !is_finite(vector)) {
            Some(text) => Err(EncodeError::NotFinite(text)),
            None => Ok(vectors),
        }
    }

    fn check(&self, batch: &[&[u32]]) -> Result<(), EncodeError> {
        let (most, vocabulary) = (self.shape.max_positions, self.shape.vocabulary);
        for (text, tokens) in batch.iter().enumerate() {
            if tokens.is_empty() {
                return Err(EncodeError::Empty(text));
            }
            if tokens.len() > most {
                let tokens = tokens.len();
                return Err(EncodeError::TooLong { text, tokens, most });
            }
            if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
                let token = *token;
                return Err(EncodeError::Token {
                    text,
                    token,
                    vocabulary,
                });
            }
        }
        Ok(())
    }

    fn encode_together(&self, pool: &dyn Pool, batch: &[&[u32]], vectors: &mut Vec<Vec<f32>>) {
        let mut work = self.prepare(pool, batch);
        for layer in &self.layers {
            self.attention(pool, layer, &mut work);
            self.feed_forward(pool, layer, &mut work);
        }
        let width = self.shape.width;
        for (first, count) in &work.texts {
            let rows = &work.state.plain[first * width..(first + count) * width];
            vectors.push(self.isa.run(Mean { rows, width }));
        }
    }

    /// Makes room and looks up embeddings.
    fn prepare(&self, pool: &dyn Pool, batch: &[&[u32]]) -> Work {
        let shape = &self.shape;
        let mut texts = Vec::new();
        let mut row_text = Vec::new();
        let mut pages = 0;
        for tokens in batch {
            texts.push((row_text.len(), tokens.len()));
            row_text.resize(row_text.len() + tokens.len(), (pages, tokens.len()));
            pages += tokens.len().div_ceil(PAGE);
        }
        let rows = row_text.len();
        let page_floats = shape.heads * head_floats(self.head_size());
        let mut work = Work {
            texts,
            row_text,
            state: Activations::default(),
            mixed: Activations::default(),
            expanded: Activations::default(),
            projected: vec![0.0; rows * (3 * shape.width).max(shape.ffn)],
            output: vec![0.0; rows * shape.width],
            pages: vec![0.0; pages * page_floats],
            table: (0..pages as u32).collect(),
            scores: (0..pool.threads().max(1))
                .map(|_| Mutex::default())
                .collect(),
        };
        work.state.resize(rows, shape.width);
        work.mixed.resize(rows, shape.width);
        work.expanded.resize(rows, shape.ffn);
        let mut position = vec![0.0; shape.width];
        let mut state = work.state.plain.chunks_exact_mut(shape.width);
        for tokens in batch {
            for ((index, token), row) in tokens.iter().enumerate().zip(&mut state) {
                self.words.row(self.isa, *token as usize, row);
                self.positions.row(self.isa, index, &mut position);
                self.isa.run(Settle {
                    row,
                    bias: &self.kind,
                    added: &position,
                    norm: &self.norm,
                    epsilon: self.epsilon,
                });
            }
        }
        work
    }

    fn head_size(&self) -> usize {
        self.shape.width / self.shape.heads
    }

    /// Each row attends to all rows of its text.
    fn attention(&self, pool: &dyn Pool, layer: &Layer, work: &mut Work) {
        let (width, heads, size) = (self.shape.width, self.shape.heads, self.head_size());
        let rows = work.row_text.len();
        let matrices = [&layer.query.matrix, &layer.key.matrix, &layer.value.matrix];
        multiply(self.isa, pool, &matrices, &work.state, &mut work.projected);
        for row in work.projected.chunks_exact_mut(3 * width).take(rows) {
            for (part, affine) in [&layer.query, &layer.key, &layer.value]
                .into_iter()
                .enumerate()
            {
                let part = &mut row[part * width..][..width];
                self.isa.run(Add {
                    row: part,
                    bias: &affine.bias,
                });
            }
        }
        self.remember(work);
        let floats = head_floats(size);
        let pieces = Rows::new(&mut work.mixed.plain, size, rows * heads);
        let (projected, data, table) = (&work.projected, &work.pages, &work.table);
        let row_text = &work.row_text;
        each_piece_with(pool, pieces, &work.scores, |piece, out, scores| {
            let (row, head) = (piece / heads, piece % heads);
            let (first, positions) = row_text[row];
            self.isa.run(Attend {
                queries: &projected[row * 3 * width + head * size..][..size],
                pages: Pages {
                    data,
                    table: &table[first..],
                    page_floats: heads * floats,
                    offset: head * floats,
                    head_size: size,
                },
                positions,
                scores,
                out,
            });
        });
        multiply(
            self.isa,
            pool,
            &[&layer.output.matrix],
            &work.mixed,
            &mut work.output,
        );
        self.settle(pool, work, &layer.output, &layer.attention_norm);
    }

    /// Puts keys and values into pages, one run of pages per text.
    fn remember(&self, work: &mut Work) {
        let (width, heads, size) = (self.shape.width, self.shape.heads, self.head_size());
        let floats = head_floats(size);
        for (first, count) in &work.texts {
            for index in 0..*count {
                let row = first + index;
                let page = work.row_text[row].0 + index / PAGE;
                let projected = &work.projected[row * 3 * width..][..3 * width];
                let (keys, values) = projected[width..].split_at(width);
                for head in 0..heads {
                    let to = &mut work.pages[(page * heads + head) * floats..][..floats];
                    let element = head * size..(head + 1) * size;
                    write(to, index % PAGE, &keys[element.clone()], &values[element]);
                }
            }
        }
    }

    fn feed_forward(&self, pool: &dyn Pool, layer: &Layer, work: &mut Work) {
        let (ffn, rows) = (self.shape.ffn, work.row_text.len());
        multiply(
            self.isa,
            pool,
            &[&layer.up.matrix],
            &work.state,
            &mut work.projected,
        );
        let projected = &work.projected;
        let pieces = Rows::new(&mut work.expanded.plain, ffn, rows);
        each_piece(pool, pieces, |row, out| {
            self.isa.run(Bend {
                from: &projected[row * ffn..][..ffn],
                bias: &layer.up.bias,
                out,
            });
        });
        multiply(
            self.isa,
            pool,
            &[&layer.down.matrix],
            &work.expanded,
            &mut work.output,
        );
        self.settle(pool, work, &layer.down, &layer.norm);
    }

    /// Adds output and bias to the state, and norms it.
    fn settle(&self, pool: &dyn Pool, work: &mut Work, affine: &Affine, norm: &Norm) {
        let (width, output) = (self.shape.width, &work.output);
        let pieces = Rows::new(&mut work.state.plain, width, work.row_text.len());
        each_piece(pool, pieces, |index, row| {
            self.isa.run(Settle {
                row,
                bias: &affine.bias,
                added: &output[index * width..][..width],
                norm,
                epsilon: self.epsilon,
            });
        });
    }
}

struct Add<'a> {
    row: &'a mut [f32],
    bias: &'a [f32],
}

impl Job for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        add::<L>(self.row, self.bias);
    }
}

/// `row = norm((row + bias) + added)`.
struct Settle<'a> {
    row: &'a mut [f32],
    bias: &'a [f32],
    added: &'a [f32],
    norm: &'a Norm,
    epsilon: f32,
}

impl Job for Settle<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        add::<L>(self.row, self.bias);
        add::<L>(self.row, self.added);
        layer_norm::<L>(self.row, &self.norm.weight, &self.norm.bias, self.epsilon);
    }
}

/// `out = gelu(from + bias)`.
struct Bend<'a> {
    from: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl Job for Bend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let both = vectors(self.from).iter().zip(vectors(self.bias));
        for ((from, bias), out) in both.zip(vectors_mut(self.out)) {
            gelu(L::load(from).add(L::load(bias))).store(out);
        }
    }
}

/// The mean of rows, in their order, made one long.
struct Mean<'a> {
    rows: &'a [f32],
    width: usize,
}

impl Job for Mean<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let mut mean = vec![0.0; self.width];
        for row in self.rows.chunks_exact(self.width) {
            add::<L>(&mut mean, row);
        }
        let count = L::splat((self.rows.len() / self.width) as f32);
        for mean in vectors_mut(&mut mean) {
            L::load(mean).div(count).store(mean);
        }
        let length = dot::<L>(&mean, &mean).sqrt();
        // As torch.nn.functional.normalize.
        let length = L::splat(if length > 1e-12 { length } else { 1e-12 });
        for mean in vectors_mut(&mut mean) {
            L::load(mean).div(length).store(mean);
        }
        mean
    }
}
