//! What the two sides do.

use super::{
    AppealError,
    records::{Game, Play, Side},
    samples::Said,
    turns::{keep, narrow, over, start},
};
use crate::{
    bank,
    execution::Execution,
    fault::{Fault, present},
    market::{Phase, Slot, order, slot},
    params::money,
    referee::{Difference, Finding, Standing},
    state::State,
};
use fairweir_types::{
    Action, Address, BoundedVec, Digest, Millis,
    event::AppealOutcome,
    order::SlotId,
    tx::{Appeal, Defend, Exhibit, OpenNode},
};

fn slot_in(
    execution: &Execution<'_>,
    slot_id: SlotId,
    expected: Phase,
) -> Result<Slot, AppealError> {
    let Some(record) = slot(&execution.overlay, slot_id)? else {
        return Err(AppealError::NoSuchSlot);
    };
    if record.phase != expected {
        return Err(AppealError::WrongPhase {
            expected,
            found: record.phase,
        });
    }
    Ok(record)
}

/// A slot whose appeal is on, its game, and which side the sender plays.
fn game_in(
    execution: &Execution<'_>,
    slot_id: SlotId,
    sender: Address,
) -> Result<(Slot, Game, Side), AppealError> {
    let record = slot_in(execution, slot_id, Phase::Appealed)?;
    let appeals = present(record.appeals.as_ref(), "appeals of an appealed slot")?;
    let game = present(appeals.game.clone(), "game of an appealed slot")?;
    let side = game.side_of(sender).ok_or(AppealError::NotAPlayer)?;
    Ok((record, game, side))
}

/// Whether a transaction makes a move about which the referee is asked, in an appeal that its sender may make it in. Proposers keep room
/// for these: who cannot show in time loses.
///
/// # Errors
/// [`Fault::Record`].
pub fn may_ask(state: &dyn State, sender: Address, action: &Action) -> Result<bool, Fault> {
    let (slot_id, phase) = match action {
        Action::Appeal(appeal) => (appeal.slot_id, Phase::Appealable),
        Action::Defend(defend) => (defend.slot_id, Phase::Appealed),
        Action::Exhibit(exhibit) => (exhibit.slot_id, Phase::Appealed),
        _ => return Ok(false),
    };
    let Some(record) = slot(state, slot_id)?.filter(|record| record.phase == phase) else {
        return Ok(false);
    };
    if let Action::Appeal(appeal) = action {
        let trace = record.loser(sender);
        return Ok(trace.is_some_and(|trace| differ((&slot_id, &record), &trace, appeal.sample)));
    }
    let game = record.appeals.and_then(|appeals| appeals.game);
    let Some((game, side)) = game.and_then(|game| game.side_of(sender).map(|side| (game, side)))
    else {
        return Ok(false);
    };
    let is_begun = game.theirs.run.is_some();
    Ok(match action {
        Action::Defend(_) => side == Side::Defender && !is_begun,
        _ => is_begun,
    })
}

/// Whether a trace and the verdict's differ about a sample of a batch; other work has but one.
fn differ((slot_id, slot): (&SlotId, &Slot), trace: &Digest, sample: u8) -> bool {
    let judged = slot.appeals.as_ref().map(|appeals| appeals.judged);
    match (&slot.batch, judged) {
        (Some(batch), Some(judged)) => {
            Said::of((slot_id, batch), (trace, &judged), sample).is_some()
        }
        _ => sample == 0,
    }
}

/// What a side stands for, and shows for it.
struct Stand<'a> {
    /// Its trace.
    own: &'a Digest,
    /// That of the other side.
    other: &'a Digest,
    sample: u8,
    run: &'a Digest,
    shown: &'a [u8],
}

/// Whether a side's run is the one that its trace was made of. Returns the digest of the spec that the run is of.
fn bind(
    execution: &mut Execution<'_>,
    (slot_id, slot): (SlotId, &Slot),
    sender: Address,
    stand: &Stand<'_>,
) -> Result<Digest, AppealError> {
    execution.ask_referee(slot_id, sender)?;
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    if let Some(batch) = &slot.batch {
        let said = Said::of((&slot_id, batch), (stand.own, stand.other), stand.sample);
        let said = present(said, "sample of an appeal")?;
        return said.bind(execution, (&order, slot), (stand.run, stand.shown));
    }
    let receipt = present(slot.receipt.as_ref(), "receipt of a slot that was judged")?;
    let standing = Standing {
        kind: order.header.kind,
        spec: &order.header.spec_digest,
        demand: &order.header.demand,
        receipt: &receipt.receipt,
        trace: stand.own,
        run: stand.run,
    };
    let bound = execution.referee.bind(&standing, stand.shown);
    bound.map_err(AppealError::BadExhibit)?;
    Ok(order.header.spec_digest)
}

/// Whether two differ about a sample of a batch in a way that can be taken to the referee; other work has but one.
fn is_disputed(
    execution: &Execution<'_>,
    (slot_id, slot): (&SlotId, &Slot),
    traces: (&Digest, &Digest),
    sample: u8,
) -> bool {
    match &slot.batch {
        None => sample == 0,
        Some(batch) => Said::of((slot_id, batch), traces, sample)
            .is_some_and(|said| said.can_be_shown(execution.params.appeal_units_max)),
    }
}

/// Takes a verdict to the referee, with a run that is bound to the trace that the sender stands for.
pub(crate) fn appeal(
    execution: &mut Execution<'_>,
    sender: Address,
    appeal: &Appeal,
) -> Result<(), AppealError> {
    let (slot_id, run, sample) = (appeal.slot_id, appeal.run, appeal.sample);
    let mut record = slot_in(execution, slot_id, Phase::Appealable)?;
    let trace = record.loser(sender).ok_or(AppealError::NotALoser)?;
    let appeals = present(record.appeals.as_ref(), "appeals of an appealable slot")?;
    let judged = appeals.judged;
    if !is_disputed(execution, (&slot_id, &record), (&trace, &judged), sample) {
        return Err(AppealError::NotDisputed { sample });
    }
    let deposit = money(execution.params.appeal_deposit);
    let balance = bank::account(&execution.overlay, sender)?.balance;
    if balance < deposit {
        return Err(AppealError::CannotPayDeposit { balance, deposit });
    }
    let stand = Stand {
        own: &trace,
        other: &judged,
        sample,
        run: &run,
        shown: appeal.bound.as_slice(),
    };
    let spec = bind(execution, (slot_id, &record), sender, &stand)?;
    bank::debit(execution, sender, deposit)?;
    let game = Game {
        appellant: sender,
        trace,
        sample,
        spec,
        deposit,
        defenders: record.defenders(&judged),
        path: BoundedVec::default(),
        mine: Play {
            run: Some(run),
            ..Play::default()
        },
        theirs: Play::default(),
        until: Millis::ZERO,
    };
    record.phase = Phase::Appealed;
    start(execution, slot_id, record, game)?;
    Ok(())
}

/// Shows the run that the verdict stands on, bound to the verdict's trace: who copies the other side's run cannot bind it, unless the two agree
/// about all that is computed. Then, and where a side found that the order must be refused, the referee cannot decide.
pub(crate) fn defend(
    execution: &mut Execution<'_>,
    sender: Address,
    defend: &Defend,
) -> Result<(), AppealError> {
    let slot_id = defend.slot_id;
    let (record, mut game, side) = game_in(execution, slot_id, sender)?;
    if side == Side::Appellant {
        return Err(AppealError::NotAPlayer);
    }
    if game.theirs.run.is_some() {
        return Err(AppealError::NotYourMove);
    }
    let appeals = present(record.appeals.as_ref(), "appeals of an appealed slot")?;
    let judged = appeals.judged;
    let stand = Stand {
        own: &judged,
        other: &game.trace,
        sample: game.sample,
        run: &defend.run,
        shown: defend.bound.as_slice(),
    };
    bind(execution, (slot_id, &record), sender, &stand)?;
    game.until = execution.window_end(execution.params.appeal_game)?;
    game.theirs.run = Some(defend.run);
    game.theirs.node = defend.run;
    game.mine.node = game.mine.run.unwrap_or_default();
    let nodes = [game.mine.node, game.theirs.node];
    if game.mine.node == game.theirs.node || nodes.contains(&Digest::ZERO) {
        over(execution, slot_id, record, game, AppealOutcome::Undecided)?;
    } else {
        keep(execution, slot_id, record, game, true)?;
    }
    Ok(())
}

/// Opens the node of one side; when both are open, the game goes on under their leftmost difference.
pub(crate) fn open_node(
    execution: &mut Execution<'_>,
    sender: Address,
    open: &OpenNode,
) -> Result<(), AppealError> {
    let slot_id = open.slot_id;
    let (record, mut game, side) = game_in(execution, slot_id, sender)?;
    let is_begun = game.theirs.run.is_some();
    let depth = game.path.len();
    let play = game.play_of(side);
    if !is_begun || play.children.is_some() || play.node == Digest::ZERO {
        return Err(AppealError::NotYourMove);
    }
    let is_node = execution.referee.node(open.children.as_slice()) == play.node;
    if usize::from(open.depth) != depth || !is_node {
        return Err(AppealError::NotTheNode);
    }
    play.children = Some(open.children.clone());
    if !game.is_round_over() {
        keep(execution, slot_id, record, game, false)?;
        return Ok(());
    }
    narrow(&mut game).map_err(|_| AppealError::TooDeep)?;
    keep(execution, slot_id, record, game, true)?;
    Ok(())
}

/// Shows the referee what the cell follows from.
pub(crate) fn exhibit(
    execution: &mut Execution<'_>,
    sender: Address,
    exhibit: &Exhibit,
) -> Result<(), AppealError> {
    let slot_id = exhibit.slot_id;
    let (record, mut game, side) = game_in(execution, slot_id, sender)?;
    if game.theirs.run.is_none() {
        return Err(AppealError::NotYourMove);
    }
    execution.ask_referee(slot_id, sender)?;
    let order = present(order(&execution.overlay, slot_id.order)?, "order of a slot")?;
    let run = present(game.play_of(side).run, "run of a game that is on")?;
    let claims = [game.mine.node, game.theirs.node];
    let difference = Difference {
        kind: order.header.kind,
        spec: &game.spec,
        run: &run,
        path: game.path.as_slice(),
        claims: &claims,
    };
    let found = execution
        .referee
        .find(&difference, exhibit.shown.as_slice())
        .map_err(AppealError::BadExhibit)?;
    let outcome = match found {
        Finding::Undecided => AppealOutcome::Undecided,
        Finding::Is(cell) if cell == game.mine.node => AppealOutcome::DefenderWrong,
        // Where neither is right the appellant has shown nothing for its trace.
        Finding::Is(_) => AppealOutcome::AppellantWrong,
    };
    over(execution, slot_id, record, game, outcome)?;
    Ok(())
}
