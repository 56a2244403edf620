//! How many signed transfers the state machine applies per second: `just bench transfers`.
//!
//! Prints two figures: on one core with signatures checked before, and on two cores with batch checks in between. Exits with 1
//! if one is below the promise in SPECIFICATION.md.
#![expect(
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark"
)]

use commonware_parallel::Rayon;
use fairweir_ledger::{
    BlockContext, MemoryState, apply_block, genesis_writes, invariants, referee::NoReferee,
    upgrades::Plans,
};
use fairweir_types::{
    AccountKey, Action, Amount, BoundedVec, ChainId, Digest, Genesis, GenesisAccount, Height,
    Millis, Nonce, SecretKey, SignedTx, Transaction, Validator, VerifiedTx, digest::Domain,
    keys::VoteSecretKey, tx::Transfer,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use std::{num::NonZeroUsize, time::Instant};

const ACCOUNTS: u64 = 1_000;
const BLOCKS: u64 = 20;
const TXS_PER_BLOCK: u64 = 5_000;
/// The promises, in transfers per second.
const APPLY_MIN: u64 = 100_000;
const CHECK_AND_APPLY_MIN: u64 = 15_000;

fn key(number: u64) -> SecretKey {
    SecretKey::from_seed(Digest::of(Domain::KeyDerivation, &[&number.to_be_bytes()]).0).unwrap()
}

fn genesis(keys: &[SecretKey]) -> Genesis {
    let balance = Amount::from_coins(1_000).unwrap();
    let mut accounts: Vec<_> = keys
        .iter()
        .map(|key| GenesisAccount {
            address: key.address(),
            balance,
        })
        .collect();
    accounts.sort_by_key(|account| account.address);
    let vote = VoteSecretKey::from_seed([1; 32]).unwrap();
    let identity = key(u64::MAX);
    let AccountKey::Ed25519(public) = identity.account_key();
    let validator = Validator {
        identity: public.as_ref().try_into().unwrap(),
        vote_key: vote.vote_key(),
        possession: vote.prove_possession(),
        payout: identity.address(),
    };
    Genesis {
        chain_id: ChainId::new("dev-bench").unwrap(),
        time: Millis(0),
        accounts: BoundedVec::new(accounts).unwrap(),
        validators: BoundedVec::new(vec![validator]).unwrap(),
        params: BoundedVec::default(),
        services: BoundedVec::default(),
    }
}

fn blocks(keys: &[SecretKey]) -> Vec<Vec<SignedTx>> {
    let chain_id = ChainId::new("dev-bench").unwrap();
    let transfer = |number: u64| {
        let (from, to) = (number % ACCOUNTS, (number * 7 + 1) % ACCOUNTS);
        let to = if from == to { (to + 1) % ACCOUNTS } else { to };
        let key = |number: u64| &keys[usize::try_from(number).unwrap()];
        let action = Action::Transfer(Transfer {
            to: key(to).address(),
            amount: Amount::from_base_units(1).unwrap(),
        });
        Transaction {
            chain_id: chain_id.clone(),
            sender: key(from).account_key(),
            nonce: Nonce(number / ACCOUNTS),
            fee: Amount::from_base_units(10_000).unwrap(),
            expiry: Height(1_000),
            action,
        }
        .sign(key(from))
    };
    (0..BLOCKS)
        .map(|block| {
            (block * TXS_PER_BLOCK..(block + 1) * TXS_PER_BLOCK)
                .map(transfer)
                .collect()
        })
        .collect()
}

fn run(
    genesis: &Genesis,
    blocks: Vec<Vec<SignedTx>>,
    mut verify: impl FnMut(Vec<SignedTx>) -> Vec<VerifiedTx>,
    is_verified_before: bool,
) -> u64 {
    let mut state = MemoryState::default();
    state.apply(&genesis_writes(genesis).unwrap());
    let mut verified = Vec::new();
    let mut pending = blocks;
    if is_verified_before {
        verified = std::mem::take(&mut pending)
            .into_iter()
            .map(&mut verify)
            .collect();
    }
    let begun = Instant::now();
    let mut verified = verified.into_iter();
    let mut pending = pending.into_iter();
    let mut done = 0u64;
    for height in 1..=BLOCKS {
        let txs = verified
            .next()
            .or_else(|| pending.next().map(&mut verify))
            .unwrap();
        let context = BlockContext {
            chain_id: genesis.chain_id.clone(),
            height: Height(height),
            time: Millis(height),
            beacon: Digest::ZERO,
            proposer: [0; 32],
            plans: Plans::default(),
        };
        let outcome = apply_block(&state, &context, &NoReferee, &txs).unwrap();
        assert!(
            outcome.outcomes.iter().all(|outcome| outcome.is_done()),
            "every transfer is done"
        );
        state.apply(&outcome.writes);
        done += u64::try_from(outcome.outcomes.len()).unwrap();
    }
    let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap();
    invariants::check(&state).unwrap();
    done * 1_000_000_000 / nanos
}

fn main() {
    let keys: Vec<_> = (0..ACCOUNTS).map(key).collect();
    let genesis = genesis(&keys);
    let blocks = blocks(&keys);
    let one_by_one = |txs: Vec<SignedTx>| txs.into_iter().map(|tx| tx.verify().unwrap()).collect();
    let apply = run(&genesis, blocks.clone(), one_by_one, true);
    println!("one core, signatures checked before: {apply} transfers/s (promise: {APPLY_MIN})");
    let two = Rayon::new(NonZeroUsize::new(2).unwrap()).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let in_batches = |txs| SignedTx::verify_batch(txs, &mut rng, &two).unwrap();
    let check_and_apply = run(&genesis, blocks, in_batches, false);
    println!(
        "two cores, batch checks included: {check_and_apply} transfers/s (promise: {CHECK_AND_APPLY_MIN})"
    );
    println!("{apply} {check_and_apply}");
    if apply < APPLY_MIN || check_and_apply < CHECK_AND_APPLY_MIN {
        std::process::exit(1);
    }
}
