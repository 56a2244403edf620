//! What events of proposals do to the index.

use super::Place;
use crate::{
    explorer::{
        error::IndexError,
        records::{Proposal, ProposalVote, Tally, Weights},
        store::Writing,
    },
    json,
};
use fairweir_types::{Event, ProposalId, event, governance};

pub(super) async fn happened(
    writing: &mut Writing,
    place: Place,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::ProposalSubmitted(event) => submitted(writing, place, event).await,
        Event::DepositAdded(event) => {
            let deposit = event.deposit.to_string();
            change(writing, event.proposal, |row| row.deposit = deposit).await
        }
        Event::VotingStarted(event) => {
            let phase = if event.is_appeal {
                governance::ProposalPhase::AppealVoting
            } else {
                governance::ProposalPhase::Voting
            };
            change(writing, event.proposal, |row| {
                phase.name().clone_into(&mut row.state);
                row.bonded = Some(event.bonded.to_string());
                row.tally = None;
                row.until_ms = event.until.to_string();
            })
            .await
        }
        Event::Voted(event) => voted(writing, place, event).await,
        Event::ProposalPassed(event) => {
            change(writing, event.proposal, |row| {
                event.phase.name().clone_into(&mut row.state);
                row.tally = Some(tally(&event.tally));
                row.until_ms = event.until.to_string();
            })
            .await
        }
        Event::MotionAnswered(event) => {
            let answer = event.answer.to_string();
            change(writing, event.proposal, |row| row.answer = Some(answer)).await
        }
        Event::MotionAppealed(event) => {
            let grounds = event.grounds.to_string();
            change(writing, event.proposal, |row| row.grounds = Some(grounds)).await
        }
        Event::ProposalEnded(event) => {
            change(writing, event.proposal, |row| {
                governance::ProposalPhase::Ended
                    .name()
                    .clone_into(&mut row.state);
                row.tally = Some(tally(&event.tally));
                row.outcome = Some(event.outcome.name().to_owned());
                row.code = Some(event.code.0);
                row.returned = Some(event.returned.to_string());
                row.forfeited = Some(event.forfeited.to_string());
                row.ended_height = Some(place.height);
            })
            .await
        }
        // What a proposal did stands in its message and its outcome.
        _ => Ok(()),
    }
}

fn tally(tally: &governance::Tally) -> Tally {
    Tally {
        yes: tally.yes.to_string(),
        no: tally.no.to_string(),
        abstain: tally.abstain.to_string(),
        veto: tally.veto.to_string(),
    }
}

async fn change(
    writing: &mut Writing,
    proposal: ProposalId,
    change: impl FnOnce(&mut Proposal),
) -> Result<(), IndexError> {
    writing
        .change::<Proposal>("proposal_id", &proposal.to_string(), |row| {
            change(row);
            Ok(())
        })
        .await
}

async fn submitted(
    writing: &mut Writing,
    place: Place,
    event: &event::ProposalSubmitted,
) -> Result<(), IndexError> {
    let row = Proposal {
        proposal: event.proposal.get(),
        height: place.height,
        time_ms: place.time_ms,
        state: governance::ProposalPhase::Deposit.name().to_owned(),
        proposer: event.proposer.to_string(),
        title: event.title.as_str().to_owned(),
        does: json::message(&event.message),
        expedited: event.expedited,
        deposit: event.deposit.to_string(),
        deposit_needed: event.needed.to_string(),
        bonded: None,
        tally: None,
        until_ms: event.due.to_string(),
        answer: None,
        grounds: None,
        outcome: None,
        code: None,
        returned: None,
        forfeited: None,
        ended_height: None,
    };
    writing.insert(place.seq(0)?, &row).await
}

async fn voted(
    writing: &mut Writing,
    place: Place,
    event: &event::Voted,
) -> Result<(), IndexError> {
    let weights = &event.weights;
    let row = ProposalVote {
        proposal: event.proposal.get(),
        height: place.height,
        time_ms: place.time_ms,
        voter: event.voter.to_string(),
        weights: Weights {
            yes: weights.yes,
            no: weights.no,
            abstain: weights.abstain,
            veto: weights.veto,
        },
        power: event.power.to_string(),
    };
    writing.insert(place.seq(0)?, &row).await
}
