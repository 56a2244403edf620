//! Compiles bytes as a chat template and renders a conversation with it.
#![no_main]

use fairweir_services::inference::template::Template;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Bytes of a rendering at most.
const RENDERED_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = core::str::from_utf8(bytes) else {
        return;
    };
    let Ok(template) = Template::new(source, "<s>", "</s>") else {
        return;
    };
    let messages = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": "¿Qué hora es?\n" },
        { "role": "assistant", "content": "", "tool_calls": [{ "function": { "name": "clock", "arguments": "{}" } }] },
        { "role": "tool", "content": "12:00" },
        { "role": "user", "content": [{ "type": "text", "text": "And then?" }] },
    ]);
    let tools = json!([{ "type": "function", "function": { "name": "clock", "parameters": { "a": [1, 2.5, null, true] } } }]);
    for tools in [None, Some(&tools)] {
        if let Ok(text) = template.render(&messages, tools, RENDERED_MAX) {
            assert!(text.len() <= RENDERED_MAX);
        }
    }
});
