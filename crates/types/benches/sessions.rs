//! How fast a worker takes vouchers and roots receipts: `just bench sessions`.
//!
//! Vouchers are decoded and their signatures checked one by one, as a worker's desk does when they come. Receipts are hashed, put into
//! leaves and those under the Merkle sum root of a batch. On one core. Exits with 1 if a figure is below the promise in SPECIFICATION.md.
#![expect(
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark"
)]

use commonware_codec::Encode as _;
use fairweir_types::{
    Amount, ChainId, Digest, Receipt, SecretKey, SignedReceipt, Units, decode,
    order::{KindId, OrderId, SlotId, UnitVector},
    session::{Leaf, Payers, SignedVoucher, Voucher},
    sum_tree,
};
use std::time::Instant;

const VOUCHERS: u64 = 20_000;
const BATCHES: u64 = 40;
/// What a worker claims at once, if nobody says otherwise.
const RECEIPTS_PER_BATCH: u64 = 1_000;
/// The promises, per second.
const VOUCHERS_MIN: u64 = 15_000;
const RECEIPTS_MIN: u64 = 50_000;

fn chain_id() -> ChainId {
    ChainId::new("dev-bench").unwrap()
}

fn slot_id(number: u64) -> SlotId {
    SlotId {
        order: OrderId(Digest::of_blob(&number.to_be_bytes())),
        slot: 0,
    }
}

fn per_second(count: u64, work: impl FnOnce()) -> u64 {
    let begun = Instant::now();
    work();
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap().max(1);
    count * 1_000_000 / micros
}

fn vouchers() -> u64 {
    let key = SecretKey::from_seed([7; 32]).unwrap();
    let payers = Payers {
        buyer: key.address(),
        delegate: None,
    };
    let encoded: Vec<Vec<u8>> = (1..=VOUCHERS)
        .map(|number| {
            let voucher = Voucher {
                chain_id: chain_id(),
                lane: slot_id(0),
                cumulative: Amount::from_base_units(number).unwrap(),
            };
            SignedVoucher::sign(voucher, &key).encode().to_vec()
        })
        .collect();
    per_second(VOUCHERS, || {
        let mut highest = Amount::ZERO;
        for bytes in &encoded {
            let voucher: SignedVoucher = decode(bytes).unwrap();
            assert!(voucher.is_signed_by(&payers) && voucher.voucher.cumulative > highest);
            highest = voucher.voucher.cumulative;
        }
    })
}

fn receipts() -> u64 {
    let key = SecretKey::from_seed([8; 32]).unwrap();
    let units = UnitVector {
        input: Units(40),
        output: Units(60),
        ..UnitVector::default()
    };
    let receipts: Vec<SignedReceipt> = (0..RECEIPTS_PER_BATCH)
        .map(|number| {
            let receipt = Receipt {
                chain_id: chain_id(),
                slot_id: slot_id(number),
                attempt: 0,
                kind: KindId(1),
                version: 1,
                spec_digest: Digest::of_blob(&number.to_le_bytes()),
                units,
                disclosure: Digest::ZERO,
                output_commitment: Digest::of_blob(&number.to_be_bytes()),
            };
            SignedReceipt::sign(receipt, &key)
        })
        .collect();
    let amount = Amount::from_base_units(100).unwrap();
    per_second(BATCHES * RECEIPTS_PER_BATCH, || {
        for _ in 0..BATCHES {
            let leaf = |(index, signed): (u64, &SignedReceipt)| {
                let receipt = signed.receipt.digest();
                let leaf = Leaf {
                    index,
                    amount,
                    receipt,
                };
                leaf.node()
            };
            let leaves: Vec<_> = (0..).zip(&receipts).map(leaf).collect();
            let root = sum_tree::root(&leaves).unwrap();
            assert_eq!(root.sum.base_units(), 100 * RECEIPTS_PER_BATCH);
        }
    })
}

fn main() {
    let (vouchers, receipts) = (vouchers(), receipts());
    println!(
        "{vouchers} vouchers checked per second (promise: {VOUCHERS_MIN}), {receipts} receipts rooted per second (promise: {RECEIPTS_MIN}), on one core"
    );
    if vouchers < VOUCHERS_MIN || receipts < RECEIPTS_MIN {
        std::process::exit(1);
    }
}
