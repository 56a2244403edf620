//! A ledger in memory with named accounts; every block's invariants are checked.

// By its path, because the gateway's tests read this file too.
#[path = "plans.rs"]
pub(crate) mod plans;

use crate::referee::Referee;
use fairweir_ledger::{
    BlockContext, BlockOutcome, MemoryState, Totals, apply_block, audit, candidates,
    genesis_writes, invariants, market, secured, upgrades::Plans, validators,
};
use fairweir_types::{
    Action, Address, Amount, BoundedVec, ChainId, Digest, Event, Genesis, GenesisAccount, Height,
    Millis, Nonce, ProposalId, SecretKey, Transaction, TxOutcome, Validator, VerifiedTx,
    catalogue::{GenesisService, KnownKind, ServiceTerms, Versions},
    digest::Domain,
    genesis::GenesisParam,
    hash_chain::HashChain,
    keys::VoteSecretKey,
    order::{KindId, OrderId, SlotId},
};
use std::collections::{BTreeMap, BTreeSet};

/// The fee of every transaction: a hundredth of a coin.
pub(crate) const FEE: &str = "0.01";
/// What every named account has at genesis.
pub(crate) const BALANCE: &str = "10000";

pub(crate) struct World {
    pub(crate) state: MemoryState,
    pub(crate) totals: Totals,
    pub(crate) height: u64,
    pub(crate) time: u64,
    pub(crate) keys: BTreeMap<String, SecretKey>,
    pub(crate) orders: BTreeMap<String, OrderId>,
    pub(crate) proposals: BTreeMap<String, ProposalId>,
    /// What the leaves of batches are whose roots are made of some.
    pub(crate) leaves: BTreeMap<String, Vec<String>>,
    pub(crate) last: BlockOutcome,
    pub(crate) genesis: Genesis,
    /// The changes of rules that its program knows.
    pub(crate) plans: Plans,
    pub(crate) blocks: Vec<Made>,
    pub(crate) referee: Referee,
    /// Whether a record was edited behind the ledger's back, so that its invariants do not hold.
    pub(crate) is_tampered: bool,
    /// Who makes no blocks, also with a seat.
    pub(crate) silent: BTreeSet<[u8; 32]>,
}

/// A block that was made.
pub(crate) struct Made {
    pub(crate) context: BlockContext,
    pub(crate) txs: Vec<VerifiedTx>,
    pub(crate) outcomes: Vec<TxOutcome>,
    pub(crate) events: Vec<Event>,
}

pub(crate) fn coins(text: &str) -> Amount {
    text.parse().unwrap()
}

/// A kind in its first version, as a verifier knows it.
pub(crate) fn known(kind: u16) -> KnownKind {
    KnownKind {
        kind: KindId(kind),
        versions: Versions::only(1),
    }
}

pub(crate) fn chain_id() -> ChainId {
    ChainId::new("dev-test").unwrap()
}

pub(crate) fn key_of(name: &str) -> SecretKey {
    SecretKey::from_seed(Digest::of(Domain::KeyDerivation, &[name.as_bytes()]).0).unwrap()
}

/// The identity of a validator of that name.
pub(crate) fn identity_of(name: &str) -> [u8; 32] {
    let fairweir_types::AccountKey::Ed25519(public) = key_of(name).account_key();
    public.as_ref().try_into().unwrap()
}

/// The beacon of a block.
pub(crate) fn beacon_of(height: u64) -> Digest {
    Digest::of(Domain::Beacon, &[&height.to_be_bytes()])
}

/// The hash chain of an account's number, as its verifier enrols with it.
pub(crate) fn chain_of(account: Address, number: u64, length: u32) -> HashChain {
    HashChain::ending_in(&last_link(account, number), number, length)
}

fn last_link(account: Address, number: u64) -> Digest {
    let parts: [&[u8]; 3] = [b"last-link", &account.0, &number.to_be_bytes()];
    Digest::of(Domain::KeyDerivation, &parts)
}

/// The vote key of the only validator.
pub(crate) fn vote_key() -> VoteSecretKey {
    VoteSecretKey::from_seed([9; 32]).unwrap()
}

/// The vote key of a candidate of that name.
pub(crate) fn vote_key_of(name: &str) -> VoteSecretKey {
    VoteSecretKey::from_seed(Digest::of(Domain::KeyDerivation, &[b"vote", name.as_bytes()]).0)
        .unwrap()
}

impl World {
    pub(crate) fn new(names: &[&str], params: &[(u16, u64)]) -> Self {
        let keys: BTreeMap<String, SecretKey> = names
            .iter()
            .map(|name| ((*name).to_owned(), key_of(name)))
            .collect();
        let mut accounts: Vec<GenesisAccount> = keys
            .values()
            .map(|key| GenesisAccount {
                address: key.address(),
                balance: coins(BALANCE),
            })
            .collect();
        accounts.sort_by_key(|account| account.address);
        let vote = vote_key();
        let identity = key_of("validator");
        let validator = Validator {
            identity: identity_of("validator"),
            vote_key: vote.vote_key(),
            possession: vote.prove_possession(),
            payout: identity.address(),
        };
        let params = params
            .iter()
            .map(|(param, value)| GenesisParam {
                param: *param,
                value: *value,
            })
            .collect();
        let genesis = Genesis {
            chain_id: chain_id(),
            time: Millis(1_000_000),
            accounts: BoundedVec::new(accounts).unwrap(),
            validators: BoundedVec::new(vec![validator]).unwrap(),
            params: BoundedVec::new(params).unwrap(),
            services: BoundedVec::truncating([(1, "text"), (2, "chat")].map(|(kind, name)| {
                GenesisService {
                    kind: KindId(kind),
                    terms: ServiceTerms::widest(name, 1),
                }
            })),
        };
        let mut state = MemoryState::default();
        state.apply(&genesis_writes(&genesis).unwrap());
        invariants::check(&state).unwrap();
        let last = BlockOutcome {
            writes: BTreeMap::new(),
            outcomes: Vec::new(),
            events: Vec::new(),
            work_pending: false,
        };
        Self {
            totals: Totals::of(&state).unwrap(),
            state,
            height: 0,
            time: 1_000_000,
            keys,
            orders: BTreeMap::new(),
            proposals: BTreeMap::new(),
            leaves: BTreeMap::new(),
            last,
            genesis,
            plans: plans::KNOWN,
            blocks: Vec::new(),
            referee: Referee::default(),
            is_tampered: false,
            silent: BTreeSet::new(),
        }
    }

    /// Who makes the next block: those that have seats in turn, but for silent ones.
    fn proposer(&self) -> [u8; 32] {
        let seats = candidates::seats(&self.state).unwrap();
        let mut turns: Vec<[u8; 32]> = seats.iter().map(|seat| seat.validator).collect();
        turns.retain(|validator| !self.silent.contains(validator));
        let turn = usize::try_from(self.height).unwrap() % turns.len().max(1);
        turns.get(turn).copied().unwrap_or(identity_of("validator"))
    }

    pub(crate) fn context(&self) -> BlockContext {
        BlockContext {
            chain_id: self.genesis.chain_id.clone(),
            height: Height(self.height),
            time: Millis(self.time),
            beacon: beacon_of(self.height),
            proposer: self.proposer(),
            plans: self.plans,
        }
    }

    pub(crate) fn block(&mut self, after_ms: u64, txs: &[VerifiedTx]) {
        self.height += 1;
        self.time += after_ms;
        let context = self.context();
        let secured = secured::report(&self.state).unwrap();
        let outcome = apply_block(&self.state, &context, &self.referee, txs).unwrap();
        assert_eq!(outcome.outcomes.len(), txs.len());
        let mut totals = self.totals;
        totals.follow(&self.state, &outcome.writes).unwrap();
        self.state.apply(&outcome.writes);
        if !self.is_tampered {
            invariants::check(&self.state).unwrap();
            assert_eq!(audit::report(&self.state).unwrap().halt, None);
            assert_eq!(totals, Totals::of(&self.state).unwrap());
        }
        let locked = secured::report(&self.state).unwrap().locked;
        let most = secured.limit.unwrap_or(Amount::MAX).max(secured.locked);
        assert!(locked <= most, "{locked} are locked, {most} may be");
        self.totals = totals;
        self.blocks.push(Made {
            context,
            txs: txs.to_vec(),
            outcomes: outcome.outcomes.clone(),
            events: outcome.events.clone(),
        });
        self.last = outcome;
    }

    /// Every event so far.
    pub(crate) fn history(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.blocks.iter().flat_map(|made| made.events.iter())
    }

    /// Whether the blocks so far are whole: numbered one by one, with an outcome for every transaction.
    pub(crate) fn are_blocks_whole(&self) -> bool {
        (1..).zip(&self.blocks).all(|(height, made)| {
            made.context.height == Height(height) && made.txs.len() == made.outcomes.len()
        })
    }

    pub(crate) fn nonce(&self, address: Address) -> Nonce {
        fairweir_ledger::bank::account(&self.state, address)
            .unwrap()
            .nonce
    }

    pub(crate) fn transaction(&self, key: &SecretKey, action: Action) -> Transaction {
        Transaction {
            chain_id: chain_id(),
            sender: key.account_key(),
            nonce: self.nonce(key.address()),
            fee: coins(FEE),
            expiry: Height(self.height + 100),
            action,
        }
    }

    pub(crate) fn act(&mut self, key: &SecretKey, action: Action) -> TxOutcome {
        let tx = self.transaction(key, action).sign(key).verify().unwrap();
        self.block(10, std::slice::from_ref(&tx));
        self.last.outcomes.first().cloned().unwrap()
    }

    pub(crate) fn slot_id(&self, name: &str) -> SlotId {
        let (order, slot) = name.split_once('/').unwrap_or((name, "0"));
        SlotId {
            order: self.orders[order],
            slot: slot.parse().unwrap(),
        }
    }

    pub(crate) fn slot(&self, name: &str) -> Option<market::Slot> {
        market::slot(&self.state, self.slot_id(name)).unwrap()
    }

    /// The link that a batch asks for; zeros if it asks for none.
    pub(crate) fn link(&self, name: &str) -> Digest {
        let batch = self.slot(name).and_then(|slot| slot.batch);
        batch
            .and_then(|batch| batch.link)
            .map_or(Digest::ZERO, |asked| {
                let last = last_link(asked.verifier, asked.hash_chain.number);
                asked.hash_chain.link(&last, asked.index)
            })
    }

    pub(crate) fn name_of(&self, address: Address) -> String {
        let found = self.keys.iter().find(|(_, key)| key.address() == address);
        found.map_or_else(|| address.to_string(), |(name, _)| name.clone())
    }

    pub(crate) fn balance(&self, name: &str) -> Amount {
        fairweir_ledger::bank::account(&self.state, self.keys[name].address())
            .unwrap()
            .balance
    }

    pub(crate) fn bonded(&self, name: &str) -> Amount {
        fairweir_ledger::stake::stake(&self.state, self.keys[name].address())
            .unwrap()
            .bonded
    }
}

/// A block with a refused transaction leaves the state as the block without it, but for the sender's fee and nonce, the proposer's pay (or what burns of it),
/// and the audit.
pub(crate) fn assert_only_the_fee_changed(before: &MemoryState, world: &World, sender: Address) {
    let made = world.blocks.last().unwrap();
    let proposer = validators::validator(before, &made.context.proposer);
    let proposer = proposer.unwrap().unwrap();
    // What a validator would earn that voted twice burns.
    let burns = proposer.tombstoned;
    let without = apply_block(before, &made.context, &world.referee, &[]).unwrap();
    let mut expected = before.clone();
    expected.apply(&without.writes);
    assert_eq!(without.events, made.events);
    let touched = [sender, proposer.account];
    let others = |state: &MemoryState| -> Vec<(Vec<u8>, Vec<u8>)> {
        let kept = state.iter().filter(|(key, _)| {
            let is_kept = match key[0] {
                0x0b | 0x30 => false,
                0x0a => !burns,
                _ => true,
            };
            is_kept && !touched.iter().any(|address| key.ends_with(&address.0))
        });
        kept.map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect()
    };
    let (expected, found) = (others(&expected), others(&world.state));
    let differs = expected
        .iter()
        .zip(&found)
        .find(|(one, other)| one != other);
    assert!(
        expected.len() == found.len() && differs.is_none(),
        "{differs:?}"
    );
}
