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
use commonware_cryptography::certificate::Attestation;
use commonware_utils::sync::Mutex;
use fairweir_types::{
    Digest, Genesis, decode,
    double_vote::{CastVote, DoubleVote, VoteKind},
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

    /// Keeps evidence that the ledger would take.
    fn keep(&self, genesis: &Genesis, evidence: DoubleVote) {
        let mut found = self.found.lock();
        let mut validators = genesis.validators.iter();
        let validator = validators.find(|validator| validator.identity == evidence.validator);
        let Some(validator) = validator.filter(|known| !found.contains_key(&known.identity)) else {
            return;
        };
        if evidence.conflicts() && evidence.is_signed(&genesis.digest(), &validator.vote_key) {
            let (identity, view) = (Digest(evidence.validator), evidence.view);
            tracing::error!(validator = %identity, view, "a validator voted twice");
            found.insert(evidence.validator, evidence);
        }
    }
}

/// Hears what consensus tells of votes.
#[derive(Clone)]
pub(crate) struct Hears(pub(crate) Arc<Core>);

impl Reporter for Hears {
    type Activity = Activity<Scheme, BlockDigest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        let genesis = &self.0.config.genesis;
        if let Some(evidence) = evidence(genesis, &activity) {
            self.0.double_votes.keep(genesis, evidence);
        }
        Feedback::Ok
    }
}

/// The two votes of an activity that is a fault; none for other activities.
fn evidence(genesis: &Genesis, activity: &Activity<Scheme, BlockDigest>) -> Option<DoubleVote> {
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
    let validator = genesis.validators.as_slice().get(usize::from(signer))?;
    Some(in_round(round, validator.identity, first, second))
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
        signature: decode(&attestation.signature.encode()).ok()?,
    })
}
