//! Tells other validators of waiting transactions, and takes theirs.
//!
//! Each transaction is sent once, by the validator it was submitted to. What a peer sends is checked like any other
//! transaction and never passed on, so no message causes more than one other.

use crate::{genesis::Identity, replica::Core};
use commonware_codec::Encode as _;
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::IoBuf;
use commonware_utils::channel::mpsc;
use fairweir_types::SignedTx;
use std::sync::Arc;

/// Passes transactions between the pool and the other validators until the network goes away.
pub(crate) async fn run(
    core: Arc<Core>,
    mut local: mpsc::Receiver<SignedTx>,
    mut sender: impl Sender<PublicKey = Identity>,
    mut receiver: impl Receiver<PublicKey = Identity>,
) {
    loop {
        select! {
            tx = local.recv() => {
                let Some(tx) = tx else { return };
                // Peers that are away miss it; this validator proposes it in its own turn.
                drop(sender.send(Recipients::All, tx.encode(), false));
            },
            message = receiver.recv() => {
                let Ok((peer, bytes)) = message else { return };
                take(&core, &peer, &bytes);
            },
        }
    }
}

fn take(core: &Core, peer: &Identity, bytes: &IoBuf) {
    let tx = match SignedTx::decode_bounded(bytes.as_ref()) {
        Ok(tx) => tx,
        Err(error) => return tracing::debug!(%peer, %error, "a peer sent no transaction"),
    };
    if let Err(error) = core.insert(tx) {
        tracing::debug!(%peer, code = error.code(), "a peer's transaction is not kept");
    }
}
