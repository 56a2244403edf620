//! A genesis, keys, and transactions for tests.

use commonware_codec::Encode as _;
use commonware_cryptography::Signer as _;
use commonware_runtime::{Supervisor as _, deterministic};
use fairweir_chain::{ChainConfig, ChainHandle, ChainTask, start, transport};
use fairweir_ledger::params;
use fairweir_types::{
    Action, Amount, BoundedVec, ChainId, Genesis, GenesisAccount, Height, Millis, Nonce, SecretKey,
    SignedTx, Transaction, Validator, genesis::GenesisParam, keys::VoteSecretKey, tx::Transfer,
};
use std::time::Duration;

pub(crate) const FEE: u64 = 10_000_000;

/// The keys of one validator.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) identity: SecretKey,
    pub(crate) vote_key: VoteSecretKey,
}

pub(crate) fn user(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32]).unwrap()
}

/// A chain with so many validators, whose epochs are short.
pub(crate) fn genesis(validators: u8) -> (Genesis, Vec<Keys>) {
    genesis_of(validators, validators)
}

/// So many keys, the first of which validate; each has money.
pub(crate) fn genesis_of(all: u8, validators: u8) -> (Genesis, Vec<Keys>) {
    let mut keys: Vec<([u8; 32], Keys)> = (0..all)
        .map(|number| {
            let identity = SecretKey::from_seed([100 + number; 32]).unwrap();
            let public = identity.as_identity().public_key().encode();
            let vote_key = VoteSecretKey::from_seed([200 + number; 32]).unwrap();
            (
                public.as_ref().try_into().unwrap(),
                Keys { identity, vote_key },
            )
        })
        .collect();
    keys.sort_by_key(|(public, _)| *public);
    let validators = keys
        .iter()
        .take(usize::from(validators))
        .map(|(identity, keys)| Validator {
            identity: *identity,
            vote_key: keys.vote_key.vote_key(),
            possession: keys.vote_key.prove_possession(),
            payout: keys.identity.address(),
        })
        .collect();
    let mut accounts: Vec<GenesisAccount> = (1..=8)
        .map(|number| GenesisAccount {
            address: user(number).address(),
            balance: Amount::from_coins(1_000).unwrap(),
        })
        .collect();
    accounts.extend(keys.iter().map(|(_, keys)| GenesisAccount {
        address: keys.identity.address(),
        balance: Amount::from_coins(100).unwrap(),
    }));
    accounts.sort_by_key(|account| account.address);
    let genesis = Genesis {
        chain_id: ChainId::new("dev-test").unwrap(),
        time: Millis(0),
        accounts: BoundedVec::new(accounts).unwrap(),
        validators: BoundedVec::new(validators).unwrap(),
        params: BoundedVec::new(vec![GenesisParam {
            param: params::number_of("epoch_blocks").unwrap(),
            value: 10,
        }])
        .unwrap(),
        services: BoundedVec::default(),
    };
    genesis.check().unwrap();
    (genesis, keys.into_iter().map(|(_, keys)| keys).collect())
}

pub(crate) fn config(genesis: &Genesis, keys: &Keys) -> ChainConfig {
    ChainConfig {
        heartbeat: Duration::from_millis(500),
        ..ChainConfig::new(
            genesis.clone(),
            keys.identity.clone(),
            keys.vote_key.clone(),
        )
    }
}

pub(crate) async fn start_solo(
    context: &deterministic::Context,
    config: ChainConfig,
) -> (ChainHandle, ChainTask) {
    let identity = config.identity.as_identity().public_key();
    start(context.child("chain"), config, transport::solo(identity))
        .await
        .unwrap()
}

/// A transfer of 1,000 base units to user 8.
pub(crate) fn transfer(from: &SecretKey, nonce: u64) -> SignedTx {
    transfer_with(from, nonce, FEE, "dev-test", 50)
}

pub(crate) fn transfer_with(
    from: &SecretKey,
    nonce: u64,
    fee: u64,
    chain: &str,
    expiry: u64,
) -> SignedTx {
    let action = Action::Transfer(Transfer {
        to: user(8).address(),
        amount: Amount::from_base_units(1_000).unwrap(),
    });
    let transaction = Transaction {
        chain_id: ChainId::new(chain).unwrap(),
        sender: from.account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(fee).unwrap(),
        expiry: Height(expiry),
        action,
    };
    transaction.sign(from)
}

/// A vote key of nobody.
pub(crate) fn user_vote_key() -> VoteSecretKey {
    VoteSecretKey::from_seed([99; 32]).unwrap()
}
