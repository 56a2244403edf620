//! Vectors of texts by an encoder of the BERT family.
//!
//! Arguments: `model.safetensors config.json TOKENS [PATH]`, where the third is a file with a line of token numbers per text. Prints one vector
//! per line and, on standard error, nothing. Every text is computed alone and in one batch of all on two threads; ends with an error if
//! any bit differs.

#![expect(clippy::print_stdout, reason = "a program of the command line")]

use fairweir_exact::{
    bert::Encoder, path::Path, pool::Single, safetensors::File, testing::Threads,
};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights, config, tokens, path @ ..] = arguments.as_slice() else {
        return Err("usage: embed model.safetensors config.json TOKENS [PATH]".into());
    };
    let weights = std::fs::read(weights)?;
    let path = path.first().map_or(Ok(Path::best()), |name| name.parse())?;
    let encoder = Encoder::load(&File::parse(&weights)?, &std::fs::read(config)?, path)?;
    let mut texts: Vec<Vec<u32>> = Vec::new();
    for line in std::fs::read_to_string(tokens)?.lines() {
        texts.push(
            line.split_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()?,
        );
    }
    let batch: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let together = encoder.encode(&Threads::new(2), &batch)?;
    for (text, vector) in batch.iter().zip(together) {
        let alone = encoder.encode(&Single, &[text])?.remove(0);
        if alone
            .iter()
            .zip(&vector)
            .any(|(a, b)| a.to_bits() != b.to_bits())
        {
            return Err("a vector depends on its batch".into());
        }
        let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
        println!("{}", numbers.join(" "));
    }
    Ok(())
}
