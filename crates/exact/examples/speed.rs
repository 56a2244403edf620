//! Speed of a real model on one thread, in seconds of processor time (Linux).
//!
//! Argument: `MODEL.gguf`. Answers one line to each line of its input:
//! - `prefill COUNT`: seconds to prefill so many tokens, with logits of the last;
//! - `decode COUNT STEPS`: seconds of so many steps of one token after a prefill;
//! - `batch COUNT SIZE STEPS`: seconds of so many steps of as many sequences that share a prefill;
//! - `check COUNT ANSWER`: seconds to generate an answer of so many tokens, prefill included, and to check it: one prefill over prompt and
//!   answer with the logits of each token of the answer.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a program of the command line"
)]

use fairweir_exact::{
    cache::{Cache, SequenceId},
    gguf::File,
    llama::{Logits, Model, Row},
    path::Path,
    pool::Single,
};
use std::error::Error;

/// Seconds of processor time of this thread.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds: f64 = stat
        .split_whitespace()
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(f64::NAN);
    nanoseconds / 1e9
}

struct Bench {
    model: Model,
    cache: Cache,
    logits: Logits,
}

impl Bench {
    fn step(
        &mut self,
        sequences: &[SequenceId],
        tokens: &[u32],
        first: usize,
        wants_from: usize,
    ) -> Result<(), Box<dyn Error>> {
        let mut rows = Vec::new();
        for sequence in sequences {
            for (at, token) in tokens.iter().enumerate() {
                rows.push(Row {
                    sequence: *sequence,
                    position: (first + at) as u32,
                    token: *token,
                    wants_logits: first + at >= wants_from,
                });
            }
        }
        self.model
            .step(&Single, &mut self.cache, &rows, &mut self.logits)?;
        Ok(())
    }

    fn best(&self) -> u32 {
        let row = self.logits.row(self.logits.rows() - 1);
        let mut best = 0;
        for (token, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = token;
            }
        }
        best as u32
    }

    /// Seconds of a prefill in one step.
    fn prefill(&mut self, count: usize) -> Result<f64, Box<dyn Error>> {
        let sequence = self.cache.open()?;
        let start = cpu_seconds();
        self.step(&[sequence], &tokens(count), 0, count - 1)?;
        let end = cpu_seconds();
        self.cache.close(sequence)?;
        Ok(end - start)
    }

    /// Seconds of decoding in a batch after a shared prompt.
    fn decode(&mut self, count: usize, size: usize, steps: usize) -> Result<f64, Box<dyn Error>> {
        let prompt = tokens(count);
        let first = self.cache.open()?;
        self.step(&[first], &prompt, 0, usize::MAX)?;
        let mut sequences = vec![first];
        while sequences.len() < size {
            sequences.push(self.cache.fork(first, count)?);
        }
        let start = cpu_seconds();
        for step in 0..steps {
            self.step(&sequences, &[prompt[step % count]], count + step, 0)?;
        }
        let end = cpu_seconds();
        for sequence in sequences {
            self.cache.close(sequence)?;
        }
        Ok(end - start)
    }

    /// Seconds to generate greedily, and to check 64 rows at a time.
    fn check(&mut self, count: usize, answer: usize) -> Result<(f64, f64), Box<dyn Error>> {
        let sequence = self.cache.open()?;
        let mut all = tokens(count);
        let start = cpu_seconds();
        self.step(&[sequence], &all, 0, count - 1)?;
        all.push(self.best());
        while all.len() < count + answer {
            let position = all.len() - 1;
            self.step(&[sequence], &all[position..], position, 0)?;
            all.push(self.best());
        }
        let middle = cpu_seconds();
        self.cache.truncate(sequence, 0)?;
        all.pop();
        let before = cpu_seconds();
        for (index, tokens) in all.chunks(64).enumerate() {
            self.step(&[sequence], tokens, index * 64, count - 1)?;
        }
        let end = cpu_seconds();
        self.cache.close(sequence)?;
        Ok((middle - start, end - before))
    }
}

/// Numbers of tokens, spread over the vocabulary of SmolLM2; `promises/engine.py` has the same.
fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32)
        .map(|at| (at * 7919 + 13) % 49_000)
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: speed MODEL.gguf")?;
    let bytes = std::fs::read(path)?;
    let model = Model::load(&File::parse(&bytes)?, Path::best())?;
    let mut bench = Bench {
        cache: Cache::new(model.shape(), 400)?,
        model,
        logits: Logits::new(),
    };
    for line in std::io::stdin().lines() {
        let line = line?;
        let (question, numbers) = line.split_once(' ').ok_or("a question and its numbers")?;
        let numbers: Vec<usize> = numbers
            .split(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        match (question, numbers.as_slice()) {
            ("prefill", [count]) => println!("{}", bench.prefill(*count)?),
            ("decode", [count, steps]) => println!("{}", bench.decode(*count, 1, *steps)?),
            ("batch", [count, size, steps]) => println!("{}", bench.decode(*count, *size, *steps)?),
            ("check", [count, answer]) => {
                let (generate, check) = bench.check(*count, *answer)?;
                println!("{generate} {check}");
            }
            _ => return Err(format!("{line:?} is not a question").into()),
        }
    }
    Ok(())
}
