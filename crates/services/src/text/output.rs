use super::{RESULT_BYTES_MAX, TEXT_BYTES_MAX};
use crate::{Passage, codec::record};
use core::fmt;
use fairweir_types::{BoundedVec, Digest, LengthError, bounded::BoundedText};

/// Words that the figures name.
pub(super) const WORDS_NAMED_MAX: usize = 20;
/// Bytes of a word that the figures name; longer ones only count as words.
pub(super) const WORD_BYTES_MAX: usize = 64;
/// Scripts that the figures name: Unicode 18 has fewer than 200.
pub(super) const SCRIPTS_MAX: usize = 256;
/// Bytes of the name of a script.
pub(super) const SCRIPT_NAME_BYTES_MAX: usize = 48;
/// Bytes of an output besides its text.
pub(super) const FIGURES_BYTES_MAX: usize =
    512 + WORDS_NAMED_MAX * (WORD_BYTES_MAX + 16) + SCRIPTS_MAX * (SCRIPT_NAME_BYTES_MAX + 16);

const _: () = assert!(TEXT_BYTES_MAX <= u32::MAX as usize, "counts fit");

/// A script and how many code points are of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptCount {
    /// The script's name in Unicode.
    pub script: BoundedText<SCRIPT_NAME_BYTES_MAX>,
    /// Code points.
    pub count: u64,
}
record!(ScriptCount { script, count });

/// A word, in lower case, and how often it occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordCount {
    /// The word.
    pub word: Passage<WORD_BYTES_MAX>,
    /// Occurrences.
    pub count: u64,
}
record!(WordCount { word, count });

/// Figures about the text returned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes in UTF-8.
    pub bytes: u64,
    /// Code points.
    pub scalar_values: u64,
    /// What people take for characters: extended grapheme clusters (UAX #29).
    pub graphemes: u64,
    /// Words (UAX #29) with a letter or digit.
    pub words: u64,
    /// Sentences (UAX #29) with a letter or digit.
    pub sentences: u64,
    /// Lines: ends of line (`\r\n`, `\n` or `\r`), and one more if the last line has none.
    pub lines: u64,
    /// Code points by script, most first, then by name.
    pub scripts: BoundedVec<ScriptCount, SCRIPTS_MAX>,
    /// The most frequent words of at most 64 bytes, most first, then by code points.
    pub frequent_words: BoundedVec<WordCount, WORDS_NAMED_MAX>,
}
record!(Statistics {
    bytes,
    scalar_values,
    graphemes,
    words,
    sentences,
    lines,
    scripts,
    frequent_words,
});

/// How many duplicates were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Whole paragraphs.
    pub paragraphs: u64,
    /// Single lines.
    pub lines: u64,
}
record!(Removed { paragraphs, lines });

/// How much personal data was replaced, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redacted {
    /// Email addresses, now `[EMAIL]`.
    pub emails: u64,
    /// Telephone numbers in international form, now `[PHONE]`.
    pub phones: u64,
    /// International bank account numbers, now `[IBAN]`.
    pub ibans: u64,
    /// Payment card numbers, now `[CARD]`.
    pub cards: u64,
    /// IPv4 addresses, now `[IPV4]`.
    pub ipv4: u64,
    /// IPv6 addresses, now `[IPV6]`.
    pub ipv6: u64,
}
record!(Redacted {
    emails,
    phones,
    ibans,
    cards,
    ipv4,
    ipv6
});

impl Redacted {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        [
            self.emails,
            self.phones,
            self.ibans,
            self.cards,
            self.ipv4,
            self.ipv6,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

/// What the worker delivers. Its [`Display`](fmt::Display) is a report for people: figures first, then the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOutput {
    engine_version: u16,
    statistics: Statistics,
    removed: Removed,
    redacted: Redacted,
    sha256: Digest,
    text: Passage<RESULT_BYTES_MAX>,
}
record!(TextOutput {
    engine_version,
    statistics,
    removed,
    redacted,
    sha256,
    text
});

impl TextOutput {
    pub(super) fn new(
        text: String,
        statistics: Statistics,
        removed: Removed,
        redacted: Redacted,
    ) -> Result<Self, LengthError> {
        Ok(Self {
            engine_version: super::VERSION,
            statistics,
            removed,
            redacted,
            sha256: super::count::sha256(&text),
            text: Passage::new(text)?,
        })
    }

    /// The version of the engine that made it.
    #[must_use]
    pub const fn engine_version(&self) -> u16 {
        self.engine_version
    }

    /// Figures about the text returned.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How many duplicates were removed.
    #[must_use]
    pub const fn removed(&self) -> Removed {
        self.removed
    }

    /// How much personal data was replaced.
    #[must_use]
    pub const fn redacted(&self) -> Redacted {
        self.redacted
    }

    /// The plain SHA-256 of the text returned, as `sha256sum` prints it (not the digest of a blob, which has a domain).
    #[must_use]
    pub const fn sha256(&self) -> Digest {
        self.sha256
    }

    /// The text returned.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_str()
    }
}

/// Shows a word without control or direction characters, which could forge a terminal's output.
fn shown(word: &str) -> String {
    word.chars()
        .map(|character| {
            if is_shown(character) {
                character
            } else {
                '\u{FFFD}'
            }
        })
        .collect()
}

const fn is_shown(character: char) -> bool {
    !matches!(character,
        '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}'
        | '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for TextOutput {
    /// The text itself is shown as it is: a program that prints it to a terminal decides what to escape.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Statistics {
            bytes,
            scalar_values,
            graphemes,
            words,
            sentences,
            lines,
            scripts,
            frequent_words,
        } = &self.statistics;
        writeln!(f, "bytes        {bytes}")?;
        writeln!(f, "code points  {scalar_values}")?;
        writeln!(f, "characters   {graphemes}")?;
        writeln!(f, "words        {words}")?;
        writeln!(f, "sentences    {sentences}")?;
        writeln!(f, "lines        {lines}")?;
        let list = |pairs: Vec<(String, u64)>| {
            pairs
                .into_iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let named = scripts
            .iter()
            .map(|entry| (entry.script.as_str().to_owned(), entry.count));
        writeln!(f, "scripts      {}", list(named.collect()))?;
        let named = frequent_words
            .iter()
            .map(|entry| (shown(entry.word.as_str()), entry.count));
        writeln!(f, "top words    {}", list(named.collect()))?;
        let Removed {
            paragraphs,
            lines: duplicates,
        } = self.removed;
        writeln!(
            f,
            "removed      {paragraphs} duplicate paragraphs, {duplicates} duplicate lines"
        )?;
        let Redacted {
            emails,
            phones,
            ibans,
            cards,
            ipv4,
            ipv6,
        } = self.redacted;
        writeln!(
            f,
            "redacted     {emails} email, {phones} phone, {ibans} IBAN, {cards} card, {ipv4} IPv4, {ipv6} IPv6"
        )?;
        writeln!(f, "sha-256      {}", self.sha256)?;
        writeln!(f, "engine       text {}", self.engine_version)?;
        writeln!(f)?;
        f.write_str(self.text())
    }
}
