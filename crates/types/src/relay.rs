//! A gateway's word for what it relayed (protocol rule 8): whoever holds it and the receipt can show that a gateway changed either.

use crate::{
    codec::record,
    digest::Digest,
    keys::{AccountKey, Purpose, SecretKey, Signature},
    order::SlotId,
    quantity::ChainId,
};
use commonware_codec::Encode;

/// What a gateway relayed: from its client to a worker, and back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The chain.
    pub chain_id: ChainId,
    /// The slot that the worker's receipt names.
    pub slot_id: SlotId,
    /// The digest of the receipt that came with the answer: a worker that signs another for the slot does not make the gateway look wrong.
    pub receipt: Digest,
    /// The blob digest of the request's body, byte for byte as the client sent it.
    pub request: Digest,
    /// The blob digest of the answer: its text as UTF-8, or the vectors' numbers as little-endian `f32`, one after the other.
    pub answer: Digest,
}
record!(Relay {
    chain_id,
    slot_id,
    receipt,
    request,
    answer
});

/// A relay with its gateway's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRelay {
    /// What was relayed.
    pub relay: Relay,
    /// The gateway's key.
    pub gateway: AccountKey,
    /// The signature over the encoded relay.
    pub signature: Signature,
}
record!(SignedRelay {
    relay,
    gateway,
    signature
});

impl SignedRelay {
    /// Signs what was relayed.
    #[must_use]
    pub fn sign(relay: Relay, key: &SecretKey) -> Self {
        let signature = key.sign(Purpose::Relay, &relay.encode());
        Self {
            relay,
            gateway: key.account_key(),
            signature,
        }
    }

    /// Whether the gateway that it names signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.gateway
            .verify(Purpose::Relay, &self.relay.encode(), &self.signature)
    }
}
