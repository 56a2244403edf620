//! The genesis of a chain: accounts, validators, governed values that differ from their defaults, and kinds of work.

use crate::{
    amount::{Amount, AmountError},
    bounded::BoundedVec,
    catalogue::GenesisService,
    codec::record,
    digest::{Digest, Domain},
    keys::{Address, Purpose, VoteKey, VoteSignature},
    limits::{GENESIS_ACCOUNTS_MAX, GENESIS_PARAMS_MAX, SERVICES_MAX, VALIDATORS_MAX},
    order::KindId,
    quantity::{ChainId, Millis},
};
use commonware_codec::{Encode, ReadExt};
use commonware_cryptography::ed25519;
use thiserror::Error;

/// A balance at genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenesisAccount {
    /// The account.
    pub address: Address,
    /// Its balance.
    pub balance: Amount,
}
record!(GenesisAccount { address, balance });

/// A validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Its ed25519 identity on the peer network.
    pub identity: [u8; 32],
    /// Its vote key.
    pub vote_key: VoteKey,
    /// Proof that it holds the vote key: without it a validator could cancel others' keys out of an aggregate.
    pub possession: VoteSignature,
    /// The account that receives transaction fees of blocks it proposes.
    pub payout: Address,
}
record!(Validator {
    identity,
    vote_key,
    possession,
    payout
});

/// A governed value that differs from its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenesisParam {
    /// The parameter's stable number.
    pub param: u16,
    /// Its value.
    pub value: u64,
}
record!(GenesisParam { param, value });

/// The genesis of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The chain's name.
    pub chain_id: ChainId,
    /// Milliseconds since the Unix epoch.
    pub time: Millis,
    /// Accounts with their balances, in ascending order of address.
    pub accounts: BoundedVec<GenesisAccount, GENESIS_ACCOUNTS_MAX>,
    /// Validators, in ascending order of identity.
    pub validators: BoundedVec<Validator, VALIDATORS_MAX>,
    /// Governed values that differ from their defaults, in ascending order of number.
    pub params: BoundedVec<GenesisParam, GENESIS_PARAMS_MAX>,
    /// The kinds of work that the chain begins with, in ascending order of kind.
    pub services: BoundedVec<GenesisService, SERVICES_MAX>,
}
record!(Genesis {
    chain_id,
    time,
    accounts,
    validators,
    params,
    services
});

/// Why a genesis is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// There is no validator.
    #[error("a chain needs at least one validator")]
    NoValidator,
    /// Validators are not in ascending order, or one is named twice.
    #[error("validators must be in ascending order of identity, each once")]
    ValidatorOrder,
    /// An identity is no ed25519 public key.
    #[error("validator {position} has an identity that is no ed25519 key")]
    BadIdentity {
        /// Its position.
        position: usize,
    },
    /// A vote key is not proven.
    #[error("validator {position} does not prove that it holds its vote key")]
    NoPossession {
        /// Its position.
        position: usize,
    },
    /// Accounts are not in ascending order, or one is named twice.
    #[error("accounts must be in ascending order of address, each once")]
    AccountOrder,
    /// The balances exceed the supply cap.
    #[error("the balances together exceed the supply cap")]
    Supply(#[source] AmountError),
    /// Parameters are not in ascending order, or one is named twice.
    #[error("parameters must be in ascending order of number, each once")]
    ParamOrder,
    /// Kinds of work are not in ascending order, or one is named twice.
    #[error("kinds of work must be in ascending order of their numbers, each once")]
    ServiceOrder,
    /// A kind of work cannot be in the catalogue.
    #[error("the kind {kind} cannot be in the catalogue: {rule}")]
    BadService {
        /// The kind.
        kind: KindId,
        /// What is asked of it.
        rule: &'static str,
    },
    /// A parameter is unknown.
    #[error("there is no parameter {param}")]
    UnknownParam {
        /// Its number.
        param: u16,
    },
    /// A parameter is out of range.
    #[error("parameter {param} is {value}, outside {min} to {max}")]
    ParamRange {
        /// Its number.
        param: u16,
        /// The value given.
        value: u64,
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
    },
    /// Parameters do not fit each other.
    #[error("parameters do not fit each other ({name}): {rule}")]
    ParamsDisagree {
        /// The relation that does not hold.
        name: &'static str,
        /// What it asks, and why.
        rule: &'static str,
    },
}

impl Genesis {
    /// The digest that names this genesis.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_encoded(Domain::Genesis, self)
    }

    /// Checks everything but the meaning of parameters, which the ledger knows.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.validators.is_empty() {
            return Err(GenesisError::NoValidator);
        }
        if !ascending(self.validators.iter().map(|validator| validator.identity)) {
            return Err(GenesisError::ValidatorOrder);
        }
        for (position, validator) in self.validators.iter().enumerate() {
            if ed25519::PublicKey::read(&mut bytes::Bytes::copy_from_slice(&validator.identity))
                .is_err()
            {
                return Err(GenesisError::BadIdentity { position });
            }
            let key = &validator.vote_key;
            if !key.verify(
                Purpose::VoteKeyPossession,
                &key.encode(),
                &validator.possession,
            ) {
                return Err(GenesisError::NoPossession { position });
            }
        }
        if !ascending(self.accounts.iter().map(|account| account.address)) {
            return Err(GenesisError::AccountOrder);
        }
        if !ascending(self.params.iter().map(|param| param.param)) {
            return Err(GenesisError::ParamOrder);
        }
        if !ascending(self.services.iter().map(|service| service.kind)) {
            return Err(GenesisError::ServiceOrder);
        }
        self.supply().map_err(GenesisError::Supply)?;
        Ok(())
    }

    /// The sum of all balances.
    ///
    /// # Errors
    /// [`AmountError::AboveCap`].
    pub fn supply(&self) -> Result<Amount, AmountError> {
        Amount::sum(self.accounts.iter().map(|account| account.balance))
    }
}

fn ascending<T: Ord>(values: impl Iterator<Item = T>) -> bool {
    let values: Vec<T> = values.collect();
    values.is_sorted_by(|earlier, later| earlier < later)
}
