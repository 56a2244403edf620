//! Bytes from nobody knows where: decoding refuses or accepts them, and never panics or asks for much memory.

use crate::samples::{Maker, Sample};
use commonware_codec::Encode;
use fairweir_types::{
    Event, SignedTx, decode,
    file::Filed as _,
    handover::Handovers,
    node_api::{NodeReply, NodeRequest},
    proof::ReceiptProof,
    state_proof::StateProof,
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn random_bytes_are_no_trouble(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode::<SignedTx>(&bytes);
        let _ = decode::<NodeRequest>(&bytes);
        let _ = decode::<NodeReply>(&bytes);
        let _ = decode::<Event>(&bytes);
        let _ = ReceiptProof::from_file(&bytes);
        let _ = Handovers::from_file(&bytes);
        let _ = StateProof::from_file(&bytes);
    }

    #[test]
    fn a_mutated_transaction_is_another_or_none(seed in any::<u64>(), position in any::<prop::sample::Index>(), flip in 1u8..) {
        let tx = SignedTx::sample(&mut Maker::new(seed));
        let mut bytes = tx.encode().to_vec();
        let position = position.index(bytes.len());
        bytes[position] ^= flip;
        if let Ok(mutated) = SignedTx::decode_bounded(&bytes) {
            prop_assert!(mutated.verify().is_err(), "a signature covers every byte");
        }
    }

    #[test]
    fn a_claimed_length_is_not_believed(claimed in any::<u32>()) {
        // A NodeRequest::Submit whose bytes claim any length, but are not there.
        let mut bytes = vec![1];
        let mut rest = claimed;
        while rest >= 0x80 {
            bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).unwrap());
        let decoded = decode::<NodeRequest>(&bytes);
        prop_assert!(decoded.is_err() || claimed == 0);
    }
}
