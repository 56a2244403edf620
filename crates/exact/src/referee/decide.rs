//! What a cell must be.

use super::{
    FUEL_MAX, Order, PIECE, RefereeError, Value, WINDOW,
    compute::{
        angles, divide, gate, mix_page, norm, product_of_bytes, score_page, sum, turn, weights,
    },
    file::{SHA256_START, absorb, finish, state_bytes, state_of},
    head::{Head, Layout, Tensor},
    tree::{ARITY, CELL, DEPTH, EMPTY, Hash, Opened, Section, cell, index, levels},
};
use crate::{
    attention::{PAGE, head_floats, write},
    linear::{Linear, plain},
    sample::{Parameters, Sampler},
    simd::{Isa, LANES},
    trace::{Trace, row_digest},
};
use std::{borrow::Cow, cell::Cell};

/// What was asked: all that a run follows from.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// What the trace begins from.
    pub origin: &'a [u8],
    /// Bytes of the model's file.
    pub file_bytes: u64,
    /// Its SHA-256.
    pub file_sha256: [u8; 32],
    /// The tokens of the prompt, where they were asked as tokens.
    pub prompt: Option<&'a [u32]>,
    /// How tokens are chosen, unless under a mask.
    pub parameters: Option<Parameters>,
    /// What draws come from.
    pub seed: [u8; 32],
    /// Tokens that are chosen at most.
    pub tokens_max: usize,
}

/// What a cell must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This; [`EMPTY`] if there must be none.
    Is(Hash),
    /// The referee cannot say.
    Undecided,
}

/// Where values come from: a witness, or whoever has them all.
pub(super) trait Values {
    fn value(&self, section: Section, index: usize) -> Result<Cow<'_, [u8]>, RefereeError>;
}

impl Values for Opened<'_> {
    fn value(&self, section: Section, index: usize) -> Result<Cow<'_, [u8]>, RefereeError> {
        Opened::value(self, section, index).map(Cow::Borrowed)
    }
}

/// What a value is, or a part of it that holds the cell in question.
enum Expected {
    Whole(Vec<u8>),
    /// One cell, and how many the value has.
    One(Vec<u8>, usize),
    Nothing,
    Undecided,
}

/// Says what the cell at a place must be: a path from the root of a run through section and value to the cell. `opened` is the run of one side as
/// far as it is shown, `head_at` the last step of the reading of the file's head, and `claims` what the two sides have at the place.
///
/// # Errors
/// See [`RefereeError`]: then what is shown is refused, and says nothing about anybody.
pub fn decide(
    question: &Question<'_>,
    opened: &Opened<'_>,
    (path, head_at): (&[u8], usize),
    claims: &[Hash; 2],
) -> Result<Finding, RefereeError> {
    decide_on(question, opened, Isa::best(), (path, head_at), claims)
}

pub(super) fn decide_on(
    question: &Question<'_>,
    values: &dyn Values,
    isa: Isa,
    (path, head_at): (&[u8], usize),
    claims: &[Hash; 2],
) -> Result<Finding, RefereeError> {
    let (place, within) = path
        .split_at_checked(1 + DEPTH)
        .ok_or(RefereeError::NotACell)?;
    let section = *Section::ALL
        .get(usize::from(place[0]))
        .ok_or(RefereeError::NotACell)?;
    let at = index(&place[1..]);
    if within.len() > DEPTH {
        return Err(RefereeError::NotACell);
    }
    let bench = Bench {
        question,
        values,
        isa,
        fuel: Cell::new(FUEL_MAX),
    };
    let number = |cells: usize| cell_number(within, cells);
    let expected = match section {
        Section::File => bench.piece(at)?,
        Section::Head => bench.head(at)?,
        Section::Prompt => bench.prompt(at)?,
        Section::Rows => bench.row(at, head_at, &number, claims)?,
    };
    Ok(match expected {
        Expected::Undecided => Finding::Undecided,
        Expected::Nothing => Finding::Is(EMPTY),
        Expected::Whole(bytes) => {
            let number = number(bytes.len().div_ceil(CELL))?;
            let bytes = number.and_then(|number| bytes.chunks(CELL).nth(number));
            Finding::Is(bytes.map_or(EMPTY, cell))
        }
        Expected::One(bytes, cells) => Finding::Is(number(cells)?.map_or(EMPTY, |_| cell(&bytes))),
    })
}

/// Which cell of a value a path leads to, where the value has so many; none if it leads behind the last.
fn cell_number(within: &[u8], cells: usize) -> Result<Option<usize>, RefereeError> {
    let levels = levels(cells);
    let rest = levels
        .checked_sub(within.len())
        .ok_or(RefereeError::NotACell)?;
    let first = index(within) * ARITY.pow(rest as u32);
    if first >= cells {
        return Ok(None);
    }
    if rest > 0 {
        return Err(RefereeError::NotACell);
    }
    Ok(Some(first))
}

struct Bench<'a> {
    question: &'a Question<'a>,
    values: &'a dyn Values,
    isa: Isa,
    fuel: Cell<u64>,
}

/// The row in question.
struct RowOf<'a> {
    layout: &'a Layout,
    order: Order,
    position: usize,
}

/// Sizes of a matrix: outputs, inputs.
type Sizes = (usize, usize);

/// Refuses what is not finite: the bits of what is no number differ from CPU to CPU, and no run of the engine has any.
fn finite(floats: &[f32]) -> Result<&[f32], RefereeError> {
    if floats.iter().all(|float| float.is_finite()) {
        Ok(floats)
    } else {
        Err(RefereeError::NotFinite)
    }
}

pub(super) fn bytes_of(floats: &[f32]) -> Result<Vec<u8>, RefereeError> {
    let floats = finite(floats)?.iter();
    Ok(floats.flat_map(|float| float.to_le_bytes()).collect())
}

fn whole(floats: &[f32]) -> Result<Expected, RefereeError> {
    bytes_of(floats).map(Expected::Whole)
}

pub(super) fn tokens_of(bytes: &[u8]) -> Vec<u32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|four| u32::from_le_bytes(*four))
        .collect()
}

/// The bytes of tokens.
pub(super) fn token_bytes(tokens: &[u32]) -> Vec<u8> {
    tokens
        .iter()
        .flat_map(|token| token.to_le_bytes())
        .collect()
}

pub(super) fn floats_of(bytes: &[u8]) -> Result<Vec<f32>, RefereeError> {
    let floats = bytes.as_chunks().0.iter();
    let floats: Vec<f32> = floats.map(|four| f32::from_le_bytes(*four)).collect();
    finite(&floats)?;
    Ok(floats)
}

impl Bench<'_> {
    fn charge(&self, fuel: usize) -> Result<(), RefereeError> {
        let left = self.fuel.get().checked_sub(fuel as u64);
        self.fuel.set(left.ok_or(RefereeError::Fuel)?);
        Ok(())
    }

    fn pieces(&self) -> usize {
        self.question.file_bytes.div_ceil(PIECE as u64) as usize
    }

    /// A piece of the file. Nobody but who claims it can show it; what is right about it is that it hashes to the state that follows.
    fn piece(&self, at: usize) -> Result<Expected, RefereeError> {
        let Some(number) = self.pieces().checked_sub(at + 1) else {
            return Ok(Expected::Nothing);
        };
        let value = self.values.value(Section::File, at)?;
        let (state, bytes) = value.split_first_chunk::<32>().ok_or(RefereeError::File)?;
        let start = (number * PIECE) as u64;
        let length = (self.question.file_bytes - start).min(PIECE as u64);
        let mut hash = state_of(state);
        if bytes.len() as u64 != length || (number == 0 && hash != SHA256_START) {
            return Err(RefereeError::File);
        }
        let follows = if at == 0 {
            finish(hash, bytes, self.question.file_bytes) == self.question.file_sha256
        } else {
            absorb(&mut hash, bytes);
            let after = self.values.value(Section::File, at - 1)?;
            after.first_chunk() == Some(&state_bytes(&hash))
        };
        if follows {
            Ok(Expected::Whole(value.into_owned()))
        } else {
            Err(RefereeError::File)
        }
    }

    /// Bytes of the file, fewer if it ends.
    fn file(&self, from: u64, count: usize) -> Result<Vec<u8>, RefereeError> {
        let to = from
            .saturating_add(count as u64)
            .min(self.question.file_bytes);
        self.charge(count)?;
        let mut bytes = Vec::new();
        let mut at = from;
        while at < to {
            let number = (at / PIECE as u64) as usize;
            let value = self
                .values
                .value(Section::File, self.pieces() - 1 - number)?;
            let piece = value.get(32..).ok_or(RefereeError::File)?;
            let start = (at % PIECE as u64) as usize;
            let end = ((to - (number * PIECE) as u64) as usize).min(PIECE);
            bytes.extend_from_slice(piece.get(start..end).ok_or(RefereeError::File)?);
            at = (number * PIECE + end) as u64;
        }
        Ok(bytes)
    }

    fn head(&self, at: usize) -> Result<Expected, RefereeError> {
        let mut head = Head::default();
        if let Some(before) = at.checked_sub(1) {
            let value = self.values.value(Section::Head, before)?;
            if value.is_empty() {
                return Ok(Expected::Nothing);
            }
            head = Head::of_bytes(&value)?;
            if head.is_done() {
                return Ok(Expected::Nothing);
            }
        }
        head.step(&self.file(head.at(), WINDOW)?)?;
        Ok(Expected::Whole(head.to_bytes()))
    }

    fn prompt(&self, at: usize) -> Result<Expected, RefereeError> {
        Ok(match self.question.prompt {
            _ if at > 0 => Expected::Nothing,
            Some(tokens) => Expected::Whole(token_bytes(tokens)),
            None => Expected::Undecided,
        })
    }

    fn row(
        &self,
        at: usize,
        head_at: usize,
        number: &dyn Fn(usize) -> Result<Option<usize>, RefereeError>,
        claims: &[Hash; 2],
    ) -> Result<Expected, RefereeError> {
        let layout = Head::of_bytes(&self.values.value(Section::Head, head_at)?)?.layout()?;
        let order = Order::new(&layout.shape);
        let (position, value) = order.at(at);
        let row = &RowOf {
            layout: &layout,
            order,
            position,
        };
        if value == Value::Token {
            return self.token(row, claims);
        }
        if self
            .values
            .value(Section::Rows, order.index(position, Value::Token))?
            .is_empty()
        {
            return Ok(Expected::Nothing);
        }
        let cell = |cells: usize| number(cells);
        match value {
            Value::Token
            | Value::Residual(_)
            | Value::Normed(_)
            | Value::Middle(_)
            | Value::FfnNormed(_) => self.stream(row, value, &cell),
            Value::Query(_)
            | Value::Key(_)
            | Value::Value(_)
            | Value::Attended(_)
            | Value::Gated(_)
            | Value::Down(_) => self.product(row, value, &cell),
            Value::Scores(layer, head) => self.scores(row, (layer, head), &cell),
            Value::Weights(layer, head) => {
                let scores = self.floats(row, Value::Scores(layer, head), position + 1)?;
                self.charge(scores.len() * 16)?;
                whole(&weights(self.isa, &scores))
            }
            Value::Mix(layer, head) => self.mix(row, at, (layer, head), &cell),
            Value::Mixed(layer) => self.mixed(row, layer, &cell),
            Value::OutputNormed
            | Value::Logits
            | Value::LogitsDigest
            | Value::Chosen
            | Value::Trace => self.behind(row, value, &cell),
        }
    }

    fn value(&self, row: &RowOf<'_>, value: Value) -> Result<Cow<'_, [u8]>, RefereeError> {
        self.values
            .value(Section::Rows, row.order.index(row.position, value))
    }

    /// A value of an earlier row; nothing before the first.
    fn before(&self, row: &RowOf<'_>, value: Value) -> Result<Cow<'_, [u8]>, RefereeError> {
        match row.position.checked_sub(1) {
            Some(position) => self
                .values
                .value(Section::Rows, row.order.index(position, value)),
            None => Ok(Cow::Borrowed(&[])),
        }
    }

    fn floats(
        &self,
        row: &RowOf<'_>,
        value: Value,
        count: usize,
    ) -> Result<Vec<f32>, RefereeError> {
        let bytes = self.value(row, value)?;
        if count.checked_mul(4) != Some(bytes.len()) {
            return Err(RefereeError::Size);
        }
        floats_of(&bytes)
    }

    fn token(&self, row: &RowOf<'_>, claims: &[Hash; 2]) -> Result<Expected, RefereeError> {
        let prompt = tokens_of(&self.values.value(Section::Prompt, 0)?);
        if let Some(token) = prompt.get(row.position) {
            if row.position == 0 && claims.contains(&EMPTY) {
                // Whether the answer was stopped before it began is the buyer's to say.
                return Ok(Expected::Undecided);
            }
            return Ok(Expected::Whole(token_bytes(&[*token])));
        }
        let chosen = tokens_of(&self.before(row, Value::Chosen)?);
        let Some(last) = chosen.last() else {
            return Ok(Expected::Nothing);
        };
        if chosen.len() >= self.question.tokens_max {
            return Ok(Expected::Nothing);
        }
        if claims.contains(&EMPTY) {
            // Whether the answer ends here is the tokeniser's to say, or the buyer's.
            return Ok(Expected::Undecided);
        }
        Ok(Expected::Whole(token_bytes(&[*last])))
    }

    fn norm_of(
        &self,
        row: &RowOf<'_>,
        stream: &[f32],
        tensor: Tensor,
    ) -> Result<Expected, RefereeError> {
        let width = stream.len();
        let (kind, from, bytes) = row.layout.rows(tensor, (0, width, 1))?;
        let weight = plain(kind, &self.file(from, bytes)?, width)?;
        self.charge(width * 4)?;
        whole(&norm(self.isa, stream, &weight, row.layout.epsilon))
    }

    fn stream(
        &self,
        row: &RowOf<'_>,
        value: Value,
        cell: &dyn Fn(usize) -> Result<Option<usize>, RefereeError>,
    ) -> Result<Expected, RefereeError> {
        let width = row.layout.shape.width;
        let added = |to, what| {
            let (to, what) = (self.floats(row, to, width)?, self.floats(row, what, width)?);
            whole(&sum(self.isa, &to, &what))
        };
        match value {
            Value::Residual(0) => self.embedding(row, cell),
            Value::Residual(layer) => added(Value::Middle(layer - 1), Value::Down(layer - 1)),
            Value::Middle(layer) => added(Value::Residual(layer), Value::Attended(layer)),
            Value::Normed(layer) => {
                let stream = self.floats(row, Value::Residual(layer), width)?;
                self.norm_of(row, &stream, Tensor::AttentionNorm(layer))
            }
            Value::FfnNormed(layer) => {
                let stream = self.floats(row, Value::Middle(layer), width)?;
                self.norm_of(row, &stream, Tensor::FfnNorm(layer))
            }
            _ => Err(RefereeError::NotACell),
        }
    }

    fn embedding(
        &self,
        row: &RowOf<'_>,
        cell: &dyn Fn(usize) -> Result<Option<usize>, RefereeError>,
    ) -> Result<Expected, RefereeError> {
        let shape = &row.layout.shape;
        let token = tokens_of(&self.value(row, Value::Token)?);
        let token = *token.first().ok_or(RefereeError::Size)? as usize;
        if token >= shape.vocabulary {
            return Err(RefereeError::Size);
        }
        // Whether the place is a cell at all comes first, and a row alone is packed as if it were as many as there are lanes.
        if cell((shape.width * 4).div_ceil(CELL))?.is_none() {
            return Ok(Expected::Nothing);
        }
        let rows = (token, 1, shape.width);
        let (kind, from, bytes) = row.layout.rows(Tensor::Embedding, rows)?;
        self.charge(shape.width * LANES)?;
        let matrix = Linear::pack(kind, &self.file(from, bytes)?, 1, shape.width)?;
        let mut stream = vec![0.0; shape.width];
        matrix.row(self.isa, 0, &mut stream);
        whole(&stream)
    }

    /// The outputs of a matrix that make one cell.
    fn outputs(
        &self,
        row: &RowOf<'_>,
        (tensor, (outputs, inputs)): (Tensor, Sizes),
        number: usize,
        x: &[f32],
    ) -> Result<Vec<f32>, RefereeError> {
        let first = number * LANES;
        let count = outputs.saturating_sub(first).min(LANES);
        self.charge(count * inputs)?;
        let (kind, from, bytes) = row.layout.rows(tensor, (first, count, inputs))?;
        let bytes = self.file(from, bytes)?;
        Ok(product_of_bytes(self.isa, (kind, &bytes, count), x)?)
    }

    fn product(
        &self,
        row: &RowOf<'_>,
        value: Value,
        cell: &dyn Fn(usize) -> Result<Option<usize>, RefereeError>,
    ) -> Result<Expected, RefereeError> {
        let shape = &row.layout.shape;
        let (width, queries, keys) = (shape.width, shape.query_width(), shape.kv_width());
        let (tensor, outputs, input, inputs) = match value {
            Value::Query(layer) => (Tensor::Query(layer), queries, Value::Normed(layer), width),
            Value::Key(layer) => (Tensor::Key(layer), keys, Value::Normed(layer), width),
            Value::Value(layer) => (Tensor::Value(layer), keys, Value::Normed(layer), width),
            Value::Attended(layer) => (
                Tensor::AttentionOutput(layer),
                width,
                Value::Mixed(layer),
                queries,
            ),
            Value::Gated(layer) => (
                Tensor::Gate(layer),
                shape.ffn,
                Value::FfnNormed(layer),
                width,
            ),
            Value::Down(layer) => (Tensor::Down(layer), width, Value::Gated(layer), shape.ffn),
            _ => return Err(RefereeError::NotACell),
        };
        let cells = outputs.div_ceil(LANES);
        let Some(number) = cell(cells)? else {
            return Ok(Expected::Nothing);
        };
        let x = self.floats(row, input, inputs)?;
        let mut made = self.outputs(row, (tensor, (outputs, inputs)), number, &x)?;
        match value {
            Value::Gated(layer) => {
                let sizes = (outputs, inputs);
                let up = self.outputs(row, (Tensor::Up(layer), sizes), number, &x)?;
                made = gate(self.isa, &made, &up);
            }
            Value::Query(_) | Value::Key(_) => {
                let first = number * LANES % shape.head_size / 2;
                let turns = row.layout.frequencies.get(first..first + LANES / 2);
                let (cosines, sines) = angles(turns.ok_or(RefereeError::Size)?, row.position);
                turn(self.isa, &mut made, (&cosines, &sines));
            }
            _ => {}
        }
        Ok(Expected::One(bytes_of(&made)?, cells))
    }

    /// The part of a head in keys or values of sixteen positions, as a page of the cache has them.
    fn page(
        &self,
        row: &RowOf<'_>,
        (layer, head, first): (usize, usize, usize),
        is_keys: bool,
    ) -> Result<Vec<f32>, RefereeError> {
        let shape = &row.layout.shape;
        let size = shape.head_size;
        let at = head / (shape.heads / shape.kv_heads) * size;
        let mut page = vec![0.0; head_floats(size)];
        for position in first..(row.position + 1).min(first + PAGE) {
            let other = RowOf { position, ..*row };
            let value = if is_keys {
                Value::Key(layer)
            } else {
                Value::Value(layer)
            };
            let all = self.floats(&other, value, shape.kv_width())?;
            write(
                &mut page,
                position - first,
                &all[at..at + size],
                &all[at..at + size],
            );
        }
        Ok(page)
    }

    fn scores(
        &self,
        row: &RowOf<'_>,
        (layer, head): (usize, usize),
        cell: &dyn Fn(usize) -> Result<Option<usize>, RefereeError>,
    ) -> Result<Expected, RefereeError> {
        let shape = &row.layout.shape;
        let (size, positions) = (shape.head_size, row.position + 1);
        let cells = positions.div_ceil(PAGE);
        let Some(number) = cell(cells)? else {
            return Ok(Expected::Nothing);
        };
        let queries = self.floats(row, Value::Query(layer), shape.query_width())?;
        let page = self.page(row, (layer, head, number * PAGE), true)?;
        self.charge(PAGE * size)?;
        let query = &queries[head * size..][..size];
        let scores = score_page(self.isa, query, &page[..PAGE * size]);
        let count = (positions - number * PAGE).min(PAGE);
        Ok(Expected::One(bytes_of(&scores[..count])?, cells))
    }

    fn mix(
        &self,
        row: &RowOf<'_>,
        at: usize,
        (layer, head): (usize, usize),
        cell: &dyn Fn(usize) -> Result<Option<usize>, RefereeError>,
    ) -> Result<Expected, RefereeError> {
        let (size, positions) = (row.layout.shape.head_size, row.position + 1);
        let in_page = size / LANES;
        let cells = positions.div_ceil(PAGE) * in_page;
        let Some(number) = cell(cells)? else {
            return Ok(Expected::Nothing);
        };
        let (page, element) = (number / in_page, number % in_page * LANES);
        let mut mixed = vec![0.0; LANES];
        if let Some(before) = number.checked_sub(in_page) {
            // The cells before this one in the same value: the sides agree about them, whoever shows them.
            let value = self.values.value(Section::Rows, at)?;
            let before = value.chunks(CELL).nth(before).ok_or(RefereeError::Size)?;
            mixed = floats_of(before)?;
        }
        let all = self.floats(row, Value::Weights(layer, head), positions + 1)?;
        let values = self.page(row, (layer, head, page * PAGE), false)?;
        let count = (positions - page * PAGE).min(PAGE);
        let part: Vec<f32> = values[PAGE * size..]
            .chunks_exact(size)
            .flat_map(|value| &value[element..element + LANES])
            .copied()
            .collect();
        if mixed.len() != LANES {
            return Err(RefereeError::Size);
        }
        self.charge(PAGE * LANES)?;
        mix_page(self.isa, &mut mixed, &all[page * PAGE..][..count], &part);
        Ok(Expected::One(bytes_of(&mixed)?, cells))
    }

    fn mixed(
        &self,
        row: &RowOf<'_>,
        layer: usize,
        cell: &dyn Fn(usize) -> Result<Option<usize>, RefereeError>,
    ) -> Result<Expected, RefereeError> {
        let (size, positions) = (row.layout.shape.head_size, row.position + 1);
        let cells = row.layout.shape.query_width() / LANES;
        let Some(number) = cell(cells)? else {
            return Ok(Expected::Nothing);
        };
        let (head, element) = (number * LANES / size, number * LANES % size);
        let pages = positions.div_ceil(PAGE);
        let mix = self.floats(row, Value::Mix(layer, head), pages * size)?;
        let all = self.floats(row, Value::Weights(layer, head), positions + 1)?;
        let mut mixed = mix[(pages - 1) * size + element..][..LANES].to_vec();
        divide(self.isa, &mut mixed, all[positions]);
        Ok(Expected::One(bytes_of(&mixed)?, cells))
    }

    /// What only rows have whose logits are wanted: from the prompt's last on.
    fn behind(
        &self,
        row: &RowOf<'_>,
        value: Value,
        cell: &dyn Fn(usize) -> Result<Option<usize>, RefereeError>,
    ) -> Result<Expected, RefereeError> {
        let shape = &row.layout.shape;
        if value == Value::OutputNormed {
            let prompt = self.values.value(Section::Prompt, 0)?.len() / 4;
            if row.position + 1 < prompt {
                return Ok(Expected::Nothing);
            }
            let stream = self.floats(row, Value::Residual(shape.layers), shape.width)?;
            return self.norm_of(row, &stream, Tensor::OutputNorm);
        }
        if self.value(row, Value::OutputNormed)?.is_empty() {
            return Ok(Expected::Nothing);
        }
        match value {
            Value::Logits => {
                let cells = shape.vocabulary.div_ceil(LANES);
                let Some(number) = cell(cells)? else {
                    return Ok(Expected::Nothing);
                };
                let x = self.floats(row, Value::OutputNormed, shape.width)?;
                let sizes = (shape.vocabulary, shape.width);
                let made = self.outputs(row, (row.layout.output(), sizes), number, &x)?;
                Ok(Expected::One(bytes_of(&made)?, cells))
            }
            Value::LogitsDigest => {
                let logits = self.floats(row, Value::Logits, shape.vocabulary)?;
                Ok(Expected::Whole(row_digest(&logits).to_vec()))
            }
            Value::Chosen => self.chosen(row),
            _ => {
                let row_digest = self.value(row, Value::LogitsDigest)?;
                let row_digest = (*row_digest).try_into().map_err(|_| RefereeError::Size)?;
                let chosen = tokens_of(&self.value(row, Value::Chosen)?);
                let before = self.before(row, Value::Trace)?;
                let mut trace = match (*before).try_into() {
                    Ok(state) => Trace::of_state(state),
                    Err(_) => Trace::start(self.question.origin),
                };
                trace.push_digest(*chosen.last().ok_or(RefereeError::Size)?, row_digest);
                Ok(Expected::Whole(trace.finish().to_vec()))
            }
        }
    }

    fn chosen(&self, row: &RowOf<'_>) -> Result<Expected, RefereeError> {
        let Some(parameters) = &self.question.parameters else {
            return Ok(Expected::Undecided);
        };
        let vocabulary = row.layout.shape.vocabulary;
        let logits = self.floats(row, Value::Logits, vocabulary)?;
        let mut chosen = tokens_of(&self.before(row, Value::Chosen)?);
        self.charge(vocabulary * 32)?;
        let sampler = Sampler::new(parameters.clone(), self.question.seed);
        let choice = sampler
            .ok()
            .and_then(|mut sampler| sampler.choose(chosen.len() as u32, &logits, &chosen, None));
        let Some(choice) = choice else {
            return Ok(Expected::Undecided);
        };
        chosen.push(choice.token);
        Ok(Expected::Whole(token_bytes(&chosen)))
    }
}
