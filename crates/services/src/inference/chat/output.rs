use super::{CONTEXT_MAX, order::TOP_LOGPROBS_MAX};
use crate::{
    Passage,
    codec::{record, tag},
};
use fairweir_types::{BoundedBytes, BoundedVec, Digest, limits::BLOB_BYTES_MAX};

/// Bytes of one token's text that are told with its probability.
pub(super) const TOKEN_BYTES_MAX: usize = 1_024;

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop text came.
    Stop,
    /// It has as many tokens as were asked for.
    Length,
    /// The buyer wanted no more.
    Stopped,
}
tag!(Finish { 1 => Stop, 2 => Length, 3 => Stopped });

/// A token and the logarithm of its probability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likelihood {
    /// The token.
    pub token: u32,
    /// Its bytes.
    pub bytes: BoundedBytes<TOKEN_BYTES_MAX>,
    /// The natural logarithm of its probability, as the bits of a single-precision number.
    pub logprob_bits: u32,
}
record!(Likelihood {
    token,
    bytes,
    logprob_bits
});

impl Likelihood {
    /// The natural logarithm of the probability.
    #[must_use]
    pub const fn logprob(&self) -> f32 {
        f32::from_bits(self.logprob_bits)
    }
}

/// A token of the answer (or of the prompt), with the likeliest ones in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLikelihood {
    /// The token that is there; of the prompt's first token nothing is known, its logarithm is 0.
    pub token: Likelihood,
    /// The likeliest tokens, likeliest first, as many as were asked for.
    pub top: BoundedVec<Likelihood, { TOP_LOGPROBS_MAX as usize }>,
}
record!(TokenLikelihood { token, top });

/// A part of an answer on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatChunk {
    /// Tokens made since the last part.
    pub tokens: BoundedVec<u32, CONTEXT_MAX>,
    /// More text. A token's text may come with a later one's, when it is part of a character or may begin a stop text.
    pub text: Passage<BLOB_BYTES_MAX>,
    /// What was asked about the tokens.
    pub likelihoods: BoundedVec<TokenLikelihood, CONTEXT_MAX>,
}
record!(ChatChunk {
    tokens,
    text,
    likelihoods
});

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatOutput {
    /// Tokens of the prompt, after template and tokeniser.
    pub prompt_tokens: u32,
    /// The tokens made, without the one that ended it.
    pub tokens: BoundedVec<u32, CONTEXT_MAX>,
    /// Their text, up to a stop text.
    pub text: Passage<BLOB_BYTES_MAX>,
    /// Why it ended.
    pub finish: Finish,
    /// The chain of hashes over every token and the logits that it was chosen from: what only the whole computation gives.
    pub computation: Digest,
    /// What was asked about the tokens.
    pub likelihoods: BoundedVec<TokenLikelihood, CONTEXT_MAX>,
    /// What was asked about the tokens of the prompt.
    pub prompt_likelihoods: BoundedVec<TokenLikelihood, CONTEXT_MAX>,
}
record!(ChatOutput {
    prompt_tokens,
    tokens,
    text,
    finish,
    computation,
    likelihoods,
    prompt_likelihoods
});
