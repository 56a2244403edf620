use super::VERSION;
use crate::{Passage, codec::record, contract::SpecError, inference::ModelId};
use commonware_codec::EncodeSize;
use fairweir_types::{
    BoundedVec, ByteCount, LengthError, Millis, Units,
    limits::BLOB_BYTES_MAX,
    order::{Demand, UnitVector},
};

/// Texts of one order.
pub const TEXTS_MAX: usize = 256;
/// Bytes of one text.
pub const TEXT_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of an encoded spec.
pub(super) const SPEC_BYTES_MAX: usize = BLOB_BYTES_MAX;
/// Numbers of one vector.
pub const WIDTH_MAX: usize = 4_096;
/// Tokens of one text: longer texts are cut there, as the models do.
const TOKENS_PER_TEXT_MAX: u64 = 8_192;
/// Marks that a model puts around a text.
const MARKS: u64 = 2;
/// Time that every order gets.
const TIME_BASE_MS: u64 = 30_000;
/// Time for each text.
const TIME_PER_TEXT_MS: u64 = 1_000;
/// Memory that every order gets.
const MEMORY_BYTES: u64 = 256 * 1_024 * 1_024;

/// What a buyer asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingSpec {
    engine_version: u16,
    model: ModelId,
    texts: BoundedVec<Passage<TEXT_BYTES_MAX>, TEXTS_MAX>,
}
record!(EmbeddingSpec {
    engine_version,
    model,
    texts
});

impl EmbeddingSpec {
    /// The vectors of these texts, by this version of the engine.
    ///
    /// # Errors
    /// [`LengthError`] for too many or too long texts.
    pub fn new(model: ModelId, texts: Vec<String>) -> Result<Self, LengthError> {
        let texts = texts
            .into_iter()
            .map(Passage::new)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            engine_version: VERSION,
            model,
            texts: BoundedVec::new(texts)?,
        })
    }

    /// The model that is asked.
    #[must_use]
    pub const fn model(&self) -> ModelId {
        self.model
    }

    /// The texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(Passage::as_str)
    }

    /// How many texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are no texts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// The vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingOutput {
    /// Tokens of all texts.
    pub tokens: u32,
    /// One vector for each text, in order: the bits of single-precision numbers.
    pub vectors: BoundedVec<BoundedVec<u32, WIDTH_MAX>, TEXTS_MAX>,
}
record!(EmbeddingOutput { tokens, vectors });

impl EmbeddingOutput {
    /// The vectors as numbers.
    pub fn numbers(&self) -> impl Iterator<Item = Vec<f32>> {
        self.vectors
            .iter()
            .map(|vector| vector.iter().map(|bits| f32::from_bits(*bits)).collect())
    }
}

pub(super) fn demand(spec: &EmbeddingSpec) -> Result<Demand, SpecError> {
    if spec.engine_version != VERSION {
        return Err(SpecError::Version {
            ours: VERSION,
            found: spec.engine_version,
        });
    }
    if spec.is_empty() {
        return Err(SpecError::Refused("there are no texts".to_owned()));
    }
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let tokens: u64 = spec
        .texts()
        .map(|text| {
            count(text.len())
                .saturating_add(MARKS)
                .min(TOKENS_PER_TEXT_MAX)
        })
        .sum();
    let texts = count(spec.len());
    let bytes_out = texts
        .saturating_mul(count(WIDTH_MAX * 4 + 8))
        .saturating_add(64)
        .min(count(BLOB_BYTES_MAX));
    Ok(Demand {
        units: UnitVector {
            input: Units(tokens),
            ..UnitVector::default()
        },
        bytes_in: ByteCount(count(spec.encode_size())),
        bytes_out_max: ByteCount(bytes_out),
        memory_max: ByteCount(MEMORY_BYTES),
        execution_max: Millis(TIME_BASE_MS.saturating_add(texts.saturating_mul(TIME_PER_TEXT_MS))),
    })
}
