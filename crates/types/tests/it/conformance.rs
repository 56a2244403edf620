//! One hash per encoded type over many samples: a change of format breaks a line of `conformance.txt`. Changing that file
//! approves a change of format, and belongs into a commit that says so.

use crate::samples::{Maker, Sample};
use commonware_codec::{Encode, Read};
use fairweir_types::{
    Block, BlockHeader, Digest, Event, Genesis, Receipt, SignedReceipt, SignedTx, Transaction,
    TxOutcome, decode,
    digest::Domain,
    handover::{Handover, Handovers},
    merkle::MerklePath,
    node_api::{DeliveryReply, DeskRequest, KeptOutput, NodeReply, NodeRequest},
    order::{Offer, OrderHeader},
    proof::ReceiptProof,
    receipt::Disclosure,
    session::{Kept, ShownLeaves, SignedRequest, SignedVoucher},
    state_proof::StateProof,
    tx::{BoundLeaf, BoundSample},
};
use std::fmt::Debug;

const SAMPLES: u64 = 64;

fn hash<T: Sample + Encode + Read<Cfg = ()> + PartialEq + Debug>(name: &str) -> String {
    let mut hash = Digest::ZERO;
    for seed in 0..SAMPLES {
        let value = T::sample(&mut Maker::new(seed));
        let bytes = value.encode();
        assert_eq!(
            bytes.len(),
            value.encode_size(),
            "{name}: the size is as announced"
        );
        assert_eq!(
            decode::<T>(&bytes).unwrap(),
            value,
            "{name}: what was encoded decodes to itself"
        );
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(
            decode::<T>(&longer).is_err(),
            "{name}: left-over bytes are refused"
        );
        if let Some((_, shorter)) = bytes.split_last() {
            assert!(
                decode::<T>(shorter).is_err(),
                "{name}: cut bytes are refused"
            );
        }
        hash = Digest::of(Domain::Draw, &[hash.as_bytes(), &bytes]);
    }
    format!("{name} {hash}\n")
}

#[test]
fn every_encoding_is_as_it_was() {
    let found = [
        hash::<Transaction>("Transaction"),
        hash::<SignedTx>("SignedTx"),
        hash::<TxOutcome>("TxOutcome"),
        hash::<OrderHeader>("OrderHeader"),
        hash::<Offer>("Offer"),
        hash::<Receipt>("Receipt"),
        hash::<Disclosure>("Disclosure"),
        hash::<SignedReceipt>("SignedReceipt"),
        hash::<Event>("Event"),
        hash::<BlockHeader>("BlockHeader"),
        hash::<Block>("Block"),
        hash::<Genesis>("Genesis"),
        hash::<MerklePath>("MerklePath"),
        hash::<ReceiptProof>("ReceiptProof"),
        hash::<Handover>("Handover"),
        hash::<Handovers>("Handovers"),
        hash::<StateProof>("StateProof"),
        hash::<NodeRequest>("NodeRequest"),
        hash::<NodeReply>("NodeReply"),
        hash::<DeskRequest>("DeskRequest"),
        hash::<DeliveryReply>("DeliveryReply"),
        hash::<KeptOutput>("KeptOutput"),
        hash::<Kept>("Kept"),
        hash::<SignedRequest>("SignedRequest"),
        hash::<SignedVoucher>("SignedVoucher"),
        hash::<ShownLeaves>("ShownLeaves"),
        hash::<BoundSample>("BoundSample"),
        hash::<BoundLeaf>("BoundLeaf"),
    ]
    .concat();
    assert_eq!(
        found,
        include_str!("conformance.txt"),
        "a format changed; if that is meant, conformance.txt must be:\n{found}"
    );
}
