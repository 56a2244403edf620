//! Reads bytes as GGUF, asks for every value, and loads and runs whatever is a llama model.
#![no_main]

use fairweir_exact::{
    cache::Cache,
    gguf::File,
    llama::{Logits, Model, Row},
    path::Path,
    pool::Single,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = File::parse(bytes) else { return };
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
    assert!(
        model.bytes() <= 64 * bytes.len() + 4096,
        "weights grow with the file"
    );
    let Ok(mut cache) = Cache::new(model.shape(), 1) else {
        return;
    };
    let Ok(sequence) = cache.open() else { return };
    let row = Row {
        sequence,
        position: 0,
        token: 0,
        wants_logits: true,
    };
    let mut logits = Logits::new();
    if model.step(&Single, &mut cache, &[row], &mut logits).is_ok() {
        assert!(logits.row(0).iter().all(|value| value.is_finite()));
    }
});
