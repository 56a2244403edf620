//! What an account has to show for what it stands for, and the transactions that show it.

use super::{Move, Stand};
use crate::{
    Env, ExecuteError,
    appeal::{Record, RecordError, RefusedRecord},
    pipeline::{
        Tools,
        memory::PostedOrder,
        role::{WorkError, ready},
        verifier::disclosed,
    },
};
use commonware_codec::Encode as _;
use fairweir_types::{
    Action, BoundedBytes, BoundedVec, Boxed, Digest, Receipt,
    event::AppealNarrowed,
    limits::EXHIBIT_BYTES_MAX,
    order::SlotId,
    tx::{Appeal, BoundLeaf, BoundSample, Defend, Exhibit, OpenNode},
};
use std::sync::Arc;

/// What an account has to show.
#[derive(Clone, Debug)]
pub(super) enum Ground {
    /// A run of the work.
    Run(Arc<dyn Record>),
    /// A run of a sample of a batch.
    Sample(Arc<dyn Record>, Arc<Receipt>),
    /// That a leaf of a batch is as its root promises.
    Leaf(Arc<BoundLeaf>),
    /// Nothing, because a leaf was not shown.
    Missing,
}

impl Ground {
    /// The transaction of a move, if there is one to make.
    pub(super) async fn action(
        &self,
        (slot_id, sample): (SlotId, u8),
        next: &Move,
    ) -> Result<Option<Action>, RecordError> {
        Ok(match (next, self) {
            (Move::Appeal, _) => Some(Action::Appeal(Boxed::new(Appeal {
                slot_id,
                sample,
                run: self.run(),
                bound: self.bound()?,
            }))),
            (Move::Defend, _) => Some(Action::Defend(Boxed::new(Defend {
                slot_id,
                run: self.run(),
                bound: self.bound()?,
            }))),
            (Move::Go { narrowed, has_node }, Self::Run(record) | Self::Sample(record, _)) => {
                go_on(slot_id, record.as_ref(), (narrowed, *has_node)).await?
            }
            // Without two runs there is no further move.
            (Move::Go { .. }, Self::Leaf(_) | Self::Missing) => None,
        })
    }

    fn run(&self) -> Digest {
        match self {
            Self::Run(record) | Self::Sample(record, _) => record.run(),
            Self::Leaf(_) | Self::Missing => Digest::ZERO,
        }
    }

    fn bound(&self) -> Result<BoundedBytes<EXHIBIT_BYTES_MAX>, RecordError> {
        let bound = match self {
            Self::Run(record) => record.bound()?,
            Self::Sample(record, receipt) => BoundSample {
                receipt: receipt.as_ref().clone(),
                bound: bounded(record.bound()?)?,
            }
            .encode()
            .to_vec(),
            Self::Leaf(leaf) => leaf.encode().to_vec(),
            Self::Missing => Vec::new(),
        };
        bounded(bound)
    }
}

fn bounded(bytes: Vec<u8>) -> Result<BoundedBytes<EXHIBIT_BYTES_MAX>, RecordError> {
    BoundedBytes::new(bytes).map_err(|error| RecordError::Failed(error.to_string()))
}

/// Opens the node where two runs differ, or exhibits the cell.
async fn go_on(
    slot_id: SlotId,
    record: &dyn Record,
    (narrowed, has_node): (&AppealNarrowed, bool),
) -> Result<Option<Action>, RecordError> {
    let path = narrowed.path.as_slice();
    if has_node {
        let children = record.children(path).await?;
        if !children.is_empty() {
            return Ok(Some(Action::OpenNode(Boxed::new(OpenNode {
                slot_id,
                depth: u8::try_from(path.len()).unwrap_or(u8::MAX),
                children: BoundedVec::truncating(children),
            }))));
        }
    }
    let claims = [narrowed.claimed, narrowed.defended];
    let shown = match record.exhibit(path, claims).await {
        // The other side's run goes on where this one has nothing yet.
        Err(RecordError::NotACell) if !has_node => return Ok(None),
        shown => bounded(shown?)?,
    };
    Ok(Some(Action::Exhibit(Boxed::new(Exhibit {
        slot_id,
        shown,
    }))))
}

/// What an account has to show for work that is no batch; nothing if it finds otherwise now than what it stands for.
pub(super) async fn of_work(
    tools: &Tools,
    order: &PostedOrder,
    (receipt, stand): (Option<&Arc<Receipt>>, &Stand),
) -> Result<Option<Ground>, WorkError> {
    let Some(receipt) = receipt else {
        return Ok(None);
    };
    let record = record_of(tools, order, receipt).await?;
    let stands = record.stands_for(receipt, &stand.own);
    Ok(stands.then_some(Ground::Run(record)))
}

/// Runs the work again, with everything written down.
async fn record_of(
    tools: &Tools,
    order: &PostedOrder,
    receipt: &Receipt,
) -> Result<Arc<dyn Record>, WorkError> {
    let ready = ready(tools, order).await?;
    let refused = || Arc::new(RefusedRecord::of(&order.header.spec_digest));
    if ready.is_refused {
        return Ok(refused());
    }
    let recorder = ready.service.recorder();
    let recorder = recorder.ok_or(WorkError::NoService(
        order.header.kind,
        order.header.version,
    ))?;
    let (stop, hint) = disclosed(tools, order, receipt).await?;
    let env = Env::checking(tools.blobs.as_ref(), &order.header.demand, &stop, &hint);
    recorded(recorder.record(&env, &ready.spec).await, refused)
}

/// The record of a run, or that of work that must be refused.
pub(super) fn recorded(
    result: Result<Arc<dyn Record>, ExecuteError>,
    refused: impl FnOnce() -> Arc<RefusedRecord>,
) -> Result<Arc<dyn Record>, WorkError> {
    match result {
        Err(error) if error.is_refusal() => Ok(refused()),
        recorded => Ok(recorded?),
    }
}
