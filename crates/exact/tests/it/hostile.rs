//! Files from strangers: whatever they hold, an answer or a typed refusal, and no more memory than the file warrants.

use fairweir_exact::{
    bert::Encoder,
    cache::Cache,
    gguf::{self, GgufError},
    linear::WeightKind,
    llama::{LoadError, Logits, Model, Row},
    path::Path,
    pool::Single,
    safetensors,
    testing::{Entry, GgufWriter, tiny_encoder, tiny_encoder_shape, tiny_gguf, tiny_shape},
};
use proptest::prelude::*;

/// Loads what can be loaded, and runs it if it is small.
fn use_gguf(bytes: &[u8]) {
    let Ok(file) = gguf::File::parse(bytes) else {
        return;
    };
    for key in file.keys() {
        let _ = (
            file.text(key),
            file.number(key),
            file.float(key),
            file.flag(key),
        );
        let _ = (file.texts(key), file.numbers(key), file.floats(key));
    }
    let Ok(model) = Model::load(&file, Path::best()) else {
        return;
    };
    let Ok(mut cache) = Cache::new(model.shape(), 1) else {
        return;
    };
    let sequence = cache.open().expect("the first");
    let rows = [0, 1].map(|position| Row {
        sequence,
        position,
        token: position,
        wants_logits: true,
    });
    let mut logits = Logits::new();
    if model.step(&Single, &mut cache, &rows, &mut logits).is_ok() {
        assert!(logits.row(1).iter().all(|value| value.is_finite()));
    }
}

fn use_safetensors(bytes: &[u8], config: &str) {
    let Ok(file) = safetensors::File::parse(bytes) else {
        return;
    };
    let Ok(encoder) = Encoder::load(&file, config.as_bytes(), Path::best()) else {
        return;
    };
    let _ = encoder.encode(&Single, &[&[0]]);
}

/// Overwrites bytes; places near the header's beginning are likelier.
fn changed(mut bytes: Vec<u8>, changes: &[(u32, u8)], length: Option<u32>) -> Vec<u8> {
    for (place, value) in changes {
        let within = if place % 4 == 0 {
            bytes.len()
        } else {
            bytes.len().min(1500)
        };
        bytes[*place as usize / 4 % within] = *value;
    }
    if let Some(length) = length {
        bytes.truncate(length as usize % (bytes.len() + 1));
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_never_panic(
        seed in 0u64..2,
        changes in proptest::collection::vec((any::<u32>(), any::<u8>()), 0..6),
        length in proptest::option::weighted(0.3, any::<u32>()),
    ) {
        use_gguf(&changed(tiny_gguf(seed, &tiny_shape(), &[]), &changes, length));
        let (weights, config) = tiny_encoder(seed, &tiny_encoder_shape());
        use_safetensors(&changed(weights, &changes, length), &config);
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        use_gguf(&bytes);
        use_gguf(&[&b"GGUF\x03\0\0\0"[..], &bytes].concat());
        use_safetensors(&bytes, "{}");
        let header = [&(bytes.len() as u64).to_le_bytes()[..], &bytes].concat();
        use_safetensors(&header, &String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn every_truncation_of_a_file_is_refused() {
    let bytes = tiny_gguf(
        1,
        &tiny_shape(),
        &[("note".to_owned(), Entry::Texts(vec!["a".to_owned()]))],
    );
    for length in (0..bytes.len()).filter(|length| *length < 3000 || length % 97 == 0) {
        assert!(gguf::File::parse(&bytes[..length]).is_err(), "{length}");
    }
    let (bytes, _) = tiny_encoder(1, &tiny_encoder_shape());
    for length in (0..bytes.len()).filter(|length| *length < 3000 || length % 97 == 0) {
        assert!(
            safetensors::File::parse(&bytes[..length]).is_err(),
            "{length}"
        );
    }
}

/// A header of GGUF 3 with so many tensors and entries, and then these bytes.
fn header(tensors: u64, entries: u64, rest: &[u8]) -> Vec<u8> {
    let counts = [tensors.to_le_bytes(), entries.to_le_bytes()].concat();
    [b"GGUF\x03\0\0\0", counts.as_slice(), rest].concat()
}

#[test]
fn impossible_headers_are_refused_by_name() {
    let key = [&1u64.to_le_bytes()[..], b"k"].concat();
    let with = |rest: &[u8]| header(0, 1, &[key.as_slice(), rest].concat());
    let array = |kind: u32, count: u64| {
        [
            &9u32.to_le_bytes()[..],
            &kind.to_le_bytes(),
            &count.to_le_bytes(),
        ]
        .concat()
    };
    let limit = |what, found, limit| GgufError::Limit { what, found, limit };
    for (bytes, error) in [
        (b"GGML".to_vec(), GgufError::Magic),
        (b"GGUF\x09\0\0\0".to_vec(), GgufError::Version(9)),
        (header(u64::MAX, 0, &[]), limit("tensors", u64::MAX, 65_536)),
        (
            header(0, u64::MAX, &[]),
            limit("metadata entries", u64::MAX, 65_536),
        ),
        (
            header(0, 1, &u64::MAX.to_le_bytes()),
            limit("bytes of a name", u64::MAX, 65_535),
        ),
        (with(&77u32.to_le_bytes()), GgufError::ValueKind(77)),
        (with(&array(9, 1)), GgufError::NestedArray),
        (with(&array(8, u64::MAX)), GgufError::Truncated(49)),
        (with(&array(4, u64::MAX)), GgufError::Truncated(49)),
        (with(&[7, 0, 0, 0, 2]), GgufError::Flag),
    ] {
        assert_eq!(gguf::File::parse(&bytes).err(), Some(error));
    }
}

#[test]
fn tensors_out_of_place_are_refused_by_name() {
    let good = GgufWriter::default().tensor("t", &[8], WeightKind::F32, vec![0; 32]);
    assert!(gguf::File::parse(&good.finish()).is_ok());
    let name = || "t".to_owned();
    let twice = good.clone().tensor("t", &[8], WeightKind::F32, vec![0; 32]);
    let odd = GgufWriter::default().tensor("t", &[33], WeightKind::Q8_0, vec![0; 34]);
    let zero = GgufWriter::default().tensor("t", &[0], WeightKind::F32, Vec::new());
    let huge = GgufWriter::default().tensor("t", &[1 << 40, 1 << 40], WeightKind::F32, vec![0; 32]);
    let short = GgufWriter::default().tensor("t", &[9], WeightKind::F32, vec![0; 32]);
    let alignment = good.clone().entry("general.alignment", Entry::Number(48));
    let two = good
        .tensor("u", &[8], WeightKind::F32, vec![0; 32])
        .finish();
    // The second tensor's offset stands in the last eight bytes before the data.
    let mut overlap = two.clone();
    let offset = two.len() - 64 - (two.len() - 64) % 32;
    let place = overlap[..offset]
        .windows(8)
        .rposition(|bytes| bytes == 32u64.to_le_bytes());
    let place = place.expect("the offset is there");
    overlap[place..place + 8].fill(0);
    let mut unaligned = two;
    unaligned[place] = 8;
    for (bytes, error) in [
        (twice.finish(), GgufError::Twice(name())),
        (odd.finish(), GgufError::Dimensions(name())),
        (zero.finish(), GgufError::Dimensions(name())),
        (huge.finish(), GgufError::Dimensions(name())),
        (short.finish(), GgufError::Outside(name())),
        (alignment.finish(), GgufError::Alignment(48)),
        (overlap, GgufError::Overlap("u".to_owned())),
        (unaligned, GgufError::Unaligned("u".to_owned())),
    ] {
        assert_eq!(gguf::File::parse(&bytes).err(), Some(error));
    }
}

#[test]
fn models_that_would_be_computed_wrongly_are_refused() {
    let load = |entries: &[(&str, Entry)]| {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        let bytes = tiny_gguf(1, &tiny_shape(), &entries);
        let file = gguf::File::parse(&bytes).expect("well formed");
        Model::load(&file, Path::best()).err()
    };
    let text = |text: &str| Entry::Text(text.to_owned());
    assert_eq!(load(&[("tokenizer.ggml.model", text("gpt2"))]), None);
    assert_eq!(load(&[("llama.rope.scaling.type", text("none"))]), None);
    let linear = [
        ("llama.rope.scaling.type", text("linear")),
        ("llama.rope.scaling.factor", Entry::Float(2.0)),
    ];
    assert_eq!(load(&linear), None);
    let yarn = LoadError::RopeScaling("yarn".to_owned());
    assert_eq!(
        load(&[("llama.rope.scaling.type", text("yarn"))]),
        Some(yarn)
    );
    let unknown = LoadError::UnknownKey("llama.expert_count".to_owned());
    assert_eq!(
        load(&[("llama.expert_count", Entry::Number(8))]),
        Some(unknown)
    );
    let rotated = load(&[("llama.rope.dimension_count", Entry::Number(8))]);
    assert!(matches!(rotated, Some(LoadError::Shape { .. })));
    let architecture = GgufWriter::default()
        .entry("general.architecture", text("gemma"))
        .finish();
    let file = gguf::File::parse(&architecture).expect("well formed");
    let refused = LoadError::Architecture(Some("gemma".to_owned()));
    assert_eq!(Model::load(&file, Path::best()).err(), Some(refused));
}
