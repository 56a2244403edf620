//! Limits of the roles: what a hostile chain of events can make them remember and do.

use core::time::Duration;

/// Orders that a role remembers; of more the oldest is forgotten. Two blocks can post about as many.
pub(super) const ORDERS_MAX: usize = 16_384;
/// Receipts that a verifier remembers until their slots close.
pub(super) const RECEIPTS_MAX: usize = 16_384;
/// Slots that a role works on at a time. A worker's offer bounds them further by its capacity.
pub(super) const JOBS_MAX: usize = 1_024;
/// Batches that wait for a link of a verifier; of more the oldest is forgotten, which a later link answers for.
pub(super) const LINKS_WAITING_MAX: usize = 4_096;
/// Bytes of outputs that a worker keeps for delivery; of more the oldest is forgotten.
pub(super) const OUTPUTS_BYTES_MAX: usize = 128 * 1_024 * 1_024;
/// Slots of which a worker keeps the output.
pub(super) const OUTPUTS_MAX: usize = 4_096;
/// Transactions that a role has under way at the same time.
pub(super) const SUBMISSIONS_MAX: usize = 8;
/// Pages of events that are read before steps are started: reading up on the past first drops pointless steps.
pub(super) const PAGES_PER_TURN_MAX: usize = 4_096;
/// Times that a step, or a connection to the chain, is tried.
pub(crate) const TRIES_MAX: u32 = 8;
/// Time before the second try; it doubles with each further one.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Time between two tries at most.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(4);
/// Time that one transaction may take to be final. Windows of the ledger are 20 seconds by default.
pub(crate) const SUBMIT_WITHIN: Duration = Duration::from_secs(15);
/// Time that one attempt to follow events may take.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Times that an order of before is looked up; meanwhile no further event is read.
pub(super) const LOOK_UPS_MAX: u32 = 3;

/// The time before try number `tries` (from 1) is repeated.
pub(crate) fn pause(tries: u32) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(16));
    doubled.min(PAUSE_MAX)
}
