//! Reads bytes as a tokeniser and splits a text with it. The bytes are parts between zero bytes: first `tokenizer.json` and a text, or, if
//! the first is empty, the fields of a GGUF file: rule of splitting, tokens by line, merges by line, types by byte, and a text.
#![no_main]

use fairweir_exact::{
    gguf::File,
    testing::{Entry, GgufWriter},
};
use fairweir_services::inference::{encoder_tokens, tokens::Tokens};
use libfuzzer_sys::fuzz_target;

/// Tokens of a text at most.
const LENGTH_MAX: usize = 512;

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn gguf(parts: &[&str]) {
    let part = |at: usize| parts.get(at).copied().unwrap_or_default();
    let types = part(3).bytes().map(|byte| i32::from(byte % 8)).collect();
    let entries = [
        ("tokenizer.ggml.model", Entry::Text("gpt2".to_owned())),
        ("tokenizer.ggml.pre", Entry::Text(part(0).to_owned())),
        ("tokenizer.ggml.tokens", Entry::Texts(lines(part(1)))),
        ("tokenizer.ggml.merges", Entry::Texts(lines(part(2)))),
        ("tokenizer.ggml.token_type", Entry::Numbers(types)),
        ("tokenizer.ggml.bos_token_id", Entry::Number(1)),
        ("tokenizer.ggml.eos_token_id", Entry::Number(2)),
        ("tokenizer.ggml.add_bos_token", Entry::Flag(true)),
    ];
    let file = entries
        .into_iter()
        .fold(GgufWriter::default(), |file, (key, value)| {
            file.entry(key, value)
        });
    let bytes = file.finish();
    let Ok(file) = File::parse(&bytes) else {
        return;
    };
    let Ok(tokens) = Tokens::of_gguf(&file) else {
        return;
    };
    for controls in [false, true] {
        let Ok(ids) = tokens.encode(part(4), controls) else {
            continue;
        };
        assert!(ids.len() <= part(4).len() + 1, "a token is at least a byte");
        for id in ids {
            assert!(usize::try_from(id).is_ok_and(|id| id < tokens.len()));
            let _ = (tokens.bytes(id), tokens.control(id), tokens.is_end(id));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    let parts: Vec<&str> = text.split('\0').collect();
    match parts.as_slice() {
        ["", fields @ ..] => gguf(fields),
        [json, rest @ ..] => {
            let Ok(tokenizer) = encoder_tokens::of_json(json.as_bytes(), LENGTH_MAX) else {
                return;
            };
            let text = rest.first().copied().unwrap_or("Wie geht's? 42");
            if let Ok(encoding) = tokenizer.encode_fast(text, true) {
                assert!(encoding.get_ids().len() <= LENGTH_MAX);
            }
        }
        [] => {}
    }
});
