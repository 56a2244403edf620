//! Who takes part in a simulated network, and as what.

use crate::byzantine::{Behaviour, Role};
use fairweir_ledger::params;
use fairweir_node::network::{founding_services, names};
use fairweir_types::{
    Address, Amount, BoundedVec, ChainId, Digest, Genesis, GenesisAccount, Millis, SecretKey,
    Validator,
    digest::Domain,
    genesis::GenesisParam,
    keys::{AccountKey, VoteSecretKey},
};

/// What every account has at genesis.
pub(crate) const ACCOUNT_BALANCE: Amount = hundredths(10_000 * 100);
/// What an honest worker or verifier bonds.
const STAKE: Amount = hundredths(1_000 * 100);
/// What a cheating verifier bonds: so that it is drawn nearly always.
const BAIT_STAKE: Amount = hundredths(9_000 * 100);
/// Price of the first honest worker per million bytes, in hundredths of a coin; each further one asks ten more.
const PRICE_HUNDREDTHS: u64 = 100;
/// What a cheating worker asks: so that it is matched while its collateral lasts.
const BAIT_PRICE: Amount = hundredths(50);
/// Governed values: nobody is far away, and no buyer waits long.
const PARAMS: &[(&str, u64)] = &[
    ("unbonding_delay", 7_200_000),
    ("challenge_window", 1_000),
    ("appeal_window", 5_000),
    ("appeal_game", 330_000),
    ("sampling_bps", 5_000),
];

/// Hundredths of a coin.
pub(crate) const fn hundredths(hundredths: u64) -> Amount {
    match Amount::from_base_units(hundredths * (Amount::COIN_BASE_UNITS / 100)) {
        Some(amount) => amount,
        None => Amount::MAX,
    }
}

/// A worker or a verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How it cheats, if it does.
    pub behaviour: Option<Behaviour>,
    /// Per million bytes; means nothing for a verifier.
    pub price: Amount,
    /// What it bonds.
    pub stake: Amount,
}

/// A network to boot.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything random is derived from.
    pub seed: u64,
    /// Workers.
    pub workers: Vec<Part>,
    /// Verifiers.
    pub verifiers: Vec<Part>,
    /// Buyers.
    pub buyers: usize,
    /// Whether workers and verifiers have the tiny models, and so the kinds that need some.
    pub models: bool,
    /// Governed values that differ from their defaults.
    pub params: &'static [(&'static str, u64)],
}

impl Plan {
    /// Three workers, five verifiers, one buyer, all honest: a first draw of two and a dispute of five others are just
    /// staffed, because a worker verifies what others do.
    #[must_use]
    pub fn honest(seed: u64) -> Self {
        let part = |price_hundredths| Part {
            behaviour: None,
            price: hundredths(price_hundredths),
            stake: STAKE,
        };
        Self {
            seed,
            workers: (0..3)
                .map(|number| part(PRICE_HUNDREDTHS + 10 * number))
                .collect(),
            verifiers: (0..5).map(|_| part(0)).collect(),
            buyers: 1,
            models: false,
            params: PARAMS,
        }
    }

    /// The same with the first worker or verifier a cheat that is matched or drawn whenever possible.
    #[must_use]
    pub fn with_cheat(seed: u64, behaviour: Behaviour) -> Self {
        let mut plan = Self::honest(seed);
        plan.models = behaviour.is_about_models();
        match behaviour.role() {
            Role::Worker => {
                plan.workers[0].price = BAIT_PRICE;
                plan.workers[0].behaviour = Some(behaviour);
            }
            Role::Verifier => {
                plan.verifiers[0].stake = BAIT_STAKE;
                plan.verifiers[0].behaviour = Some(behaviour);
            }
        }
        plan
    }

    /// The account of the first cheat.
    #[must_use]
    pub fn cheat(&self) -> Option<Address> {
        self.parts()
            .find(|(_, _, part)| part.behaviour.is_some())
            .map(|(name, ..)| key(&name).address())
    }

    /// Every worker and verifier by name.
    pub fn parts(&self) -> impl Iterator<Item = (String, Role, Part)> {
        let workers = (1..).zip(&self.workers);
        let workers = workers.map(|(number, part)| (names::worker(number), Role::Worker, *part));
        let verifiers = (1..).zip(&self.verifiers);
        let verifiers =
            verifiers.map(|(number, part)| (names::verifier(number), Role::Verifier, *part));
        workers.chain(verifiers)
    }

    /// The genesis, with ten thousand coins for everybody.
    ///
    /// # Panics
    /// If the plan has more people than a genesis may name, or the ledger refuses the parameters: a bug in the plan.
    #[must_use]
    pub fn genesis(&self) -> Genesis {
        let balance = ACCOUNT_BALANCE;
        let names = self.parts().map(|(name, ..)| name);
        let names = names.chain((1..=self.buyers).map(buyer_name));
        let mut accounts: Vec<_> = names
            .map(|name| GenesisAccount {
                address: key(&name).address(),
                balance,
            })
            .collect();
        accounts.sort_by_key(|account| account.address);
        let mut params: Vec<_> = self
            .params
            .iter()
            .map(|(name, value)| GenesisParam {
                param: params::number_of(name).expect("the ledger has the parameter"),
                value: *value,
            })
            .collect();
        params.sort_by_key(|param| param.param);
        let identity = key(names::VALIDATOR);
        let AccountKey::Ed25519(public) = identity.account_key();
        let mut identity_bytes = [0; 32];
        identity_bytes.copy_from_slice(public.as_ref());
        let vote = vote_key();
        let validator = Validator {
            identity: identity_bytes,
            vote_key: vote.vote_key(),
            possession: vote.prove_possession(),
            payout: identity.address(),
        };
        let genesis = Genesis {
            chain_id: ChainId::new("dev-sim").expect("a chain's name"),
            time: Millis::ZERO,
            accounts: BoundedVec::new(accounts).expect("few accounts"),
            validators: BoundedVec::truncating([validator]),
            params: BoundedVec::new(params).expect("few parameters"),
            services: BoundedVec::truncating(founding_services()),
        };
        genesis.check().expect("the plan makes a genesis");
        params::check_genesis_params(&genesis).expect("the ledger takes the parameters");
        genesis
    }
}

/// The name of a buyer, from 1.
pub(crate) fn buyer_name(number: usize) -> String {
    format!("buyer-{number}")
}

/// The seed of a name: of its account, its salts and its place in the network. Public, as everything in a simulation.
pub(crate) fn seed_of(name: &str) -> [u8; 32] {
    Digest::of(Domain::KeyDerivation, &[b"simulation", name.as_bytes()]).0
}

/// The key of a name.
pub(crate) fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(seed_of(name)).expect("every seed is a key")
}

/// The vote key of the validator.
pub(crate) fn vote_key() -> VoteSecretKey {
    VoteSecretKey::from_seed(seed_of(names::VOTE)).expect("this seed is a key")
}
