//! Tells other validators of waiting transactions, and takes theirs.
//!
//! Each transaction is sent once, by the validator it was submitted to, together with what else waits to be sent at that moment. What a peer sends
//! is checked like any other transaction and never passed on, so no message causes more than one other.

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
use std::sync::Arc;

/// Bytes of one message at most: the longest transaction, or many short ones, and how many there are.
pub(crate) const GOSSIP_BYTES_MAX: usize = EXHIBIT_TX_BYTES_MAX + 8;
/// Bytes that one message is filled up to: enough that sending costs little for each, little enough that others do not wait.
const FILLED_BYTES: usize = 64 * 1_024;

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
    loop {
        select! {
            tx = local.recv() => {
                let Some(tx) = tx else { return };
                let others = std::iter::from_fn(|| local.try_recv().ok());
                let txs: Vec<Digest> = std::iter::once(tx).chain(others).collect();
                for together in together(core.still_waiting(&txs)) {
                    // Peers that are away miss it; this validator proposes it in its own turn.
                    drop(sender.send(Recipients::All, together.encode(), false));
                }
            },
            message = receiver.recv() => {
                let Ok((peer, bytes)) = message else { return };
                match decode::<Together>(bytes.as_ref()) {
                    Ok(txs) => {
                        core.config.simulated.work(&runtime, txs.len(), 0).await;
                        core.take(txs.into_vec(), &mut runtime);
                    }
                    Err(error) => tracing::debug!(%peer, %error, "a peer sent no transactions"),
                }
            },
        }
    }
}

/// Puts transactions into messages, in order, as many into each as fill it.
fn together(txs: Vec<SignedTx>) -> Vec<Together> {
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

// No transaction is as short as these bytes, so none is left out of its message.
const _: () = assert!(FILLED_BYTES / BLOCK_TXS_MAX < 64 + 32);
