//! Random orders whose spec lies beside the chain, or is nowhere to be had: workers deliver, are late or make something up, verifiers look, lie or keep silent. Every invariant holds
//! after every block, nobody pays for a spec that nobody could find, nobody who did the work loses, the same steps make the same state, and in the end nothing is open.

use crate::{
    script::run_on,
    steps::{self, Step},
    world::World,
};
use fairweir_ledger::market::{Phase, Slot};
use fairweir_types::{
    Event,
    event::{RefundReason, SlashReason},
    order::SlotId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const WORKERS: [&str; 3] = ["W", "X", "Y"];
const VERIFIERS: u8 = 9;
/// The worker and the verifier that lie. One verifier alone decides nothing: two are drawn, and five of the others if they disagree.
const LIARS: [&str; 2] = ["X", "V9"];
const VERBS: u8 = 28;
const SETUP: &str = "param challenge_window 2000\nparam attempts_max 2\naccounts A B W X Y V1 V2 V3 V4 V5 V6 V7 V8 V9\n";

struct Walk {
    world: Option<World>,
    /// Orders by name, and whether whoever looks for their spec finds it.
    orders: BTreeMap<String, bool>,
    reached: BTreeSet<String>,
}

impl Walk {
    fn new() -> Self {
        let mut setup = SETUP.to_owned();
        for (worker, price) in WORKERS.iter().zip(1..) {
            setup += &format!("{worker}: bond 300\n{worker}: offer price=0.{price}\n");
        }
        for verifier in 1..=VERIFIERS {
            setup += &format!("V{verifier}: bond 200\nV{verifier}: enrol\n");
        }
        Self {
            world: run_on(None, "random specs", &setup),
            orders: BTreeMap::new(),
            reached: BTreeSet::new(),
        }
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    fn line(&mut self, line: &str) {
        let before = self.world().blocks.len();
        self.world = run_on(self.world.take(), line, line);
        for position in before..self.world().blocks.len() {
            let events = self.world().blocks[position].events.clone();
            for event in &events {
                self.follow(event);
            }
        }
    }

    /// Has the ledger do what a line says, or refuse it.
    fn tried(&mut self, line: &str) {
        self.line(&format!("{line} => anything"));
    }

    fn follow(&mut self, event: &Event) {
        match event {
            Event::Slashed(slashed) => {
                self.reached.insert(format!("{:?}", slashed.reason));
                let who = self.world().name_of(slashed.account);
                let found = self.is_found(slashed.slot_id);
                match slashed.reason {
                    SlashReason::ReceiptLate => assert!(found, "{who} looked in vain"),
                    SlashReason::WrongTrace => assert!(found && who == "X", "{who} was right"),
                    SlashReason::WrongVerdict => assert_eq!(who, "V9", "it was right"),
                    // Those who keep silent.
                    _ => {}
                }
            }
            Event::Refunded(refunded) => {
                self.reached.insert(format!("{:?}", refunded.reason));
                let is_missing = refunded.reason == RefundReason::SpecMissing;
                assert!(!is_missing || !self.is_found(refunded.slot_id));
            }
            Event::Settled(settled) => {
                assert!(self.is_found(settled.slot_id), "nobody could check it");
                self.reached.insert("Settled".to_owned());
            }
            _ => {}
        }
    }

    /// Whether the spec of a slot's order can be had.
    fn is_found(&self, slot_id: SlotId) -> bool {
        let mut orders = self.world().orders.iter();
        let named = orders.find(|(_, order)| **order == slot_id.order);
        self.orders[named.unwrap().0]
    }

    /// What an account says that an order's work gives.
    fn word(&self, who: &str, name: &str, which: u64) -> &'static str {
        let found = self.orders[name];
        match (LIARS.contains(&who), found) {
            (true, _) => ["wrong", "nospec", "right"][usize::try_from(which % 3).unwrap()],
            (false, true) => "right",
            (false, false) => "nospec",
        }
    }

    fn post(&mut self, step: &Step) {
        let name = format!("o{}", self.orders.len() + 1);
        let buyer = ["A", "B"][step.which % 2];
        let (spec, found) = match step.amount % 4 {
            0 => ("", true),
            1 => ("spec=blob", true),
            _ => ("spec=blob", false),
        };
        self.orders.insert(name.clone(), found);
        self.tried(&format!("{buyer}: order {name} {spec}"));
    }

    /// Somebody does what an order waits for.
    fn advance(&mut self, name: &str, which: usize) {
        let Some(slot) = self.world().slot(name) else {
            return;
        };
        // A liar says the same when it commits and when it reveals.
        let lie =
            u64::try_from(name.len() + name.as_bytes().last().map_or(0, |last| usize::from(*last)))
                .unwrap();
        let reader = |slot: &Slot| {
            let drawn = if slot.dispute.is_empty() {
                &slot.first
            } else {
                &slot.dispute
            };
            let position = which.checked_rem(drawn.len())?;
            Some(self.world().name_of(drawn.as_slice()[position].verifier))
        };
        let line = match slot.phase {
            Phase::Executing => {
                let worker = self.world().name_of(slot.worker.unwrap());
                let found = self.orders[name];
                let made = match (worker.as_str(), found) {
                    ("X", _) => ["right", "wrong"][which % 2],
                    (_, true) => "right",
                    // It looks in vain, and hands nothing in.
                    (_, false) => return,
                };
                format!("worker: receipt {name} {made} attempt={}", slot.attempt)
            }
            Phase::Committing | Phase::DisputeCommitting => {
                let reader = reader(&slot).unwrap();
                format!("{reader}: commit {name} {}", self.word(&reader, name, lie))
            }
            Phase::Revealing | Phase::DisputeRevealing => {
                let reader = reader(&slot).unwrap();
                format!("{reader}: reveal {name} {}", self.word(&reader, name, lie))
            }
            Phase::Opening => {
                // Whatever it was: what it did not commit to is refused.
                self.tried(&format!("worker: open {name} right"));
                format!("worker: open {name} wrong")
            }
            Phase::Challengeable if which.is_multiple_of(5) => format!("A: challenge {name}"),
            _ => return,
        };
        self.tried(&line);
    }

    fn act(&mut self, step: &Step) {
        let open: Vec<String> = (self.orders.keys())
            .filter(|name| self.world().slot(name).is_some())
            .cloned()
            .collect();
        let picked = step
            .which
            .checked_rem(open.len())
            .map(|at| open[at].clone());
        let turn = usize::try_from(step.amount % 64).unwrap();
        match (step.verb, picked) {
            (0..=3, _) => self.post(step),
            // Everybody who is asked does what it should, for a while.
            (4..=12, Some(name)) => {
                for turn in turn..turn + 8 {
                    self.advance(&name, turn);
                }
                self.line("blocks 1");
            }
            (13..=22, Some(name)) => self.advance(&name, turn),
            (23, _) => self.line("wait 11000"),
            (24, _) => self.line("wait 2100"),
            _ => self.line("blocks 1"),
        }
    }

    fn of(steps: &[Vec<Step>]) -> Self {
        let mut walk = Self::new();
        for step in steps.iter().flatten() {
            walk.act(step);
        }
        for _ in 0..60 {
            walk.line("wait 5000");
        }
        steps::assert_nothing_is_open(walk.world());
        walk
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn nobody_pays_for_a_spec_that_nobody_finds(steps in steps::blocks(4, VERBS, any::<u64>())) {
        let (first, second) = (Walk::of(&steps), Walk::of(&steps));
        prop_assert_eq!(&first.world().state, &second.world().state);
    }
}

#[test]
fn random_steps_reach_every_end_of_such_an_order() {
    let mut reached = BTreeSet::new();
    for seed in 0..6 {
        reached.extend(Walk::of(&steps::fixed(seed, 200, VERBS)).reached);
    }
    for name in [
        "Settled",
        "SpecMissing",
        "NoReceipt",
        "ReceiptLate",
        "WrongTrace",
        "WrongVerdict",
        "VerdictMissing",
    ] {
        assert!(reached.contains(name), "no step led to {name}: {reached:?}");
    }
}
