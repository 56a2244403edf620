//! A validator that votes twice among three honest ones.

use crate::{
    four::{link, lossy, validators},
    harness::{genesis, user},
};
use commonware_cryptography::Signer as _;
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, Supervisor as _, deterministic};
use fairweir_chain::{ChainHandle, testing::vote_twice, transport};
use fairweir_ledger::{refusal, validators};
use fairweir_types::{
    Action, Amount, Boxed, ChainId, Height, Nonce, SecretKey, Transaction, double_vote::DoubleVote,
    tx::ReportDoubleVote,
};
use std::time::Duration;

async fn report(
    chain: &ChainHandle,
    by: &SecretKey,
    nonce: u64,
    evidence: &DoubleVote,
) -> &'static str {
    let report = ReportDoubleVote {
        evidence: evidence.clone(),
    };
    let transaction = Transaction {
        chain_id: ChainId::new("dev-test").unwrap(),
        sender: by.account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(crate::harness::FEE).unwrap(),
        expiry: Height(100_000),
        action: Action::ReportDoubleVote(Boxed::new(report)),
    };
    let tx = chain.submit(transaction.sign(by)).unwrap();
    let included = chain.wait_outcome(tx).await.unwrap();
    refusal::name(included.outcome.code)
}

#[test]
fn two_votes_in_a_view_are_met_by_the_others_and_shown_by_anybody_once() {
    let (genesis, keys) = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(600)).start(|context| async move {
        let oracle = link(&context, &genesis, &keys, lossy()).await;
        let chains = validators(&context, &oracle, &genesis, &keys[..3]).await;
        let guilty = keys[3].clone();
        let identity = guilty.identity.as_identity().public_key();
        let transport = transport::simulated(&oracle, identity).await.unwrap();
        let at = genesis.clone();
        let task = context.child("guilty").spawn(|_| async move {
            vote_twice(&at, &guilty.vote_key, transport).await.unwrap();
        });
        while chains
            .iter()
            .any(|(chain, _)| chain.double_votes().is_empty())
        {
            context.sleep(Duration::from_millis(100)).await;
        }
        let chain = &chains[0].0;
        let guilty = genesis.validators.as_slice()[3].identity;
        for (chain, _) in &chains {
            let found = chain.double_votes();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].validator, guilty);
        }
        let evidence = chain.double_votes().pop().unwrap();
        assert_eq!(report(chain, &user(1), 0, &evidence).await, "ok");
        let record = chain.read(|state| validators::validator(state, &guilty).unwrap().unwrap());
        assert!(record.tombstoned);
        assert_eq!(
            report(chain, &user(2), 0, &evidence).await,
            "already_tombstoned"
        );
        // The others go on without it.
        let height = chain.tip().height;
        chain.wait_height(Height(height.get() + 5)).await.unwrap();
        task.abort();
    });
}
