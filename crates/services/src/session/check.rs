//! Batches: what a worker shows of one, and how verifiers check it.

use super::super::{
    BlobError, Blobs, Env, Registry, StopAt,
    service::{AnyService, Evidence},
};
use super::seal::{self, ContentKey, ReadingKey, Sealing, Sharing};
use commonware_codec::Encode as _;
use fairweir_types::{
    Amount, BoundedVec, Digest, decode,
    event::LeavesShown,
    limits::BLOB_BYTES_MAX,
    receipt::Receipt,
    session::{
        KeptRequest, Leaf, Numbers, SampledLeaf, ShownLeaf, ShownLeaves, batch_trace,
        missing_leaf_trace, request_slot,
    },
    sum_tree::{self, SumNode},
};
use futures::{StreamExt as _, stream};

/// Leaves of one batch that are recomputed at a time: the engine steps them together.
const AT_A_TIME: usize = 8;

/// What a worker shows of its requests at the drawn positions: the blob, and what goes on the ledger.
pub(super) fn show(
    requests: &[KeptRequest],
    samples: &[Amount],
) -> Option<(Vec<u8>, Vec<SampledLeaf>)> {
    let leaves: Vec<_> = requests.iter().map(KeptRequest::leaf).collect();
    let mut shown = ShownLeaves {
        list: BoundedVec::new(leaves.clone()).ok()?,
        leaves: BoundedVec::default(),
    };
    let mut sampled = Vec::new();
    for sample in samples {
        let position = position_of(&leaves, *sample)?;
        let kept = requests.get(position)?;
        sampled.push(SampledLeaf {
            index: kept.request.request.index,
            commitment: kept.receipt.receipt.output_commitment,
        });
        let leaf = ShownLeaf {
            request: kept.request.clone(),
            receipt: kept.receipt.clone(),
            spec: kept.spec.clone(),
            disclosure: kept.disclosure.clone(),
        };
        shown.leaves.push(leaf).ok()?;
    }
    Some((shown.encode().to_vec(), sampled))
}

/// The leaf that covers an offset into what all leaves cost.
pub(super) fn position_of(leaves: &[Leaf], sample: Amount) -> Option<usize> {
    let mut end = Amount::ZERO;
    leaves.iter().position(|leaf| {
        end = end.checked_add(leaf.amount).unwrap_or(Amount::MAX);
        sample < end
    })
}

/// Checks a batch: the trace that its samples have together, and the key of what was shown, for a dispute.
///
/// A leaf that is not what its root promises, or not shown at all, has a trace of its own that every verifier finds and no worker can open;
/// a list of leaves that does not give the root, or holds a number twice, shows none of them.
///
/// # Errors
/// When the blob or an execution fails for a reason of this machine's.
pub(crate) async fn batch(
    registry: &Registry,
    blobs: &dyn Blobs,
    (batch, sharing): (&LeavesShown, Option<&Sharing>),
    reading: &ReadingKey,
) -> Result<(Digest, Option<ContentKey>), crate::ExecuteError> {
    let bytes = match blobs.get(batch.sealed, BLOB_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error @ BlobError::Unreachable(_)) => return Err(error.into()),
        // It is stored before it is claimed to be shown: what the store does not have was not shown, and every verifier finds that.
        Err(_) => Vec::new(),
    };
    let sealing = Sealing {
        slot_id: batch.slot_id,
        shown: batch.shown,
        readers: batch.readers.as_slice(),
        sharing,
    };
    let (bytes, key) = match seal::read(&sealing, &bytes, reading) {
        Some((bytes, key)) => (bytes, Some(key)),
        None => (Vec::new(), None),
    };
    let mut shown: ShownLeaves = decode(&bytes).unwrap_or_default();
    if let Some(fault) = fault_of_list(batch, shown.list.as_slice()) {
        tracing::info!(slot_id = %batch.slot_id, fault, "the leaves are not what their root promises");
        shown = ShownLeaves::default();
    }
    let traces = stream::iter(0..batch.samples.len())
        .map(|number| leaf(registry, blobs, batch, (number, &shown)))
        .buffered(AT_A_TIME)
        .collect::<Vec<_>>()
        .await;
    let traces: Result<Vec<Digest>, _> = traces.into_iter().collect();
    Ok((batch_trace(&batch.slot_id, &traces?), key))
}

async fn leaf(
    registry: &Registry,
    blobs: &dyn Blobs,
    batch: &LeavesShown,
    (number, shown): (usize, &ShownLeaves),
) -> Result<Digest, crate::ExecuteError> {
    let position = u64::try_from(number).unwrap_or(u64::MAX);
    let missing = missing_leaf_trace(&batch.slot_id, position);
    let list = shown.list.as_slice();
    let drawn = batch.samples.as_slice().get(number);
    let drawn = drawn.and_then(|sample| list.get(position_of(list, *sample)?));
    let (Some(leaf), Some(found)) = (drawn, shown.leaves.as_slice().get(number)) else {
        return Ok(missing);
    };
    if let Some(fault) = fault_of(batch, (number, leaf), found) {
        tracing::info!(slot_id = %batch.slot_id, number, fault, "a leaf is not what its root promises");
        return Ok(missing);
    }
    let Some(service) = registry.get(batch.kind) else {
        return Err(crate::ExecuteError::Engine(
            "no service of the batch's kind here".to_owned(),
        ));
    };
    let evidence = recompute(service.as_ref(), blobs, batch, found).await?;
    let receipt: &Receipt = &found.receipt.receipt;
    Ok(service.trace(receipt, &evidence).unwrap_or(missing))
}

/// What of a batch's leaves is not as it must be.
fn fault_of_list(batch: &LeavesShown, list: &[Leaf]) -> Option<&'static str> {
    let checks = [
        ("count", u32::try_from(list.len()) == Ok(batch.count)),
        ("root", root(list) == Some(batch.root)),
        ("numbers", Numbers::of(list) == Some(batch.numbers)),
    ];
    first_fault(&checks)
}

fn first_fault(checks: &[(&'static str, bool)]) -> Option<&'static str> {
    let failed = checks.iter().find(|(_, holds)| !holds);
    failed.map(|(what, _)| *what)
}

/// What of a drawn leaf and its request is not as it must be. Every check is of bytes that all verifiers have.
fn fault_of(
    batch: &LeavesShown,
    (number, leaf): (usize, &Leaf),
    found: &ShownLeaf,
) -> Option<&'static str> {
    let (receipt, request) = (&found.receipt.receipt, &found.request.request);
    let sampled = batch.leaves.as_slice().get(number);
    let amount = batch.prices.quote(&receipt.units);
    let checks = [
        (
            "number",
            sampled.is_some_and(|sampled| sampled.index == leaf.index)
                && request.index == leaf.index,
        ),
        (
            "commitment",
            sampled.is_some_and(|sampled| sampled.commitment == receipt.output_commitment),
        ),
        ("receipt", leaf.receipt == receipt.digest()),
        (
            "worker",
            found.receipt.worker.address() == batch.worker && found.receipt.is_signed(),
        ),
        (
            "slot",
            receipt.slot_id == request_slot(&batch.lane, leaf.index)
                && receipt.attempt == 0
                && request.lane == batch.lane,
        ),
        ("chain", receipt.chain_id == request.chain_id),
        ("buyer", found.request.is_signed_by(&batch.payers)),
        (
            "kind",
            receipt.kind == batch.kind && request.kind == batch.kind,
        ),
        (
            "spec",
            receipt.spec_digest == request.spec_digest
                && Digest::of_blob(found.spec.as_slice()) == request.spec_digest,
        ),
        ("units", receipt.units.within(&request.demand.units)),
        ("demand", request.demand.within(&batch.demand)),
        ("amount", amount.is_ok_and(|amount| amount == leaf.amount)),
        (
            "disclosure",
            found.disclosure.to_blob().1 == receipt.disclosure,
        ),
    ];
    first_fault(&checks)
}

async fn recompute(
    service: &dyn AnyService,
    blobs: &dyn Blobs,
    batch: &LeavesShown,
    found: &ShownLeaf,
) -> Result<Evidence, crate::ExecuteError> {
    let demand = &found.request.request.demand;
    let spec = found.spec.as_slice();
    if service.admit_demand(demand, spec).is_err() {
        return Ok(Evidence::Refused);
    }
    let may_stop = |account| batch.payers.include(account);
    let stop = match &found.disclosure.stopped {
        Some(stopped) if stopped.is_allowed_to(&found.receipt.receipt, may_stop) => {
            StopAt::at(stopped.at)
        }
        _ => StopAt::default(),
    };
    let env = Env::checking(blobs, demand, &stop, found.disclosure.hint.as_slice());
    service.collect(&env, spec).await
}

/// The root of a batch's leaves.
pub(super) fn root(leaves: &[Leaf]) -> Option<SumNode> {
    let nodes: Vec<_> = leaves.iter().map(Leaf::node).collect();
    sum_tree::root(&nodes).ok()
}

/// What a sampled leaf list looks like to the ledger.
pub(super) fn bounded(
    sampled: Vec<SampledLeaf>,
) -> BoundedVec<SampledLeaf, { fairweir_types::limits::BATCH_SAMPLES_MAX }> {
    BoundedVec::truncating(sampled)
}
