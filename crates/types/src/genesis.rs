//! The genesis of a chain: accounts, validators, governed values that differ from their defaults, and kinds of work.

use crate::{
    amount::{Amount, AmountError},
    bounded::BoundedVec,
    catalogue::GenesisService,
    codec::record,
    digest::{Digest, Domain},
    keys::{Address, Purpose, VoteKey, VoteSignature},
    limits::{
        CHAIN_ID_BYTES_MAX, CHAIN_NAME_BYTES_MAX, GENESIS_ACCOUNTS_MAX, GENESIS_PARAMS_MAX,
        SERVICES_MAX, VALIDATORS_MAX,
    },
    order::KindId,
    quantity::{ChainId, Millis},
};
use commonware_codec::{Encode, ReadExt};
use commonware_cryptography::ed25519;
use thiserror::Error;

/// Digits of its genesis in a chain's name.
const TAG_DIGITS: usize = 16;

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
    /// The chain's name, with its tag: see [`Genesis::tagged`].
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
    /// The chain's name is too long for its tag.
    #[error("a chain's name is 1 to {max} of a-z, 0-9 and -")]
    NameTooLong {
        /// The limit.
        max: usize,
    },
    /// The chain's name does not end with the digits of this genesis.
    #[error("the chain's name does not end with the first digits of its genesis")]
    Tag,
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

    /// This genesis with a tag in its chain's name: behind the name a `-` and the first 16 digits of the digest that it has under the name alone. What is signed
    /// for a chain is then signed for no other one that is founded under the same name, be it once more by the same people; who founds chains may make two with one tag, in some
    /// 2³² tries, and betrays who trusts it in other ways as well. Development chains, whose
    /// keys deserve no trust, have no tag.
    ///
    /// # Errors
    /// [`GenesisError::NameTooLong`].
    pub fn tagged(mut self) -> Result<Self, GenesisError> {
        if !self.chain_id.is_dev() {
            let digits: String = self.digest().to_string().chars().take(TAG_DIGITS).collect();
            let whole = ChainId::new(&format!("{}-{digits}", self.chain_id));
            self.chain_id = whole.map_err(|_| GenesisError::NameTooLong {
                max: CHAIN_NAME_BYTES_MAX,
            })?;
        }
        Ok(self)
    }

    /// The chain's name without its tag.
    #[must_use]
    pub fn name(&self) -> &str {
        let whole = self.chain_id.as_str();
        let is_tag = |tag: &str| {
            tag.len() == TAG_DIGITS && tag.bytes().all(|digit| digit.is_ascii_hexdigit())
        };
        match whole.rsplit_once('-') {
            Some((name, tag)) if !self.chain_id.is_dev() && is_tag(tag) => name,
            _ => whole,
        }
    }

    fn check_tag(&self) -> Result<(), GenesisError> {
        let name = ChainId::new(self.name()).map_err(|_| GenesisError::Tag)?;
        let untagged = Self {
            chain_id: name,
            ..self.clone()
        };
        if self.chain_id.is_dev() || untagged.tagged()?.chain_id == self.chain_id {
            return Ok(());
        }
        Err(GenesisError::Tag)
    }

    /// Checks everything but the meaning of parameters, which the ledger knows.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn check(&self) -> Result<(), GenesisError> {
        self.check_tag()?;
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

const _: () = assert!(
    CHAIN_NAME_BYTES_MAX + 1 + TAG_DIGITS == CHAIN_ID_BYTES_MAX,
    "a name and its tag are a chain's name"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{SecretKey, VoteSecretKey};

    fn founded(name: &str, time: u64) -> Genesis {
        let vote = VoteSecretKey::from_seed([2; 32]).unwrap();
        let identity = SecretKey::from_seed([1; 32]).unwrap();
        let mut public = [0; 32];
        let crate::AccountKey::Ed25519(key) = identity.account_key();
        public.copy_from_slice(key.as_ref());
        let validator = Validator {
            identity: public,
            vote_key: vote.vote_key(),
            possession: vote.prove_possession(),
            payout: identity.address(),
        };
        Genesis {
            chain_id: ChainId::new(name).unwrap(),
            time: Millis(time),
            accounts: BoundedVec::default(),
            validators: BoundedVec::truncating([validator]),
            params: BoundedVec::default(),
            services: BoundedVec::default(),
        }
    }

    #[test]
    fn chains_of_one_name_are_told_apart_by_their_genesis() {
        let first = founded("two-rivers", 1).tagged().unwrap();
        let again = founded("two-rivers", 2).tagged().unwrap();
        assert_ne!(first.chain_id, again.chain_id);
        for genesis in [&first, &again] {
            assert_eq!(genesis.name(), "two-rivers");
            assert_eq!(genesis.check(), Ok(()));
        }
        // Without a tag, and with that of another genesis.
        let mut other = founded("two-rivers", 1);
        assert_eq!(other.name(), "two-rivers");
        assert_eq!(other.check(), Err(GenesisError::Tag));
        other.chain_id = again.chain_id;
        assert_eq!(other.check(), Err(GenesisError::Tag));
        let dev = founded("dev-0123456789abcdef", 1).tagged().unwrap();
        assert_eq!((dev.name(), dev.check()), ("dev-0123456789abcdef", Ok(())));
    }

    #[test]
    fn a_name_leaves_room_for_its_tag() {
        let longest = "r".repeat(CHAIN_NAME_BYTES_MAX);
        assert!(founded(&longest, 1).tagged().is_ok());
        let refused = founded(&format!("{longest}r"), 1).tagged();
        assert!(matches!(refused, Err(GenesisError::NameTooLong { .. })));
    }
}
