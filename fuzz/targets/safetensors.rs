//! Reads bytes as a configuration (up to the first zero byte) and safetensors, and loads and runs whatever is an encoder.
#![no_main]

use fairweir_exact::{bert::Encoder, path::Path, pool::Single, safetensors::File};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (config, weights) = bytes.split_at(at);
    let Ok(file) = File::parse(weights.get(1..).unwrap_or_default()) else {
        return;
    };
    for name in file.tensor_names() {
        assert!(file.tensor(name).is_some());
    }
    let Ok(encoder) = Encoder::load(&file, config, Path::best()) else {
        return;
    };
    assert!(
        encoder.bytes() <= 64 * bytes.len() + 4096,
        "weights grow with the file"
    );
    if let Ok(vectors) = encoder.encode(&Single, &[&[0]]) {
        assert!(vectors[0].iter().all(|value| value.is_finite()));
    }
});
