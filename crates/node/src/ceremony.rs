//! How several machines found one network: each makes its keys and hands over a card, one person collects the cards in a
//! genesis file, and everybody joins by the finished file, whose digest they compare.

use crate::{
    Keystore, KeystoreError,
    network::{founding_services, names},
};
use commonware_codec::{Encode, Read};
use data_encoding::HEXLOWER_PERMISSIVE;
use fairweir_ledger::{
    catalogue,
    params::{PARAMS, check_genesis_params, number_of},
};
use fairweir_types::{
    Address, Amount, AmountError, BoundedVec, ChainId, Digest, Genesis, GenesisAccount,
    LengthError, Millis, Validator,
    catalogue::{GenesisService, ServiceTerms},
    decode,
    genesis::{GenesisError, GenesisParam},
    order::{KindId, Name},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};
use thiserror::Error;

/// Bytes of a genesis file at most: room for all accounts that a genesis may hold.
pub const GENESIS_FILE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;

/// Why a genesis file or a card is refused.
#[derive(Debug, Error)]
pub enum CeremonyError {
    /// Not TOML of ours.
    #[error("the file is not understood: {0}")]
    Malformed(String),
    /// The chain's name is none.
    #[error("a chain's name is 1 to 31 of a-z, 0-9 and -")]
    ChainId(#[source] LengthError),
    /// A card's field is not what it should be.
    #[error("the card's {field} is not {expected}: copy the whole card again")]
    Card {
        /// Which field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Somebody has the same key or address already.
    #[error("another validator has the same {what}: {value}")]
    Twice {
        /// What is the same.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// An account's address is none.
    #[error("{0} is no address (fw1…)")]
    Address(String),
    /// An account is named already.
    #[error("{0} has a balance already: edit the file to change it")]
    AccountTwice(Address),
    /// An amount is none.
    #[error("the balance of {address} is no amount of coins")]
    Amount {
        /// Whose balance.
        address: String,
        #[source]
        /// Why.
        source: AmountError,
    },
    /// A governed value has no such name.
    #[error("there is no governed value {0}: `fairweir config params` lists them")]
    UnknownParam(String),
    /// A kind of work has no such name.
    #[error("this program knows no kind of work {name}: there are {known}")]
    UnknownKind {
        /// The name given.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A governed value is out of range.
    #[error("{name} is {value}, it must be {min} to {max}")]
    ParamRange {
        /// Its name.
        name: &'static str,
        /// The value given.
        value: u64,
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// There are more of something than a genesis holds.
    #[error("the file has too many {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        #[source]
        /// How many there may be.
        source: LengthError,
    },
    /// The file is finished, so nobody may change it.
    #[error("the file is finished: start a new one with `fairweir genesis new` to change it")]
    Finished,
    /// The file is not finished.
    #[error("the file is not finished: `fairweir genesis finalise` comes first")]
    Unfinished,
    /// The file was changed after it was finished.
    #[error("the file was changed after it was finished: it says {stated}, but makes {made}")]
    Changed {
        /// The digest in the file.
        stated: String,
        /// What the content makes.
        made: Digest,
    },
    /// What the file says is no genesis.
    #[error("this makes no genesis")]
    Genesis(#[from] GenesisError),
    /// This machine's keys are not in it.
    #[error(
        "no validator of the file has this folder's keys: hand over the card that `fairweir node init` wrote, choose the right folder with --data, or join a network that runs already with --candidate"
    )]
    NotInvited,
    /// This machine's card was altered.
    #[error(
        "this folder's validator has another {what} in the file than on its card: do not join, ask who made the file"
    )]
    CardAltered {
        /// What is other.
        what: &'static str,
    },
    /// The keys of the folder refused.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
}

/// What a machine hands over to become a validator of a network that is being founded. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorCard {
    /// Its ed25519 identity, in 64 hexadecimal digits.
    pub identity: String,
    /// Its BLS12-381 vote key, in 96 hexadecimal digits.
    pub vote_key: String,
    /// The vote key's signature over itself, in 192 hexadecimal digits.
    pub possession: String,
    /// The account that receives the fees of its blocks.
    pub payout: String,
    /// Where the other validators reach it, over TCP.
    pub peer: SocketAddr,
}

impl ValidatorCard {
    /// The card of a folder's validator.
    ///
    /// # Errors
    /// [`KeystoreError`] when a key is missing.
    pub fn of(keys: &Keystore, peer: SocketAddr) -> Result<Self, KeystoreError> {
        let identity = keys.account(names::VALIDATOR)?;
        let vote = keys.vote_key(names::VOTE)?;
        let fairweir_types::AccountKey::Ed25519(public) = identity.account_key();
        Ok(Self {
            identity: HEXLOWER_PERMISSIVE.encode(public.as_ref()),
            vote_key: HEXLOWER_PERMISSIVE.encode(&vote.vote_key().encode()),
            possession: HEXLOWER_PERMISSIVE.encode(&vote.prove_possession().encode()),
            payout: identity.address().to_string(),
            peer,
        })
    }

    /// Reads a card.
    ///
    /// # Errors
    /// [`CeremonyError::Malformed`] or [`CeremonyError::Card`].
    pub fn parse(text: &str) -> Result<Self, CeremonyError> {
        let card: Self =
            toml::from_str(text).map_err(|error| CeremonyError::Malformed(error.to_string()))?;
        card.validator()?;
        Ok(card)
    }

    /// The card as text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Plain values of a plain struct always have a TOML form.
        toml::to_string(self).unwrap_or_default()
    }

    fn validator(&self) -> Result<Validator, CeremonyError> {
        let identity: Digest = from_hex(&self.identity, "identity", "64 hexadecimal digits")?;
        Ok(Validator {
            identity: identity.0,
            vote_key: from_hex(&self.vote_key, "vote_key", "a vote key of 96 digits")?,
            possession: from_hex(
                &self.possession,
                "possession",
                "a vote key's signature of 192 digits",
            )?,
            payout: self.payout.parse().map_err(|_| CeremonyError::Card {
                field: "payout",
                expected: "an address (fw1…)",
            })?,
        })
    }
}

fn from_hex<T: Read<Cfg = ()>>(
    text: &str,
    field: &'static str,
    expected: &'static str,
) -> Result<T, CeremonyError> {
    let refused = CeremonyError::Card { field, expected };
    let Ok(bytes) = HEXLOWER_PERMISSIVE.decode(text.as_bytes()) else {
        return Err(refused);
    };
    decode(&bytes).map_err(|_| refused)
}

/// The file in which a genesis comes together, and which every machine of the network joins by once it is finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    chain_id: String,
    /// Milliseconds since the Unix epoch; only a finished file has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<u64>,
    /// The digest of the genesis; only a finished file has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Governed values that differ from their defaults, by name.
    #[serde(default)]
    params: BTreeMap<String, u64>,
    /// Balances in coins, by address.
    #[serde(default)]
    accounts: BTreeMap<String, String>,
    /// Kinds of work that the chain begins with, by name.
    #[serde(default)]
    services: BTreeMap<String, ServiceLine>,
    #[serde(default)]
    validators: Vec<ValidatorCard>,
}

/// A kind of work in a genesis file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceLine {
    /// Its number.
    kind: u16,
    /// The version of its rules.
    version: u16,
}

impl ServiceLine {
    /// What the genesis holds of it: a vote can narrow the terms later.
    fn service(self, name: &str) -> Result<GenesisService, CeremonyError> {
        let terms = ServiceTerms {
            name: Name::new(name).map_err(|source| CeremonyError::TooMany {
                what: "letters in a kind's name",
                source,
            })?,
            ..ServiceTerms::widest("", self.version)
        };
        Ok(GenesisService {
            kind: KindId(self.kind),
            terms,
        })
    }
}

const HEADER: &str = "\
# The genesis of a Fairweir network. Every machine joins by this file: `fairweir node join FILE`.
# Compare its digest with the others before you do.

";

impl GenesisFile {
    /// A file with a name, every kind of work that this program knows, and nothing else.
    ///
    /// # Errors
    /// [`CeremonyError::ChainId`].
    pub fn new(chain_id: &str) -> Result<Self, CeremonyError> {
        ChainId::new(chain_id).map_err(CeremonyError::ChainId)?;
        Ok(Self {
            chain_id: chain_id.to_owned(),
            time: None,
            digest: None,
            params: BTreeMap::new(),
            accounts: BTreeMap::new(),
            services: founding_services()
                .into_iter()
                .map(|service| {
                    let line = ServiceLine {
                        kind: service.kind.0,
                        version: service.terms.version,
                    };
                    (service.terms.name.to_string(), line)
                })
                .collect(),
            validators: Vec::new(),
        })
    }

    /// Reads a file; a finished one must make the digest that it states.
    ///
    /// # Errors
    /// [`CeremonyError`].
    pub fn parse(text: &str) -> Result<Self, CeremonyError> {
        let file: Self =
            toml::from_str(text).map_err(|error| CeremonyError::Malformed(error.to_string()))?;
        if let Some(stated) = &file.digest {
            let made = file.genesis()?.digest();
            if *stated != made.to_string() {
                let stated = stated.clone();
                return Err(CeremonyError::Changed { stated, made });
            }
        }
        Ok(file)
    }

    /// The file as text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Plain values of a plain struct always have a TOML form.
        format!("{HEADER}{}", toml::to_string(self).unwrap_or_default())
    }

    /// The chain's name.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        &self.chain_id
    }

    /// The chain's name with its tag, if the file is finished.
    #[must_use]
    pub fn tagged_chain_id(&self) -> Option<ChainId> {
        Some(self.genesis().ok()?.chain_id)
    }

    /// The kinds of work that the chain begins with, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// Keeps only these kinds of work: others can be added by votes later.
    ///
    /// # Errors
    /// [`CeremonyError::Finished`] or [`CeremonyError::UnknownKind`].
    pub fn keep_kinds(&mut self, names: &[String]) -> Result<(), CeremonyError> {
        self.check_open()?;
        for name in names {
            if !self.services.contains_key(name) {
                let known = self.services.keys().cloned().collect::<Vec<_>>().join(", ");
                let name = name.clone();
                return Err(CeremonyError::UnknownKind { name, known });
            }
        }
        self.services.retain(|name, _| names.contains(name));
        Ok(())
    }

    /// Its validators so far.
    #[must_use]
    pub fn validators(&self) -> &[ValidatorCard] {
        &self.validators
    }

    /// Its accounts so far.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// The digest, if the file is finished.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Where the validators reach each other, by identity.
    #[must_use]
    pub fn peers(&self) -> BTreeMap<String, SocketAddr> {
        let cards = self.validators.iter();
        cards
            .map(|card| (card.identity.to_ascii_lowercase(), card.peer))
            .collect()
    }

    /// Takes a validator's card.
    ///
    /// # Errors
    /// [`CeremonyError::Finished`], [`CeremonyError::Card`], [`CeremonyError::Twice`], or [`CeremonyError::Genesis`] when the
    /// card does not prove that its machine has the vote key.
    pub fn add_validator(&mut self, card: ValidatorCard) -> Result<(), CeremonyError> {
        self.check_open()?;
        let validator = card.validator()?;
        for other in &self.validators {
            let known = other.validator()?;
            let same = [
                ("identity", known.identity == validator.identity),
                ("vote key", known.vote_key == validator.vote_key),
                ("peer address", other.peer == card.peer),
            ];
            if let Some((what, _)) = same.into_iter().find(|(_, is_same)| *is_same) {
                let value = match what {
                    "peer address" => card.peer.to_string(),
                    "identity" => card.identity,
                    _ => card.vote_key,
                };
                return Err(CeremonyError::Twice { what, value });
            }
        }
        // A genesis of this one alone: says whether the card holds.
        let mut alone = Self::new(&self.chain_id)?;
        alone.validators.push(card.clone());
        alone.time = Some(0);
        alone.genesis()?;
        self.validators.push(card);
        Ok(())
    }

    /// Gives an account a first balance.
    ///
    /// # Errors
    /// [`CeremonyError::Finished`] or [`CeremonyError::AccountTwice`].
    pub fn add_account(&mut self, address: Address, balance: Amount) -> Result<(), CeremonyError> {
        self.check_open()?;
        if self.accounts.contains_key(&address.to_string()) {
            return Err(CeremonyError::AccountTwice(address));
        }
        self.accounts
            .insert(address.to_string(), balance.to_string());
        Ok(())
    }

    /// Sets a governed value. How values fit each other is checked when the file is finished.
    ///
    /// # Errors
    /// [`CeremonyError::Finished`], [`CeremonyError::UnknownParam`] or [`CeremonyError::ParamRange`].
    pub fn set_param(&mut self, name: &str, value: u64) -> Result<(), CeremonyError> {
        self.check_open()?;
        let spec = PARAMS
            .iter()
            .find(|spec| spec.name == name)
            .ok_or_else(|| CeremonyError::UnknownParam(name.to_owned()))?;
        let chain = ChainId::new(&self.chain_id).map_err(CeremonyError::ChainId)?;
        let min = spec.min_on(&chain);
        if !(min..=spec.max).contains(&value) {
            return Err(CeremonyError::ParamRange {
                name: spec.name,
                value,
                min,
                max: spec.max,
            });
        }
        self.params.insert(name.to_owned(), value);
        Ok(())
    }

    /// Finishes the file: from here on nobody can change its genesis without changing its digest. Where validators are reached is no part
    /// of a genesis.
    ///
    /// # Errors
    /// [`CeremonyError`]; then the file stays as it was.
    pub fn finalise(&mut self, time: Millis) -> Result<Digest, CeremonyError> {
        self.check_open()?;
        let mut finished = self.clone();
        finished.time = Some(time.get());
        let digest = finished.genesis()?.digest();
        finished.digest = Some(digest.to_string());
        *self = finished;
        Ok(digest)
    }

    /// The genesis, checked.
    ///
    /// # Errors
    /// [`CeremonyError::Unfinished`], or what is wrong with the content.
    pub fn genesis(&self) -> Result<Genesis, CeremonyError> {
        let time = Millis(self.time.ok_or(CeremonyError::Unfinished)?);
        let mut accounts = Vec::new();
        for (address, balance) in &self.accounts {
            let balance = balance.parse().map_err(|source| CeremonyError::Amount {
                address: address.clone(),
                source,
            })?;
            let address: Address = address
                .parse()
                .map_err(|_| CeremonyError::Address(address.clone()))?;
            accounts.push(GenesisAccount { address, balance });
        }
        accounts.sort_by_key(|account| account.address);
        let mut validators = self
            .validators
            .iter()
            .map(ValidatorCard::validator)
            .collect::<Result<Vec<_>, _>>()?;
        validators.sort_by_key(|validator| validator.identity);
        let mut params = Vec::new();
        for (name, value) in &self.params {
            let param = number_of(name).ok_or_else(|| CeremonyError::UnknownParam(name.clone()))?;
            params.push(GenesisParam {
                param,
                value: *value,
            });
        }
        params.sort_by_key(|param| param.param);
        let services = self.services.iter();
        let services = services.map(|(name, line)| line.service(name));
        let mut services = services.collect::<Result<Vec<_>, _>>()?;
        services.sort_by_key(|service| service.kind);
        let genesis = Genesis {
            chain_id: ChainId::new(&self.chain_id).map_err(CeremonyError::ChainId)?,
            time,
            accounts: bounded("accounts", accounts)?,
            validators: bounded("validators", validators)?,
            params: bounded("governed values", params)?,
            services: bounded("kinds of work", services)?,
        }
        .tagged()?;
        genesis.check()?;
        check_genesis_params(&genesis)?;
        catalogue::check_genesis(&genesis)?;
        Ok(genesis)
    }

    /// Checks that this file invites a folder's validator, exactly as its card says.
    ///
    /// # Errors
    /// [`CeremonyError::Unfinished`], [`CeremonyError::NotInvited`] or [`CeremonyError::CardAltered`].
    pub fn check_invites(&self, card: &ValidatorCard) -> Result<(), CeremonyError> {
        if self.digest.is_none() {
            return Err(CeremonyError::Unfinished);
        }
        let mine = card.validator()?;
        for other in &self.validators {
            let found = other.validator()?;
            if found.identity != mine.identity {
                continue;
            }
            let differs = [
                ("vote key", found.vote_key != mine.vote_key),
                ("payout address", found.payout != mine.payout),
                ("peer address", other.peer != card.peer),
            ];
            return match differs.into_iter().find(|(_, is_other)| *is_other) {
                Some((what, _)) => Err(CeremonyError::CardAltered { what }),
                None => Ok(()),
            };
        }
        Err(CeremonyError::NotInvited)
    }

    fn check_open(&self) -> Result<(), CeremonyError> {
        match self.digest {
            Some(_) => Err(CeremonyError::Finished),
            None => Ok(()),
        }
    }
}

fn bounded<T, const MAX: usize>(
    what: &'static str,
    values: Vec<T>,
) -> Result<BoundedVec<T, MAX>, CeremonyError> {
    BoundedVec::new(values).map_err(|source| CeremonyError::TooMany { what, source })
}

#[cfg(test)]
mod tests;
