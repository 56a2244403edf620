//! Governance: whoever has stake bonded decides on proposals.
//!
//! A proposal carries one message and a deposit. When the deposit is whole a voting begins; each account's vote weighs the stake that it had
//! bonded at that moment, whatever it bonds, unbonds or loses later. At the end a proposal needs the quorum, must not be vetoed, and must
//! have more than the threshold of those who took a side; it must hold that for a confirming time too, in which votes still count. What
//! passed waits for the lock of its message, and is then done once, or not at all.
//!
//! - Every tally is exact: stake times basis points, added up in 128 bits. No vote is ever rounded.
//! - An expedited proposal has a shorter voting, no confirming time, and the higher threshold; its lock is as long. A pause is always one.
//! - A penalty motion names an account and evidence. Its share of the account's stake must stay from the voting on until the motion is over. The accused
//!   may answer at any time, and appeal once it has passed; then it is voted on again and needs the higher threshold. A vetoed motion's deposit is
//!   the accused's.
//! - A pause refuses new actions of one module until its time is over. Nothing that is open ever waits for it, and no vote either.
//! - A resumption names the halt of withdrawals that it lifts (`audit`); it is always expedited, and has no lock.
//! - A release names a jail by its candidate and its end (`candidates`), and has no lock.
//! - An entry of the catalogue of services (`catalogue`) names a block from which on it holds.
//! - An upgrade names a block and a plan; what happens at that block is in `upgrades`. It takes the place of one that was decided before and has not begun. A plan that has
//!   begun is refused.
//!
//! - A candidate's vote weighs what is delegated to it besides, but for what delegators vote with themselves: theirs goes over its.
//!
//! It deliberately knows no message that writes state freely.

mod add_deposit;
mod answer_motion;
mod appeal_motion;
mod check;
mod end_block;
mod error;
mod execute;
mod invariants;
mod lent;
mod pauses;
mod power;
mod records;
mod report;
mod submit_proposal;
mod tally;
mod vote;

pub(crate) use add_deposit::add_deposit;
pub(crate) use answer_motion::answer_motion;
pub(crate) use appeal_motion::appeal_motion;
pub(crate) use end_block::end_block;
pub use error::GovernanceError;
pub(crate) use invariants::check as check_invariants;
pub(crate) use pauses::{Pauses, check_paused};
pub use power::{Notes, power_in};
pub(crate) use power::{note_change, prune, stake_changes};
pub use records::{Governance, Proposal, VoteRecord, Voting, governance, proposal};
pub use report::{proposal_report, proposals, report};
pub(crate) use submit_proposal::submit_proposal;
pub use tally::{Decision, decide};
pub(crate) use vote::vote;
