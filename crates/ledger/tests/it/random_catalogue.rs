//! Random changes of the catalogue under random offers, enrolments and orders: a list of all that was decided says what is in force, nothing is taken,
//! matched or drawn for anything else, every invariant holds after every block, and in the end no order is stuck.

use crate::{
    crowded_blocks::offer,
    full_block::header,
    world::{World, coins, key_of},
};
use fairweir_ledger::{catalogue, market, params};
use fairweir_types::{
    Action, Address, Amount, BoundedText, BoundedVec, Boxed, Event, Height, Millis, ProposalId,
    SignedReceipt,
    catalogue::{KnownKind, ServiceEntry, ServiceTerms, SetService, Versions},
    event::RefundReason,
    governance::{Message, Weights},
    order::{KindId, OrderHeader, OrderId, SlotId},
    receipt::Receipt,
    tx,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NAMES: [&str; 4] = ["A", "W", "X", "V"];
/// Whose stake decides.
const VOTER: &str = "D";
const PARAMS: [(&str, u64); 6] = [
    ("window_blocks_min", 2),
    ("proposal_deposit", 1_000_000_000),
    ("expedited_window", 1_000),
    ("param_lock", 2_000),
    ("upgrade_lock", 2_000),
    ("challenge_window", 1_000),
];
const KINDS: u16 = 4;

#[derive(Clone, Debug)]
struct Step {
    who: usize,
    verb: u8,
    kind: u16,
    version: u16,
    number: u64,
}

fn step() -> impl Strategy<Value = Step> {
    (0..NAMES.len(), 0u8..17, 1..=KINDS, 1u16..4, any::<u64>()).prop_map(
        |(who, verb, kind, version, number)| Step {
            who,
            verb,
            kind,
            version,
            number,
        },
    )
}

/// What was decided of each kind, newest last: an entry replaced those from its block on.
type Decided = BTreeMap<KindId, Vec<ServiceEntry>>;

struct Walk {
    world: World,
    decided: Decided,
    orders: BTreeMap<OrderId, OrderHeader>,
    /// Who runs which slots now.
    running: BTreeMap<SlotId, (Address, u16)>,
    enrolled: BTreeMap<Address, Vec<KnownKind>>,
    followed: usize,
    /// What happened.
    reached: BTreeSet<&'static str>,
}

impl Walk {
    fn new() -> Self {
        let mut params = PARAMS.map(|(name, value)| (params::number_of(name).unwrap(), value));
        params.sort_unstable();
        let mut world = World::new(&["A", "W", "X", "V", "D"], &params);
        // The voter has more than a third of what is bonded, so that its vote decides.
        for (name, amount) in [("W", "3000"), ("X", "3000"), ("V", "3000"), (VOTER, "9000")] {
            let amount = coins(amount);
            let bond = world.act(&key_of(name), Action::Bond(tx::Bond { amount }));
            assert!(bond.is_done());
        }
        let founding = world.genesis.services.iter().map(|service| {
            let first = ServiceEntry {
                from: Height(1),
                terms: Some(service.terms.clone()),
            };
            (service.kind, vec![first])
        });
        Self {
            decided: founding.collect(),
            world,
            orders: BTreeMap::new(),
            running: BTreeMap::new(),
            enrolled: BTreeMap::new(),
            followed: 0,
            reached: BTreeSet::new(),
        }
    }

    fn version_at(&self, kind: KindId, height: Height) -> Option<u16> {
        let entries = self.decided.get(&kind)?;
        let entry = entries.iter().rev().find(|entry| entry.from <= height)?;
        entry.terms.as_ref().map(|terms| terms.version)
    }

    /// Reads the new blocks: what was taken, matched and drawn was in force.
    fn follow(&mut self) {
        for position in self.followed..self.world.blocks.len() {
            let made = &self.world.blocks[position];
            let (height, events) = (made.context.height, made.events.clone());
            for event in &events {
                self.check(height, event);
            }
        }
        self.followed = self.world.blocks.len();
        let height = Height(self.world.height);
        let found = catalogue::report(&self.world.state, height).unwrap();
        let next = Height(height.get() + 1);
        for kind in (1..=KINDS).map(KindId) {
            let found = found.in_force(kind).map(|terms| terms.version);
            assert_eq!(found, self.version_at(kind, next), "kind {kind} in {next}");
        }
    }

    fn check(&mut self, height: Height, event: &Event) {
        match event {
            Event::VerifierEnrolled(_) => {}
            Event::OrderPosted(posted) => {
                let header = posted.header.clone();
                let in_force = self.version_at(header.kind, height);
                assert_eq!(in_force, Some(header.version), "posted in {height}");
                self.orders.insert(posted.order, header);
            }
            Event::Matched(matched) => {
                let header = &self.orders[&matched.slot_id.order];
                let in_force = self.version_at(header.kind, height);
                assert_eq!(in_force, Some(header.version), "matched in {height}");
                let running = (matched.worker, matched.attempt);
                self.running.insert(matched.slot_id, running);
                self.reached.insert("matched");
            }
            Event::VerifiersDrawn(drawn) => {
                let header = &self.orders[&drawn.slot_id.order];
                for verifier in &drawn.verifiers {
                    let mut known = self.enrolled[verifier].iter();
                    assert!(
                        known.any(|known| known.kind == header.kind
                            && known.versions.include(header.version))
                    );
                }
                let in_force = self.version_at(header.kind, height);
                self.reached.insert(if in_force == Some(header.version) {
                    "drawn"
                } else {
                    "drawn for what was in force"
                });
            }
            Event::ServiceSet(set) => {
                assert!(set.entry.from > height, "decided in {height}: {set:?}");
                let entries = self.decided.entry(set.kind).or_default();
                entries.retain(|entry| entry.from < set.entry.from);
                entries.push(set.entry.clone());
                self.reached.insert("set");
            }
            Event::Refunded(refunded) if refunded.reason == RefundReason::Retired => {
                self.reached.insert("retired");
            }
            _ => {}
        }
    }

    /// Proposes an entry; the stake of one voter decides.
    fn decide(&mut self, step: &Step) {
        let kind = KindId(step.kind);
        let from = Height(self.world.height + 5 + step.number % 12);
        let retires = step.number.is_multiple_of(4);
        let name = match step.kind {
            1 => "text",
            2 => "chat",
            3 => "third",
            _ => "fourth",
        };
        let terms = (!retires).then(|| ServiceTerms::widest(name, step.version));
        let entry = ServiceEntry { from, terms };
        let submit = Action::SubmitProposal(Boxed::new(tx::SubmitProposal {
            title: BoundedText::truncating("an entry"),
            message: Message::SetService(Boxed::new(SetService { kind, entry })),
            expedited: true,
            deposit: Amount::MAX,
        }));
        let key = key_of(VOTER);
        if !self.world.act(&key, submit).is_done() {
            return;
        }
        let governance = fairweir_ledger::governance::governance(&self.world.state).unwrap();
        let vote = tx::Vote {
            proposal: ProposalId(governance.proposals),
            weights: Weights {
                yes: 10_000,
                ..Weights::default()
            },
        };
        assert!(self.world.act(&key, Action::Vote(vote)).is_done());
        self.world.block(1_000, &[]);
        self.world.block(2_000, &[]);
    }

    /// A worker hands in what it has to.
    fn deliver(&mut self) {
        let Some((slot_id, (worker, attempt))) = self.running.pop_first() else {
            return;
        };
        let names = NAMES.iter().find(|name| key_of(name).address() == worker);
        let header = &self.orders[&slot_id.order];
        let receipt = Receipt {
            chain_id: crate::world::chain_id(),
            slot_id,
            attempt,
            kind: header.kind,
            version: header.version,
            spec_digest: header.spec_digest,
            units: header.demand.units,
            disclosure: fairweir_types::Digest::ZERO,
            output_commitment: fairweir_types::Digest::ZERO,
        };
        let key = key_of(names.unwrap());
        let receipt = SignedReceipt::sign(receipt, &key);
        let submit = tx::SubmitReceipt { receipt };
        if self.world.balance(names.unwrap()) >= coins("20") {
            self.world
                .act(&key, Action::SubmitReceipt(Boxed::new(submit)));
        }
    }

    fn act(&mut self, step: &Step) {
        let key = key_of(NAMES[step.who]);
        let kind = KindId(step.kind);
        let versions = Versions {
            oldest: step.version,
            newest: step.version + u16::try_from(step.number % 2).unwrap(),
        };
        let orders: Vec<_> = self.orders.keys().copied().collect();
        let action = match step.verb {
            0..=2 => {
                let mut offered = offer(key.address());
                (offered.kind, offered.versions) = (kind, versions);
                offered.collateral = coins("1000");
                offered.capacity = 16;
                offered.demand_max = ServiceTerms::DEMAND_MAX;
                Action::RegisterOffer(Boxed::new(tx::RegisterOffer { offer: offered }))
            }
            3..=4 => Action::EnrolVerifier(tx::EnrolVerifier {
                owner: key.address(),
                kinds: BoundedVec::truncating([KnownKind { kind, versions }]),
                seal_key: [0; 32],
                hash_chain: crate::world::chain_of(key.address(), 0, 64),
            }),
            5..=8 => {
                let mut posted = header();
                let in_force = self.version_at(kind, Height(self.world.height + 1));
                posted.kind = kind;
                // Mostly what is in force, so that it is taken.
                posted.version = in_force
                    .filter(|_| !step.number.is_multiple_of(5))
                    .unwrap_or(step.version);
                posted.slots = 1;
                posted.match_within = Millis(20_000);
                posted.demand.execution_max = Millis(60_000);
                Action::PostOrder(Boxed::new(tx::PostOrder { header: posted }))
            }
            9 if !orders.is_empty() => Action::TopUp(tx::TopUp {
                order: orders[usize::try_from(step.number % 97).unwrap() % orders.len()],
                amount: coins("0.5"),
            }),
            10..=12 => return self.decide(step),
            13..=14 => return self.deliver(),
            15 => return self.world.block(3_000, &[]),
            _ => return self.world.block(10, &[]),
        };
        if self.world.balance(NAMES[step.who]) < coins("20") {
            return;
        }
        let done = self.world.act(&key, action.clone()).is_done();
        if let (true, Action::EnrolVerifier(enrol)) = (done, action) {
            self.enrolled.insert(key.address(), enrol.kinds.into_vec());
        }
    }

    fn of(steps: &[Step]) -> Self {
        let mut walk = Self::new();
        for step in steps {
            walk.act(step);
            walk.follow();
        }
        // Whoever does not deliver, commit or open is replaced, and what nobody finishes is refunded.
        for _ in 0..200 {
            walk.world.block(10_000, &[]);
            walk.follow();
        }
        for id in walk.orders.keys() {
            let open = market::order(&walk.world.state, *id).unwrap();
            assert_eq!(open, None, "it is stuck");
        }
        walk
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn only_what_is_in_force_is_taken_and_nothing_is_stuck(steps in proptest::collection::vec(step(), 1..90)) {
        let (first, second) = (Walk::of(&steps), Walk::of(&steps));
        prop_assert_eq!(first.world.state, second.world.state);
    }
}

#[test]
fn random_steps_reach_everything_that_happens_to_kinds() {
    let number = |seed: u64, step: u64, part: u64| {
        fairweir_types::Digest::of(
            fairweir_types::digest::Domain::Draw,
            &[&[seed, step, part].map(u64::to_be_bytes).concat()],
        )
        .leading_u64()
    };
    let mut reached = BTreeSet::new();
    for seed in 0..8 {
        let below =
            |step, part, bound: u64| u16::try_from(number(seed, step, part) % bound).unwrap();
        let steps: Vec<Step> = (0..160)
            .map(|step| Step {
                who: usize::from(below(step, 0, 4)),
                verb: u8::try_from(below(step, 1, 17)).unwrap(),
                kind: 1 + below(step, 2, 2),
                version: 1 + below(step, 3, 2),
                number: number(seed, step, 4),
            })
            .collect();
        reached.extend(Walk::of(&steps).reached);
    }
    // That verifiers are drawn for what was in force is told step by step in a script: it takes more than chance.
    for what in ["set", "matched", "drawn", "retired"] {
        assert!(reached.contains(what), "no step led to {what}: {reached:?}");
    }
}
