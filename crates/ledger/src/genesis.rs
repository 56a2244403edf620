//! The first state.

use crate::{
    bank::{Account, Supply},
    candidates::{Epoch, Seats},
    catalogue::{self, ServiceRecord},
    execution::Clock,
    keys,
    params::{check_genesis_params, of_genesis},
    secured::Secured,
    state::{Mark, Writes, state_record},
    validators::ValidatorRecord,
};
use commonware_codec::Encode;
use fairweir_types::{
    Amount, BoundedVec, Digest, Genesis, Height, Millis, Nonce, event::Seat, genesis::GenesisError,
};

/// What the ledger remembers of its genesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChainRecord {
    pub(crate) genesis: Digest,
    pub(crate) validators: u16,
}
state_record!(ChainRecord {
    genesis,
    validators
});

/// The writes that make the state of height 0.
///
/// # Errors
/// [`GenesisError`] when the genesis is not well-formed or a parameter is unknown or out of range.
pub fn genesis_writes(genesis: &Genesis) -> Result<Writes, GenesisError> {
    genesis.check()?;
    check_genesis_params(genesis)?;
    catalogue::check_genesis(genesis)?;
    let mut writes = Writes::new();
    let mut put = |key: Vec<u8>, value: Vec<u8>| writes.insert(key, Some(value));
    for account in &genesis.accounts {
        let record = Account {
            balance: account.balance,
            nonce: Nonce::ZERO,
        };
        put(keys::account(account.address), record.encode().to_vec());
    }
    for validator in &genesis.validators {
        put(
            keys::validator(&validator.identity),
            ValidatorRecord {
                vote_key: validator.vote_key.clone(),
                account: validator.payout,
                tombstoned: false,
                proposed: None,
            }
            .encode()
            .to_vec(),
        );
        let key = keys::vote_key(&validator.vote_key.to_bytes());
        put(key, Mark {}.encode().to_vec());
    }
    let seats = genesis.validators.iter().map(|validator| Seat {
        validator: validator.identity,
        vote_key: validator.vote_key.to_bytes(),
        stake: Amount::ZERO,
    });
    let seats = Seats {
        seats: BoundedVec::truncating(seats),
    };
    put(keys::seats(), seats.encode().to_vec());
    put(keys::secured(), Secured::default().encode().to_vec());
    let epoch = Epoch {
        number: 0,
        ends: Height(of_genesis(genesis).epoch_blocks),
        ..Epoch::default()
    };
    put(keys::epoch(), epoch.encode().to_vec());
    for param in &genesis.params {
        put(keys::param(param.param), param.value.encode().to_vec());
    }
    for service in &genesis.services {
        let record = ServiceRecord::founding(service.terms.clone());
        put(keys::service(service.kind), record.encode().to_vec());
    }
    let supply = Supply {
        genesis: genesis.supply().map_err(GenesisError::Supply)?,
        minted: Amount::ZERO,
        burned: Amount::ZERO,
    };
    put(keys::supply(), supply.encode().to_vec());
    put(
        keys::clock(),
        Clock {
            chain_time: Millis::ZERO,
            block_time: genesis.time,
        }
        .encode()
        .to_vec(),
    );
    let validators = u16::try_from(genesis.validators.len()).unwrap_or(u16::MAX);
    put(
        keys::chain(),
        ChainRecord {
            genesis: genesis.digest(),
            validators,
        }
        .encode()
        .to_vec(),
    );
    Ok(writes)
}
