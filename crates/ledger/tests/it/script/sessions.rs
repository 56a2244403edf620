//! The words of sessions: `session`, `batch`, `show`, `open-batch`.

use super::{Line, SALT, address, header, some_slot};
use crate::world::{World, coins, key_of};
use commonware_codec::Encode as _;
use fairweir_ledger::sessions::Batch;
use fairweir_types::{
    Amount, BoundedBytes, BoundedVec, Digest, Millis, Receipt, Rounding, SecretKey, SignedReceipt,
    order::{OpenRounds, OrderHeader, Rounds, SlotId, UnitVector},
    receipt::{output_commitment, trace},
    session::{
        Leaf, LeafOpening, Numbers, Request, SampleTraces, SampledLeaf, SignedRequest,
        SignedVoucher, Voucher, missing_leaf_trace, position_of, request_slot, root_of,
    },
    tx::{self, BoundLeaf, BoundSample},
};

/// The leaves of a batch, with their requests and receipts.
struct Leaves {
    lane: SlotId,
    batch: Batch,
    outputs: Vec<String>,
    worker: SecretKey,
}

impl Leaves {
    /// Those of a batch that was posted with some.
    fn of(world: &World, line: &Line<'_>) -> Option<Self> {
        let outputs = world.leaves.get(line.word(1))?.clone();
        let slot = world.slot(line.word(1))?;
        let batch = slot.batch.clone()?;
        let worker = world.name_of(slot.worker?);
        Some(Self {
            lane: batch.lane,
            batch,
            outputs,
            worker: world.keys[&worker].clone(),
        })
    }

    fn each(total: Amount, outputs: usize) -> Amount {
        let count = u64::try_from(outputs).unwrap();
        total.checked_mul_ratio(1, count, Rounding::Up).unwrap()
    }

    fn spec(position: usize) -> Digest {
        Digest::of_blob(format!("spec {position}").as_bytes())
    }

    /// Units of which each leaf is worth its part of the total, at a coin for a million.
    fn units(each: Amount) -> UnitVector {
        super::units(each.base_units() / (Amount::COIN_BASE_UNITS / 1_000_000))
    }

    /// What an output gives of a leaf.
    fn trace(position: usize, output: &str, each: Amount) -> Digest {
        let output = Digest::of_blob(output.as_bytes());
        trace(&Self::spec(position), &output, &Self::units(each))
    }

    fn request(position: usize, index: u64, (lane, each): (SlotId, Amount)) -> Request {
        let mut demand = super::demand(&Line::of("demand"));
        demand.units = Self::units(each);
        Request {
            chain_id: crate::world::chain_id(),
            lane,
            index,
            kind: super::KIND,
            spec_digest: Self::spec(position),
            demand,
        }
    }

    fn receipt(
        position: usize,
        (index, output): (u64, &str),
        (lane, each): (SlotId, Amount),
        worker: &SecretKey,
    ) -> Receipt {
        let slot_id = request_slot(&lane, index);
        let trace = Self::trace(position, output, each);
        Receipt {
            chain_id: crate::world::chain_id(),
            slot_id,
            attempt: 0,
            kind: super::KIND,
            version: 1,
            spec_digest: Self::spec(position),
            units: Self::units(each),
            disclosure: Digest::ZERO,
            output_commitment: output_commitment(worker.address(), &slot_id, 0, &SALT, &trace),
        }
    }

    fn list(
        (lane, total): (SlotId, Amount),
        (first, outputs): (u64, &[String]),
        worker: &SecretKey,
    ) -> Vec<Leaf> {
        let each = Self::each(total, outputs.len());
        let leaf = |(position, (index, output)): (usize, (u64, &String))| Leaf {
            index,
            amount: each,
            receipt: Self::receipt(position, (index, output), (lane, each), worker).digest(),
        };
        (first..).zip(outputs).enumerate().map(leaf).collect()
    }

    fn own_list(&self) -> Vec<Leaf> {
        let claim = (self.lane, self.batch.root.sum);
        let leaves = (self.batch.numbers.first, self.outputs.as_slice());
        Self::list(claim, leaves, &self.worker)
    }

    fn amount(&self) -> Amount {
        Self::each(self.batch.root.sum, self.outputs.len())
    }

    /// The position of the leaf that a sample fell into.
    fn position(&self, sample: u32) -> usize {
        let last = self.batch.samples.len() - 1;
        let sample = usize::try_from(sample).unwrap().min(last);
        let offset = self.batch.samples.as_slice()[sample];
        position_of(&self.own_list(), offset).unwrap()
    }

    fn index(&self, position: usize) -> u64 {
        self.batch.numbers.first + u64::try_from(position).unwrap()
    }

    fn receipt_of(&self, position: usize) -> Receipt {
        let did = (self.index(position), self.outputs[position].as_str());
        Self::receipt(position, did, (self.lane, self.amount()), &self.worker)
    }

    fn sampled(&self, sample: u32, line: &Line<'_>) -> SampledLeaf {
        let position = self.position(sample);
        let receipt = self.receipt_of(position);
        let index = self.index(position);
        let mut demand = Self::request(position, index, (self.lane, self.amount())).demand;
        demand.units.output.0 += line.option("longer", 0);
        SampledLeaf {
            index,
            commitment: receipt.output_commitment,
            receipt: receipt.digest(),
            demand,
        }
    }

    /// What shows that a sample is as the root promises, or what is wrong about it.
    fn shown(&self, sample: u32, what: &str) -> BoundLeaf {
        let position = self.position(sample);
        let index = self.index(position);
        let request = Self::request(position, index, (self.lane, self.amount()));
        let mut list = self.own_list();
        match what {
            "repeated-leaf" => list.insert(0, list[0]),
            "other-leaf" => list[0].amount = Amount::ZERO,
            _ => {}
        }
        let asker = if what == "unasked-leaf" { "V1" } else { "A" };
        let receipt = self.receipt_of(position);
        let worker = if what == "unsigned-leaf" {
            key_of("A")
        } else {
            self.worker.clone()
        };
        BoundLeaf {
            list: BoundedVec::new(list).unwrap(),
            request: SignedRequest::sign(request, &key_of(asker)),
            receipt: SignedReceipt::sign(receipt, &worker),
        }
    }
}

/// What binds a side to a sample of a batch that has leaves.
pub(super) fn bound(
    world: &World,
    line: &Line<'_>,
) -> Option<BoundedBytes<{ fairweir_types::limits::EXHIBIT_BYTES_MAX }>> {
    let leaves = Leaves::of(world, line)?;
    let sample = line.option("sample", 0);
    let bytes = match line.options.get("shows").copied() {
        Some("nothing") => Vec::new(),
        Some("nonsense") => vec![7],
        Some(leaf) if leaf.ends_with("leaf") => leaves.shown(sample, leaf).encode().to_vec(),
        other => {
            let mut receipt = leaves.receipt_of(leaves.position(sample));
            if other == Some("other-receipt") {
                receipt.attempt = 1;
            }
            let bound = super::bound(line);
            BoundSample { receipt, bound }.encode().to_vec()
        }
    };
    Some(BoundedBytes::new(bytes).unwrap())
}

/// The trace of the request at a position of a batch, which has its number in the lane too; `missing` is that of a leaf which was not shown.
fn leaf_trace(world: &World, line: &Line<'_>, sample: u32) -> Digest {
    let words = line.words.get(2).copied().unwrap_or("right");
    let leaves = Leaves::of(world, line);
    let position = leaves.as_ref().map(|leaves| leaves.position(sample));
    let word = words.split(',').cycle().nth(position.unwrap_or_default());
    match (word.unwrap(), leaves, position) {
        ("missing", ..) => missing_leaf_trace(&some_slot(world, line), sample.into()),
        (word, Some(leaves), Some(position)) => Leaves::trace(position, word, leaves.amount()),
        (word, ..) => Digest::of_blob(format!("{word} {sample}").as_bytes()),
    }
}

/// Those of all samples; nothing for what is no batch.
pub(super) fn sample_traces(world: &World, line: &Line<'_>) -> Option<Vec<Digest>> {
    world.orders.get(line.word(1))?;
    let batch = world.slot(line.word(1))?.batch?;
    let samples = (0u32..).zip(batch.samples.iter());
    Some(
        samples
            .map(|(sample, _)| leaf_trace(world, line, sample))
            .collect(),
    )
}

/// What a verifier reveals of the samples; `samples=none` is nothing, and `samples=some` one too many.
pub(super) fn told_traces(world: &World, line: &Line<'_>) -> SampleTraces {
    let mut traces = sample_traces(world, line).unwrap_or_default();
    match line.options.get("samples").copied() {
        Some("none") => traces.clear(),
        Some("some") => traces.push(Digest::ZERO),
        _ => {}
    }
    BoundedVec::truncating(traces)
}

pub(super) fn post_batch(world: &World, key: &SecretKey, line: &Line<'_>) -> tx::PostBatch {
    let lane = some_slot(world, line);
    let signer = line.options.get("signed-by").copied().unwrap_or("A");
    let total = coins(line.options.get("total").copied().unwrap_or("1"));
    let voucher = Voucher {
        chain_id: crate::world::chain_id(),
        lane: line
            .options
            .get("voucher-lane")
            .map_or(lane, |lane| world.slot_id(lane)),
        cumulative: line
            .options
            .get("voucher")
            .map_or(total, |covered| coins(covered)),
    };
    let (number, next) = fairweir_ledger::market::slot(&world.state, lane)
        .unwrap()
        .and_then(|slot| slot.lane)
        .map_or((0, 0), |lane| (lane.batches, lane.next_request));
    let leaves: Vec<String> = (line.options.get("leaves").into_iter())
        .flat_map(|leaves| leaves.split(',').map(str::to_owned))
        .collect();
    let count = if leaves.is_empty() {
        line.option("count", 2)
    } else {
        u32::try_from(leaves.len()).unwrap()
    };
    let first = line.option("first", next);
    let root = if leaves.is_empty() {
        Digest::of_blob(b"root")
    } else {
        let list = Leaves::list((lane, total), (first, &leaves), key);
        root_of(&list).unwrap().digest
    };
    let last = first + u64::from(count).saturating_sub(1);
    tx::PostBatch {
        lane,
        number: line.option("number", number),
        root,
        count,
        numbers: Numbers {
            first,
            last: line.option("last", last),
        },
        total,
        voucher: SignedVoucher::sign(voucher, &world.keys[signer]),
    }
}

/// What a worker shows, or opens, of each sample.
fn samples(world: &World, line: &Line<'_>) -> Vec<u32> {
    let batch = (line.word(1) != "nothing").then(|| world.slot(line.word(1)).unwrap().batch);
    let samples = batch.flatten().map_or(0, |batch| batch.samples.len());
    (0u32..).take(line.option("leaves", samples)).collect()
}

pub(super) fn show_leaves(world: &World, key: &SecretKey, line: &Line<'_>) -> tx::ShowLeaves {
    let slot_id = some_slot(world, line);
    let leaves = samples(world, line).into_iter().map(|position| {
        let lane = world.slot(line.word(1)).unwrap().batch.unwrap().lane;
        if let Some(leaves) = Leaves::of(world, line) {
            return leaves.sampled(position, line);
        }
        let index = u64::from(position);
        let trace = leaf_trace(world, line, position);
        let request = request_slot(&lane, index);
        SampledLeaf {
            index,
            commitment: output_commitment(key.address(), &request, 0, &SALT, &trace),
            receipt: Digest::ZERO,
            demand: super::demand(line),
        }
    });
    tx::ShowLeaves {
        slot_id,
        shown: Digest::of_blob(b"leaves"),
        sealed: Digest::of_blob(b"sealed"),
        leaves: BoundedVec::truncating(leaves),
    }
}

pub(super) fn share_leaves(world: &World, line: &Line<'_>) -> tx::ShareLeaves {
    let readers = (line.word(1) != "nothing").then(|| world.slot(line.word(1)).unwrap().dispute);
    let readers = readers.map_or(0, |readers| readers.len());
    let wraps = (0..line.option("wraps", readers)).map(|_| [0; 80]);
    tx::ShareLeaves {
        slot_id: some_slot(world, line),
        wraps: BoundedVec::truncating(wraps),
    }
}

pub(super) fn open_batch(world: &World, line: &Line<'_>) -> tx::OpenBatch {
    let openings = samples(world, line)
        .into_iter()
        .map(|position| LeafOpening {
            salt: SALT,
            trace: leaf_trace(world, line, position),
        });
    tx::OpenBatch {
        slot_id: some_slot(world, line),
        openings: BoundedVec::truncating(openings),
    }
}

pub(super) fn session(world: &World, line: &Line<'_>) -> OrderHeader {
    let header = header(line);
    let spec = line.options.contains_key("with-spec");
    OrderHeader {
        spec_digest: if spec {
            header.spec_digest
        } else {
            Digest::ZERO
        },
        spec_inline: header.spec_inline.filter(|_| spec),
        rounds: Rounds::Open(OpenRounds {
            lane_cap: coins(line.options.get("cap").copied().unwrap_or("4")),
            open_for: Millis(line.option("open", 60_000)),
            delegate: line
                .options
                .get("delegate")
                .map(|name| address(world, name)),
        }),
        ..header
    }
}
