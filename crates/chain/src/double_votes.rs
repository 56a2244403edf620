//! Evidence of double votes, as consensus meets it.
//!
//! Consensus tells of two votes of a validator that exclude each other before it has checked their signatures, and then listens to that
//! peer no more. So both are checked here, and one pair of each validator is kept, for whoever wants to show it to the ledger.

use crate::{
    genesis::{BlockDigest, Scheme},
    replica::Core,
};
use commonware_actor::Feedback;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::{
    Reporter,
    simplex::types::{Activity, Attributable as _, Finalize, Notarize, Nullify, Proposal},
    types::Round,
};
use commonware_cryptography::certificate::{Attestation, Scheme as _};
use commonware_utils::sync::Mutex;
use fairweir_types::{
    Digest, Genesis,
    double_vote::{CastVote, DoubleVote, VoteKind},
    keys::VoteKey,
};
use std::{collections::BTreeMap, sync::Arc};

/// The evidence that a replica has.
#[derive(Debug, Default)]
pub(crate) struct DoubleVotes {
    found: Mutex<BTreeMap<[u8; 32], DoubleVote>>,
}

impl DoubleVotes {
    /// What was found, one pair of each validator that voted twice.
    pub(crate) fn all(&self) -> Vec<DoubleVote> {
        self.found.lock().values().cloned().collect()
    }

    /// Keeps evidence against the holder of a vote key that the ledger would take.
    fn keep(&self, genesis: &Genesis, key: &VoteKey, evidence: DoubleVote) {
        let mut found = self.found.lock();
        if !found.contains_key(&evidence.validator) && is_genuine_by(genesis, key, &evidence) {
            let (identity, view) = (Digest(evidence.validator), evidence.view);
            tracing::error!(validator = %identity, view, "a validator voted twice");
            found.insert(evidence.validator, evidence);
        }
    }
}

/// Whether the holder of a vote key cast these votes, and no honest one casts both.
pub(crate) fn is_genuine_by(genesis: &Genesis, key: &VoteKey, evidence: &DoubleVote) -> bool {
    evidence.conflicts() && evidence.is_signed(&genesis.digest(), key)
}

/// Hears what consensus tells of votes.
#[derive(Clone)]
pub(crate) struct Hears(pub(crate) Arc<Core>);

impl Reporter for Hears {
    type Activity = Activity<Scheme, BlockDigest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let core = &self.0;
        let scheme = |epoch| core.schemes.of(epoch);
        if let Some(evidence) = evidence(scheme, &activity)
            && let Some(key) = core.vote_key_of(&evidence.validator)
        {
            let genesis = &core.config.genesis;
            core.double_votes.keep(genesis, &key, evidence);
        }
        Feedback::Ok
    }
}

/// The two votes of an activity that is a fault; none for other activities, and where it is not known who votes in its epoch.
fn evidence(
    scheme: impl Fn(u64) -> Option<Arc<Scheme>>,
    activity: &Activity<Scheme, BlockDigest>,
) -> Option<DoubleVote> {
    type For<V> = (V, V);
    let (round, signer, first, second) = match activity {
        Activity::ConflictingNotarize(both) => {
            let (one, other) = For::<Notarize<_, _>>::decode(Copying(&both.encode())).ok()?;
            let first = cast(VoteKind::Notarize, Some(&one.proposal), &one.attestation)?;
            let second = cast(
                VoteKind::Notarize,
                Some(&other.proposal),
                &other.attestation,
            )?;
            (one.proposal.round, both.signer(), first, second)
        }
        Activity::ConflictingFinalize(both) => {
            let (one, other) = For::<Finalize<_, _>>::decode(Copying(&both.encode())).ok()?;
            let first = cast(VoteKind::Finalize, Some(&one.proposal), &one.attestation)?;
            let second = cast(
                VoteKind::Finalize,
                Some(&other.proposal),
                &other.attestation,
            )?;
            (one.proposal.round, both.signer(), first, second)
        }
        Activity::NullifyFinalize(both) => {
            let (one, other) =
                <(Nullify<_>, Finalize<_, _>)>::decode(Copying(&both.encode())).ok()?;
            let first = cast(VoteKind::Nullify, None, &one.attestation)?;
            let second = cast(
                VoteKind::Finalize,
                Some(&other.proposal),
                &other.attestation,
            )?;
            (one.round, both.signer(), first, second)
        }
        _ => return None,
    };
    let scheme = scheme(round.epoch().get())?;
    let identity = scheme.participants().get(usize::from(signer))?.encode();
    let identity = identity.as_ref().try_into().ok()?;
    Some(in_round(round, identity, first, second))
}

const fn in_round(
    round: Round,
    validator: [u8; 32],
    first: CastVote,
    second: CastVote,
) -> DoubleVote {
    DoubleVote {
        validator,
        epoch: round.epoch().get(),
        view: round.view().get(),
        first,
        second,
    }
}

fn cast(
    kind: VoteKind,
    proposal: Option<&Proposal<BlockDigest>>,
    attestation: &Attestation<Scheme>,
) -> Option<CastVote> {
    Some(CastVote {
        kind,
        parent_view: proposal.map_or(0, |proposal| proposal.parent.get()),
        block: proposal.map_or(Digest::ZERO, |proposal| Digest(proposal.payload.0)),
        signature: attestation.signature.encode().as_ref().try_into().ok()?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;
    use crate::genesis;
    use commonware_consensus::{
        simplex::types::{ConflictingFinalize, ConflictingNotarize, NullifyFinalize},
        types::{Epoch, View},
    };
    use fairweir_types::{BoundedVec, ChainId, Millis, SecretKey, Validator, keys::VoteSecretKey};

    fn alone() -> (Genesis, VoteSecretKey) {
        let identity = SecretKey::from_seed([1; 32]).unwrap();
        let vote_key = VoteSecretKey::from_seed([2; 32]).unwrap();
        let public = genesis::identity_of(&identity).encode();
        let validator = Validator {
            identity: public.as_ref().try_into().unwrap(),
            vote_key: vote_key.vote_key(),
            possession: vote_key.prove_possession(),
            payout: identity.address(),
        };
        let genesis = Genesis {
            chain_id: ChainId::new("dev-test").unwrap(),
            time: Millis(0),
            accounts: BoundedVec::default(),
            validators: BoundedVec::new(vec![validator]).unwrap(),
            params: BoundedVec::default(),
            services: BoundedVec::default(),
        };
        (genesis, vote_key)
    }

    #[test]
    fn votes_are_signed_as_the_library_signs_them() {
        let (genesis, key) = alone();
        let scheme = Arc::new(genesis::signer(&genesis, &key).unwrap());
        // Numbers of one and of two bytes.
        let round = Round::new(Epoch::new(3), View::new(300));
        let proposal =
            |block: u8| Proposal::new(round, View::new(299), BlockDigest::from([block; 32]));
        let (notarize, finalize) = (
            |block| Notarize::sign(scheme.as_ref(), proposal(block)).unwrap(),
            |block| Finalize::sign(scheme.as_ref(), proposal(block)).unwrap(),
        );
        let nullify = Nullify::sign::<BlockDigest>(scheme.as_ref(), round).unwrap();
        let activities = [
            Activity::ConflictingNotarize(ConflictingNotarize::new(notarize(1), notarize(2))),
            Activity::ConflictingFinalize(ConflictingFinalize::new(finalize(1), finalize(2))),
            Activity::NullifyFinalize(NullifyFinalize::new(nullify, finalize(1))),
        ];
        for activity in activities {
            let in_epoch = |epoch| (epoch == 3).then(|| Arc::clone(&scheme));
            let found = evidence(in_epoch, &activity).unwrap();
            let public = key.vote_key();
            assert!(is_genuine_by(&genesis, &public, &found), "{found:?}");
            assert!(evidence(|_| None, &activity).is_none());
            let digest = genesis.digest();
            for vote in [&found.first, &found.second] {
                let of = (vote.parent_view, vote.block);
                let ours = CastVote::cast((&digest, &key), (3, 300), vote.kind, of);
                assert_eq!(*vote, ours);
            }
            // In another view they are nobody's votes.
            let other = DoubleVote {
                view: 301,
                ..found.clone()
            };
            assert!(!is_genuine_by(&genesis, &public, &other));
        }
        let honest = Activity::Notarize(notarize(1));
        assert!(evidence(|_| Some(Arc::clone(&scheme)), &honest).is_none());
    }
}
