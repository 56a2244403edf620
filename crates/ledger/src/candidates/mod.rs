//! Candidates: accounts that stand for seats, and the stake behind them.
//!
//! Stake behind a candidate lies in one pot, and belongs to delegations by shares; what is on its way back stays in the pot until it is paid out.
//! So one number changes when a candidate is slashed, and it reaches all who were behind it, without a walk over them. A candidate is
//! slashed once, for a double vote, and nobody delegates to it any more: so a share is a coin as long as shares are made.
//!
//! On proposals a candidate votes with what is behind it, unless its delegators vote themselves (`governance`).
//!
//! A candidate may have further nodes, whose seats its stake gives (`operator`).
//!
//! Fees of a candidate's blocks go to its delegations by an index per share. At the end of an epoch the seats of the next are given by stake, to
//! candidates that said in this one that they are there; who has a seat makes blocks, and who made none in a whole epoch is jailed: it has no seat for a while. What a third of the seats costs is kept with them (`secured`).

mod claim_rewards;
mod delegate_stake;
mod delegation;
mod end_block;
mod epochs;
mod error;
mod invariants;
mod jail;
mod operator;
mod pot;
mod redelegate_stake;
mod register_candidate;
mod report;
mod slash;
mod standing;
mod third;
mod undelegate_stake;
mod update_candidate;

pub(crate) use claim_rewards::claim_rewards;
pub(crate) use delegate_stake::delegate_stake;
pub use delegation::{Delegation, delegation};
pub(crate) use end_block::{Entry, end_block};
pub use epochs::{Epoch, epoch, seats};
pub(crate) use epochs::{Seats, third_of_seats};
pub use error::CandidateError;
pub(crate) use invariants::check as check_invariants;
pub use jail::{Jail, would_be_jailed};
pub(crate) use jail::{check_release, release};
pub use operator::{Lead, may_have_seats};
pub(crate) use operator::{confirm_node, lead_of};
pub use pot::{Candidate, candidate};
pub(crate) use redelegate_stake::redelegate_stake;
pub(crate) use register_candidate::register_candidate;
pub use report::{delegations, peer_of, peers, report};
pub(crate) use slash::{Taken, slash};
pub use third::cost_of_a_third;
pub(crate) use undelegate_stake::undelegate_stake;
pub(crate) use update_candidate::update_candidate;

pub(crate) use delegation::delegated_in;
pub(crate) use pot::{backing_in, reward};
