//! A receipt file's own contents: what it carries is checked, with the spec and without.

use crate::samples::{Maker, Sample};
use commonware_codec::Encode;
use fairweir_types::{
    BoundedBytes, Boxed, Digest, Event, SecretKey, SignedReceipt, Units, merkle,
    proof::{ProofError, ReceiptProof},
    receipt::{SignedStop, Stop, Stopped, output_commitment, trace},
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
    proof.settled.trace = trace(
        &receipt.spec_digest,
        &Digest::of_blob(b"output"),
        &receipt.units,
    );
    receipt.output_commitment = output_commitment(
        worker.address(),
        &receipt.slot_id,
        receipt.attempt,
        &proof.salt,
        &proof.settled.trace,
    );
    proof.settled.slot_id = receipt.slot_id;
    proof.settled.receipt = receipt.digest();
    proof.settled.paid.to = worker.address();
    proof.receipt = SignedReceipt::sign(receipt, &worker);
    let leaves = [merkle::leaf(
        &Event::Settled(Boxed::new(proof.settled.clone())).encode(),
    )];
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
    let opens = |receipt: &fairweir_types::Receipt, worker| {
        receipt.is_opened_by(worker, &proof.salt, &proof.settled.trace)
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
