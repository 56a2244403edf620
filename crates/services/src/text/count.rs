use super::output::{
    SCRIPT_NAME_BYTES_MAX, ScriptCount, Statistics, WORD_BYTES_MAX, WORDS_NAMED_MAX, WordCount,
};
use crate::Passage;
use commonware_cryptography::{Hasher, Sha256};
use fairweir_types::{BoundedVec, Digest, bounded::BoundedText};
use std::{cmp::Reverse, collections::BTreeMap};
use unicode_script::UnicodeScript;
use unicode_segmentation::UnicodeSegmentation;

/// Code points without a letter or digit in a row after which a text is cut for counting sentences. The library looks
/// ahead over such a row once per space or bracket in it, which is quadratic in a hostile text.
const ROW_MAX: usize = 32;

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The plain SHA-256 of a text.
pub(super) fn sha256(text: &str) -> Digest {
    let mut hasher = Sha256::default();
    hasher.update(text.as_bytes());
    let (_, digest) = hasher.finalize();
    Digest(digest.0)
}

/// Counts what needs no segmentation, and graphemes.
pub(super) fn characters(text: &str, statistics: &mut Statistics) {
    statistics.bytes = number(text.len());
    statistics.scalar_values = number(text.chars().count());
    statistics.graphemes = number(text.graphemes(true).count());
    statistics.lines = lines(text);
    let mut scripts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for character in text.chars() {
        *scripts.entry(character.script().full_name()).or_default() += 1;
    }
    let mut scripts: Vec<_> = scripts.into_iter().collect();
    scripts.sort_by_key(|(name, count)| (Reverse(*count), *name));
    statistics.scripts =
        BoundedVec::truncating(scripts.into_iter().map(|(name, count)| ScriptCount {
            script: BoundedText::<SCRIPT_NAME_BYTES_MAX>::truncating(name),
            count,
        }));
}

fn lines(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let ends = bytes
        .iter()
        .enumerate()
        .filter(|(at, byte)| {
            **byte == b'\n' || (**byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
        })
        .count();
    let unended = !matches!(bytes.last(), None | Some(b'\n' | b'\r'));
    number(ends) + u64::from(unended)
}

/// Counts words and names the most frequent.
pub(super) fn words(text: &str, statistics: &mut Statistics) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for word in text.unicode_words() {
        statistics.words += 1;
        if word.len() <= WORD_BYTES_MAX {
            // Code point by code point: no rule that depends on neighbours or on a language.
            let lower = word.chars().flat_map(char::to_lowercase).collect();
            *counts.entry(lower).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(a, many), (b, more)| (Reverse(many), a).cmp(&(Reverse(more), b)));
    let named = counts.into_iter().filter_map(|(word, count)| {
        let word = Passage::new(word).ok()?;
        Some(WordCount { word, count })
    });
    statistics.frequent_words = BoundedVec::truncating(named.take(WORDS_NAMED_MAX));
}

/// Counts sentences.
pub(super) fn sentences(text: &str, statistics: &mut Statistics) {
    statistics.sentences = pieces(text)
        .map(|piece| number(piece.unicode_sentences().count()))
        .sum();
}

/// Cuts a text wherever [`ROW_MAX`] code points in a row hold no letter or digit.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut row = 0;
        let cut = rest
            .char_indices()
            .find_map(|(at, character)| {
                row = if character.is_alphanumeric() {
                    0
                } else {
                    row + 1
                };
                (row > ROW_MAX).then_some(at)
            })
            .unwrap_or(rest.len());
        let (piece, next) = rest.split_at(cut);
        rest = next;
        Some(piece)
    })
}
