//! A whole run written down: for whoever has the model, and a run to defend.

use super::{
    Finding, Order, PIECE, Question, RefereeError, VALUES_MAX, Value, WINDOW,
    compute::{
        activations, angles, divide, gate, mix_page, norm, product, score_page, sum, turn, weights,
    },
    decide::{Values, decide_on, token_bytes},
    file::{SHA256_START, absorb, piece_value, state_bytes},
    head::Head,
    tree::{
        CELL, DEPTH, EMPTY, Hash, Section, Tree, cell, digits, index, levels, node, run, value,
    },
};
use crate::{
    attention::{PAGE, head_floats, write},
    llama::{Layer, Model},
    pool::Pool,
    simd::Isa,
    trace::{Trace, row_digest},
};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// A run to be written down: what was read, and what was chosen. It is not asked whether these are the right tokens.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its file.
    pub file: &'a [u8],
    /// What the trace begins from.
    pub origin: &'a [u8],
    /// The tokens of the prompt.
    pub prompt: &'a [u32],
    /// The tokens that were chosen, in order, the one that ended the answer included.
    pub chosen: &'a [u32],
}

/// The digests of a run.
#[derive(Clone, Debug)]
pub struct Recording {
    trees: [Tree; 4],
    /// States of the file's hash before each piece, from the file's start.
    states: Vec<[u8; 32]>,
    /// Values of the reading of the file's head.
    heads: Vec<Vec<u8>>,
    order: Order,
    rows: usize,
    /// Keys and values of all rows, so that one row can be computed again alone.
    pages: Vec<Vec<f32>>,
    /// The trace after each row whose logits were wanted, by position.
    traces: BTreeMap<usize, [u8; 32]>,
}

/// One value of a run with all that it follows from: to open its cells, and to show one to the referee.
#[derive(Debug)]
pub struct Shown<'a> {
    run: Run<'a>,
    recording: &'a Recording,
    section: Section,
    at: usize,
    /// The values of its row.
    row: BTreeMap<usize, Vec<u8>>,
}

/// What is shown to the referee.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exhibits {
    /// The last step of the reading of the file's head.
    pub head_at: usize,
    /// Nodes above values.
    pub nodes: Vec<Vec<Hash>>,
    /// Values.
    pub values: Vec<Vec<u8>>,
}

impl<'a> Run<'a> {
    /// Writes the run down. Costs about as much as to make the answer token by token, and to read the file three times.
    ///
    /// # Errors
    /// [`RefereeError::TooLong`], [`RefereeError::Head`].
    pub fn record(&self, pool: &dyn Pool) -> Result<Recording, RefereeError> {
        let order = Order::new(self.model.shape());
        let rows = self.rows();
        let count = rows.checked_mul(order.of_row());
        if count.is_none_or(|count| count > VALUES_MAX) {
            return Err(RefereeError::TooLong);
        }
        let (states, pieces) = self.read_file();
        let heads = self.read_head()?;
        let mut hashes = Vec::new();
        let (pages, traces) = self.compute(pool, rows, &mut |at, bytes| {
            hashes.resize(at, EMPTY);
            hashes.push(value(bytes));
        });
        let trees = [
            Tree::new(pieces),
            Tree::new(heads.iter().map(|head| value(head)).collect()),
            Tree::new(vec![value(&token_bytes(self.prompt))]),
            Tree::new(hashes),
        ];
        Ok(Recording {
            trees,
            states,
            heads,
            order,
            rows,
            pages,
            traces,
        })
    }

    /// Computes a value again, with all that it follows from: at most one row.
    #[must_use]
    pub fn show(
        self,
        pool: &dyn Pool,
        recording: &'a Recording,
        (section, at): (Section, usize),
    ) -> Shown<'a> {
        let mut row = BTreeMap::new();
        let position = at / recording.order.of_row();
        if section == Section::Rows && position < recording.rows {
            let mut tell = |at: usize, bytes: &[u8]| {
                row.insert(at, bytes.to_vec());
            };
            let mut pass = Pass {
                model: self.model,
                pool,
                order: recording.order,
                position,
                own: Vec::new(),
                known: Some(recording.pages.as_slice()),
                tell: &mut tell,
            };
            let trace = match position.checked_sub(1) {
                Some(before) => recording.traces.get(&before),
                None => None,
            };
            let begun = || Trace::start(self.origin);
            let mut trace = trace.map_or_else(begun, |state| Trace::of_state(*state));
            pass.row(&self, &mut trace);
        }
        Shown {
            run: self,
            recording,
            section,
            at,
            row,
        }
    }

    /// How many rows it has: the token that was chosen last was not read.
    fn rows(&self) -> usize {
        match self.chosen.len() {
            0 => 0,
            chosen => self.prompt.len() + chosen - 1,
        }
    }

    /// States of the hash before each piece, and the digests of the pieces from the file's end.
    fn read_file(&self) -> (Vec<[u8; 32]>, Vec<Hash>) {
        let mut hash = SHA256_START;
        let (mut states, mut pieces) = (Vec::new(), Vec::new());
        for piece in self.file.chunks(PIECE) {
            let state = state_bytes(&hash);
            states.push(state);
            pieces.push(value(&piece_value(&state, piece)));
            absorb(&mut hash, piece);
        }
        pieces.reverse();
        (states, pieces)
    }

    fn read_head(&self) -> Result<Vec<Vec<u8>>, RefereeError> {
        let mut head = Head::default();
        let mut heads = Vec::new();
        while !head.is_done() {
            let from = usize::try_from(head.at()).map_err(|_| RefereeError::Head)?;
            let rest = self.file.get(from..).ok_or(RefereeError::Head)?;
            head.step(&rest[..rest.len().min(WINDOW)])?;
            heads.push(head.to_bytes());
        }
        Ok(heads)
    }

    /// The token of a row.
    fn token(&self, position: usize) -> u32 {
        match position.checked_sub(self.prompt.len()) {
            None => self.prompt[position],
            Some(index) => self.chosen[index],
        }
    }

    /// The tokens that were chosen up to a row; none before the prompt's last.
    fn chosen_at(&self, position: usize) -> &'a [u32] {
        let count = (position + 2).saturating_sub(self.prompt.len());
        self.chosen.get(..count).unwrap_or_default()
    }

    /// Tells every value of all rows with its index, in order; gives keys, values and traces.
    fn compute(
        &self,
        pool: &dyn Pool,
        rows: usize,
        tell: &mut dyn FnMut(usize, &[u8]),
    ) -> (Vec<Vec<f32>>, BTreeMap<usize, [u8; 32]>) {
        let shape = self.model.shape();
        let mut pass = Pass {
            model: self.model,
            pool,
            order: Order::new(shape),
            position: 0,
            own: vec![Vec::new(); shape.layers * shape.kv_heads],
            known: None,
            tell,
        };
        let (mut trace, mut traces) = (Trace::start(self.origin), BTreeMap::new());
        for position in 0..rows {
            pass.position = position;
            if pass.row(self, &mut trace) {
                traces.insert(position, trace.state());
            }
        }
        (pass.own, traces)
    }
}

/// A forward pass, row by row, that tells everything.
struct Pass<'a> {
    model: &'a Model,
    pool: &'a dyn Pool,
    order: Order,
    position: usize,
    /// Of each layer and head of keys: keys and values, in pages as the cache has them; as far as the pass has come.
    own: Vec<Vec<f32>>,
    /// The same of all rows, where they were computed before.
    known: Option<&'a [Vec<f32>]>,
    tell: &'a mut dyn FnMut(usize, &[u8]),
}

impl Pass<'_> {
    fn tell_bytes(&mut self, value: Value, bytes: &[u8]) {
        (self.tell)(self.order.index(self.position, value), bytes);
    }

    fn told(&mut self, value: Value, floats: Vec<f32>) -> Vec<f32> {
        let bytes: Vec<u8> = floats
            .iter()
            .flat_map(|float| float.to_le_bytes())
            .collect();
        self.tell_bytes(value, &bytes);
        floats
    }

    /// One row; whether a token was chosen after it.
    fn row(&mut self, run: &Run<'_>, trace: &mut Trace) -> bool {
        let token = run.token(self.position);
        self.tell_bytes(Value::Token, &token_bytes(&[token]));
        let stream = self.layers(token);
        let chosen = run.chosen_at(self.position);
        let Some(last) = chosen.last() else {
            return false;
        };
        let logits = self.logits(&stream);
        let digest = row_digest(&logits);
        self.tell_bytes(Value::LogitsDigest, &digest);
        self.tell_bytes(Value::Chosen, &token_bytes(chosen));
        trace.push_digest(*last, &digest);
        self.tell_bytes(Value::Trace, &trace.state());
        true
    }

    /// All layers; gives the stream behind the last.
    fn layers(&mut self, token: u32) -> Vec<f32> {
        let (model, isa) = (self.model, self.model.isa);
        let mut stream = vec![0.0; model.shape().width];
        model.embedding.row(isa, token as usize, &mut stream);
        stream = self.told(Value::Residual(0), stream);
        for (index, layer) in model.layers.iter().enumerate() {
            let attended = self.attention(index, layer, &stream);
            let middle = self.told(Value::Middle(index), sum(isa, &stream, &attended));
            let normed = norm(isa, &middle, &layer.ffn_norm, model.epsilon);
            let x = activations(isa, &self.told(Value::FfnNormed(index), normed));
            let made = product(isa, self.pool, &layer.gate, &x);
            let gated = gate(isa, &made, &product(isa, self.pool, &layer.up, &x));
            let x = activations(isa, &self.told(Value::Gated(index), gated));
            let down = product(isa, self.pool, &layer.down, &x);
            let down = self.told(Value::Down(index), down);
            stream = self.told(Value::Residual(index + 1), sum(isa, &middle, &down));
        }
        stream
    }

    /// What attention adds to the stream.
    fn attention(&mut self, index: usize, layer: &Layer, stream: &[f32]) -> Vec<f32> {
        let (model, isa, shape) = (self.model, self.model.isa, self.model.shape());
        let (cosines, sines) = angles(&model.frequencies, self.position);
        let normed = norm(isa, stream, &layer.attention_norm, model.epsilon);
        let x = activations(isa, &self.told(Value::Normed(index), normed));
        let mut queries = product(isa, self.pool, &layer.query, &x);
        turn(isa, &mut queries, (&cosines, &sines));
        let queries = self.told(Value::Query(index), queries);
        let mut keys = product(isa, self.pool, &layer.key, &x);
        turn(isa, &mut keys, (&cosines, &sines));
        let keys = self.told(Value::Key(index), keys);
        let values = product(isa, self.pool, &layer.value, &x);
        let values = self.told(Value::Value(index), values);
        let size = shape.head_size;
        for head in 0..shape.kv_heads {
            let part = head * size..(head + 1) * size;
            self.remember(
                index * shape.kv_heads + head,
                &keys[part.clone()],
                &values[part],
            );
        }
        let mut mixed = Vec::new();
        for (head, query) in queries.chunks_exact(size).enumerate() {
            mixed.extend(self.head(index, head, query));
        }
        let x = activations(isa, &self.told(Value::Mixed(index), mixed));
        let attended = product(isa, self.pool, &layer.attention_output, &x);
        self.told(Value::Attended(index), attended)
    }

    fn remember(&mut self, head: usize, key: &[f32], value: &[f32]) {
        if self.known.is_some() {
            return;
        }
        let pages = &mut self.own[head];
        let floats = head_floats(key.len());
        if self.position.is_multiple_of(PAGE) {
            pages.resize(pages.len() + floats, 0.0);
        }
        let last = pages.len() - floats;
        write(&mut pages[last..], self.position % PAGE, key, value);
    }

    /// One head: scores, weights, mixed values page after page, and the last divided.
    fn head(&mut self, layer: usize, head: usize, query: &[f32]) -> Vec<f32> {
        let (isa, shape) = (self.model.isa, self.model.shape());
        let (size, positions) = (shape.head_size, self.position + 1);
        let of = layer * shape.kv_heads + head / (shape.heads / shape.kv_heads);
        let own = match self.known {
            Some(_) => Vec::new(),
            None => std::mem::take(&mut self.own[of]),
        };
        let pages: &[f32] = self.known.map_or(&own, |known| &known[of]);
        let in_pages = || pages.chunks_exact(head_floats(size));
        let scores = in_pages().flat_map(|page| score_page(isa, query, &page[..PAGE * size]));
        let scores: Vec<f32> = scores.take(positions).collect();
        let scores = self.told(Value::Scores(layer, head), scores);
        let all = self.told(Value::Weights(layer, head), weights(isa, &scores));
        let (weights, sum) = all.split_at(positions);
        let mut mixed = vec![0.0; size];
        let mut mix = Vec::new();
        for (page, weights) in in_pages().zip(weights.chunks(PAGE)) {
            mix_page(isa, &mut mixed, weights, &page[PAGE * size..]);
            mix.extend_from_slice(&mixed);
        }
        self.told(Value::Mix(layer, head), mix);
        divide(isa, &mut mixed, sum[0]);
        if self.known.is_none() {
            self.own[of] = own;
        }
        mixed
    }

    fn logits(&mut self, stream: &[f32]) -> Vec<f32> {
        let (model, isa) = (self.model, self.model.isa);
        let normed = norm(isa, stream, &model.norm, model.epsilon);
        let x = activations(isa, &self.told(Value::OutputNormed, normed));
        let output = model.output.as_ref().unwrap_or(&model.embedding);
        let logits = product(isa, self.pool, output, &x);
        self.told(Value::Logits, logits)
    }
}

impl Recording {
    fn sections(&self) -> [Hash; 4] {
        std::array::from_fn(|section| self.trees[section].root())
    }

    /// The digest of the whole run.
    #[must_use]
    pub fn root(&self) -> Hash {
        run(&self.sections())
    }

    /// Where a value of a position stands.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Children of a node above the values, by its path from the root; none below.
    #[must_use]
    pub fn children(&self, path: &[u8]) -> Vec<Hash> {
        match path.split_first() {
            None => self.sections().to_vec(),
            Some((section, path)) => self
                .trees
                .get(usize::from(*section))
                .map(|tree| tree.children(path))
                .unwrap_or_default(),
        }
    }

    /// What shows the ends of the run ([`ends`](super::ends())): the values that it begins and ends with, and the nodes above them.
    #[must_use]
    pub fn ends(&self, run: &Run<'_>) -> Exhibits {
        let (mut exhibits, mut nodes) = (Exhibits::default(), BTreeMap::new());
        let mut show = |section, index, bytes: Vec<u8>| {
            self.add_path(&mut nodes, section, index);
            exhibits.values.push(bytes);
        };
        show(Section::Prompt, 0, token_bytes(run.prompt));
        if let Some((position, state)) = self.traces.last_key_value() {
            let place = |value| self.order.index(*position, value);
            let chosen = token_bytes(run.chosen_at(*position));
            show(Section::Rows, place(Value::Chosen), chosen);
            show(Section::Rows, place(Value::Trace), state.to_vec());
        }
        exhibits.nodes = nodes.into_values().collect();
        exhibits
    }

    /// Adds the nodes above a value.
    fn add_path(&self, nodes: &mut BTreeMap<Hash, Vec<Hash>>, section: Section, index: usize) {
        let path = [section as u8].into_iter().chain(digits(index));
        let path: Vec<u8> = path.collect();
        for length in 0..path.len() {
            let children = self.children(&path[..length]);
            nodes.insert(node(&children), children);
        }
    }

    /// The value that a path leads to or into, if it leads so far.
    #[must_use]
    pub fn value_of(path: &[u8]) -> Option<(Section, usize)> {
        let section = *Section::ALL.get(usize::from(*path.first()?))?;
        Some((section, index(path.get(1..=DEPTH)?)))
    }
}

/// All values, for whoever has them; remembers which were asked for.
struct Asked<'a> {
    shown: &'a Shown<'a>,
    which: RefCell<BTreeSet<(Section, usize)>>,
}

impl Values for Asked<'_> {
    fn value(&self, section: Section, index: usize) -> Result<Cow<'_, [u8]>, RefereeError> {
        self.which.borrow_mut().insert((section, index));
        self.shown
            .value(section, index)
            .ok_or(RefereeError::NotShown { section, index })
    }
}

impl Shown<'_> {
    pub(super) fn value(&self, section: Section, index: usize) -> Option<Cow<'_, [u8]>> {
        let Self { run, recording, .. } = self;
        let none = || Cow::Borrowed(&[][..]);
        match section {
            Section::File => {
                let count = recording.states.len();
                let Some(number) = count.checked_sub(index + 1) else {
                    return Some(none());
                };
                let piece = run.file.chunks(PIECE).nth(number)?;
                Some(Cow::Owned(piece_value(&recording.states[number], piece)))
            }
            Section::Head => Some(
                recording
                    .heads
                    .get(index)
                    .map_or_else(none, |head| Cow::Borrowed(head)),
            ),
            Section::Prompt if index == 0 => Some(Cow::Owned(token_bytes(run.prompt))),
            Section::Prompt => Some(none()),
            Section::Rows => {
                let path = digits(index);
                let siblings = recording.trees[3].children(&path[..DEPTH - 1]);
                let hash = siblings.get(usize::from(path[DEPTH - 1]));
                if hash.is_none_or(|hash| *hash == EMPTY) {
                    return Some(none());
                }
                match self.row.get(&index) {
                    Some(bytes) => Some(Cow::Borrowed(bytes)),
                    None => self.of_other_row(index).map(Cow::Owned),
                }
            }
        }
    }

    /// What a value of another row may follow from.
    fn of_other_row(&self, index: usize) -> Option<Vec<u8>> {
        let Self { run, recording, .. } = self;
        let (position, value) = recording.order.at(index);
        match value {
            Value::Chosen => Some(token_bytes(run.chosen_at(position))),
            Value::Trace => recording.traces.get(&position).map(|state| state.to_vec()),
            Value::Key(layer) => Some(self.remembered(layer, position, true)),
            Value::Value(layer) => Some(self.remembered(layer, position, false)),
            _ => None,
        }
    }

    /// Keys or values of a position, out of the pages.
    fn remembered(&self, layer: usize, position: usize, is_keys: bool) -> Vec<u8> {
        let shape = self.run.model.shape();
        let (size, slot) = (shape.head_size, position % PAGE);
        let mut bytes = Vec::with_capacity(shape.kv_width() * 4);
        for head in 0..shape.kv_heads {
            let pages = &self.recording.pages[layer * shape.kv_heads + head];
            let page = &pages[position / PAGE * head_floats(size)..][..head_floats(size)];
            let (keys, values) = page.split_at(PAGE * size);
            for element in 0..size {
                let float = if is_keys {
                    keys[element * PAGE + slot]
                } else {
                    values[slot * size + element]
                };
                bytes.extend(float.to_le_bytes());
            }
        }
        bytes
    }

    /// How many cells the value has.
    #[must_use]
    pub fn cells(&self) -> usize {
        let value = self.value(self.section, self.at).unwrap_or_default();
        value.len().div_ceil(CELL)
    }

    /// Children of a node within the value, by the whole path from the run's root. None for a cell.
    #[must_use]
    pub fn children(&self, path: &[u8]) -> Vec<Hash> {
        let bytes = self.value(self.section, self.at).unwrap_or_default();
        let mut hashes: Vec<Hash> = bytes.chunks(CELL).map(cell).collect();
        let within = path.get(1 + DEPTH..).unwrap_or_default();
        let Some(above) = levels(hashes.len()).checked_sub(within.len() + 1) else {
            return Vec::new();
        };
        for _ in 0..above {
            hashes = hashes.chunks(16).map(node).collect();
        }
        let mut groups = hashes.chunks(16);
        groups.nth(index(within)).unwrap_or_default().to_vec()
    }

    /// What shows the referee what the cell at a path must be, and what it will find.
    ///
    /// # Errors
    /// As [`decide`](super::decide()).
    pub fn exhibits(
        &self,
        question: &Question<'_>,
        path: &[u8],
        claims: &[Hash; 2],
    ) -> Result<(Exhibits, Finding), RefereeError> {
        self.exhibits_on(question, Isa::best(), path, claims)
    }

    pub(super) fn exhibits_on(
        &self,
        question: &Question<'_>,
        isa: Isa,
        path: &[u8],
        claims: &[Hash; 2],
    ) -> Result<(Exhibits, Finding), RefereeError> {
        let asked = Asked {
            shown: self,
            which: RefCell::default(),
        };
        let head_at = self.recording.heads.len().saturating_sub(1);
        let finding = decide_on(question, &asked, isa, (path, head_at), claims)?;
        let (mut nodes, mut values) = (BTreeMap::new(), BTreeMap::new());
        for (section, index) in asked.which.into_inner() {
            self.recording.add_path(&mut nodes, section, index);
            if let Some(bytes) = self.value(section, index) {
                values.insert(value(&bytes), bytes.into_owned());
            }
        }
        nodes.remove(&EMPTY);
        values.remove(&EMPTY);
        let exhibits = Exhibits {
            head_at,
            nodes: nodes.into_values().collect(),
            values: values.into_values().collect(),
        };
        Ok((exhibits, finding))
    }
}
