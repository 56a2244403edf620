//! Encoders: golden bits on every path, and a text's vector does not depend on its batch.

use fairweir_exact::{
    bert::{EncodeError, Encoder},
    path::Path,
    pool::Single,
    safetensors::File,
    testing::{Random, Threads, tiny_encoder, tiny_encoder_shape},
};

const GOLDEN: &str = "0c3bd1a859e6ea53e704627eb14d56d2c082731a3a1aed5d54984fa41e9e0e5d";

fn encoder(path: Path) -> Encoder {
    let (weights, config) = tiny_encoder(3, &tiny_encoder_shape());
    let file = File::parse(&weights).expect("well formed");
    Encoder::load(&file, config.as_bytes(), path).expect("an encoder")
}

fn texts() -> Vec<Vec<u32>> {
    let mut random = Random::new(8);
    let lengths = [1, 2, 15, 16, 17, 40, 64, 3];
    let text = |length| (0..length).map(|_| random.below(96) as u32).collect();
    lengths.into_iter().map(text).collect()
}

#[test]
fn vectors_are_golden_on_every_path() {
    for path in Path::available() {
        let (encoder, texts) = (encoder(path), texts());
        let batch: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let vectors = encoder
            .encode(&Threads::new(3), &batch)
            .expect("good texts");
        let mut hasher = blake3::Hasher::new();
        for (text, vector) in batch.iter().zip(&vectors) {
            let length: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
            assert!((length - 1.0).abs() < 1e-6);
            assert_eq!(&encoder.encode(&Single, &[text]).expect("good")[0], vector);
            for value in vector {
                hasher.update(&value.to_bits().to_le_bytes());
            }
        }
        assert_eq!(hasher.finalize().to_hex().as_str(), GOLDEN, "{path}");
    }
}

#[test]
fn bad_texts_are_refused() {
    let encoder = encoder(Path::best());
    let long = [1; 65];
    for (batch, error) in [
        (&[&[1u32][..], &[]], EncodeError::Empty(1)),
        (
            &[&[1], &long],
            EncodeError::TooLong {
                text: 1,
                tokens: 65,
                most: 64,
            },
        ),
        (
            &[&[96], &[1]],
            EncodeError::Token {
                text: 0,
                token: 96,
                vocabulary: 96,
            },
        ),
    ] {
        assert_eq!(encoder.encode(&Single, batch), Err(error));
    }
    assert_eq!(encoder.encode(&Single, &[]), Ok(Vec::new()));
}
