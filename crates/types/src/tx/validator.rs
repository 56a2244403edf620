//! Actions about validators.

use crate::{
    amount::Amount,
    codec::{decode, record},
    digest::Digest,
    double_vote::DoubleVote,
    keys::{
        AccountKey, Address, Purpose, SecretKey, Signature, VOTE_KEY_BYTES, VOTE_SIGNATURE_BYTES,
        VoteKey, VoteSecretKey,
    },
    peer_address::PeerAddress,
    quantity::Bps,
};
use commonware_codec::Encode as _;
use std::net::SocketAddr;

/// Shows that a validator voted twice; anybody may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportDoubleVote {
    /// The two votes.
    pub evidence: DoubleVote,
}
record!(ReportDoubleVote { evidence });

/// What both keys of a candidate sign: whom they belong to, on which chain. So nobody registers another's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidacy {
    genesis: Digest,
    account: Address,
    identity: [u8; 32],
    vote_key: [u8; VOTE_KEY_BYTES],
}
record!(Candidacy {
    genesis,
    account,
    identity,
    vote_key
});

/// Makes the sender a candidate for seats, with a first stake of its own.
///
/// Keys and signatures are as they came: they become points of a curve only when they are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterCandidate {
    /// Its ed25519 identity on the peer network.
    pub identity: [u8; 32],
    /// Its vote key (BLS12-381).
    pub vote_key: [u8; VOTE_KEY_BYTES],
    /// The identity's signature over genesis, account, identity and vote key.
    pub consent: [u8; 64],
    /// The vote key's signature over the same.
    pub possession: [u8; VOTE_SIGNATURE_BYTES],
    /// What it keeps of the fees of its blocks; the rest is its delegations'.
    pub commission: Bps,
    /// What it puts behind itself.
    pub amount: Amount,
    /// Where its node is reached by those of other validators.
    pub peer: PeerAddress,
    /// The candidate of which it is a further node, if it is one: it takes seats for the stake behind that one, once that one confirmed it.
    pub lead: Option<Address>,
}
record!(RegisterCandidate {
    identity,
    vote_key,
    consent,
    possession,
    commission,
    amount,
    peer,
    lead
});

impl RegisterCandidate {
    /// Signs a candidacy of an account on the chain of a genesis with both keys.
    #[must_use]
    pub fn sign(
        (genesis, account): (Digest, Address),
        (identity, vote): (&SecretKey, &VoteSecretKey),
        (commission, amount, peer): (Bps, Amount, SocketAddr),
    ) -> Self {
        let mut public = [0; 32];
        let AccountKey::Ed25519(key) = identity.account_key();
        public.copy_from_slice(key.as_ref());
        let candidacy = Candidacy {
            genesis,
            account,
            identity: public,
            vote_key: vote.vote_key().to_bytes(),
        };
        let signed = candidacy.encode();
        let Signature::Ed25519(signature) = identity.sign(Purpose::Candidacy, &signed);
        let mut consent = [0; 64];
        consent.copy_from_slice(signature.as_ref());
        Self {
            identity: public,
            vote_key: candidacy.vote_key,
            consent,
            possession: vote.sign(Purpose::Candidacy, &signed).to_bytes(),
            commission,
            amount,
            peer: peer.into(),
            lead: None,
        }
    }

    /// The same as a further node of a candidate.
    #[must_use]
    pub const fn of(mut self, lead: Address) -> Self {
        self.lead = Some(lead);
        self
    }

    /// The vote key, if both keys are keys and signed that they belong to an account on the chain of a genesis. It takes a pairing, some
    /// milliseconds.
    #[must_use]
    pub fn proven(&self, genesis: Digest, account: Address) -> Option<VoteKey> {
        let candidacy = Candidacy {
            genesis,
            account,
            identity: self.identity,
            vote_key: self.vote_key,
        };
        let signed = candidacy.encode();
        let identity = AccountKey::Ed25519(decode(&self.identity).ok()?);
        let consent = Signature::Ed25519(decode(&self.consent).ok()?);
        if !identity.verify(Purpose::Candidacy, &signed, &consent) {
            return None;
        }
        let key: VoteKey = decode(&self.vote_key).ok()?;
        let possession = decode(&self.possession).ok()?;
        key.verify(Purpose::Candidacy, &signed, &possession)
            .then_some(key)
    }
}

/// Changes what a candidate asks, where it is, or whether it stands for a seat; sent by its account. Whoever stands says so in every epoch, or has no seat
/// in the next: nodes that are gone do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateCandidate {
    /// What it keeps of the fees of its blocks from the next epoch on.
    pub commission: Bps,
    /// Whether it stands for a seat.
    pub stands: bool,
    /// Where its node is reached by those of other validators.
    pub peer: PeerAddress,
}
record!(UpdateCandidate {
    commission,
    stands,
    peer
});

/// Confirms that a candidate is a further node of the sender, for good: the stake behind the sender gives it seats, and answers for its votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmNode {
    /// The further node's account.
    pub node: Address,
}
record!(ConfirmNode { node });

/// Puts balance behind a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegateStake {
    /// The candidate's account.
    pub candidate: Address,
    /// How much; more than zero.
    pub amount: Amount,
}
record!(DelegateStake { candidate, amount });

/// Starts taking stake back from behind a candidate; it can be slashed until the unbonding delay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UndelegateStake {
    /// The candidate's account.
    pub candidate: Address,
    /// How many shares: coins as they were delegated; each is worth less after a slash.
    pub shares: Amount,
}
record!(UndelegateStake { candidate, shares });

/// Moves stake from behind one candidate behind another at once; it answers for the first until the unbonding delay is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedelegateStake {
    /// The account of the candidate that it leaves.
    pub from: Address,
    /// The account of the other.
    pub to: Address,
    /// How much; more than zero.
    pub amount: Amount,
}
record!(RedelegateStake { from, to, amount });

/// Pays out what a delegation has earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRewards {
    /// The candidate's account.
    pub candidate: Address,
}
record!(ClaimRewards { candidate });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_registered_by_whom_they_belong_to() {
        let identity = SecretKey::from_seed([1; 32]).unwrap();
        let vote = VoteSecretKey::from_seed([2; 32]).unwrap();
        let (genesis, account) = (Digest::of_blob(b"genesis"), Address([3; 20]));
        let peer = SocketAddr::from(([127, 0, 0, 1], 9_000));
        let signed = RegisterCandidate::sign(
            (genesis, account),
            (&identity, &vote),
            (Bps::ZERO, Amount::ZERO, peer),
        );
        assert_eq!(signed.proven(genesis, account), Some(vote.vote_key()));
        // Copied by another account, or from another chain.
        assert_eq!(signed.proven(genesis, Address([4; 20])), None);
        assert_eq!(signed.proven(Digest::ZERO, account), None);
        // Somebody else's identity or vote key, with one's own for the other.
        let other = RegisterCandidate::sign(
            (genesis, account),
            (
                &SecretKey::from_seed([5; 32]).unwrap(),
                &VoteSecretKey::from_seed([6; 32]).unwrap(),
            ),
            (Bps::ZERO, Amount::ZERO, peer),
        );
        for mixed in [
            RegisterCandidate {
                identity: other.identity,
                ..signed.clone()
            },
            RegisterCandidate {
                vote_key: other.vote_key,
                ..signed.clone()
            },
            RegisterCandidate {
                consent: other.consent,
                ..signed.clone()
            },
            RegisterCandidate {
                possession: other.possession,
                ..signed.clone()
            },
            RegisterCandidate {
                vote_key: [0; VOTE_KEY_BYTES],
                ..signed.clone()
            },
        ] {
            assert_eq!(mixed.proven(genesis, account), None);
        }
    }
}
