//! What the pool takes and what it refuses.

use crate::harness::{FEE, config, genesis, start_solo, transfer, transfer_with, user};
use commonware_runtime::{Runner as _, deterministic};
use fairweir_chain::{ChainConfig, ChainHandle, MempoolLimits, SubmitError, WaitError};
use fairweir_types::{
    Action, Amount, BoundedVec, Boxed, Bps, ChainId, GenesisAccount, Height, Nonce, SecretKey,
    SignedTx, Transaction,
    double_vote::{CastVote, DoubleVote, VoteKind},
    keys::VoteSecretKey,
    tx::{RegisterCandidate, ReportDoubleVote, Transfer},
};
use futures::future::join_all;
use std::{future::Future, time::Duration};

fn with_chain<F: Future<Output = ()>>(
    change: impl FnOnce(&mut ChainConfig),
    test: impl FnOnce(ChainHandle) -> F,
) {
    let (genesis, keys) = genesis(1);
    let mut config = config(&genesis, &keys[0]);
    change(&mut config);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (chain, _tasks) = start_solo(&context, config).await;
        test(chain).await;
    });
}

fn code(result: Result<fairweir_types::Digest, SubmitError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "taken")
}

#[test]
fn nonces_out_of_order_wait_for_each_other() {
    with_chain(
        |_| {},
        |chain| async move {
            let later = chain.submit(transfer(&user(1), 1)).unwrap();
            chain.wait_height(Height(2)).await.unwrap();
            assert_eq!(
                chain.outcome(later).await.unwrap(),
                None,
                "nonce 0 is missing"
            );
            let first = chain.submit(transfer(&user(1), 0)).unwrap();
            let first = chain.wait_outcome(first).await.unwrap();
            let later = chain.wait_outcome(later).await.unwrap();
            assert!(first.outcome.is_done() && later.outcome.is_done());
            assert!(first.height <= later.height);
        },
    );
}

#[test]
fn of_those_that_are_checked_together_each_is_told_what_it_is() {
    with_chain(
        |_| {},
        |chain| async move {
            let mut unsigned = transfer(&user(2), 0);
            unsigned.signature = transfer(&user(3), 0).signature;
            let other = transfer_with(&user(4), 0, FEE, "dev-other", 50);
            let offered = [
                transfer(&user(1), 0),
                unsigned,
                other,
                transfer(&user(5), 0),
                transfer(&user(1), 0),
            ];
            let told = join_all(offered.map(|tx| chain.offer(tx))).await;
            let codes: Vec<_> = told.into_iter().map(code).collect();
            let expected = ["taken", "bad_signature", "wrong_chain", "taken", "taken"];
            assert_eq!(codes, expected);
            for number in [1, 5] {
                let tx = transfer(&user(number), 0).digest();
                assert!(chain.wait_outcome(tx).await.unwrap().outcome.is_done());
            }
        },
    );
}

#[test]
fn what_cannot_be_included_is_refused_with_a_code() {
    with_chain(
        |config| config.mempool.nonce_gap_max = 4,
        |chain| async move {
            let tx = chain.submit(transfer(&user(1), 0)).unwrap();
            chain.wait_outcome(tx).await.unwrap();
            let mut unsigned = transfer(&user(2), 0);
            unsigned.signature = transfer(&user(3), 0).signature;
            let cases: [(&str, SignedTx); 5] = [
                ("nonce_too_low", transfer(&user(1), 0)),
                ("nonce_too_high", transfer(&user(1), 6)),
                (
                    "wrong_chain",
                    transfer_with(&user(2), 0, FEE, "dev-other", 50),
                ),
                ("expired", transfer_with(&user(2), 0, FEE, "dev-test", 0)),
                ("bad_signature", unsigned),
            ];
            for (expected, tx) in cases {
                assert_eq!(code(chain.submit(tx)), expected);
            }
            let poor = user(42);
            for nonce in [0, 1] {
                assert_eq!(code(chain.submit(transfer(&poor, nonce))), "cannot_pay_fee");
            }
            let cheap = transfer_with(&user(2), 0, 0, "dev-test", 50);
            assert_eq!(code(chain.submit(cheap)), "fee_too_low");
            let far = transfer_with(&user(2), 1, FEE, "dev-test", u64::MAX);
            assert_eq!(code(chain.submit(far)), "expiry_too_far");
            assert_eq!(chain.waiting(), 0);
        },
    );
}

#[test]
fn a_replacement_pays_a_tenth_more() {
    with_chain(
        |_| {},
        |chain| async move {
            // Nonce 1 waits for nonce 0, so it can be replaced.
            let old = chain.submit(transfer(&user(1), 1)).unwrap();
            assert_eq!(
                chain.submit(transfer(&user(1), 1)).unwrap(),
                old,
                "the same transaction again"
            );
            let short = transfer_with(&user(1), 1, FEE + FEE / 10 - 1, "dev-test", 50);
            assert_eq!(code(chain.submit(short)), "underpriced");
            let new = chain
                .submit(transfer_with(&user(1), 1, FEE + FEE / 10, "dev-test", 50))
                .unwrap();
            assert_eq!(chain.waiting(), 1);
            chain.submit(transfer(&user(1), 0)).unwrap();
            chain.wait_outcome(new).await.unwrap();
            assert_eq!(
                chain.wait_outcome(old).await,
                Err(WaitError::Dropped { tx: old })
            );
        },
    );
}

#[test]
fn a_full_pool_refuses_and_expiry_makes_room() {
    let limits = MempoolLimits {
        txs_max: 3,
        account_txs_max: 2,
        ..MempoolLimits::default()
    };
    with_chain(
        |config| config.mempool = limits,
        |chain| async move {
            // None of these can be included: nonce 0 is missing.
            for nonce in 1..=2 {
                assert_eq!(
                    code(chain.submit(transfer_with(&user(1), nonce, FEE, "dev-test", 3))),
                    "taken"
                );
            }
            assert_eq!(code(chain.submit(transfer(&user(1), 3))), "account_full");
            assert_eq!(code(chain.submit(transfer(&user(2), 1))), "taken");
            assert_eq!(code(chain.submit(transfer(&user(3), 1))), "mempool_full");
            let dear = transfer_with(&user(3), 1, FEE * 2, "dev-test", 50);
            assert_eq!(
                code(chain.submit(dear)),
                "taken",
                "it pushes out one that pays less"
            );
            assert_eq!(chain.waiting(), 3);
            chain.wait_height(Height(3)).await.unwrap();
            assert_eq!(chain.waiting(), 2);
            assert_eq!(code(chain.submit(transfer(&user(3), 0))), "taken");
        },
    );
}

/// Sends all that an account has but for the fee.
fn drain(from: &SecretKey) -> SignedTx {
    let all = Amount::from_coins(1_000).unwrap();
    let fee = Amount::from_base_units(FEE).unwrap();
    let mut transaction = transfer(from, 0).transaction;
    transaction.action = Action::Transfer(Transfer {
        to: user(120).address(),
        amount: all.checked_sub(fee).unwrap(),
    });
    transaction.sign(from)
}

#[test]
fn those_who_cannot_pay_keep_nobody_out_of_a_block() {
    let (mut genesis, keys) = genesis(1);
    let mut accounts: Vec<GenesisAccount> = (1..=101)
        .map(|number| GenesisAccount {
            address: user(number).address(),
            balance: Amount::from_coins(1_000).unwrap(),
        })
        .collect();
    accounts.sort_by_key(|account| account.address);
    genesis.accounts = BoundedVec::new(accounts).unwrap();
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (chain, _tasks) = start_solo(&context, config(&genesis, &keys[0])).await;
        // A hundred send all that they have, and then what they can pay no more.
        for number in 1..=100 {
            chain.submit(drain(&user(number))).unwrap();
            chain.submit(transfer(&user(number), 1)).unwrap();
        }
        let honest = chain.submit(transfer(&user(101), 0)).unwrap();
        let included = chain.wait_outcome(honest).await.unwrap();
        let block = chain.finalised(included.height).await.unwrap().unwrap();
        assert_eq!(block.block.transactions.len(), 101);
        assert_eq!(chain.waiting(), 0, "what cannot be paid does not wait");
    });
}

#[test]
fn what_money_that_moved_on_would_have_paid_for_does_not_wait() {
    with_chain(
        |_| {},
        |chain| async move {
            // They come before what takes the money from under them, and pay more.
            for nonce in 1..=20 {
                let dear = transfer_with(&user(1), nonce, FEE * 3, "dev-test", 100_000);
                assert_eq!(code(chain.submit(dear)), "taken");
            }
            let moved = chain.submit(drain(&user(1))).unwrap();
            assert!(chain.wait_outcome(moved).await.unwrap().outcome.is_done());
            assert_eq!(chain.waiting(), 0);
            let again = transfer_with(&user(1), 2, FEE, "dev-test", 100_000);
            assert_eq!(code(chain.submit(again)), "cannot_pay_fee");
        },
    );
}

fn signed(by: &SecretKey, action: Action) -> SignedTx {
    let transaction = Transaction {
        chain_id: ChainId::new("dev-test").unwrap(),
        sender: by.account_key(),
        nonce: Nonce(0),
        fee: Amount::from_base_units(FEE).unwrap(),
        expiry: Height(50),
        action,
    };
    transaction.sign(by)
}

#[test]
fn what_proves_nothing_takes_no_place_of_what_a_block_checks() {
    with_chain(
        |_| {},
        |chain| async move {
            let digest = chain.genesis().digest();
            let (identity, vote) = (user(50), VoteSecretKey::from_seed([51; 32]).unwrap());
            let register = |account: &SecretKey| {
                let keys = (&identity, &vote);
                let account = account.address();
                let signed = RegisterCandidate::sign(
                    (digest, account),
                    keys,
                    (Bps::ZERO, Amount::ZERO, ([127, 0, 0, 1], 9_000).into()),
                );
                Action::RegisterCandidate(Boxed::new(signed))
            };
            // Keys that signed for another account.
            let copied = signed(&user(1), register(&user(2)));
            assert_eq!(code(chain.submit(copied)), "keys_not_proven");
            // Votes that the validator did not sign.
            let validator = chain.genesis().validators.as_slice()[0].identity;
            let vote = |block: &[u8]| {
                let block = (1, fairweir_types::Digest::of_blob(block));
                CastVote::cast((&digest, &vote), (0, 2), VoteKind::Notarize, block)
            };
            let evidence = DoubleVote {
                validator,
                epoch: 0,
                view: 2,
                first: vote(b"a"),
                second: vote(b"b"),
            };
            let report = Action::ReportDoubleVote(Boxed::new(ReportDoubleVote { evidence }));
            assert_eq!(
                code(chain.submit(signed(&user(1), report))),
                "not_its_votes"
            );
            // What is proven is taken, and the ledger's own refusal is in its block.
            let tx = chain.submit(signed(&user(2), register(&user(2)))).unwrap();
            let included = chain.wait_outcome(tx).await.unwrap();
            assert_eq!(
                fairweir_ledger::refusal::name(included.outcome.code),
                "own_stake_too_low"
            );
        },
    );
}
