//! Transactions that come at the same moment are checked together: a signature among many costs less than half of a lone one.

use crate::{error::SubmitError, replica::Core};
use commonware_codec::EncodeSize as _;
use commonware_utils::channel::{mpsc, oneshot};
use fairweir_types::{Digest, SignedTx};
use rand_core::CryptoRng;
use std::sync::Arc;

/// Submissions that may wait; senders wait for room.
pub(crate) const SUBMISSIONS_MAX: usize = 1_024;
/// Those that are checked together at most: a few milliseconds of work, and twice that if one is bad and each must be checked alone.
const TOGETHER_MAX: usize = 128;
/// Bytes after which no more are added to those.
const TOGETHER_BYTES: usize = 1 << 20;

/// A transaction, and who wants to know whether it is kept.
pub(crate) struct Submission {
    pub(crate) tx: SignedTx,
    pub(crate) answer: oneshot::Sender<Result<Digest, SubmitError>>,
}

/// Checks and keeps what is submitted, as long as the chain runs.
pub(crate) async fn run(
    mut rng: impl CryptoRng,
    core: Arc<Core>,
    mut queue: mpsc::Receiver<Submission>,
) {
    while let Some(first) = queue.recv().await {
        let mut bytes = first.tx.encode_size();
        let mut together = vec![first];
        while together.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES {
            let Ok(next) = queue.try_recv() else { break };
            bytes = bytes.saturating_add(next.tx.encode_size());
            together.push(next);
        }
        let (txs, answers): (Vec<_>, Vec<_>) = together
            .into_iter()
            .map(|submission| (submission.tx, submission.answer))
            .unzip();
        let kept = core.submit_together(txs, &mut rng);
        for (answer, kept) in answers.into_iter().zip(kept) {
            // Who asked may be gone; the transaction waits all the same.
            let _ = answer.send(kept);
        }
    }
}
