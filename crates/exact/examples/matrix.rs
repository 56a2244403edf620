//! The matrix of bits on real weights: every path, 1 to 4 threads, batches of 1 to 16 different texts, and several chunkings give the
//! same logits, and decoding gives those of prefill.
//!
//! Arguments: `MODEL.gguf TOKENS`, where the second is a file of token numbers. Prints what was compared and one hash over the logits of
//! the first 256 tokens; ends with 1 if any bit differs.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a program of the command line"
)]

use fairweir_exact::{
    cache::Cache,
    gguf::File,
    llama::{Logits, Model, Row},
    path::Path,
    pool::{Pool, Single},
    testing::Threads,
    trace::row_digest,
};
use std::{error::Error, process::ExitCode, time::Instant};

/// Tokens of the long text.
const LONG: usize = 256;
/// Tokens of it on the portable path, which is slow, but for one run over all of them.
const LONG_PORTABLE: usize = 24;
/// Tokens of each text of a batch.
const SHORT: usize = 10;

type Digests = Vec<[u8; 32]>;

/// Digests of all logits of several texts, computed together in chunks of so many tokens of each.
fn run(
    model: &Model,
    pool: &dyn Pool,
    texts: &[Vec<u32>],
    chunk: usize,
) -> Result<Vec<Digests>, Box<dyn Error>> {
    let length = texts.iter().map(Vec::len).max().unwrap_or(0);
    let mut cache = Cache::new(model.shape(), texts.len() * length.div_ceil(16))?;
    let mut sequences = Vec::new();
    for _ in texts {
        sequences.push(cache.open()?);
    }
    let mut logits = Logits::new();
    let mut digests = vec![Digests::new(); texts.len()];
    for from in (0..length).step_by(chunk) {
        let mut rows = Vec::new();
        let mut owners = Vec::new();
        for (owner, text) in texts.iter().enumerate() {
            for (position, token) in text.iter().enumerate().skip(from).take(chunk) {
                owners.push(owner);
                rows.push(Row {
                    sequence: sequences[owner],
                    position: position as u32,
                    token: *token,
                    wants_logits: true,
                });
            }
        }
        model.step(pool, &mut cache, &rows, &mut logits)?;
        for (row, owner) in owners.into_iter().enumerate() {
            digests[owner].push(row_digest(logits.row(row)));
        }
    }
    Ok(digests)
}

struct Matrix {
    texts: Vec<Vec<u32>>,
    expected: Vec<Digests>,
    long: Vec<u32>,
    expected_long: Digests,
    different: usize,
}

impl Matrix {
    fn long(&mut self, model: &Model, threads: usize, chunk: usize) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        let pool = Threads::new(threads);
        let is_slow = model.path() == Path::Portable && (threads, chunk) != (4, LONG);
        let length = if is_slow { LONG_PORTABLE } else { LONG };
        let texts = [self.long[..length].to_vec()];
        let found = run(model, &pool, &texts, chunk)?;
        let equal = found[0].iter().zip(&self.expected_long);
        let equal = equal.filter(|(found, expected)| found == expected).count();
        self.different += length - equal;
        println!(
            "{}, {threads} threads, chunks of {chunk}: {equal} of {length} rows equal, {:.1} s",
            model.path(),
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn batches(
        &mut self,
        model: &Model,
        threads: usize,
        chunk: usize,
    ) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        let pool = Threads::new(threads);
        let (mut equal, mut all) = (0, 0);
        // The portable path is slow: the smallest, an odd one and the largest.
        let is_slow = model.path() == Path::Portable;
        let sizes = (1..=self.texts.len()).filter(|size| !is_slow || [1, 3, 16].contains(size));
        for batch in sizes {
            let found = run(model, &pool, &self.texts[..batch], chunk)?;
            let rows = found.iter().flatten().zip(self.expected.iter().flatten());
            all += batch * SHORT;
            equal += rows.filter(|(found, expected)| found == expected).count();
        }
        self.different += all - equal;
        println!(
            "{}, {threads} threads, batches up to 16, chunks of {chunk}: {equal} of {all} rows equal, {:.1} s",
            model.path(),
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: matrix MODEL.gguf TOKENS";
    let bytes = std::fs::read(arguments.next().ok_or(usage)?)?;
    let tokens = std::fs::read_to_string(arguments.next().ok_or(usage)?)?;
    let tokens: Vec<u32> = tokens
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    if tokens.len() < LONG + 16 * 7 {
        return Err("too few tokens".into());
    }
    let file = File::parse(&bytes)?;
    let best = Model::load(&file, Path::best())?;
    let texts: Vec<Vec<u32>> = (0..16)
        .map(|text| tokens[text * 7..][..SHORT].to_vec())
        .collect();
    let mut expected = Vec::new();
    for text in &texts {
        expected.extend(run(&best, &Single, std::slice::from_ref(text), SHORT)?);
    }
    let long = tokens[..LONG].to_vec();
    let expected_long = run(&best, &Single, std::slice::from_ref(&long), LONG)?.remove(0);
    let mut matrix = Matrix {
        texts,
        expected,
        long,
        expected_long,
        different: 0,
    };
    for path in Path::available().into_iter().rev() {
        let model = Model::load(&file, path)?;
        for threads in 1..=4 {
            for chunk in [1, 7, 32, LONG] {
                matrix.long(&model, threads, chunk)?;
            }
            for chunk in [1, 6] {
                matrix.batches(&model, threads, chunk)?;
            }
        }
    }
    let all: Vec<u8> = matrix.expected_long.concat();
    let hash = blake3::hash(&all);
    println!("{} rows differ; hash {hash}", matrix.different);
    Ok(if matrix.different == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
