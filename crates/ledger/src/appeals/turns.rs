//! From one turn of a game to the next, and its end.

use super::{
    records::{Appeals, Game},
    samples,
};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, counted, present},
    market::{Phase, Slot, Timer, begin_window, keep_slot, order, store_slot},
    verification,
};
use fairweir_types::{
    Boxed, Digest, Event, LengthError, Millis,
    event::{AppealOutcome, AppealsOpen},
    limits::APPEAL_CHILDREN_MAX,
    order::SlotId,
};

/// Lets the verdict for a trace be appealed, if the kind has appeals, a referee knows its version, and anybody loses by it: then says until when.
pub(crate) fn begin(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: &Slot,
    judged: Digest,
) -> Result<Option<Millis>, Fault> {
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    let units_max = execution.params.appeal_units_max;
    // Of a batch each sample has a size of its own.
    let is_short = slot.batch.is_some() || samples::is_short(&order.header.demand, units_max);
    let header = &order.header;
    let is_heard = order.has_appeals && execution.referee.knows(header.kind, header.version);
    if !is_short || !is_heard {
        return Ok(None);
    }
    let mut slot = slot.clone();
    slot.appeals = Some(Appeals {
        judged,
        ..Appeals::default()
    });
    if !slot.may_be_appealed(&slot_id, units_max) {
        return Ok(None);
    }
    wait_for_appeals(execution, slot_id, slot).map(Some)
}

fn wait_for_appeals(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<Millis, Fault> {
    let window = (Phase::Appealable, execution.params.appeal_window);
    let time = begin_window(execution, slot_id, &mut slot, window)?;
    let appeals = present(slot.appeals.as_ref(), "appeals of an appealable slot")?;
    execution.emit(Event::AppealsOpen(AppealsOpen {
        slot_id,
        judged: appeals.judged,
        until: time,
    }));
    Ok(time)
}

/// A window closed: nobody appeals, or somebody did not move.
pub(crate) fn window_ended(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
) -> Result<(), Fault> {
    let appeals = present(slot.appeals.as_ref(), "appeals of a slot")?;
    match appeals.game.clone() {
        None => {
            let judged = appeals.judged;
            verification::conclude(execution, slot_id, slot, &judged, None)
        }
        Some(game) => {
            let outcome = game.silent();
            over(execution, slot_id, slot, game, outcome)
        }
    }
}

/// The chain time by which the next move is due: within its window, and before the game is over.
fn due(execution: &Execution<'_>, game: &Game) -> Result<Millis, Fault> {
    let window = execution.window_end(execution.params.appeal_move)?;
    Ok(window.min(game.until))
}

/// Begins a game, or begins it again with the next defender.
pub(super) fn start(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
    game: Game,
) -> Result<(), Fault> {
    let appeals = present(slot.appeals.as_ref(), "appeals of a slot")?;
    let judged = appeals.judged;
    // A run takes as long to write down as the work took.
    let due = execution.window_end(execution.params.appeal_window)?;
    let appealed = game.appealed(slot_id, judged, due)?;
    execution.emit(Event::Appealed(Boxed::new(appealed)));
    store(execution, slot_id, slot, game, due)
}

fn store(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    game: Game,
    due: Millis,
) -> Result<(), Fault> {
    let height = execution.window_height()?;
    let appeals = present(slot.appeals.as_mut(), "appeals of a slot")?;
    appeals.game = Some(game);
    store_slot(execution, slot_id, &mut slot, Timer { time: due, height });
    Ok(())
}

/// Writes a game down; after a round both sides are told and have a new window.
pub(super) fn keep(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    game: Game,
    is_round: bool,
) -> Result<(), Fault> {
    if is_round {
        let due = due(execution, &game)?;
        let narrowed = game.narrowed(slot_id, due)?;
        execution.emit(Event::AppealNarrowed(Boxed::new(narrowed)));
        return store(execution, slot_id, slot, game, due);
    }
    let appeals = present(slot.appeals.as_mut(), "appeals of a slot")?;
    appeals.game = Some(game);
    keep_slot(execution, slot_id, &slot);
    Ok(())
}

/// Goes on under the leftmost children that differ.
pub(super) fn narrow(game: &mut Game) -> Result<(), LengthError> {
    // Nodes that differ have children that do: their digests are made of them.
    let differs = |digit: &usize| game.mine.child(*digit) != game.theirs.child(*digit);
    let digit = (0..APPEAL_CHILDREN_MAX).find(differs).unwrap_or_default();
    game.path.push(u8::try_from(digit).unwrap_or_default())?;
    (game.mine.node, game.theirs.node) = (game.mine.child(digit), game.theirs.child(digit));
    (game.mine.children, game.theirs.children) = (None, None);
    Ok(())
}

/// Ends a game.
pub(super) fn over(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
    mut game: Game,
    outcome: AppealOutcome,
) -> Result<(), Fault> {
    let is_turned = outcome.is_for_appellant() && game.defenders.len() <= 1;
    let decided = game.decided(slot_id, outcome, is_turned)?;
    execution.emit(Event::AppealDecided(Boxed::new(decided)));
    if outcome.is_for_appellant() && !is_turned {
        let others = game.defenders.iter().skip(1).copied();
        game.defenders = fairweir_types::BoundedVec::truncating(others);
        game.restart();
        return start(execution, slot_id, slot, game);
    }
    let to = match outcome {
        AppealOutcome::AppellantWrong | AppealOutcome::AppellantSilent => game.defender()?,
        _ => game.appellant,
    };
    bank::credit(execution, to, game.deposit)?;
    let appeals = present(slot.appeals.as_mut(), "appeals of a slot")?;
    appeals.game = None;
    if is_turned {
        return verification::conclude(execution, slot_id, slot, &game.trace, Some(game.appellant));
    }
    let failed = appeals.failed.push(game.appellant);
    counted(failed.ok(), "appellants of a slot")?;
    let judged = appeals.judged;
    if slot.may_be_appealed(&slot_id, execution.params.appeal_units_max) {
        return wait_for_appeals(execution, slot_id, slot).map(drop);
    }
    verification::conclude(execution, slot_id, slot, &judged, None)
}
