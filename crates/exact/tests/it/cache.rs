//! The cache: forks see what they share, and pages are neither lost nor written by two.

use fairweir_exact::{
    cache::{Cache, CacheError, SequenceId},
    gguf::File,
    llama::{Logits, Model, Row, Shape, StepError},
    path::Path,
    pool::Single,
    testing::{Random, tiny_gguf, tiny_shape},
};
use proptest::prelude::*;

fn shape() -> Shape {
    Shape {
        layers: 1,
        context: 100,
        ..tiny_shape()
    }
}

fn model() -> Model {
    let bytes = tiny_gguf(4, &shape(), &[]);
    Model::load(&File::parse(&bytes).expect("well formed"), Path::best()).expect("llama")
}

fn row(sequence: SequenceId, position: usize, token: u32) -> Row {
    Row {
        sequence,
        position: position as u32,
        token,
        wants_logits: true,
    }
}

/// The logits after these tokens, computed alone.
fn alone(model: &Model, tokens: &[u32]) -> Vec<u32> {
    let mut cache = Cache::new(model.shape(), 8).expect("small");
    let sequence = cache.open().expect("the first");
    let rows: Vec<Row> = (0..)
        .zip(tokens)
        .map(|(at, token)| row(sequence, at, *token))
        .collect();
    let mut logits = Logits::new();
    model
        .step(&Single, &mut cache, &rows, &mut logits)
        .expect("room");
    bits(logits.row(tokens.len() - 1))
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[derive(Clone, Debug)]
enum Act {
    Open,
    Append(usize, u8),
    Fork(usize, usize),
    Truncate(usize, usize),
    Close(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Open),
        6 => (any::<usize>(), 1u8..20).prop_map(|(which, count)| Act::Append(which, count)),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(which, at)| Act::Fork(which, at)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(which, at)| Act::Truncate(which, at)),
        1 => any::<usize>().prop_map(Act::Close),
    ]
}

/// What the cache should hold: each open sequence with its tokens.
struct Checked {
    model: Model,
    cache: Cache,
    logits: Logits,
    open: Vec<(SequenceId, Vec<u32>)>,
    random: Random,
}

impl Checked {
    fn apply(&mut self, act: &Act) {
        let count = self.open.len().max(1);
        match *act {
            Act::Open => self
                .open
                .push((self.cache.open().expect("few"), Vec::new())),
            _ if self.open.is_empty() => {}
            Act::Append(which, rows) => self.append(which % count, rows.into()),
            Act::Fork(which, at) => {
                let (id, tokens) = &self.open[which % count];
                let at = at % (tokens.len() + 1);
                let tokens = tokens[..at].to_vec();
                match self.cache.fork(*id, at) {
                    Ok(fork) => self.open.push((fork, tokens)),
                    Err(error) => assert_eq!(error, CacheError::Full { needed: 1, free: 0 }),
                }
            }
            Act::Truncate(which, at) => {
                let (id, tokens) = &mut self.open[which % count];
                tokens.truncate(at % (tokens.len() + 1));
                self.cache.truncate(*id, tokens.len()).expect("long enough");
            }
            Act::Close(which) => {
                let (id, _) = self.open.swap_remove(which % count);
                self.cache.close(id).expect("open");
                assert_eq!(self.cache.len(id), Err(CacheError::NotOpen));
            }
        }
    }

    fn append(&mut self, which: usize, count: usize) {
        let (id, tokens) = &mut self.open[which];
        let count = count.min(self.model.shape().context - tokens.len());
        let new: Vec<u32> = (0..count).map(|_| self.random.below(96) as u32).collect();
        let rows: Vec<Row> = (tokens.len()..)
            .zip(&new)
            .map(|(at, token)| row(*id, at, *token))
            .collect();
        let free = self.cache.free_positions();
        match self
            .model
            .step(&Single, &mut self.cache, &rows, &mut self.logits)
        {
            Ok(()) => tokens.extend(new),
            Err(StepError::Cache(CacheError::Full { .. })) => {
                assert_eq!(self.cache.free_positions(), free);
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(self.cache.len(*id), Ok(tokens.len()));
        if self.logits.rows() > 0 && !tokens.is_empty() {
            let found = bits(self.logits.row(self.logits.rows() - 1));
            assert!(
                found == alone(&self.model, tokens),
                "a sequence saw another's positions"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn sequences_are_as_if_alone(acts in proptest::collection::vec(act(), 1..40)) {
        let model = model();
        let cache = Cache::new(model.shape(), 12).expect("small");
        let all = cache.free_positions();
        let (logits, random) = (Logits::new(), Random::new(9));
        let mut checked = Checked { model, cache, logits, open: Vec::new(), random };
        for act in &acts {
            checked.apply(act);
        }
        for (id, tokens) in std::mem::take(&mut checked.open) {
            prop_assert_eq!(checked.cache.len(id), Ok(tokens.len()));
            checked.cache.close(id).expect("open");
        }
        prop_assert_eq!(checked.cache.free_positions(), all);
    }
}

#[test]
fn refusals_leave_everything_as_it_was() {
    let model = model();
    let mut cache = Cache::new(model.shape(), 2).expect("small");
    let mut logits = Logits::new();
    let id = cache.open().expect("the first");
    let mut step = |cache: &mut Cache, rows: &[Row]| model.step(&Single, cache, rows, &mut logits);
    let (vocabulary, context) = (96, 100);
    let token = StepError::Token {
        token: 96,
        vocabulary,
    };
    assert_eq!(
        step(&mut cache, &[row(id, 0, 1), row(id, 1, 96)]),
        Err(token)
    );
    let gap = StepError::Position {
        found: 2,
        expected: 1,
    };
    assert_eq!(step(&mut cache, &[row(id, 0, 1), row(id, 2, 1)]), Err(gap));
    let beyond = StepError::Context {
        position: 100,
        context,
    };
    assert_eq!(step(&mut cache, &[row(id, 100, 1)]), Err(beyond));
    let rows: Vec<Row> = (0..33).map(|at| row(id, at, 1)).collect();
    let full = StepError::Cache(CacheError::Full { needed: 3, free: 2 });
    assert_eq!(step(&mut cache, &rows), Err(full));
    assert_eq!(
        step(&mut cache, &vec![row(id, 0, 1); 5000]),
        Err(StepError::TooManyRows(5000))
    );
    assert_eq!((cache.len(id), cache.free_positions()), (Ok(0), 32));
    assert_eq!(step(&mut cache, &rows[..32]), Ok(()));
    assert_eq!(
        cache.fork(id, 33),
        Err(CacheError::TooShort {
            wanted: 33,
            length: 32
        })
    );
    assert_eq!(
        cache.fork(id, 31),
        Err(CacheError::Full { needed: 1, free: 0 })
    );
    let fork = cache.fork(id, 16).expect("a full page is shared");
    cache.close(id).expect("open");
    assert_eq!(cache.free_positions(), 16);
    assert_eq!(
        step(&mut cache, &[row(id, 0, 1)]),
        Err(StepError::Cache(CacheError::NotOpen))
    );
    assert_eq!(step(&mut cache, &[row(fork, 16, 1)]), Ok(()));
    let other = Cache::new(&tiny_shape(), 2).expect("small");
    assert_eq!(step(&mut { other }, &[]), Err(StepError::Shape));
    assert!(Cache::new(&tiny_shape(), usize::MAX).is_err());
}
