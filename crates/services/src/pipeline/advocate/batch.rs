//! Batches: the sample that is played about, and what an account has to show for what it says of it.

use super::{
    Stand,
    ground::{Ground, recorded},
};
use crate::{
    Env,
    appeal::{Record, RefusedRecord},
    pipeline::{Identity, Tools, role::WorkError},
    session::{
        check,
        seal::{ContentKey, ReadingKey, Sharing},
    },
};
use fairweir_types::{
    Address, ChainId, Digest,
    event::LeavesShown,
    order::Demand,
    session::{SampleTraces, ShownLeaf, ShownLeaves, missing_leaf_trace},
    tx::BoundLeaf,
};
use std::{collections::BTreeMap, sync::Arc};

/// What an account reads with: as a verifier that was drawn, or as a worker that showed.
#[derive(Clone)]
pub(super) struct Reading {
    me: Address,
    seed: [u8; 32],
    chain_id: ChainId,
}

impl core::fmt::Debug for Reading {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "what {} reads with", self.me)
    }
}

impl Reading {
    pub(super) fn of(identity: &Identity, chain_id: ChainId) -> Self {
        Self {
            me: identity.key.address(),
            seed: identity.seed,
            chain_id,
        }
    }
}

/// What an advocate knows of a batch.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    shown: Arc<LeavesShown>,
    pub(super) sharing: Option<Arc<Sharing>>,
    /// The traces of the samples of which each trace of the batch is made that somebody told.
    found: Arc<BTreeMap<Digest, SampleTraces>>,
}

impl Batch {
    pub(super) fn of(shown: &LeavesShown) -> Self {
        Self {
            shown: Arc::new(shown.clone()),
            sharing: None,
            found: Arc::default(),
        }
    }

    pub(super) fn hear(&mut self, trace: Digest, samples: &SampleTraces) {
        Arc::make_mut(&mut self.found).insert(trace, samples.clone());
    }

    /// What two traces say of a sample, if they differ about it.
    fn said(&self, (own, other): (&Digest, &Digest), sample: u8) -> Option<[Digest; 2]> {
        let say = |trace| {
            let samples = self.found.get(trace)?.as_slice();
            samples.get(usize::from(sample)).copied()
        };
        let said = [say(own)?, say(other)?];
        (said[0] != said[1]).then_some(said)
    }

    fn missing(&self, sample: u8) -> Digest {
        missing_leaf_trace(&self.shown.slot_id, sample.into())
    }

    /// Whether the same is to be shown in two games: of one sample a run in both, or in both a leaf.
    pub(super) fn is_shown_alike(&self, one: &Stand, two: &Stand) -> bool {
        let is_about_leaf = |stand: &Stand| {
            let said = self.said((&stand.own, &stand.other), stand.sample);
            said.map(|said| said.contains(&self.missing(stand.sample)))
        };
        let same = (one.own, one.sample) == (two.own, two.sample);
        same && is_about_leaf(one) == is_about_leaf(two)
    }

    /// The sample to appeal about: the shortest of those of which both sides say what they give, for there the referee can decide; else one that
    /// only one of them says was shown.
    pub(super) fn sample(&self, own: &Digest, judged: &Digest) -> Option<u8> {
        let units = |demand: &Demand| demand.units.input.get() + demand.units.output.get();
        (0..=u8::MAX)
            .zip(self.shown.leaves.iter())
            .filter_map(|(sample, leaf)| {
                let said = self.said((own, judged), sample)?;
                let is_about_leaf = said.contains(&self.missing(sample));
                Some((is_about_leaf, units(&leaf.demand), sample))
            })
            .min()
            .map(|(_, _, sample)| sample)
    }

    async fn read(&self, tools: &Tools, reading: &Reading) -> Result<ShownLeaves, WorkError> {
        let (blobs, batch) = (tools.blobs.as_ref(), self.shown.as_ref());
        if batch.worker == reading.me {
            let key = ContentKey::of_batch(&reading.seed, &reading.chain_id, &batch.slot_id);
            return Ok(check::shown_by_me(blobs, batch, &key).await?);
        }
        let is_of_first_draw = batch.readers.iter().any(|one| one.verifier == reading.me);
        let sharing = self.sharing.as_deref().filter(|_| !is_of_first_draw);
        let key = ReadingKey::of(reading.me, &reading.seed);
        let (shown, _) = check::shown(blobs, (batch, sharing), &key).await?;
        Ok(shown)
    }

    /// What an account has to show for what it says of a sample; nothing if it finds otherwise now.
    pub(super) async fn ground(
        &self,
        tools: &Tools,
        reading: &Reading,
        stand: &Stand,
    ) -> Result<Option<Ground>, WorkError> {
        let Some([own, other]) = self.said((&stand.own, &stand.other), stand.sample) else {
            return Ok(None);
        };
        let missing = self.missing(stand.sample);
        let shown = self.read(tools, reading).await?;
        let leaf = check::leaf_of(&self.shown, usize::from(stand.sample), &shown);
        let Some(leaf) = leaf else {
            return Ok((own == missing).then_some(Ground::Missing));
        };
        if own == missing {
            return Ok(None);
        }
        if other == missing {
            return Ok(Some(Ground::Leaf(Arc::new(BoundLeaf {
                list: shown.list.clone(),
                request: leaf.request.clone(),
                receipt: leaf.receipt.clone(),
            }))));
        }
        let record = self.record_of(tools, leaf).await?;
        let receipt = &leaf.receipt.receipt;
        let stands = record.stands_for(receipt, &own);
        Ok(stands.then(|| Ground::Sample(record, Arc::new(receipt.clone()))))
    }

    /// Runs a sample again, with everything written down.
    async fn record_of(
        &self,
        tools: &Tools,
        leaf: &ShownLeaf,
    ) -> Result<Arc<dyn Record>, WorkError> {
        let (batch, demand) = (self.shown.as_ref(), &leaf.request.request.demand);
        let service = tools.registry.get(batch.kind, batch.version);
        let service = service.ok_or(WorkError::NoService(batch.kind, batch.version))?;
        let refused = || Arc::new(RefusedRecord::of(&leaf.request.request.spec_digest));
        let spec = leaf.spec.as_slice();
        if service.admit_demand(demand, spec).is_err() {
            return Ok(refused());
        }
        let recorder = service
            .recorder()
            .ok_or(WorkError::NoService(batch.kind, batch.version))?;
        let (stop, hint) = (check::stop_of(batch, leaf), leaf.disclosure.hint.as_slice());
        let env = Env::checking(tools.blobs.as_ref(), demand, &stop, hint);
        recorded(recorder.record(&env, spec).await, refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{
        Amount, BoundedVec, Units,
        order::{KindId, OrderId, PriceVector, SlotId, UnitVector},
        session::{Numbers, Payers, SampledLeaf, batch_slot},
        sum_tree::SumNode,
    };

    #[test]
    fn the_shortest_run_that_both_sides_have_is_played_about() {
        let lane = SlotId {
            order: OrderId::default(),
            slot: 0,
        };
        let slot_id = batch_slot(&lane, 0);
        let leaf = |units| SampledLeaf {
            index: 0,
            commitment: Digest::ZERO,
            receipt: Digest::ZERO,
            demand: Demand {
                units: UnitVector {
                    input: Units(units),
                    ..UnitVector::default()
                },
                ..Demand::default()
            },
        };
        let shown = LeavesShown {
            slot_id,
            lane,
            worker: Address::default(),
            payers: Payers::default(),
            kind: KindId(1),
            version: 1,
            prices: PriceVector::default(),
            demand: Demand::default(),
            root: SumNode::default(),
            count: 4,
            numbers: Numbers::default(),
            samples: BoundedVec::truncating([Amount::ZERO; 4]),
            leaves: BoundedVec::truncating([1, 30, 20, 10].map(leaf)),
            shown: Digest::ZERO,
            sealed: Digest::ZERO,
            readers: BoundedVec::default(),
        };
        let (own, judged) = (Digest([1; 32]), Digest([2; 32]));
        let missing = missing_leaf_trace(&slot_id, 0);
        let other = |number: u8| Digest([number; 32]);
        // what the verdict says of each sample, which is played about
        let table = [
            ([missing, other(6), other(7), other(5)], Some(2)),
            ([missing, other(6), other(5), other(5)], Some(1)),
            ([missing, other(5), other(5), other(5)], Some(0)),
            ([other(5), other(5), other(5), other(5)], None),
        ];
        for (says, expected) in table {
            let mut batch = Batch::of(&shown);
            batch.hear(own, &BoundedVec::truncating([other(5); 4]));
            batch.hear(judged, &BoundedVec::truncating(says));
            assert_eq!(batch.sample(&own, &judged), expected);
        }
    }
}
