//! Tiny models with pseudo-random weights, run on the thread of whoever asks: for tests and simulation.

use super::{
    ModelError, ModelId, ModelRole, Models,
    engine::{ChatEngine, ChatModel, EmbeddingEngine},
    model::{FILES_MAX, ModelFile},
    store::Mapped,
};
use fairweir_exact::{
    path::Path,
    testing::{Entry, tiny_encoder, tiny_encoder_shape, tiny_gguf, tiny_shape},
};
use fairweir_types::{BoundedVec, Digest};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The id of the tiny chat model; the weights are the ones of seed 1.
pub const TINY_CHAT: ModelId = ModelId(Digest([
    0x5e, 0x6b, 0xe9, 0x3d, 0x0a, 0x63, 0x3b, 0x4f, 0x67, 0x9c, 0x06, 0x94, 0x41, 0xc3, 0x32, 0x19,
    0xd1, 0x21, 0xf6, 0x1d, 0xa3, 0x42, 0x57, 0xc8, 0x98, 0x66, 0x4a, 0xdf, 0x5d, 0x6d, 0xdf, 0xf1,
]));
/// The id of the tiny encoder.
pub const TINY_ENCODER: ModelId = ModelId(Digest([2; 32]));
/// Another chat model: the same but for its weights. What a lying worker may run in place of [`TINY_CHAT`].
pub const TINY_OTHER: ModelId = ModelId(Digest([
    0xc4, 0x20, 0xb1, 0x04, 0xda, 0x30, 0x26, 0xf4, 0xf0, 0xf5, 0xfd, 0xd8, 0xeb, 0x21, 0x61, 0x91,
    0xac, 0x2c, 0xf1, 0x37, 0xe1, 0x85, 0x61, 0xed, 0x6b, 0xba, 0x15, 0x44, 0x60, 0x22, 0x7f, 0xa3,
]));

const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const CONTROL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
/// Merges of the tiny tokeniser; each makes a token.
const MERGES: [&str; 13] = [
    "t h", "Ġ a", "e r", "i n", "o n", "th e", "Ġ the", "a n", "d Ġ", "o r", "e s", "r e", "Ġ t",
];

/// A GGUF file with a byte-level tokeniser of 272 tokens and a chat template.
#[must_use]
pub fn tiny_chat_file(seed: u64) -> Vec<u8> {
    let mut texts: Vec<String> = CONTROL.map(str::to_owned).to_vec();
    texts.extend(byte_characters().map(String::from));
    texts.extend(MERGES.map(|merge| merge.replacen(' ', "", 1)));
    let types = (0..texts.len()).map(|id| if id < CONTROL.len() { 3 } else { 1 });
    let entries = [
        ("tokenizer.ggml.model", Entry::Text("gpt2".to_owned())),
        ("tokenizer.ggml.pre", Entry::Text("smollm".to_owned())),
        ("tokenizer.ggml.token_type", Entry::Numbers(types.collect())),
        (
            "tokenizer.ggml.merges",
            Entry::Texts(MERGES.map(str::to_owned).to_vec()),
        ),
        ("tokenizer.ggml.bos_token_id", Entry::Number(1)),
        ("tokenizer.ggml.eos_token_id", Entry::Number(2)),
        ("tokenizer.chat_template", Entry::Text(TEMPLATE.to_owned())),
    ];
    let mut shape = tiny_shape();
    shape.vocabulary = texts.len();
    shape.context = 4_096;
    let mut entries: Vec<_> = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    entries.push(("tokenizer.ggml.tokens".to_owned(), Entry::Texts(texts)));
    tiny_gguf(seed, &shape, &entries)
}

fn byte_characters() -> impl Iterator<Item = char> {
    let mut by_byte: Vec<_> = super::tokens::byte_of_char().into_iter().collect();
    by_byte.sort_by_key(|(_, byte)| *byte);
    by_byte.into_iter().map(|(letter, _)| letter)
}

/// A `tokenizer.json` of single letters for the tiny encoder.
fn tiny_tokenizer(vocabulary: usize) -> Vec<u8> {
    let words: serde_json::Map<_, _> = ["[UNK]".to_owned()]
        .into_iter()
        .chain(('a'..='z').map(String::from))
        .take(vocabulary)
        .enumerate()
        .map(|(id, word)| (word, serde_json::json!(id)))
        .collect();
    serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Split", "pattern": { "Regex": "." }, "behavior": "Isolated", "invert": false },
        "model": { "type": "WordLevel", "vocab": words, "unk_token": "[UNK]" },
    })
    .to_string()
    .into_bytes()
}

/// What a chat file is by the id of its model.
fn tiny_files(file: &[u8]) -> BoundedVec<ModelFile, FILES_MAX> {
    BoundedVec::truncating([ModelFile {
        role: ModelRole::Gguf,
        bytes: u64::try_from(file.len()).unwrap_or(u64::MAX),
        sha256: Sha256::digest(file).into(),
    }])
}

/// The tiny models.
#[derive(Debug)]
pub struct TinyModels {
    chat: Arc<ChatEngine>,
    other: Arc<ChatEngine>,
    encoder: Arc<EmbeddingEngine>,
}

impl TinyModels {
    /// Loads them. Cheap enough for every test.
    ///
    /// # Panics
    /// If a tiny model cannot be loaded.
    #[must_use]
    pub fn load() -> Arc<Self> {
        Self::with_chat(&tiny_chat_file(1))
    }

    /// Loads them with other bytes in place of the file of [`TINY_CHAT`]: what a cheat may run.
    ///
    /// # Panics
    /// If a tiny model cannot be loaded.
    #[must_use]
    pub fn with_chat(file: &[u8]) -> Arc<Self> {
        let chat = |file: &[u8]| {
            let model = ChatModel::of_bytes(file, Path::best());
            Arc::new(ChatEngine::inline(model.expect("a tiny model loads")))
        };
        let shape = tiny_encoder_shape();
        let (weights, config) = tiny_encoder(1, &shape);
        let files = [
            (ModelRole::Safetensors, weights),
            (ModelRole::Config, config.into_bytes()),
            (ModelRole::Tokenizer, tiny_tokenizer(shape.vocabulary)),
        ];
        let encoder = EmbeddingEngine::inline(&Mapped::of_bytes(files), Path::best())
            .expect("a tiny encoder loads");
        Arc::new(Self {
            chat: chat(file),
            other: chat(&tiny_chat_file(2)),
            encoder: Arc::new(encoder),
        })
    }
}

impl Models for TinyModels {
    fn chat(&self, id: ModelId) -> Result<Arc<ChatEngine>, ModelError> {
        match id {
            TINY_CHAT => Ok(Arc::clone(&self.chat)),
            TINY_OTHER => Ok(Arc::clone(&self.other)),
            _ => Err(ModelError::NotHere(id.to_string())),
        }
    }

    fn files(&self, id: ModelId) -> Result<(Mapped, BoundedVec<ModelFile, FILES_MAX>), ModelError> {
        let file = match id {
            TINY_CHAT => tiny_chat_file(1),
            TINY_OTHER => tiny_chat_file(2),
            _ => return Err(ModelError::NotHere(id.to_string())),
        };
        let files = tiny_files(&file);
        Ok((Mapped::of_bytes([(ModelRole::Gguf, file)]), files))
    }

    fn embedding(&self, id: ModelId) -> Result<Arc<EmbeddingEngine>, ModelError> {
        match id {
            TINY_ENCODER => Ok(Arc::clone(&self.encoder)),
            _ => Err(ModelError::NotHere(id.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_files() {
        for (id, seed) in [(TINY_CHAT, 1), (TINY_OTHER, 2)] {
            let files = tiny_files(&tiny_chat_file(seed));
            assert_eq!(ModelId::of_files(&files), id);
        }
    }
}
