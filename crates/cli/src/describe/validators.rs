//! Events of validators and candidates in words.

use super::Names;
use fairweir_types::{Digest, Event};

/// An event of validators in words; none of others.
pub(super) fn event(names: &Names, event: &Event) -> Option<String> {
    let who = |address| names.show(address);
    Some(match event {
        Event::ValidatorTombstoned(event) => format!(
            "{} in view {}: {} of the stake of {} and {} of the stake behind it slashed, {} of it to {}",
            if event.voter == event.validator {
                format!("validator {} voted twice", Digest(event.voter))
            } else {
                format!(
                    "validator {} answers for its further node {}, which voted twice",
                    Digest(event.validator),
                    Digest(event.voter)
                )
            },
            event.view,
            event.amount,
            who(event.account),
            event.delegated,
            event.to_reporter,
            who(event.reporter)
        ),
        Event::CandidateRegistered(event) => format!(
            "{} stands for seats as validator {}, and keeps {} basis points of its fees",
            who(event.candidate),
            Digest(event.validator),
            event.commission
        ),
        Event::CandidateUpdated(event) => format!(
            "{} {} for seats, and keeps {} basis points of its fees from the next epoch on",
            who(event.candidate),
            if event.stands {
                "stands"
            } else {
                "stands no more"
            },
            event.commission
        ),
        Event::CandidateJailed(event) => format!(
            "{} had a seat in epoch {} and made no block in it: it is jailed until epoch {} is over",
            who(event.candidate),
            event.epoch,
            event.until
        ),
        Event::CandidateReleased(event) => format!(
            "proposal {} let {} out of jail: it may have a seat again",
            event.proposal,
            who(event.candidate)
        ),
        Event::NodeConfirmed(event) => format!(
            "{} confirmed that {} is a further node of it, which may have seats for its stake",
            who(event.lead),
            who(event.node)
        ),
        Event::StakeDelegated(event) => format!(
            "{} delegated {} coins to {}",
            who(event.delegator),
            event.amount,
            who(event.candidate)
        ),
        Event::StakeUndelegated(event) => format!(
            "{} takes {} shares back from {}",
            who(event.delegator),
            event.shares,
            who(event.candidate)
        ),
        Event::StakeReturned(event) => format!(
            "{} has {} coins back that were behind {}",
            who(event.delegator),
            event.amount,
            who(event.candidate)
        ),
        Event::Redelegated(event) => format!(
            "{} moved {} coins from {} to {}",
            who(event.delegator),
            event.amount,
            who(event.from),
            who(event.to)
        ),
        Event::RedelegationSlashed(event) => format!(
            "{} lost {} coins behind {} for a double vote of {}",
            who(event.delegator),
            event.burned,
            who(event.to),
            who(event.from)
        ),
        Event::RewardsClaimed(event) => format!(
            "{} was paid {} coins that {} earned for it",
            who(event.delegator),
            event.amount,
            who(event.candidate)
        ),
        Event::EpochBegan(event) => format!(
            "epoch {} began; {} validators have seats, {}",
            event.epoch,
            event.seats.len(),
            if event.by_stake {
                "by stake"
            } else {
                "as before"
            }
        ),
        _ => return None,
    })
}
