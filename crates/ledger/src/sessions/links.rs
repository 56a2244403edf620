//! Links of verifiers' hash chains: from them and the beacon a batch's samples are drawn (protocol rule 1).
//!
//! The beacon of a block is known to its proposer before everybody else; a link is known to its verifier alone until it reveals it, and to nobody is it
//! open which one it reveals. So nobody foresees the samples who has not all verifiers of the batch for friends. Who withholds a link, because
//! it reveals last and does not like what it sees, pays for it; the samples are drawn from what was revealed, and not fewer.

use super::{Batch, SessionError, sample::draw_samples};
use crate::{
    execution::Execution,
    fault::{Fault, present},
    keys,
    market::{Phase, Slot, Timer, keep_slot, slot, store_slot},
    registry::VerifierRecord,
    state::state_record,
    verification,
};
use fairweir_types::{
    Address, BoundedVec, Boxed, Digest, Event,
    event::{LinkDue, LinkRevealed, LinksDue},
    hash_chain::{HashChain, link_before},
    order::SlotId,
    tx::RevealLink,
};

/// A link that a batch asked a verifier for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAsked {
    /// Of which chain.
    pub chain: HashChain,
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
    chain,
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

/// Asks the verifiers that were just drawn for a batch for their links.
pub(super) fn ask_for_links(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    (mut slot, mut batch): (Slot, Batch),
) -> Result<(), Fault> {
    let mut due_links = Vec::new();
    for drawn in &slot.first {
        let key = keys::verifier(drawn.verifier);
        let mut record: VerifierRecord = present(execution.overlay.load(&key)?, "drawn verifier")?;
        let mut chain = present(record.chain_in_use(execution), "chain of a drawn verifier")?;
        let (revealed, newest) = (chain.revealed, chain.newest);
        let index = present(chain.ask(), "link of a drawn verifier")?;
        record.use_chain(chain);
        execution.overlay.store(key, &record);
        let asked = LinkAsked {
            chain: chain.chain,
            index,
            revealed,
            newest,
            link: None,
        };
        batch
            .links
            .push(asked)
            .map_err(|_| Fault::Counter { what: "links" })?;
        due_links.push(LinkDue {
            verifier: drawn.verifier,
            chain: chain.chain,
            index,
        });
    }
    let (worker, seed) = (slot.assigned()?, batch.seed);
    slot.batch = Some(batch);
    slot.phase = Phase::Linking;
    let due = execution.window_end(execution.params.reveal_window)?;
    let height = execution.window_height()?;
    store_slot(execution, slot_id, &mut slot, Timer { time: due, height });
    execution.emit(Event::LinksDue(Boxed::new(LinksDue {
        slot_id,
        worker,
        seed,
        links: BoundedVec::truncating(due_links),
        due,
    })));
    Ok(())
}

/// Takes the link of a drawn verifier; with the last one the samples are drawn.
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
    let position = record.first.iter().position(|one| one.verifier == sender);
    let Some(position) = position else {
        return Err(SessionError::NotDrawn);
    };
    let batch = present(record.batch.as_mut(), "batch of a slot that is linked")?;
    let asked = batch.links.as_mut_slice().get_mut(position);
    let asked = present(asked, "link of a drawn verifier")?;
    if asked.link.is_some() {
        return Err(SessionError::LinkRevealed);
    }
    if !asked.is(&link) {
        return Err(SessionError::OtherLink { index: asked.index });
    }
    asked.link = Some(link);
    advance(execution, sender, asked, link)?;
    let is_last = batch.links.iter().all(|asked| asked.link.is_some());
    execution.emit(Event::LinkRevealed(LinkRevealed {
        slot_id,
        verifier: sender,
        link,
    }));
    if is_last {
        draw_samples(execution, slot_id, record)?;
    } else {
        keep_slot(execution, slot_id, &record);
    }
    Ok(())
}

/// The next link of the chain is checked against this one, if its owner is still enrolled with it.
fn advance(
    execution: &mut Execution<'_>,
    verifier: Address,
    asked: &LinkAsked,
    link: Digest,
) -> Result<(), Fault> {
    let key = keys::verifier(verifier);
    let Some(mut record) = execution.overlay.load::<VerifierRecord>(&key)? else {
        return Ok(());
    };
    let mut used = record.chain;
    if used.chain == asked.chain {
        used.reveal(asked.index, link);
        record.chain = used;
        execution.overlay.store(key, &record);
    }
    Ok(())
}

/// The time for links is over: who withheld one pays, and the samples are drawn from the others.
pub(crate) fn links_ended(
    execution: &mut Execution<'_>,
    slot_id: SlotId,
    slot: Slot,
) -> Result<(), Fault> {
    let batch = present(slot.batch.as_ref(), "batch of a slot that is linked")?;
    let of_verifiers = slot.first.iter().zip(&batch.links);
    let silent: Vec<Address> = of_verifiers
        .filter(|(_, asked)| asked.link.is_none())
        .map(|(drawn, _)| drawn.verifier)
        .collect();
    verification::slash_unlinked(execution, slot_id, &silent)?;
    draw_samples(execution, slot_id, slot)
}
