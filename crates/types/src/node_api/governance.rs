//! Questions about proposals and what is governed.

use crate::{
    amount::Amount,
    bounded::{BoundedText, BoundedVec},
    codec::record,
    digest::Digest,
    genesis::GenesisParam,
    governance::{Deposited, Message, Module, ProposalOutcome, ProposalPhase, Tally, Upgrade},
    invariant::Invariant,
    keys::Address,
    limits::{GENESIS_PARAMS_MAX, PROPOSAL_DEPOSITORS_MAX, RECORD_PAGE_MAX, TITLE_BYTES_MAX},
    outcome::TxCode,
    quantity::{Height, Millis, ProposalId},
};

/// Asks for a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskProposal {
    /// The proposal.
    pub proposal: ProposalId,
}
record!(AskProposal { proposal });

/// Asks for the proposals that a node knows, oldest first: all that are open, and the newest of those that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskProposals {
    /// Where the page begins.
    pub from: ProposalId,
}
record!(AskProposals { from });

/// Asks for what is governed: values in force, pauses, and what is bonded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskGovernance {}
record!(AskGovernance {});

/// A proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalReport {
    /// Its number.
    pub proposal: ProposalId,
    /// Who proposed it.
    pub proposer: Address,
    /// What it is about, in a line.
    pub title: BoundedText<TITLE_BYTES_MAX>,
    /// What it does when it passes.
    pub message: Message,
    /// Whether it takes the fast track with the higher threshold.
    pub expedited: bool,
    /// The block that it was submitted in.
    pub submitted: Height,
    /// Where it is.
    pub phase: ProposalPhase,
    /// The chain time at which that ends, if the blocks are there.
    pub due: Millis,
    /// Who paid how much of its deposit; nothing is left when it is over.
    pub deposits: BoundedVec<Deposited, PROPOSAL_DEPOSITORS_MAX>,
    /// The deposit that it needs to be voted on.
    pub needed: Amount,
    /// All stake that was bonded when its last voting began.
    pub bonded: Amount,
    /// The votes of its last voting.
    pub tally: Tally,
    /// What of the accused's stake must stay, bonded or on its way back.
    pub charged: Amount,
    /// The blob digest of the accused's answer.
    pub answer: Option<Digest>,
    /// The blob digest of the grounds of the accused's appeal.
    pub grounds: Option<Digest>,
    /// How it ended.
    pub ended: Option<ProposalEnd>,
}
record!(ProposalReport {
    proposal,
    proposer,
    title,
    message,
    expedited,
    submitted,
    phase,
    due,
    deposits,
    needed,
    bonded,
    tally,
    charged,
    answer,
    grounds,
    ended
});

/// How a proposal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalEnd {
    /// How.
    pub outcome: ProposalOutcome,
    /// Why it could not be done; 0 unless it failed.
    pub code: TxCode,
    /// In which block.
    pub height: Height,
}
record!(ProposalEnd {
    outcome,
    code,
    height
});

/// A page of proposals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProposalPage {
    /// The proposals, by number.
    pub proposals: BoundedVec<ProposalReport, RECORD_PAGE_MAX>,
}
record!(ProposalPage { proposals });

/// A module that takes no new actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PausedModule {
    /// The module.
    pub module: Module,
    /// The chain time until which.
    pub until: Millis,
}
record!(PausedModule { module, until });

/// What is governed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GovernanceReport {
    /// Chain time.
    pub now: Millis,
    /// All bonded stake.
    pub bonded: Amount,
    /// What the treasury has.
    pub treasury: Amount,
    /// Every governed value in force, by number.
    pub params: BoundedVec<GenesisParam, GENESIS_PARAMS_MAX>,
    /// Modules that take no new actions.
    pub paused: BoundedVec<PausedModule, 8>,
    /// Which rules are in force, and which are to come.
    pub rules: RulesReport,
}
record!(GovernanceReport {
    now,
    bonded,
    treasury,
    params,
    paused,
    rules
});

/// Which rules are in force, and which are to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RulesReport {
    /// The upgrade that was decided last and has not begun.
    pub planned: Option<Upgrade>,
    /// Whether the node's program can go on with it.
    pub knows: bool,
    /// The upgrade that began last, with the block in which it did.
    pub newest: Option<Upgrade>,
    /// How many have begun.
    pub begun: u16,
}
record!(RulesReport {
    planned,
    knows,
    newest,
    begun
});

/// Withdrawals are halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What did not hold.
    pub invariant: Invariant,
    /// The block that found it: the newest, if more than one did.
    pub halted: Height,
}
record!(Halt { invariant, halted });

/// What the ledger found of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Whether withdrawals are halted, and why.
    pub halt: Option<Halt>,
    /// An invariant that is known not to hold: also when a vote lifted the halt, and its cause is still there.
    pub broken: Option<Invariant>,
    /// How often the whole state was read.
    pub readings: u64,
    /// The block at which that was last done.
    pub ended: Height,
}
record!(AuditReport {
    halt,
    broken,
    readings,
    ended
});
