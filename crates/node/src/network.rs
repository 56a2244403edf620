//! The founding of a network: keys, genesis, settings.

use crate::{
    Config, ConfigError, DataDir, DataDirError, Keystore, KeystoreError, Passphrase, random_seed,
};
use fairweir_ledger::{
    catalogue,
    params::{self, PARAMS},
};
use fairweir_services::{
    Registry,
    inference::{Models, NoModels},
};
use fairweir_types::{
    AccountKey, Address, Amount, BoundedVec, ChainId, Digest, Genesis, GenesisAccount, LengthError,
    Millis, Validator,
    catalogue::{GenesisService, KnownKind},
    genesis::{GenesisError, GenesisParam},
};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use thiserror::Error;

/// Workers of a network in one process.
pub const WORKERS: usize = 3;
/// Verifiers of a network in one process: with the two workers that are no party they make the five of a dispute, after
/// the two of the first draw.
pub const VERIFIERS: usize = 5;

/// Validators of a network in one process at most: four stand one that fails, and more would only take each other's time.
pub const VALIDATORS_MAX: usize = 7;

/// The names of keys in the keystore.
pub mod names {
    /// The validator's identity.
    pub const VALIDATOR: &str = "validator";
    /// The validator's vote key.
    pub const VOTE: &str = "validator-vote";
    /// The node's transport key.
    pub const NODE: &str = "node";
    /// The account that buys, and that has the money of a new network.
    pub const BUYER: &str = "buyer";

    /// A worker, from 1.
    #[must_use]
    pub fn worker(number: usize) -> String {
        format!("worker-{number}")
    }

    /// Identity and vote key of a validator, from 1.
    #[must_use]
    pub fn validator(number: usize) -> (String, String) {
        match number {
            1 => (VALIDATOR.to_owned(), VOTE.to_owned()),
            _ => (
                format!("validator-{number}"),
                format!("validator-{number}-vote"),
            ),
        }
    }

    /// A verifier, from 1.
    #[must_use]
    pub fn verifier(number: usize) -> String {
        format!("verifier-{number}")
    }
}

/// Coins of the founding account.
const BUYER_COINS: u64 = 1_000_000;
/// Coins of each worker and verifier at genesis.
const ROLE_COINS: u64 = 10_000;
/// Coins that each worker and verifier bonds.
pub const ROLE_STAKE_COINS: u64 = 1_000;

/// Governed values of a network in one process: short windows, because everybody is a millisecond away.
const QUICK_PARAMS: &[(&str, u64)] = &[
    ("unbonding_delay", 7_200_000),
    ("challenge_window", 1_000),
    ("appeal_window", 30_000),
    ("appeal_game", 330_000),
    ("appeal_move", 7_000),
    // One machine does the work of all: its checks wait for its answers.
    ("commit_window", 120_000),
    // Proposals too: a whole life of one takes a minute.
    ("deposit_window", 60_000),
    ("voting_window", 12_000),
    ("expedited_window", 6_000),
    ("confirm_window", 4_000),
    ("param_lock", 12_000),
    ("upgrade_lock", 12_000),
    ("penalty_appeal", 12_000),
];

/// Why a network cannot be founded.
#[derive(Debug, Error)]
pub enum FoundError {
    /// The folder refused.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The keys refused.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The settings refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The chain's name is none.
    #[error("a chain's name is 1 to 31 of a-z, 0-9 and -")]
    ChainId(#[source] LengthError),
    /// The genesis is none.
    #[error("the genesis is not well-formed")]
    Genesis(#[from] GenesisError),
    /// The clock is before 1970.
    #[error("the clock of this machine is before 1970: set it")]
    Clock,
    /// A vote key could not be derived.
    #[error("a key could not be derived")]
    Key(#[from] commonware_codec::Error),
}

/// A network that exists: opened, or founded just now.
#[derive(Debug)]
pub struct Founded {
    /// Its genesis.
    pub genesis: Genesis,
    /// Its keys.
    pub keys: Keystore,
    /// Whether it was founded just now.
    pub is_new: bool,
}

/// A random name for a development chain.
///
/// # Errors
/// [`FoundError`].
pub fn dev_chain_id() -> Result<ChainId, FoundError> {
    let digits = Digest(*random_seed()?).to_string();
    let name: String = ChainId::DEV_PREFIX
        .chars()
        .chain(digits.chars().take(8))
        .collect();
    ChainId::new(&name).map_err(FoundError::ChainId)
}

/// Opens the network of a folder, or founds one with fresh random keys.
///
/// `passphrase` is called with the chain's name when keys must be opened or encrypted; `validators` counts when it is founded.
///
/// # Errors
/// [`FoundError`].
pub fn open_or_found(
    data: &DataDir,
    chain_id: ChainId,
    passphrase: &Passphrase,
    (config, validators): (&Config, usize),
) -> Result<Founded, FoundError> {
    match data.genesis() {
        Ok(genesis) => {
            let keys = Keystore::open(data, passphrase)?;
            return Ok(Founded {
                genesis,
                keys,
                is_new: false,
            });
        }
        Err(DataDirError::Empty { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut keys = Keystore::empty();
    for name in [names::NODE, names::BUYER] {
        keys.generate(name)?;
    }
    for number in 1..=validators.clamp(1, VALIDATORS_MAX) {
        let (identity, vote) = names::validator(number);
        keys.generate(&identity)?;
        keys.generate(&vote)?;
    }
    for number in 1..=WORKERS {
        keys.generate(&names::worker(number))?;
    }
    for number in 1..=VERIFIERS {
        keys.generate(&names::verifier(number))?;
    }
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| FoundError::Clock)?;
    let time = Millis(u64::try_from(time.as_millis()).map_err(|_| FoundError::Clock)?);
    let genesis = genesis(&keys, chain_id, time)?;
    keys.save(data, passphrase)?;
    config.save(data)?;
    // Last: a folder with a genesis is a whole network.
    data.write_genesis(&genesis)?;
    Ok(Founded {
        genesis,
        keys,
        is_new: true,
    })
}

/// Every version of every kind of work that this program knows.
#[must_use]
pub fn known_services() -> Vec<KnownKind> {
    whole_registry().known()
}

/// The kinds of work that a network is founded with if nobody says otherwise: all that this program knows, from the first block on.
#[must_use]
pub fn founding_services() -> Vec<GenesisService> {
    whole_registry().founding()
}

fn whole_registry() -> Registry {
    let none: Arc<dyn Models> = Arc::new(NoModels);
    Registry::with_models(&none)
}

/// The genesis of a network in one process.
///
/// # Errors
/// [`FoundError::Keystore`] when a key is missing, [`FoundError::Genesis`].
pub fn genesis(keys: &Keystore, chain_id: ChainId, time: Millis) -> Result<Genesis, FoundError> {
    let coins = |coins| Amount::from_coins(coins).unwrap_or(Amount::MAX);
    let mut accounts = vec![(keys.account(names::BUYER)?.address(), coins(BUYER_COINS))];
    let roles = (1..=WORKERS)
        .map(names::worker)
        .chain((1..=VERIFIERS).map(names::verifier));
    for name in roles {
        accounts.push((keys.account(&name)?.address(), coins(ROLE_COINS)));
    }
    accounts.sort_unstable();
    let accounts = accounts
        .into_iter()
        .map(|(address, balance)| GenesisAccount { address, balance });
    let mut validators = validators(keys)
        .map(|names| validator(keys, &names))
        .collect::<Result<Vec<_>, _>>()?;
    validators.sort_by_key(|validator| validator.identity);
    let mut params: Vec<GenesisParam> = QUICK_PARAMS
        .iter()
        .filter_map(|(name, value)| {
            let spec = PARAMS.iter().find(|spec| spec.name == *name)?;
            Some(GenesisParam {
                param: spec.number,
                // A chain that others may join has longer least votes and locks.
                value: spec.min_on(&chain_id).max(*value),
            })
        })
        .collect();
    params.sort_by_key(|param| param.param);
    let genesis = Genesis {
        chain_id,
        time,
        accounts: BoundedVec::truncating(accounts),
        validators: BoundedVec::truncating(validators),
        params: BoundedVec::truncating(params),
        services: BoundedVec::truncating(founding_services()),
    }
    .tagged()?;
    genesis.check()?;
    params::check_genesis_params(&genesis)?;
    catalogue::check_genesis(&genesis)?;
    Ok(genesis)
}

/// The names of the keys of each validator of a keystore: identity and vote.
pub fn validators(keys: &Keystore) -> impl Iterator<Item = (String, String)> + use<'_> {
    (1..=VALIDATORS_MAX)
        .map(names::validator)
        .take_while(|(identity, _)| keys.contains(identity))
}

fn validator(
    keys: &Keystore,
    (identity, vote): &(String, String),
) -> Result<Validator, FoundError> {
    let identity = keys.account(identity)?;
    let vote = keys.vote_key(vote)?;
    let AccountKey::Ed25519(public) = identity.account_key();
    let payout: Address = identity.address();
    let mut identity_bytes = [0; 32];
    identity_bytes.copy_from_slice(public.as_ref());
    Ok(Validator {
        identity: identity_bytes,
        vote_key: vote.vote_key(),
        possession: vote.prove_possession(),
        payout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A development chain decides within a minute; a chain that others may join takes the least time that it must.
    #[test]
    fn every_network_of_one_process_has_a_genesis() {
        let mut keys = Keystore::empty();
        let (identity, vote) = names::validator(1);
        let roles = (1..=WORKERS).map(names::worker);
        let roles = roles.chain((1..=VERIFIERS).map(names::verifier));
        for name in roles.chain([identity, vote, names::BUYER.to_owned()]) {
            keys.generate(&name).expect("a fresh name");
        }
        for (chain, voting) in [("dev-quick", 12_000), ("two-machines", 86_400_000)] {
            let chain = ChainId::new(chain).expect("a name");
            let genesis = genesis(&keys, chain, Millis(1)).expect("a genesis");
            let number = params::number_of("voting_window");
            let set = genesis
                .params
                .iter()
                .find(|param| Some(param.param) == number);
            assert_eq!(set.map(|param| param.value), Some(voting));
        }
    }
}
