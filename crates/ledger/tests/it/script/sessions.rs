//! The words of sessions: `session`, `batch`, `show`, `open-batch`.

use super::{Line, SALT, address, header, some_slot};
use crate::world::{World, coins};
use fairweir_types::{
    BoundedVec, Digest, Millis, SecretKey,
    order::{OpenRounds, OrderHeader, Rounds},
    receipt::output_commitment,
    session::{
        LeafOpening, Numbers, SampledLeaf, SignedVoucher, Voucher, missing_leaf_trace, request_slot,
    },
    tx,
};

/// The trace of the request at a position of a batch, which has its number in the lane too; `missing` is that of a leaf which was not shown.
pub(super) fn leaf_trace(world: &World, line: &Line<'_>, position: u32) -> Digest {
    match line.words.get(2).copied().unwrap_or("right") {
        "missing" => missing_leaf_trace(&some_slot(world, line), position.into()),
        word => Digest::of_blob(format!("{word} {position}").as_bytes()),
    }
}

pub(super) fn post_batch(world: &World, line: &Line<'_>) -> tx::PostBatch {
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
    let count = line.option("count", 2);
    let first = line.option("first", next);
    let last = first + u64::from(count).saturating_sub(1);
    tx::PostBatch {
        lane,
        number: line.option("number", number),
        root: Digest::of_blob(b"root"),
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
        let index = u64::from(position);
        let trace = leaf_trace(world, line, position);
        let request = request_slot(&lane, index);
        SampledLeaf {
            index,
            commitment: output_commitment(key.address(), &request, 0, &SALT, &trace),
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
