//! Speed of a real model on one thread, in processor time: prefill, decoding, batched decoding, and checking against making.
//!
//! Arguments: `MODEL.gguf [PAIRS]`. Prints one JSON object per repetition and a summary last.

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

/// Seconds of processor time of this process, in clock ticks of a hundredth.
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

    /// Prefill, then greedy tokens: seconds of both, and the tokens.
    fn generate(
        &mut self,
        prompt: &[u32],
        count: usize,
    ) -> Result<(f64, f64, Vec<u32>), Box<dyn Error>> {
        let sequence = self.cache.open()?;
        let start = cpu_seconds();
        self.step(&[sequence], prompt, 0, prompt.len() - 1)?;
        let middle = cpu_seconds();
        let mut tokens = vec![self.best()];
        while tokens.len() < count {
            let last = tokens[tokens.len() - 1];
            let position = prompt.len() + tokens.len() - 1;
            self.step(&[sequence], &[last], position, 0)?;
            tokens.push(self.best());
        }
        let end = cpu_seconds();
        self.cache.close(sequence)?;
        Ok((middle - start, end - middle, tokens))
    }

    /// Seconds to check an answer: one prefill over prompt and answer with the logits of each answer token, 32 rows at a time.
    fn check(&mut self, prompt: &[u32], answer: &[u32]) -> Result<f64, Box<dyn Error>> {
        let sequence = self.cache.open()?;
        let all: Vec<u32> = prompt
            .iter()
            .chain(&answer[..answer.len() - 1])
            .copied()
            .collect();
        let start = cpu_seconds();
        for (index, tokens) in all.chunks(64).enumerate() {
            self.step(&[sequence], tokens, index * 64, prompt.len() - 1)?;
        }
        let end = cpu_seconds();
        self.cache.close(sequence)?;
        Ok(end - start)
    }

    /// Tokens per second of decoding in a batch after a shared prompt.
    fn batch(&mut self, prompt: &[u32], size: usize, steps: usize) -> Result<f64, Box<dyn Error>> {
        let first = self.cache.open()?;
        self.step(&[first], prompt, 0, usize::MAX)?;
        let mut sequences = vec![first];
        while sequences.len() < size {
            sequences.push(self.cache.fork(first, prompt.len())?);
        }
        let start = cpu_seconds();
        for step in 0..steps {
            self.step(
                &sequences,
                &[prompt[step % prompt.len()]],
                prompt.len() + step,
                0,
            )?;
        }
        let end = cpu_seconds();
        for sequence in sequences {
            self.cache.close(sequence)?;
        }
        Ok((size * steps) as f64 / (end - start))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: speed MODEL.gguf [REPETITIONS]")?;
    let repetitions: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let bytes = std::fs::read(path)?;
    let start = cpu_seconds();
    let model = Model::load(&File::parse(&bytes)?, Path::best())?;
    println!(
        "load {:.2} s, {} MiB, {}",
        cpu_seconds() - start,
        model.bytes() >> 20,
        model.path()
    );
    let mut bench = Bench {
        cache: Cache::new(model.shape(), 400)?,
        model,
        logits: Logits::new(),
    };
    let prompt: Vec<u32> = (0..256).map(|i| (i * 7919 + 13) % 49_000).collect();
    for _ in 0..repetitions {
        let (prefill, decode, _) = bench.generate(&prompt, 65)?;
        let (short, long, answer) = bench.generate(&prompt[..64], 256)?;
        let check = bench.check(&prompt[..64], &answer)?;
        let batches: Vec<f64> = [1, 2, 4, 8, 16]
            .into_iter()
            .map(|size| bench.batch(&prompt[..64], size, 32))
            .collect::<Result<_, _>>()?;
        println!(
            "prefill {:.1} decode {:.1} check/generate {:.3} batch {batches:.1?}",
            256.0 / prefill,
            64.0 / decode,
            check / (short + long),
        );
    }
    Ok(())
}
