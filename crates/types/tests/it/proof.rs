//! A receipt file's own contents: what it carries is checked, with the spec and without.

use crate::samples::{Maker, Sample};
use commonware_codec::Encode;
use fairweir_types::{
    Amount, BoundedBytes, BoundedVec, Boxed, Digest, SecretKey, SignedReceipt, Units,
    event::{BatchSettled, Settled},
    merkle,
    proof::{InBatch, ProofError, ReceiptProof, Settlement},
    receipt::{SignedStop, Stop, Stopped, output_commitment, trace},
    session::{Leaf, request_slot},
    sum_tree::SumTree,
};

/// A receipt file that holds, but for its certificate, which is checked elsewhere.
fn proof(seed: u64) -> ReceiptProof {
    let mut maker = Maker::new(seed);
    let mut proof = ReceiptProof::sample(&mut maker);
    let worker = SecretKey::sample(&mut maker);
    proof.spec = BoundedBytes::new(b"spec".to_vec()).unwrap();
    proof.output = BoundedBytes::new(b"output".to_vec()).unwrap();
    let mut receipt = proof.receipt.receipt.clone();
    receipt.chain_id = proof.header.chain_id.clone();
    receipt.spec_digest = Digest::of_blob(b"spec");
    receipt.disclosure = proof.disclosure.to_blob().1;
    let mut settled = Settled::sample(&mut maker);
    settled.trace = trace(
        &receipt.spec_digest,
        &Digest::of_blob(b"output"),
        &receipt.units,
    );
    receipt.output_commitment = output_commitment(
        worker.address(),
        &receipt.slot_id,
        receipt.attempt,
        &proof.salt,
        &settled.trace,
    );
    settled.slot_id = receipt.slot_id;
    settled.receipt = receipt.digest();
    settled.paid.to = worker.address();
    proof.settlement = Settlement::Order(Boxed::new(settled));
    proof.receipt = SignedReceipt::sign(receipt, &worker);
    let leaves = [merkle::leaf(&proof.settlement.event().encode())];
    proof.path = merkle::path(&leaves, 0).unwrap();
    proof.header.events_root = merkle::root(&leaves);
    proof
}

#[test]
fn a_forged_output_is_refused_with_the_spec_and_without() {
    let whole = proof(1);
    whole.check().unwrap();
    let mut without_spec = whole.clone();
    without_spec.spec = BoundedBytes::default();
    without_spec.check().unwrap();
    for mut forged in [whole, without_spec] {
        forged.output = BoundedBytes::new(b"forged".to_vec()).unwrap();
        assert!(matches!(forged.check(), Err(ProofError::OtherOutput)));
    }
}

#[test]
fn another_disclosure_than_the_receipts_is_refused() {
    let mut forged = proof(4);
    forged.disclosure.hint = BoundedBytes::new(b"other".to_vec()).unwrap();
    assert!(matches!(forged.check(), Err(ProofError::OtherDisclosure)));
}

#[test]
fn a_stop_holds_for_its_assignment_and_buyer_alone() {
    let receipt = proof(5).receipt.receipt;
    let buyer = SecretKey::sample(&mut Maker::new(6));
    let stopped = |attempt, at| Stopped {
        at: Units(at),
        stop: SignedStop::sign(
            Stop {
                chain_id: receipt.chain_id.clone(),
                slot_id: receipt.slot_id,
                attempt,
                output_max: Units(9),
            },
            &buyer,
        ),
    };
    let table = [
        (stopped(receipt.attempt, 9), buyer.address(), true),
        (stopped(receipt.attempt, 10), buyer.address(), false),
        (stopped(receipt.attempt ^ 1, 9), buyer.address(), false),
        (
            stopped(receipt.attempt, 9),
            fairweir_types::Address([1; 20]),
            false,
        ),
    ];
    for (stopped, buyer, allowed) in table {
        assert_eq!(stopped.is_allowed(&receipt, buyer), allowed, "{stopped:?}");
    }
}

#[test]
fn a_file_without_spec_and_output_still_proves_the_settlement() {
    let mut bare = proof(2);
    bare.spec = BoundedBytes::default();
    bare.output = BoundedBytes::default();
    bare.check().unwrap();
}

#[test]
fn a_commitment_opens_for_its_worker_and_assignment_alone() {
    let proof = proof(3);
    let worker = proof.receipt.worker.address();
    let Settlement::Order(settled) = &proof.settlement else {
        panic!("it is of an order");
    };
    let opens = |receipt: &fairweir_types::Receipt, worker| {
        receipt.is_opened_by(worker, &proof.salt, &settled.trace)
    };
    let receipt = &proof.receipt.receipt;
    assert!(opens(receipt, worker));
    assert!(!opens(receipt, fairweir_types::Address([1; 20])));
    let mut copies = [receipt.clone(), receipt.clone(), receipt.clone()];
    copies[0].attempt ^= 1;
    copies[1].slot_id.slot ^= 1;
    copies[2].slot_id.order.0 = Digest::of_blob(b"another order");
    for copy in copies {
        assert!(!opens(&copy, worker), "{copy:?}");
    }
}

/// A receipt file of a request in a batch of three, at a position.
fn in_batch(seed: u64, position: usize) -> ReceiptProof {
    let mut proof = proof(seed);
    let mut maker = Maker::new(seed + 100);
    let worker = SecretKey::sample(&mut maker);
    let mut settled = BatchSettled::sample(&mut maker);
    let mut receipt = proof.receipt.receipt.clone();
    let index = 7;
    receipt.slot_id = request_slot(&settled.lane, index);
    receipt.attempt = 0;
    receipt.output_commitment = output_commitment(
        worker.address(),
        &receipt.slot_id,
        0,
        &proof.salt,
        &trace(
            &receipt.spec_digest,
            &Digest::of_blob(b"output"),
            &receipt.units,
        ),
    );
    let leaf = |number: u64, receipt| Leaf {
        index: number,
        amount: Amount::from_base_units(10 + number).unwrap(),
        receipt,
    };
    let mut leaves = vec![leaf(1, Digest::ZERO), leaf(2, Digest::ZERO)];
    leaves.insert(position, leaf(index, receipt.digest()));
    let nodes: Vec<_> = leaves.iter().map(Leaf::node).collect();
    let tree = SumTree::new(nodes).unwrap();
    settled.root = tree.root();
    settled.count = 3;
    // Falls into the leaf at position 1: the first has 11 or 17.
    let first = leaves[0].amount;
    settled.samples = BoundedVec::new(vec![first]).unwrap();
    settled.recomputed_by = 2;
    settled.paid.to = worker.address();
    proof.receipt = SignedReceipt::sign(receipt, &worker);
    proof.settlement = Settlement::Batch(Boxed::new(InBatch {
        settled,
        leaf: leaves[position],
        path: tree.path(position).unwrap(),
    }));
    let events = [merkle::leaf(&proof.settlement.event().encode())];
    proof.path = merkle::path(&events, 0).unwrap();
    proof.header.events_root = merkle::root(&events);
    proof
}

#[test]
fn a_request_in_a_batch_proves_itself_and_says_no_more_than_was_checked() {
    for position in 0..3 {
        let proof = in_batch(9, position);
        proof.check().unwrap();
        let recomputed = if position == 1 { 2 } else { 0 };
        assert_eq!(proof.settlement.recomputed_by(), recomputed);
        let mut without = proof.clone();
        without.spec = BoundedBytes::default();
        without.output = BoundedBytes::default();
        without.check().unwrap();
        let mut forged = proof.clone();
        forged.output = BoundedBytes::new(b"forged".to_vec()).unwrap();
        assert!(matches!(forged.check(), Err(ProofError::OtherOutput)));
    }
}

#[test]
fn a_dearer_or_other_leaf_is_not_in_the_batch() {
    type Change = fn(&mut InBatch);
    let changes: [(&str, Change); 4] = [
        ("not_in_batch", |batch| batch.leaf.amount = Amount::MAX),
        ("not_in_batch", |batch| batch.path.position = 0),
        ("other_receipt", |batch| batch.leaf.index += 1),
        ("other_receipt", |batch| batch.leaf.receipt = Digest::ZERO),
    ];
    for (code, change) in changes {
        let mut forged = in_batch(11, 1);
        let Settlement::Batch(batch) = &forged.settlement else {
            panic!("it is of a batch");
        };
        let mut batch = (**batch).clone();
        change(&mut batch);
        forged.settlement = Settlement::Batch(Boxed::new(batch));
        assert_eq!(forged.check().unwrap_err().code(), code);
    }
}
