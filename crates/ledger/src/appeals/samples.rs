//! Appeals of batches: a batch's trace is made of those of its samples, and two who differ about it play about one of them.

use super::AppealError;
use crate::{
    execution::Execution,
    fault::present,
    market::{Order, Slot},
    referee::{BadExhibit, Standing},
    sessions::{Batch, payers_of},
};
use fairweir_types::{
    Digest, decode,
    limits::{APPEAL_OUTPUT_BYTES_MAX, APPEAL_SPEC_BYTES_MAX},
    order::{Demand, SlotId},
    session::{BatchClaim, SampledLeaf, missing_leaf_trace, position_of},
    tx::{BoundLeaf, BoundSample},
};

/// Whether work is short enough for appeals: longer runs could not be written down in time, and larger specs and outputs could not be shown.
pub(super) fn is_short(demand: &Demand, units_max: u64) -> bool {
    let units = (demand.units.input.get()).saturating_add(demand.units.output.get());
    units <= units_max
        && demand.bytes_in.get() <= APPEAL_SPEC_BYTES_MAX
        && demand.bytes_out_max.get() <= APPEAL_OUTPUT_BYTES_MAX
}

/// What a side says of one sample, and what the other says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    batch: &'a Batch,
    position: usize,
    leaf: &'a SampledLeaf,
    own: Digest,
    other: Digest,
    /// What everybody finds of a leaf that was not shown as its root promises.
    missing: Digest,
}

impl<'a> Said<'a> {
    /// What two traces of a batch say of a sample, if they differ about it.
    pub(super) fn of(
        (slot_id, batch): (&SlotId, &'a Batch),
        (own, other): (&Digest, &Digest),
        sample: u8,
    ) -> Option<Self> {
        let position = usize::from(sample);
        let say = |trace| batch.samples_of(trace)?.get(position).copied();
        let (own, other) = (say(own)?, say(other)?);
        (own != other).then_some(Self {
            batch,
            position,
            leaf: batch.leaves.as_slice().get(position)?,
            own,
            other,
            missing: missing_leaf_trace(slot_id, sample.into()),
        })
    }

    /// Whether it is about whether the leaf was shown: then there are no two runs.
    fn is_about_leaf(&self) -> bool {
        [self.own, self.other].contains(&self.missing)
    }

    /// Whether whoever is right about it can show it.
    pub(super) fn can_be_shown(&self, units_max: u64) -> bool {
        self.is_about_leaf() || is_short(&self.leaf.demand, units_max)
    }

    /// Whether what a side shows is what it says. Returns the digest of the spec that its run is of; zero where there are no runs.
    pub(super) fn bind(
        &self,
        execution: &Execution<'_>,
        (order, slot): (&Order, &Slot),
        (run, shown): (&Digest, &[u8]),
    ) -> Result<Digest, AppealError> {
        let not = |what: &str| Err(AppealError::BadExhibit(BadExhibit(what.to_owned())));
        if self.is_about_leaf() && *run != Digest::ZERO {
            return not("it is about a leaf, not about a run");
        }
        if self.own == self.missing {
            return if shown.is_empty() {
                Ok(Digest::ZERO)
            } else {
                not("who says that a leaf was not shown has nothing to show")
            };
        }
        if self.other == self.missing {
            return match self.fault_of_leaf((order, slot), shown)? {
                None => Ok(Digest::ZERO),
                Some(what) => not(&format!("the leaf is not what its root promises: {what}")),
            };
        }
        let Ok(BoundSample { receipt, bound }) = decode(shown) else {
            return not("it is no receipt with a run");
        };
        if receipt.digest() != self.leaf.receipt {
            return not("the receipt is not the sample's");
        }
        let standing = Standing {
            kind: order.header.kind,
            spec: &receipt.spec_digest,
            demand: &self.leaf.demand,
            receipt: &receipt,
            trace: &self.own,
            run,
        };
        let bound = execution.referee.bind(&standing, bound.as_slice());
        bound.map_err(AppealError::BadExhibit)?;
        Ok(receipt.spec_digest)
    }

    /// What of a leaf that is shown is not as its root promises.
    fn fault_of_leaf(
        &self,
        (order, slot): (&Order, &Slot),
        shown: &[u8],
    ) -> Result<Option<&'static str>, AppealError> {
        let Ok(BoundLeaf {
            list,
            request,
            receipt,
        }) = decode(shown)
        else {
            return Ok(Some("it is no leaf"));
        };
        let (batch, header) = (self.batch, &order.header);
        let claim = BatchClaim {
            lane: batch.lane,
            worker: slot.assigned()?,
            payers: &payers_of(order)?,
            kind: header.kind,
            version: header.version,
            prices: &slot.prices,
            demand: &header.demand,
            root: batch.root,
            count: batch.count,
            numbers: batch.numbers,
        };
        let list = list.as_slice();
        if let Some(fault) = claim.fault_of_list(list) {
            return Ok(Some(fault));
        }
        let offset = batch.samples.as_slice().get(self.position);
        let leaf = offset.and_then(|offset| list.get(position_of(list, *offset)?));
        let leaf = present(leaf, "leaf that covers a sample")?;
        Ok(claim.fault_of((leaf, self.leaf), &request, &receipt))
    }
}

/// Whether two traces differ in a way that can be taken to the referee.
pub(super) fn is_disputable(
    (slot_id, slot): (&SlotId, &Slot),
    traces: (&Digest, &Digest),
    units_max: u64,
) -> bool {
    let Some(batch) = &slot.batch else {
        return true;
    };
    let samples = (0..=u8::MAX).take(batch.samples.len());
    samples
        .filter_map(|sample| Said::of((slot_id, batch), traces, sample))
        .any(|said| said.can_be_shown(units_max))
}
