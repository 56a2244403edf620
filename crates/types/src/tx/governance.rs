//! Actions about proposals.

use crate::{
    amount::Amount,
    bounded::BoundedText,
    codec::record,
    digest::Digest,
    governance::{Message, Weights},
    limits::TITLE_BYTES_MAX,
    quantity::ProposalId,
};

/// Proposes something, and pays at least a first part of its deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitProposal {
    /// What it is about, in a line.
    pub title: BoundedText<TITLE_BYTES_MAX>,
    /// What it does when it passes.
    pub message: Message,
    /// Whether it takes the fast track with the higher threshold. A pause always does.
    pub expedited: bool,
    /// What the sender pays of the deposit; what is more than needed is not taken.
    pub deposit: Amount,
}
record!(SubmitProposal {
    title,
    message,
    expedited,
    deposit
});

/// Pays a part of the deposit of a proposal that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddDeposit {
    /// The proposal.
    pub proposal: ProposalId,
    /// How much; what is more than needed is not taken.
    pub amount: Amount,
}
record!(AddDeposit { proposal, amount });

/// Votes with the stake that the sender had bonded when the voting began; a second vote replaces the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The proposal.
    pub proposal: ProposalId,
    /// How; 10,000 basis points together.
    pub weights: Weights,
}
record!(Vote { proposal, weights });

/// Answers a penalty motion; sent by the accused. A second answer replaces the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMotion {
    /// The proposal.
    pub proposal: ProposalId,
    /// The blob digest of the answer.
    pub answer: Digest,
}
record!(AnswerMotion { proposal, answer });

/// Appeals a penalty that has passed; sent by the accused, once. It is voted on again, and needs the higher threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppealMotion {
    /// The proposal.
    pub proposal: ProposalId,
    /// The blob digest of the grounds.
    pub grounds: Digest,
}
record!(AppealMotion { proposal, grounds });
