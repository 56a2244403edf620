//! The link of a verifier's hash chain: from it and the beacon a batch's samples are drawn (protocol rule 1).
//!
//! The beacon of a block is known to its proposer before everybody else; a link is known to its verifier alone until it reveals it, and which one it reveals
//! is fixed before. So before the block is made nobody foresees the samples who has not both for friends. A verifier that withholds its link, because it does not like what it sees,
//! pays for it; the samples are drawn from the beacon then, and not fewer.

use super::{Batch, SessionError, sample::draw_samples};
use crate::{
    execution::Execution,
    fault::{Fault, present},
    keys,
    market::{Phase, Slot, begin_window, slot},
    registry::VerifierRecord,
    state::state_record,
    verification,
};
use fairweir_types::{
    Address, Boxed, Digest, Event,
    event::{LinkDue, LinkRevealed},
    hash_chain::{HashChain, link_before},
    order::SlotId,
    tx::RevealLink,
};

/// The link that a batch asks one of its verifiers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAsked {
    /// Of whom.
    pub verifier: Address,
    /// Of which chain.
    pub hash_chain: HashChain,
    /// Which link of it.
    pub index: u32,
    /// The newest link that was revealed when this one was asked for.
    pub revealed: u32,
    /// That link.
    pub newest: Digest,
    /// The link, once it is revealed.
    pub link: Option<Digest>,
}
state_record!(LinkAsked {
    verifier,
    hash_chain,
    index,
    revealed,
    newest,
    link
});

impl LinkAsked {
    fn is(&self, link: &Digest) -> bool {
        link_before(link, self.index.saturating_sub(self.revealed)) == self.newest
    }
}

/// Asks the first of the verifiers that were just drawn for a batch for a link. One that has none is passed over: so nobody has a part in who checks by
/// using up others' links. If none has one the beacon alone draws the samples.
pub(super) fn ask_for_link(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    (mut slot, mut batch): (Slot, Batch),
) -> Result<(), Fault> {
    let mut asked = None;
    for drawn in &slot.first {
        asked = ask(execution, drawn.verifier)?;
        if asked.is_some() {
            break;
        }
    }
    batch.link = asked;
    let (worker, seed) = (slot.assigned()?, batch.seed);
    slot.batch = Some(batch);
    let Some(asked) = asked else {
        return draw_samples(execution, slot_id, slot);
    };
    let window = (Phase::Linking, execution.params.reveal_window);
    let due = begin_window(execution, slot_id, &mut slot, window)?;
    execution.emit(Event::LinkDue(Boxed::new(LinkDue {
        slot_id,
        worker,
        seed,
        verifier: asked.verifier,
        hash_chain: asked.hash_chain,
        index: asked.index,
        due,
    })));
    Ok(())
}

/// Asks a verifier for its next link; none if it has none.
fn ask(execution: &mut Execution<'_>, verifier: Address) -> Result<Option<LinkAsked>, Fault> {
    let key = keys::verifier(verifier);
    let mut record: VerifierRecord = present(execution.overlay.load(&key)?, "drawn verifier")?;
    let Some(mut chain) = record.chain_in_use(execution) else {
        return Ok(None);
    };
    let (revealed, newest) = (chain.revealed, chain.newest);
    let index = present(chain.ask(), "link of a chain in use")?;
    record.use_chain(chain);
    execution.overlay.store(key, &record);
    Ok(Some(LinkAsked {
        verifier,
        hash_chain: chain.hash_chain,
        index,
        revealed,
        newest,
        link: None,
    }))
}

/// Takes the link of the verifier that was asked for it, and draws the samples.
pub(crate) fn reveal_link(
    execution: &mut Execution<'_>,
    sender: Address,
    reveal: &RevealLink,
) -> Result<(), SessionError> {
    let RevealLink { slot_id, link } = *reveal;
    let Some(mut record) = slot(&execution.overlay, slot_id)? else {
        return Err(SessionError::NoSuchLane);
    };
    if record.phase != Phase::Linking {
        return Err(SessionError::WrongPhase {
            expected: Phase::Linking,
            found: record.phase,
        });
    }
    let asked = asked_of(&mut record)?;
    if asked.verifier != sender {
        return Err(SessionError::NotAsked);
    }
    if !asked.is(&link) {
        return Err(SessionError::OtherLink { index: asked.index });
    }
    hear(execution, slot_id, asked, link);
    advance(execution, asked, link)?;
    draw_samples(execution, slot_id, record)?;
    Ok(())
}

fn asked_of(slot: &mut Slot) -> Result<&mut LinkAsked, Fault> {
    let asked = slot.batch.as_mut().and_then(|batch| batch.link.as_mut());
    present(asked, "link of a batch that waits for it")
}

/// Writes a link down.
fn hear(execution: &mut Execution<'_>, slot_id: SlotId, asked: &mut LinkAsked, link: Digest) {
    asked.link = Some(link);
    execution.emit(Event::LinkRevealed(LinkRevealed {
        slot_id,
        verifier: asked.verifier,
        link,
    }));
}

/// The next link of the chain is checked against this one, if its owner is still enrolled with it.
fn advance(execution: &mut Execution<'_>, asked: &LinkAsked, link: Digest) -> Result<(), Fault> {
    let key = keys::verifier(asked.verifier);
    let Some(mut record) = execution.overlay.load::<VerifierRecord>(&key)? else {
        return Ok(());
    };
    if let Some(chain) = record.asked_chain(&asked.hash_chain) {
        chain.reveal(asked.index, link);
        execution.overlay.store(key, &record);
    }
    Ok(())
}

/// The time for the link is over. It may follow from a later one, which its verifier revealed for another batch: so a verifier that is asked for many at
/// once answers with the last. Else it was withheld, which costs; the samples are drawn without it.
pub(crate) fn link_ended(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    mut slot: Slot,
) -> Result<(), Fault> {
    let asked = asked_of(&mut slot)?;
    let mut record: Option<VerifierRecord> =
        execution.overlay.load(&keys::verifier(asked.verifier))?;
    let chain = record.as_mut();
    let chain = chain.and_then(|record| record.asked_chain(&asked.hash_chain));
    match chain.and_then(|chain| chain.known(asked.index)) {
        Some(link) => hear(execution, slot_id, asked, link),
        None => verification::slash_unlinked(execution, slot_id, asked.verifier)?,
    }
    draw_samples(execution, slot_id, slot)
}
