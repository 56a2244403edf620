//! The promise: a row's bits depend on the weights and on its own tokens alone.

use fairweir_exact::{
    cache::Cache,
    gguf::File,
    llama::{Logits, Model, Row, StepError},
    path::Path,
    pool::{Pool, Single},
    testing::{Random, Threads, tiny_gguf, tiny_shape},
};

const POSITIONS: usize = 70;

fn model(seed: u64, path: Path) -> Model {
    let bytes = tiny_gguf(seed, &tiny_shape(), &[]);
    let file = File::parse(&bytes).expect("well formed");
    Model::load(&file, path).expect("a llama model")
}

fn tokens(seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed ^ 0x70_6b_65_6e);
    (0..POSITIONS).map(|_| random.below(96) as u32).collect()
}

/// Logits of all positions of several equal texts, in chunks of so many rows of each.
fn run(
    model: &Model,
    pool: &dyn Pool,
    tokens: &[u32],
    batch: usize,
    chunk: usize,
) -> Vec<Vec<f32>> {
    let mut cache = Cache::new(model.shape(), batch * POSITIONS.div_ceil(16)).expect("small");
    let sequences: Vec<_> = (0..batch).map(|_| cache.open().expect("few")).collect();
    let mut logits = Logits::new();
    let mut out = vec![Vec::new(); batch];
    for (index, tokens) in tokens.chunks(chunk).enumerate() {
        let mut rows = Vec::new();
        for sequence in &sequences {
            for (at, token) in tokens.iter().enumerate() {
                rows.push(Row {
                    sequence: *sequence,
                    position: (index * chunk + at) as u32,
                    token: *token,
                    wants_logits: true,
                });
            }
        }
        model
            .step(pool, &mut cache, &rows, &mut logits)
            .expect("room for all");
        for row in 0..logits.rows() {
            out[row / tokens.len()].extend_from_slice(logits.row(row));
        }
    }
    out
}

fn digest(values: &[f32]) -> String {
    let mut hasher = blake3::Hasher::new();
    for value in values {
        assert!(value.is_finite());
        hasher.update(&value.to_bits().to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// All logits of 70 tokens on tiny models, by seed. Whoever changes one changes what every past receipt says: raise `ENGINE_VERSION`.
const GOLDEN: [(u64, &str); 2] = [
    (
        1,
        "539cc91ac9468adc9292e9c2fd103546b2863195c98366c8d90b09d38e0fd710",
    ),
    (
        2,
        "e7313f174ba46cbcaad212d8f7d66243f3d08fe4a98fd2c26117d1438e58ccec",
    ),
];

#[test]
fn logits_are_golden_on_every_path() {
    for (seed, golden) in GOLDEN {
        for path in Path::available() {
            let logits = run(&model(seed, path), &Single, &tokens(seed), 1, POSITIONS);
            assert_eq!(digest(&logits[0]), golden, "seed {seed}, {path}");
        }
    }
}

#[test]
fn threads_batches_and_chunks_change_no_bit() {
    for path in Path::available() {
        let (model, tokens) = (model(1, path), tokens(1));
        let expected = run(&model, &Single, &tokens, 1, 1);
        for (threads, batch, chunk) in [
            (1, 1, POSITIONS),
            (2, 1, 7),
            (3, 2, 16),
            (4, 16, 1),
            (1, 16, 33),
            (2, 5, 3),
            (4, 3, POSITIONS),
            (1, 8, 1),
        ] {
            for logits in run(&model, &Threads::new(threads), &tokens, batch, chunk) {
                assert!(
                    logits
                        .iter()
                        .zip(&expected[0])
                        .all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{path}, {threads} threads, batch {batch}, chunks of {chunk}"
                );
            }
        }
    }
}

/// Where a tensor's bytes are in a file.
fn place(bytes: &[u8], name: &str) -> std::ops::Range<usize> {
    let file = File::parse(bytes).expect("well formed");
    let tensor = file.tensor(name).expect("the model has it");
    let start = tensor.bytes.as_ptr().addr() - bytes.as_ptr().addr();
    start..start + tensor.bytes.len()
}

#[test]
fn overflowing_weights_end_a_step_with_an_error_on_every_path() {
    let mut bytes = tiny_gguf(1, &tiny_shape(), &[]);
    let norm = place(&bytes, "output_norm.weight");
    for weight in bytes[norm].chunks_exact_mut(4) {
        weight.copy_from_slice(&1e36f32.to_le_bytes());
    }
    let output = place(&bytes, "output.weight");
    for block in bytes[output].chunks_exact_mut(18) {
        // 4096 in half precision.
        block[..2].copy_from_slice(&0x6c00u16.to_le_bytes());
    }
    for path in Path::available() {
        let file = File::parse(&bytes).expect("well formed");
        let model = Model::load(&file, path).expect("weights are finite");
        let mut cache = Cache::new(model.shape(), 1).expect("small");
        let sequence = cache.open().expect("the first");
        let mut row = Row {
            sequence,
            position: 0,
            token: 5,
            wants_logits: true,
        };
        let mut logits = Logits::new();
        let done = model.step(&Single, &mut cache, &[row], &mut logits);
        assert_eq!(
            (done, logits.rows()),
            (Err(StepError::NotFinite), 0),
            "{path}"
        );
        assert_eq!((cache.len(sequence), cache.free_positions()), (Ok(0), 16));
        row.wants_logits = false;
        assert_eq!(model.step(&Single, &mut cache, &[row], &mut logits), Ok(()));
    }
}
