//! Proofs about single keys of the state.

use crate::{
    four::{link, lossy, validators},
    harness::{genesis, transfer, user},
};
use commonware_runtime::{Clock as _, Runner as _, deterministic};
use fairweir_chain::light::LightClient;
use fairweir_ledger::{MemoryState, bank};
use fairweir_types::{Address, BoundedBytes, Height};
use std::time::Duration;

#[test]
fn a_record_and_the_want_of_one_are_proven_against_a_final_block_and_nothing_else_is() {
    let (genesis, keys) = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(120)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys).await;
        let chain = &chains[0].0;
        let light = LightClient::new(&genesis).unwrap();
        let sender = user(1).address();
        for nonce in 0..20 {
            chain.submit(transfer(&user(1), nonce)).unwrap();
            // While blocks come: whatever the proof is of, it is of one final block.
            let proof = chain.prove(&bank::key(sender)).await.unwrap();
            let record = light.verify_state(&proof).unwrap().unwrap();
            let mut state = MemoryState::default();
            state.insert(bank::key(sender), record);
            let proven = bank::account(&state, sender).unwrap();
            let now = chain.read(|state| bank::account(state, sender).unwrap());
            assert!(proven.nonce <= now.nonce && proven.balance >= now.balance);
            context.sleep(Duration::from_millis(137)).await;
        }
        let nobody = Address([99; 20]);
        let present = chain.prove(&bank::key(sender)).await.unwrap();
        let absent = chain.prove(&bank::key(nobody)).await.unwrap();
        assert!(light.verify_state(&present).unwrap().is_some());
        assert_eq!(light.verify_state(&absent).unwrap(), None);

        for (proof, other) in [(&present, nobody), (&absent, sender)] {
            let mut renamed = proof.clone();
            renamed.key = BoundedBytes::new(bank::key(other)).unwrap();
            assert_eq!(
                light.verify_state(&renamed).unwrap_err().code(),
                "other_state"
            );
            let mut older = proof.clone();
            older.header.state_root.0[0] ^= 1;
            assert_eq!(
                light.verify_state(&older).unwrap_err().code(),
                "other_block"
            );
            for place in 0..proof.proof.as_slice().len() {
                let mut changed = proof.clone();
                let mut bytes = proof.proof.as_slice().to_vec();
                bytes[place] ^= 1 << (place % 8);
                changed.proof = BoundedBytes::new(bytes).unwrap();
                let refused = light.verify_state(&changed).unwrap_err();
                assert!(["other_state", "state_malformed"].contains(&refused.code()));
            }
            let mut cut = proof.clone();
            let bytes = proof.proof.as_slice();
            cut.proof = BoundedBytes::new(bytes[..bytes.len() - 1].to_vec()).unwrap();
            assert_eq!(
                light.verify_state(&cut).unwrap_err().code(),
                "state_malformed"
            );
        }
        // A key that no record can have is proven absent as well.
        let odd = chain.prove(&[]).await.unwrap();
        assert_eq!(light.verify_state(&odd).unwrap(), None);
        assert!(present.header.height > Height::ZERO);
    });
}
