//! Keys and genesis of a chain whose validators and accounts are made from numbers, and what they send.

use commonware_cryptography::{Signer as _, ed25519::PublicKey};
use fairweir_types::{
    Action, Address, Amount, BoundedVec, ChainId, Genesis, GenesisAccount, Height, Millis, Nonce,
    SecretKey, SignedTx, Transaction, Validator,
    keys::{AccountKey, VoteSecretKey},
    tx::Transfer,
};

/// Accounts that send, at most.
pub(crate) const SENDERS_MAX: u8 = 90;
/// Validators, at most.
pub(crate) const VALIDATORS_MAX: u8 = 50;
const FEE: u64 = 10_000_000;

/// The key of an account that sends.
fn sender(number: u8) -> SecretKey {
    secret(1 + number)
}

/// The address of an account that sends.
pub(crate) fn sender_address(number: u8) -> Address {
    sender(number).address()
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32]).expect("a seed of 32 bytes is a key")
}

/// The keys of a validator.
pub(crate) struct Keys {
    pub(crate) identity: SecretKey,
    pub(crate) vote_key: VoteSecretKey,
}

impl Keys {
    pub(crate) fn public(&self) -> PublicKey {
        self.identity.as_identity().public_key()
    }
}

/// A chain, and the keys of its validators in their order.
pub(crate) fn genesis(chain: &str, validators: u8, senders: u8) -> (Genesis, Vec<Keys>) {
    let mut keys: Vec<Keys> = (0..validators)
        .map(|number| Keys {
            identity: secret(100 + number),
            vote_key: VoteSecretKey::from_seed([200 + number; 32]).expect("this seed is a key"),
        })
        .collect();
    keys.sort_by_key(Keys::public);
    let validators = keys.iter().map(|keys| {
        let AccountKey::Ed25519(public) = keys.identity.account_key();
        let mut identity = [0; 32];
        identity.copy_from_slice(public.as_ref());
        Validator {
            identity,
            vote_key: keys.vote_key.vote_key(),
            possession: keys.vote_key.prove_possession(),
            payout: keys.identity.address(),
        }
    });
    let mut accounts: Vec<_> = (0..senders)
        .map(|number| GenesisAccount {
            address: sender(number).address(),
            balance: Amount::from_coins(1_000).expect("a number of coins"),
        })
        .collect();
    accounts.sort_by_key(|account| account.address);
    let genesis = Genesis {
        chain_id: ChainId::new(chain).expect("a chain's name"),
        time: Millis::ZERO,
        accounts: BoundedVec::truncating(accounts),
        validators: BoundedVec::truncating(validators),
        params: BoundedVec::default(),
        services: BoundedVec::default(),
    };
    genesis.check().expect("a genesis");
    (genesis, keys)
}

/// A transfer of an account to itself.
pub(crate) fn transfer(chain: &str, number: u8, nonce: u64) -> SignedTx {
    let key = sender(number);
    let transaction = Transaction {
        chain_id: ChainId::new(chain).expect("a chain's name"),
        sender: key.account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(FEE).expect("a fee"),
        expiry: Height(100_000),
        action: Action::Transfer(Transfer {
            to: key.address(),
            amount: Amount::from_base_units(1_000).expect("an amount"),
        }),
    };
    transaction.sign(&key)
}
