//! Tells other validators of waiting transactions, and takes theirs.
//!
//! Each transaction is sent once, by the validator it was submitted to, together with what else waits to be sent at that moment. What a peer sends
//! is checked like any other transaction and not passed on, so no message causes more than one other. Only a node without a seat tells again of what waits with it, a
//! bounded part of it every two seconds: it has no turn of its own to propose what the others missed.

use crate::{genesis::Identity, replica::Core};
use commonware_codec::{Encode as _, EncodeSize as _};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use commonware_utils::channel::mpsc;
use fairweir_types::{
    BoundedVec, Digest, SignedTx, decode,
    limits::{BLOCK_TXS_MAX, EXHIBIT_TX_BYTES_MAX},
};
use rand_core::CryptoRng;
use std::{sync::Arc, time::Duration};

/// Bytes of one message at most: the longest transaction, or many short ones, and how many there are.
pub(crate) const GOSSIP_BYTES_MAX: usize = EXHIBIT_TX_BYTES_MAX + 8;
/// Bytes that one message is filled up to: enough that sending costs little for each, little enough that others do not wait.
const FILLED_BYTES: usize = 64 * 1_024;

/// How often a node without a seat tells again of what waits in its pool, and of how many transactions at most.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_MAX: usize = 256;

/// Transactions that travel together.
type Together = BoundedVec<SignedTx, BLOCK_TXS_MAX>;

/// Passes transactions between the pool and the other validators until the network goes away.
pub(crate) async fn run(
    mut runtime: impl Clock + CryptoRng,
    core: Arc<Core>,
    mut local: mpsc::Receiver<Digest>,
    mut sender: impl Sender<PublicKey = Identity>,
    mut receiver: impl Receiver<PublicKey = Identity>,
) {
    let mut again_at = runtime.current() + AGAIN;
    loop {
        let mut submitted = Vec::new();
        let mut again = Vec::new();
        select! {
            message = receiver.recv() => {
                let Ok((peer, bytes)) = message else { return };
                match read(bytes.as_ref()) {
                    Ok(txs) => {
                        core.config.simulated.work(&runtime, txs.len(), 0).await;
                        core.keep_from_peer(txs.into_vec(), &mut runtime);
                    }
                    Err(error) => tracing::debug!(%peer, %error, "a peer sent no transactions"),
                }
            },
            tx = local.recv() => {
                let Some(tx) = tx else { return };
                submitted.push(tx);
            },
            () = runtime.sleep_until(again_at) => {
                again_at = runtime.current() + AGAIN;
                // Who makes no blocks has no turn of its own to propose what its peers missed.
                if !core.votes_in(core.epochs.after(core.tip().height)) {
                    let mut bytes = 0_usize;
                    again = core.next_of_each(AGAIN_MAX, |_| false);
                    again.retain(|tx| {
                        bytes = bytes.saturating_add(tx.encode_size());
                        bytes <= GOSSIP_BYTES_MAX
                    });
                }
            },
        }
        // After each message: neither side waits for the other to end.
        submitted.extend(std::iter::from_fn(|| local.try_recv().ok()));
        for message in messages(again)
            .into_iter()
            .chain(messages(core.still_waiting(&submitted)))
        {
            // Peers that are away miss it; this validator proposes it in its own turn.
            drop(sender.send(Recipients::All, message.encode(), false));
        }
    }
}

/// Reads what a peer sent: more than one transaction only as far as a message is filled.
fn read(bytes: &[u8]) -> Result<Together, commonware_codec::Error> {
    // The number of transactions comes first.
    if bytes.len() > FILLED_BYTES + 8 && bytes.first() != Some(&1) {
        return Err(commonware_codec::Error::Invalid(
            "transactions",
            "more than one message holds",
        ));
    }
    decode(bytes)
}

/// Puts transactions into messages, in order, as many into each as fill it.
fn messages(txs: Vec<SignedTx>) -> Vec<Together> {
    let mut messages: Vec<Vec<SignedTx>> = Vec::new();
    let mut bytes = usize::MAX;
    for tx in txs {
        bytes = bytes.saturating_add(tx.encode_size());
        match messages.last_mut() {
            Some(last) if bytes <= FILLED_BYTES => last.push(tx),
            _ => {
                bytes = tx.encode_size();
                messages.push(vec![tx]);
            }
        }
    }
    messages.into_iter().map(BoundedVec::truncating).collect()
}

const _: () = assert!(
    GOSSIP_BYTES_MAX > FILLED_BYTES + 8,
    "a filled message may travel"
);
// No transaction is as short as these bytes, so none is left out of its message.
const _: () = assert!(FILLED_BYTES / BLOCK_TXS_MAX < 64 + 32);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;
    use crate::testing::transfers;

    #[test]
    fn transactions_travel_in_order_in_messages_that_are_read_again_and_no_longer_ones() {
        let txs = transfers(1_000);
        let sent = messages(txs.clone());
        assert!(sent.len() > 1);
        let mut received = Vec::new();
        for message in &sent {
            let bytes = message.encode();
            assert!(bytes.len() <= FILLED_BYTES + 8);
            received.extend(read(&bytes).unwrap().into_vec());
        }
        assert_eq!(received, txs);
        let whole: Together = BoundedVec::new(txs).unwrap();
        assert!(read(&whole.encode()).is_err());
        assert!(messages(Vec::new()).is_empty());
    }
}
