//! Validators that do not keep the rules, for tests and for promises that show what becomes of them.

pub mod rehearsal;

use crate::{
    config::ChainConfig,
    genesis::{self, BlockDigest, Scheme},
    transport::{Network, Transport},
};
use commonware_codec::{DecodeExt as _, Encode as _, varint::UInt};
use commonware_consensus::simplex::types::{Notarize, Proposal, Vote};
use commonware_p2p::{Receiver as _, Recipients, Sender as _, utils::mux};
use fairweir_types::{
    Block, Digest, Genesis, SignedTx, digest::Domain, genesis::GenesisError, keys::VoteSecretKey,
};
use std::fmt;

/// What a validator does against the rules when it proposes; in all else it keeps them.
pub trait Dishonest: fmt::Debug + Send + Sync {
    /// Whether a transaction that waits stays out of its blocks.
    fn leaves_out(&self, _: &SignedTx) -> bool {
        false
    }

    /// Changes a block that it built, before anybody sees it.
    fn twist(&self, _: &mut Block) {}
}

impl ChainConfig {
    /// Whether a transaction that waits stays out of this node's blocks.
    pub(crate) fn leaves_out(&self, tx: &SignedTx) -> bool {
        let dishonest = self.dishonest.as_ref();
        dishonest.is_some_and(|dishonest| dishonest.leaves_out(tx))
    }

    /// Changes a block that this node built.
    pub(crate) fn twist(&self, block: &mut Block) {
        if let Some(dishonest) = &self.dishonest {
            dishonest.twist(block);
        }
    }
}

/// So many transfers of one account to itself, in their order.
#[cfg(test)]
pub(crate) fn transfers(count: u64) -> Vec<fairweir_types::SignedTx> {
    use fairweir_types::{
        Action, Amount, ChainId, Height, Nonce, SecretKey, Transaction, tx::Transfer,
    };
    let key = SecretKey::from_seed([7; 32]).expect("a seed of 32 bytes is a key");
    let tx = |nonce| Transaction {
        chain_id: ChainId::new("dev-transfers").expect("a chain's name"),
        sender: key.account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(1_000).expect("a fee"),
        expiry: Height(50),
        action: Action::Transfer(Transfer {
            to: key.address(),
            amount: Amount::from_base_units(1).expect("an amount"),
        }),
    };
    (0..count).map(|nonce| tx(nonce).sign(&key)).collect()
}

/// Votes for every block that another validator votes for, and in the same view for a block that does not exist; until the network is gone. It
/// does nothing else that a validator does.
///
/// # Errors
/// [`GenesisError`] if the genesis is refused.
pub async fn vote_twice<N: Network>(
    genesis: &Genesis,
    vote_key: &VoteSecretKey,
    transport: Transport<N>,
) -> Result<(), GenesisError> {
    let scheme = genesis::signer(genesis, vote_key)?;
    let (mut sender, mut receiver) = transport.votes;
    while let Ok((_, message)) = receiver.recv().await {
        // Votes carry their epoch in front; in each of them this validator has its seat of the genesis.
        let Ok((epoch, message)) = mux::parse(message) else {
            continue;
        };
        let Ok(Vote::Notarize(seen)) = Vote::<Scheme, BlockDigest>::decode(message) else {
            continue;
        };
        let real = seen.proposal;
        let nothing = Digest::of(Domain::Draw, &[b"no such block", &real.payload]);
        let other = Proposal::new(real.round, real.parent, BlockDigest::from(nothing.0));
        for proposal in [real, other] {
            if let Some(vote) = Notarize::sign(&scheme, proposal) {
                let vote: Vote<Scheme, BlockDigest> = Vote::Notarize(vote);
                let message = [UInt(epoch).encode(), vote.encode()].concat();
                sender.send(Recipients::All, message, true);
            }
        }
    }
    Ok(())
}
