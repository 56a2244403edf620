//! How long the referee takes for one cell of each kind of value, and how much it must be shown, on a real model.
//!
//! `cargo run --release -p fairweir-exact --all-features --example referee -- MODEL.gguf [POSITIONS]`

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a program of the command line"
)]

use fairweir_exact::{
    gguf::File,
    llama::Model,
    path::Path,
    pool::Single,
    referee::{
        Exhibits, Finding, Question, Run, Value, decide,
        tree::{ARITY, Bag, EMPTY, Opened, Section, digits, levels},
    },
    sample::Parameters,
    testing::Random,
};
use sha2::{Digest as _, Sha256};
use std::time::Instant;

/// The most that a decision may take, in milliseconds.
const MOST_MS: f64 = 10.0;

fn bag(exhibits: &Exhibits) -> Bag {
    let mut bag = Bag::default();
    for node in &exhibits.nodes {
        bag.add_node(node.clone());
    }
    for value in &exhibits.values {
        bag.add_value(value.clone());
    }
    bag
}

fn path(section: Section, at: usize, cells: usize) -> Vec<u8> {
    let place = [section as u8].into_iter().chain(digits(at));
    // The last cell: the page that is not full, the last outputs.
    let within = (0..levels(cells)).rev();
    let within = within.map(|level| ((cells - 1) / ARITY.pow(level as u32) % ARITY) as u8);
    place.chain(within).collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().expect("a GGUF file");
    let positions: usize = arguments
        .next()
        .map_or(64, |text| text.parse().expect("a number"));
    let file = std::fs::read(file).expect("the file is there");
    let parsed = File::parse(&file).expect("a GGUF file");
    let model = Model::load(&parsed, Path::best()).expect("a llama model");
    let shape = *model.shape();
    let mut random = Random::new(1);
    let mut token = || random.below(shape.vocabulary as u64) as u32;
    let prompt: Vec<u32> = (0..positions).map(|_| token()).collect();
    // What was chosen is not asked: each cell is decided for what it follows from.
    let chosen: Vec<u32> = (0..4).map(|_| token()).collect();
    let run = Run {
        model: &model,
        file: &file,
        origin: b"measured",
        prompt: &prompt,
        chosen: &chosen,
    };
    let parameters = Parameters {
        temperature: 0.8,
        top_p: 0.95,
        frequency_penalty: 0.1,
        ..Parameters::default()
    };
    let question = Question {
        origin: b"measured",
        file_bytes: file.len() as u64,
        file_sha256: Sha256::digest(&file).into(),
        prompt: Some(&prompt),
        parameters: Some(parameters),
        seed: [7; 32],
        tokens_max: 100,
    };
    let begun = Instant::now();
    let recording = run.record(&Single).expect("it is short");
    let rows = recording.rows();
    println!(
        "{rows} rows of {} values written down in {:.1} s",
        recording.order().of_row(),
        begun.elapsed().as_secs_f64()
    );
    let (layer, head) = (shape.layers / 2, shape.heads - 1);
    let (position, pages) = (rows - 1, rows.div_ceil(16));
    let (width, queries, keys) = (
        shape.width,
        shape.heads * shape.head_size,
        shape.kv_heads * shape.head_size,
    );
    let order = recording.order();
    let places = [
        ("file", Section::File, 3, 257),
        ("head", Section::Head, 20, 1),
        ("prompt", Section::Prompt, 0, positions.div_ceil(16)),
    ];
    let of_rows = [
        (Value::Token, 1),
        (Value::Residual(0), width / 16),
        (Value::Residual(layer), width / 16),
        (Value::Normed(layer), width / 16),
        (Value::Query(layer), queries / 16),
        (Value::Key(layer), keys / 16),
        (Value::Value(layer), keys / 16),
        (Value::Scores(layer, head), pages),
        (Value::Weights(layer, head), (rows + 1).div_ceil(16)),
        (Value::Mix(layer, head), pages * shape.head_size / 16),
        (Value::Mixed(layer), queries / 16),
        (Value::Attended(layer), width / 16),
        (Value::Middle(layer), width / 16),
        (Value::FfnNormed(layer), width / 16),
        (Value::Gated(layer), shape.ffn / 16),
        (Value::Down(layer), width / 16),
        (Value::OutputNormed, width / 16),
        (Value::Logits, shape.vocabulary.div_ceil(16)),
        (Value::LogitsDigest, 1),
        (Value::Chosen, 1),
        (Value::Trace, 1),
    ];
    let of_rows = of_rows.map(|(value, cells)| {
        (
            format!("{value:?}"),
            Section::Rows,
            order.index(position, value),
            cells,
        )
    });
    let places = places.map(|(name, section, at, cells)| (name.to_owned(), section, at, cells));
    let mut worst = (0.0f64, 0);
    for (name, section, at, cells) in places.into_iter().chain(of_rows) {
        let shown = run.show(&Single, &recording, (section, at));
        let cells = match section {
            Section::Head => shown.cells(),
            _ => cells,
        };
        let path = path(section, at, cells);
        let claims = [[1; 32], [2; 32]];
        let (exhibits, expected) = shown.exhibits(&question, &path, &claims).expect(&name);
        assert!(
            matches!(expected, Finding::Is(cell) if cell != EMPTY) || section == Section::Rows,
            "{name}"
        );
        let bytes: usize = exhibits.values.iter().map(Vec::len).sum();
        let bytes = bytes
            + exhibits
                .nodes
                .iter()
                .map(|node| node.len() * 32)
                .sum::<usize>();
        let mut times: Vec<f64> = (0..21)
            .map(|_| {
                let begun = Instant::now();
                let bag = bag(&exhibits);
                let opened = Opened::new(recording.root(), &bag);
                let found = decide(&question, &opened, (&path, exhibits.head_at), &claims);
                assert_eq!(found, Ok(expected), "{name}");
                begun.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{name:>20}: {:7.3} ms, {:7} bytes shown", times[10], bytes);
        worst = (worst.0.max(times[10]), worst.1.max(bytes));
    }
    println!(
        "the longest step takes {:.2} ms (median of 21), the largest exhibit has {} bytes, at position {position}",
        worst.0, worst.1
    );
    assert!(worst.0 <= MOST_MS, "a step takes more than {MOST_MS} ms");
}
