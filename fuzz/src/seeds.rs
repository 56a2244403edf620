//! Writes the files that mutation begins with: `seeds FOLDER` makes a folder per target.

use fairweir_exact::{
    bert::EncoderShape,
    llama::Shape,
    testing::{Entry, GgufWriter, tiny_encoder, tiny_gguf},
};
use std::{fs, io, path::Path};

/// As small as a model can be, so that mutations meet the header.
const MODEL: Shape = Shape {
    layers: 1,
    width: 32,
    heads: 2,
    kv_heads: 1,
    head_size: 16,
    ffn: 32,
    vocabulary: 16,
    context: 8,
};

const ENCODER: EncoderShape = EncoderShape {
    layers: 1,
    width: 32,
    heads: 2,
    ffn: 32,
    vocabulary: 4,
    max_positions: 4,
};

fn write(folder: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

fn main() -> io::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "corpus".to_owned());
    let folder = Path::new(&folder);
    let tokenizer = [
        (
            "tokenizer.ggml.model".to_owned(),
            Entry::Text("gpt2".to_owned()),
        ),
        (
            "tokenizer.ggml.tokens".to_owned(),
            Entry::Texts(vec!["a".to_owned(), "b".to_owned()]),
        ),
        (
            "tokenizer.ggml.token_type".to_owned(),
            Entry::Numbers(vec![1, 3]),
        ),
    ];
    for seed in 0..4u64 {
        let extra = if seed < 2 { &[][..] } else { &tokenizer };
        write(
            folder,
            "gguf",
            &format!("model-{seed}"),
            &tiny_gguf(seed, &MODEL, extra),
        )?;
        let (weights, config) = tiny_encoder(seed, &ENCODER);
        let both = [config.as_bytes(), &[0], &weights].concat();
        write(folder, "safetensors", &format!("encoder-{seed}"), &both)?;
    }
    let empty = GgufWriter::default().entry("k", Entry::Flag(true)).finish();
    write(folder, "gguf", "empty", &empty)
}
