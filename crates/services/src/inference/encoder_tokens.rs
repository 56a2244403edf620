//! The `tokenizer.json` of a text encoder, read strictly: the library that splits texts panics on some files that contradict its format,
//! and knows parts that no known encoder has. It is given what this module read, written anew.

use super::ModelError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokenizers::Tokenizer;

/// Bytes of a `tokenizer.json`.
const BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// Bytes of the pattern that texts are split by.
const PATTERN_BYTES_MAX: usize = 256;
/// Tokens around a text, and the ids of each.
const PIECES_MAX: usize = 16;
/// Characters of a word at most: longer words are one unknown token.
const WORD_MAX: usize = 1_024;
/// Tokens of one vocabulary.
const VOCABULARY_MAX: usize = 1 << 20;

#[derive(Deserialize, Serialize)]
struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type")]
enum Normalizer {
    #[serde(rename = "BertNormalizer")]
    Bert {
        clean_text: bool,
        handle_chinese_chars: bool,
        strip_accents: Option<bool>,
        lowercase: bool,
    },
    Lowercase,
    StripAccents,
    #[serde(rename = "NFC")]
    Nfc,
    #[serde(rename = "NFD")]
    Nfd,
    #[serde(rename = "NFKC")]
    Nfkc,
    #[serde(rename = "NFKD")]
    Nfkd,
    Sequence {
        normalizers: Vec<Normalizer>,
    },
}

#[derive(Deserialize, Serialize)]
enum Pattern {
    String(String),
    Regex(String),
}

#[derive(Deserialize, Serialize)]
enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type")]
enum PreTokenizer {
    #[serde(rename = "BertPreTokenizer")]
    Bert,
    Whitespace,
    WhitespaceSplit,
    Split {
        pattern: Pattern,
        behavior: Behavior,
        invert: bool,
    },
    Sequence {
        pretokenizers: Vec<PreTokenizer>,
    },
}

#[derive(Deserialize, Serialize)]
enum Piece {
    SpecialToken { id: String, type_id: u32 },
    Sequence { id: String, type_id: u32 },
}

#[derive(Deserialize, Serialize)]
struct Special {
    id: String,
    ids: Vec<u32>,
    tokens: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type")]
enum PostProcessor {
    TemplateProcessing {
        single: Vec<Piece>,
        /// Encoders are given single texts; pairs are written as the library wants them.
        #[serde(skip_deserializing)]
        pair: Vec<Piece>,
        special_tokens: BTreeMap<String, Special>,
    },
    BertProcessing {
        sep: (String, u32),
        cls: (String, u32),
    },
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type")]
enum Model {
    WordPiece {
        unk_token: String,
        continuing_subword_prefix: String,
        max_input_chars_per_word: usize,
        vocab: BTreeMap<String, u32>,
    },
    WordLevel {
        vocab: BTreeMap<String, u32>,
        unk_token: String,
    },
}

/// The parts that splitting a text needs; others, such as the decoder, are left out.
#[derive(Deserialize, Serialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Normalizer>,
    pre_tokenizer: Option<PreTokenizer>,
    post_processor: Option<PostProcessor>,
    model: Model,
}

fn unusable(reason: &str) -> ModelError {
    ModelError::Tokenizer(reason.to_owned())
}

fn check_splitting(splitting: &PreTokenizer) -> Result<(), ModelError> {
    match splitting {
        PreTokenizer::Split {
            pattern: Pattern::String(pattern) | Pattern::Regex(pattern),
            ..
        } if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX => {
            Err(unusable("it splits by an empty or a very long pattern"))
        }
        PreTokenizer::Sequence { pretokenizers } => {
            pretokenizers.iter().try_for_each(check_splitting)
        }
        _ => Ok(()),
    }
}

fn sequence(id: &str) -> Piece {
    Piece::Sequence {
        id: id.to_owned(),
        type_id: 0,
    }
}

fn check_pieces(processor: &mut PostProcessor) -> Result<(), ModelError> {
    let PostProcessor::TemplateProcessing {
        single,
        pair,
        special_tokens,
    } = processor
    else {
        return Ok(());
    };
    let is_known = |piece: &Piece| match piece {
        Piece::SpecialToken { id, .. } => special_tokens.get(id).is_some_and(|special| {
            special.id == *id
                && special.ids.len() == special.tokens.len()
                && special.ids.len() <= PIECES_MAX
        }),
        Piece::Sequence { id, .. } => id == "A",
    };
    let texts = single
        .iter()
        .filter(|piece| matches!(piece, Piece::Sequence { .. }));
    if single.len() > PIECES_MAX || texts.count() != 1 || !single.iter().all(is_known) {
        return Err(unusable(
            "what it puts around a text is not one text and known tokens",
        ));
    }
    *pair = vec![sequence("A"), sequence("B")];
    Ok(())
}

fn check(file: &mut File) -> Result<(), ModelError> {
    if let Some(splitting) = &file.pre_tokenizer {
        check_splitting(splitting)?;
    }
    if let Some(processor) = &mut file.post_processor {
        check_pieces(processor)?;
    }
    let (vocabulary, word_max) = match &file.model {
        Model::WordPiece {
            vocab,
            max_input_chars_per_word,
            ..
        } => (vocab, *max_input_chars_per_word),
        Model::WordLevel { vocab, .. } => (vocab, 0),
    };
    if vocabulary.len().saturating_add(file.added_tokens.len()) > VOCABULARY_MAX {
        return Err(unusable("it has more tokens than any known vocabulary"));
    }
    if word_max > WORD_MAX {
        return Err(unusable("its words may be longer than 1024 characters"));
    }
    Ok(())
}

/// Reads a `tokenizer.json` for a text encoder: no padding, cut at `length_max` tokens.
///
/// # Errors
/// [`ModelError::Tokenizer`] for other parts than the BERT family has, and for those that contradict each other.
pub fn of_json(bytes: &[u8], length_max: usize) -> Result<Tokenizer, ModelError> {
    if bytes.len() > BYTES_MAX {
        return Err(unusable("its file is longer than 32 MiB"));
    }
    let failed = |error: &dyn core::fmt::Display| unusable(&error.to_string());
    let mut file: File = serde_json::from_slice(bytes).map_err(|error| failed(&error))?;
    check(&mut file)?;
    let mut known = serde_json::to_value(&file).map_err(|error| failed(&error))?;
    if let Some(known) = known.as_object_mut() {
        known.insert("version".to_owned(), "1.0".into());
    }
    let known = known.to_string().into_bytes();
    let mut tokenizer = Tokenizer::from_bytes(known).map_err(|error| failed(&error))?;
    tokenizer
        .with_truncation(Some(tokenizers::TruncationParams {
            max_length: length_max,
            ..tokenizers::TruncationParams::default()
        }))
        .map_err(|error| failed(&error))?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Each part that the library would panic on, or that no encoder has, is refused; the decoder is not looked at.
    #[test]
    fn files_are_read_strictly() {
        let model =
            json!({ "type": "WordLevel", "vocab": { "[UNK]": 0, "a": 1 }, "unk_token": "[UNK]" });
        let post = |single| {
            json!({
                "type": "TemplateProcessing", "single": single, "pair": [],
                "special_tokens": { "a": { "id": "a", "ids": [1], "tokens": ["a"] } },
            })
        };
        let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
        let around = json!({ "SpecialToken": { "id": "a", "type_id": 0 } });
        let unknown = json!({ "SpecialToken": { "id": "b", "type_id": 0 } });
        let table = [
            (json!({ "model": model }), Some(vec![0])),
            (
                json!({ "model": model, "decoder": { "type": "WordPiece" } }),
                Some(vec![0]),
            ),
            (
                json!({ "model": model, "post_processor": post(json!([around, text])) }),
                Some(vec![1, 0]),
            ),
            (
                json!({ "model": model, "post_processor": post(json!([unknown, text])) }),
                None,
            ),
            (
                json!({ "model": model, "post_processor": post(json!([text, text])) }),
                None,
            ),
            (
                json!({ "model": model, "normalizer": { "type": "Replace" } }),
                None,
            ),
            (json!({ "model": { "type": "Unigram", "vocab": [] } }), None),
            (json!([]), None),
        ];
        for (file, expected) in table {
            let tokenizer = of_json(file.to_string().as_bytes(), 8);
            let found = tokenizer
                .ok()
                .map(|tokenizer| tokenizer.encode_fast("x", true).unwrap().get_ids().to_vec());
            assert_eq!(found, expected, "{file}");
        }
    }
}
