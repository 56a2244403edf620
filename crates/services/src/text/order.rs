use super::{RESULT_BYTES_MAX, TEXT_BYTES_MAX, VERSION, output::FIGURES_BYTES_MAX};
use crate::{
    Passage,
    codec::{record, tag},
    contract::SpecError,
};
use commonware_codec::EncodeSize;
use fairweir_types::{
    ByteCount, LengthError, Millis, Units,
    order::{Demand, UnitVector},
};

/// Bytes of a spec besides its text: version, four options, a length.
pub(super) const OPTIONS_BYTES_MAX: usize = 16;

/// Milliseconds that any text may take, before its size counts: a receipt must still reach a block in time.
const TIME_BASE_MS: u64 = 15_000;
/// Bytes of text for which another millisecond is allowed: an unoptimised build does about 500 in one.
const BYTES_PER_MS: u64 = 64;
/// Bytes of memory besides the text: tables, counts.
const MEMORY_BASE_BYTES: u64 = 16 * 1_024 * 1_024;
/// Bytes of memory per byte of text: normal forms, counts of words, a copy per step.
const MEMORY_PER_BYTE: u64 = 64;

/// Which Unicode form the text is brought into. Either also makes every line end `\n`, removes white space before line
/// ends, and leaves one of several blank lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Normalise {
    /// The text stays as it is.
    #[default]
    Nothing,
    /// Canonical composition: equal characters become equal code points.
    Nfc,
    /// Compatible composition: also ligatures, full-width letters and the like become plain ones.
    Nfkc,
}
tag!(Normalise { 0 => Nothing, 1 => Nfc, 2 => Nfkc });

/// Which duplicates are removed: of equal ones the first stays. Blank lines are never duplicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deduplicate {
    /// None.
    #[default]
    Nothing,
    /// Lines that equal an earlier line.
    Lines,
    /// Paragraphs (lines between blank lines) that equal an earlier one.
    Paragraphs,
    /// Paragraphs, then lines.
    ParagraphsAndLines,
}
tag!(Deduplicate { 0 => Nothing, 1 => Lines, 2 => Paragraphs, 3 => ParagraphsAndLines });

/// What is replaced by labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Redact {
    /// Nothing.
    #[default]
    Nothing,
    /// Email addresses, international telephone numbers, IBANs, payment card numbers, IP addresses.
    PersonalData,
}
tag!(Redact { 0 => Nothing, 1 => PersonalData });

/// What is done to the text, in this order. Figures about the result come always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// First.
    pub normalise: Normalise,
    /// Second.
    pub deduplicate: Deduplicate,
    /// Third.
    pub redact: Redact,
}
record!(Operations {
    normalise,
    deduplicate,
    redact
});

/// What a buyer of the kind asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSpec {
    engine_version: u16,
    operations: Operations,
    text: Passage<TEXT_BYTES_MAX>,
}
record!(TextSpec {
    engine_version,
    operations,
    text
});

impl TextSpec {
    /// A spec for this version of the engine.
    ///
    /// # Errors
    /// [`LengthError`] for more than [`TEXT_BYTES_MAX`] bytes.
    pub fn new(text: String, operations: Operations) -> Result<Self, LengthError> {
        Ok(Self {
            engine_version: VERSION,
            operations,
            text: Passage::new(text)?,
        })
    }

    /// The version of the engine that it is for.
    #[must_use]
    pub const fn engine_version(&self) -> u16 {
        self.engine_version
    }

    /// What is to be done.
    #[must_use]
    pub const fn operations(&self) -> Operations {
        self.operations
    }

    /// The text handed in.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    #[cfg(test)]
    pub(super) const fn for_version(mut self, version: u16) -> Self {
        self.engine_version = version;
        self
    }
}

/// Bytes that `bytes` of text become at most: the normal forms grow a text by at most 3 (C) and 11 (KC) in UTF-8
/// (Unicode FAQ, Normalization), a label is at most one and a half times what it stands for.
fn result_bytes_max(bytes: u64, operations: Operations) -> u64 {
    let normal = match operations.normalise {
        Normalise::Nothing => bytes,
        Normalise::Nfc => bytes.saturating_mul(3),
        Normalise::Nfkc => bytes.saturating_mul(11),
    };
    let labelled = match operations.redact {
        Redact::Nothing => normal,
        Redact::PersonalData => normal.saturating_add(normal / 2),
    };
    labelled.min(size(RESULT_BYTES_MAX))
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

pub(super) fn demand(spec: &TextSpec) -> Result<Demand, SpecError> {
    if spec.engine_version != VERSION {
        return Err(SpecError::Version {
            ours: VERSION,
            found: spec.engine_version,
        });
    }
    let bytes = size(spec.text().len());
    let result = result_bytes_max(bytes, spec.operations);
    Ok(Demand {
        units: UnitVector {
            // An order must have some demand: looking at an empty text is one unit.
            input: Units(bytes.max(1)),
            output: Units(result),
            ..UnitVector::default()
        },
        bytes_in: ByteCount(size(spec.encode_size())),
        bytes_out_max: ByteCount(result.saturating_add(size(FIGURES_BYTES_MAX))),
        memory_max: ByteCount(
            bytes
                .saturating_mul(MEMORY_PER_BYTE)
                .saturating_add(MEMORY_BASE_BYTES),
        ),
        execution_max: Millis(TIME_BASE_MS.saturating_add(bytes / BYTES_PER_MS)),
    })
}
