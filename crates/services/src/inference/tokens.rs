//! Tokenisers, built from a model file's own fields.

use super::ModelError;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokenizers::Tokenizer;

/// Tokens of one vocabulary. The largest vocabularies in use have about 260 thousand.
const VOCABULARY_MAX: usize = 1 << 20;
/// Merges of one vocabulary.
const MERGES_MAX: usize = 1 << 22;
/// Bytes of one token: longer ones would let a few tokens fill an output.
const TOKEN_BYTES_MAX: usize = 1_024;
/// `tokenizer.ggml.token_type` of tokens that no text contains.
const CONTROL: i64 = 3;
/// `tokenizer.ggml.token_type` of tokens that are matched before the text is split.
const USER_DEFINED: i64 = 4;
/// Control tokens that end an answer in the chat formats of the llama family, besides the file's own end token.
const ENDS: [&str; 5] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "</s>",
];

/// Token ids from text, and bytes from token ids.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
    /// The same, to which control tokens written out in a text are plain text.
    plain: Tokenizer,
    bytes: Vec<Box<[u8]>>,
    ends: BTreeSet<u32>,
    start: Option<u32>,
    control: BTreeMap<u32, String>,
}

impl Tokens {
    /// The byte-level BPE tokeniser that a GGUF file describes.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] for other families of tokenisers, and for fields that contradict each other.
    pub fn of_gguf(file: &fairweir_exact::gguf::File<'_>) -> Result<Self, ModelError> {
        let family = file.text("tokenizer.ggml.model").unwrap_or("none");
        if family != "gpt2" {
            return Err(unusable(&format!(
                "its family is {family:?}, this program knows gpt2 (byte-level BPE)"
            )));
        }
        let texts = file
            .texts("tokenizer.ggml.tokens")
            .ok_or_else(|| unusable("it has no tokens"))?;
        let merges = file
            .texts("tokenizer.ggml.merges")
            .ok_or_else(|| unusable("it has no merges"))?;
        if texts.len() > VOCABULARY_MAX || merges.len() > MERGES_MAX {
            return Err(unusable(
                "it has more tokens or merges than any known vocabulary",
            ));
        }
        let types = file
            .numbers("tokenizer.ggml.token_type")
            .unwrap_or_default();
        let splitting = splitting(file.text("tokenizer.ggml.pre").unwrap_or("default"))?;
        let vocabulary = vocabulary(&texts)?;
        let pairs = pairs(&merges, &vocabulary)?;
        let added = added(&texts, &types);
        let source = json!({
            "version": "1.0",
            "added_tokens": added,
            "pre_tokenizer": splitting,
            "model": { "type": "BPE", "vocab": vocabulary, "merges": pairs, "ignore_merges": false },
        });
        let bytes = source.to_string().into_bytes();
        let mut tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|error| unusable(&error.to_string()))?;
        // The library remembers words for each thread and tokeniser, and never forgets them: with every model that comes and goes
        // a process would grow.
        let mut model = tokenizer.get_model().clone();
        model.resize_cache(0);
        tokenizer.with_model(model);
        let number = |key| file.number(key).and_then(|id| u32::try_from(id).ok());
        let control = control(&texts, &types);
        let mut ends: BTreeSet<u32> = control
            .iter()
            .filter(|(_, text)| ENDS.contains(&text.as_str()))
            .map(|(id, _)| *id)
            .collect();
        ends.extend(number("tokenizer.ggml.eos_token_id"));
        ends.extend(number("tokenizer.ggml.eot_token_id"));
        let start = number("tokenizer.ggml.bos_token_id")
            .filter(|_| file.flag("tokenizer.ggml.add_bos_token").unwrap_or(false));
        if start.is_some_and(|id| usize::try_from(id).is_ok_and(|id| id >= texts.len())) {
            return Err(unusable("its start token is none of its tokens"));
        }
        let mut plain = tokenizer.clone();
        plain.set_encode_special_tokens(true);
        Ok(Self {
            tokenizer,
            plain,
            bytes: token_bytes(&texts, &control),
            ends,
            start,
            control,
        })
    }

    /// Token ids of a text, the start token in front if the model wants one. With `controls`, control tokens written out
    /// in the text are taken as such (chat templates rely on it); without, they are plain text.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn encode(&self, text: &str, controls: bool) -> Result<Vec<u32>, ModelError> {
        let tokenizer = if controls {
            &self.tokenizer
        } else {
            &self.plain
        };
        let encoding = tokenizer
            .encode_fast(text, false)
            .map_err(|error| unusable(&error.to_string()))?;
        let mut ids: Vec<u32> = self.start.into_iter().collect();
        if ids.first() == encoding.get_ids().first() {
            ids.clear();
        }
        ids.extend_from_slice(encoding.get_ids());
        Ok(ids)
    }

    /// What a token adds to the text: nothing for control tokens and ids out of range.
    #[must_use]
    pub fn bytes(&self, id: u32) -> &[u8] {
        usize::try_from(id)
            .ok()
            .and_then(|index| self.bytes.get(index))
            .map_or(&[], |bytes| bytes)
    }

    /// The name of a control token.
    #[must_use]
    pub fn control(&self, id: u32) -> Option<&str> {
        self.control.get(&id).map(String::as_str)
    }

    /// Whether a token ends an answer.
    #[must_use]
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// How many tokens there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn unusable(reason: &str) -> ModelError {
    ModelError::Tokenizer(reason.to_owned())
}

/// How text is split before merging, by the name that llama.cpp gave the rule (`llama-vocab.cpp`).
fn splitting(name: &str) -> Result<Value, ModelError> {
    let byte_level = |use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
    let split = |pattern: &str| json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
    match name {
        "default" | "gpt-2" => Ok(byte_level(true)),
        "smollm" => Ok(json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Digits", "individual_digits": true }, byte_level(true)
        ] })),
        "llama-bpe" | "llama3" | "llama-v3" => Ok(json!({ "type": "Sequence", "pretokenizers": [
            split(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
            byte_level(false)
        ] })),
        other => Err(unusable(&format!(
            "it splits text by the rule {other:?}, which this program does not know"
        ))),
    }
}

fn vocabulary(texts: &[&str]) -> Result<Map<String, Value>, ModelError> {
    let mut vocabulary = Map::new();
    for (id, text) in texts.iter().enumerate() {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(unusable("it has a token longer than 1024 bytes"));
        }
        if vocabulary.insert((*text).to_owned(), json!(id)).is_some() {
            return Err(unusable(&format!("two tokens are {text:?}")));
        }
    }
    Ok(vocabulary)
}

/// The pairs that are merged. The library panics on some whose whole is no token, so all three must be tokens.
fn pairs(merges: &[&str], vocabulary: &Map<String, Value>) -> Result<Vec<Value>, ModelError> {
    merges
        .iter()
        .map(|merge| {
            let (left, right) = merge
                .split_once(' ')
                .ok_or_else(|| unusable(&format!("the merge {merge:?} is no pair")))?;
            let is_token = |text: &str| vocabulary.contains_key(text);
            if !is_token(left) || !is_token(right) || !is_token(&format!("{left}{right}")) {
                return Err(unusable(&format!(
                    "the merge {merge:?} is not of tokens to a token"
                )));
            }
            Ok(json!([left, right]))
        })
        .collect()
}

fn added(texts: &[&str], types: &[i64]) -> Vec<Value> {
    texts
        .iter()
        .zip(types)
        .enumerate()
        .filter(|(_, (text, kind))| matches!(**kind, CONTROL | USER_DEFINED) && !text.is_empty())
        .map(|(id, (text, kind))| {
            json!({
                "id": id, "content": text, "special": *kind == CONTROL,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false
            })
        })
        .collect()
}

fn control(texts: &[&str], types: &[i64]) -> BTreeMap<u32, String> {
    texts
        .iter()
        .zip(types)
        .enumerate()
        .filter(|(_, (_, kind))| **kind == CONTROL)
        .filter_map(|(id, (text, _))| Some((u32::try_from(id).ok()?, (*text).to_owned())))
        .collect()
}

/// GPT-2's table from the printable characters that stand for bytes back to the bytes
/// (<https://github.com/openai/gpt-2/blob/master/src/encoder.py#L9>).
pub(super) fn byte_of_char() -> BTreeMap<char, u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 256u32;
    (0..=255u8)
        .filter_map(|byte| {
            let code = if is_printable(byte) {
                u32::from(byte)
            } else {
                next += 1;
                next - 1
            };
            Some((char::from_u32(code)?, byte))
        })
        .collect()
}

fn token_bytes(texts: &[&str], control: &BTreeMap<u32, String>) -> Vec<Box<[u8]>> {
    let table = byte_of_char();
    texts
        .iter()
        .enumerate()
        .map(|(id, text)| {
            let is_control = u32::try_from(id).is_ok_and(|id| control.contains_key(&id));
            if is_control {
                return Box::default();
            }
            // Characters outside the table stand for themselves, as user-defined tokens write them.
            text.chars()
                .flat_map(|letter| match table.get(&letter) {
                    Some(byte) => vec![*byte],
                    None => letter.to_string().into_bytes(),
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_exact::testing::{Entry, GgufWriter};

    #[test]
    fn a_start_token_is_one_of_the_tokens() {
        let tokens = |start| {
            let file = GgufWriter::default()
                .entry("tokenizer.ggml.model", Entry::Text("gpt2".to_owned()))
                .entry("tokenizer.ggml.tokens", Entry::Texts(vec!["a".to_owned()]))
                .entry("tokenizer.ggml.merges", Entry::Texts(Vec::new()))
                .entry("tokenizer.ggml.bos_token_id", Entry::Number(start))
                .entry("tokenizer.ggml.add_bos_token", Entry::Flag(true))
                .finish();
            let file = fairweir_exact::gguf::File::parse(&file).unwrap();
            Tokens::of_gguf(&file).and_then(|tokens| tokens.encode("", true))
        };
        assert_eq!(tokens(0).unwrap(), [0]);
        assert!(matches!(tokens(1), Err(ModelError::Tokenizer(_))));
    }

    #[test]
    fn a_merge_is_of_two_tokens_to_a_third() {
        let tokens = |merge: &str| {
            let texts = ["", "a", "b", "ab", "abb"].map(str::to_owned).to_vec();
            let file = GgufWriter::default()
                .entry("tokenizer.ggml.model", Entry::Text("gpt2".to_owned()))
                .entry("tokenizer.ggml.tokens", Entry::Texts(texts))
                .entry(
                    "tokenizer.ggml.merges",
                    Entry::Texts(vec![merge.to_owned()]),
                )
                .finish();
            let file = fairweir_exact::gguf::File::parse(&file).unwrap();
            Tokens::of_gguf(&file).and_then(|tokens| tokens.encode("ab", true))
        };
        assert_eq!(tokens("a b").unwrap(), [3]);
        // No pair, no token, a whole that is none, and one that is longer than every token.
        for merge in ["ab", "a c", "c a", "b a", "abb abb"] {
            assert!(
                matches!(tokens(merge), Err(ModelError::Tokenizer(_))),
                "{merge}"
            );
        }
    }

    #[test]
    fn every_byte_has_one_character() {
        let table = byte_of_char();
        assert_eq!(table.len(), 256);
        assert_eq!(table.get(&'Ġ'), Some(&b' '));
        assert_eq!(table.get(&'Ċ'), Some(&b'\n'));
        assert_eq!(table.values().collect::<BTreeSet<_>>().len(), 256);
    }
}
