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
        BatchClaim, KeptRequest, Leaf, SampleTraces, SampledLeaf, ShownLeaf, ShownLeaves,
        missing_leaf_trace, position_of,
    },
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
            receipt: kept.receipt.receipt.digest(),
            demand: kept.request.request.demand,
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

/// Checks a batch: the traces of its samples, and the key of what was shown, for a dispute.
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
) -> Result<(SampleTraces, Option<ContentKey>), crate::ExecuteError> {
    let (shown, key) = shown(blobs, (batch, sharing), reading).await?;
    let traces = stream::iter(0..batch.samples.len())
        .map(|number| leaf(registry, blobs, batch, (number, &shown)))
        .buffered(AT_A_TIME)
        .collect::<Vec<_>>()
        .await;
    let traces: Result<Vec<Digest>, _> = traces.into_iter().collect();
    Ok((BoundedVec::truncating(traces?), key))
}

/// What a batch's worker showed to its verifiers, with its key; nothing where the leaves are not what their root promises.
///
/// # Errors
/// When the blob cannot be had for a reason of this machine's.
pub(crate) async fn shown(
    blobs: &dyn Blobs,
    (batch, sharing): (&LeavesShown, Option<&Sharing>),
    reading: &ReadingKey,
) -> Result<(ShownLeaves, Option<ContentKey>), crate::ExecuteError> {
    let bytes = sealed(blobs, batch).await?;
    let sealing = Sealing {
        slot_id: batch.slot_id,
        shown: batch.shown,
        readers: batch.readers.as_slice(),
        sharing,
    };
    Ok(match seal::read(&sealing, &bytes, reading) {
        Some((plain, key)) => (as_promised(batch, &plain), Some(key)),
        None => (ShownLeaves::default(), None),
    })
}

/// What a batch's own worker showed.
///
/// # Errors
/// When the blob cannot be had for a reason of this machine's.
pub(crate) async fn shown_by_me(
    blobs: &dyn Blobs,
    batch: &LeavesShown,
    key: &ContentKey,
) -> Result<ShownLeaves, crate::ExecuteError> {
    let bytes = sealed(blobs, batch).await?;
    let plain = seal::reread(&batch.slot_id, &bytes, key, &batch.shown);
    Ok(as_promised(batch, &plain.unwrap_or_default()))
}

async fn sealed(blobs: &dyn Blobs, batch: &LeavesShown) -> Result<Vec<u8>, crate::ExecuteError> {
    match blobs.get(batch.sealed, BLOB_BYTES_MAX).await {
        Ok(bytes) => Ok(bytes),
        Err(error @ BlobError::Unreachable(_)) => Err(error.into()),
        // It is stored before it is claimed to be shown: what the store does not have was not shown, and every verifier finds that.
        Err(_) => Ok(Vec::new()),
    }
}

fn as_promised(batch: &LeavesShown, plain: &[u8]) -> ShownLeaves {
    let shown: ShownLeaves = decode(plain).unwrap_or_default();
    match claim_of(batch).fault_of_list(shown.list.as_slice()) {
        None => shown,
        Some(fault) => {
            tracing::info!(slot_id = %batch.slot_id, fault, "the leaves are not what their root promises");
            ShownLeaves::default()
        }
    }
}

/// The leaf of a sample, if it was shown as its root promises.
pub(crate) fn leaf_of<'a>(
    batch: &LeavesShown,
    number: usize,
    shown: &'a ShownLeaves,
) -> Option<&'a ShownLeaf> {
    let list = shown.list.as_slice();
    let sample = batch.samples.as_slice().get(number)?;
    let leaf = list.get(position_of(list, *sample)?)?;
    let found = shown.leaves.as_slice().get(number)?;
    let fault = fault_of(batch, (number, leaf), found);
    if let Some(fault) = fault {
        tracing::info!(slot_id = %batch.slot_id, number, fault, "a leaf is not what its root promises");
        return None;
    }
    Some(found)
}

async fn leaf(
    registry: &Registry,
    blobs: &dyn Blobs,
    batch: &LeavesShown,
    (number, shown): (usize, &ShownLeaves),
) -> Result<Digest, crate::ExecuteError> {
    let position = u64::try_from(number).unwrap_or(u64::MAX);
    let missing = missing_leaf_trace(&batch.slot_id, position);
    let Some(found) = leaf_of(batch, number, shown) else {
        return Ok(missing);
    };
    let Some(service) = registry.get(batch.kind, batch.version) else {
        return Err(crate::ExecuteError::Engine(
            "no service of the batch's kind here".to_owned(),
        ));
    };
    let evidence = recompute(service.as_ref(), blobs, batch, found).await?;
    let receipt: &Receipt = &found.receipt.receipt;
    Ok(service.trace(receipt, &evidence).unwrap_or(missing))
}

/// What a batch claims of its leaves.
const fn claim_of(batch: &LeavesShown) -> BatchClaim<'_> {
    BatchClaim {
        lane: batch.lane,
        worker: batch.worker,
        payers: &batch.payers,
        kind: batch.kind,
        version: batch.version,
        prices: &batch.prices,
        demand: &batch.demand,
        root: batch.root,
        count: batch.count,
        numbers: batch.numbers,
    }
}

/// What of a drawn leaf and its request is not as it must be. Every check is of bytes that all verifiers have.
fn fault_of(
    batch: &LeavesShown,
    (number, leaf): (usize, &Leaf),
    found: &ShownLeaf,
) -> Option<&'static str> {
    let Some(sampled) = batch.leaves.as_slice().get(number) else {
        return Some("number");
    };
    let fault = claim_of(batch).fault_of((leaf, sampled), &found.request, &found.receipt);
    let receipt = &found.receipt.receipt;
    if fault.is_some() {
        fault
    } else if Digest::of_blob(found.spec.as_slice()) != receipt.spec_digest {
        Some("spec")
    } else if found.disclosure.to_blob().1 != receipt.disclosure {
        Some("disclosure")
    } else {
        None
    }
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
    let stop = stop_of(batch, found);
    let env = Env::checking(blobs, demand, &stop, found.disclosure.hint.as_slice());
    service.collect(&env, spec).await
}

/// Where a request's buyer let its worker stop.
pub(crate) fn stop_of(batch: &LeavesShown, found: &ShownLeaf) -> StopAt {
    let may_stop = |account| batch.payers.include(account);
    match &found.disclosure.stopped {
        Some(stopped) if stopped.is_allowed_to(&found.receipt.receipt, may_stop) => {
            StopAt::at(stopped.at)
        }
        _ => StopAt::default(),
    }
}

/// What a sampled leaf list looks like to the ledger.
pub(super) fn bounded(
    sampled: Vec<SampledLeaf>,
) -> BoundedVec<SampledLeaf, { fairweir_types::limits::BATCH_SAMPLES_MAX }> {
    BoundedVec::truncating(sampled)
}
