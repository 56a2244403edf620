//! Random sessions: buyers, workers and verifiers that do what they should, something else, or nothing, up to the referee. Every invariant holds after every
//! block, no lane is claimed beyond what its buyer signed, the referee finds nobody wrong who was right, the same steps make the same state, and in the end
//! nothing is open.

use crate::{
    script::run_on,
    steps::{self, Step},
    world::World,
};
use fairweir_ledger::market::{Draw, Phase, Slot};
use fairweir_types::{Address, Amount, Event, event::AppealOutcome, order::SlotId};
use proptest::prelude::*;
use std::collections::BTreeSet;

const BUYERS: [&str; 2] = ["A", "B"];
const WORKERS: [&str; 2] = ["W", "X"];
const VERIFIERS: u8 = 9;
/// Who votes for what nobody computed, and whose answers are forged in part.
const LIARS: [&str; 5] = ["X", "V6", "V7", "V8", "V9"];
const VERBS: u8 = 40;
/// Windows are short; some batches are drawn, some are not.
const SETUP: &str = "param challenge_window 2000\nparam close_window 3000\nparam sampling_bps 3000\nparam appeal_units_max 1000000\nparam appeal_window 20000\n\
    accounts A B W X V1 V2 V3 V4 V5 V6 V7 V8 V9\nreferee\n";

/// What the walk knows of a lane besides the ledger's record.
#[derive(Debug)]
struct Lane {
    name: String,
    buyer: &'static str,
    /// The most that its buyer signed for.
    covered: Amount,
    /// What was claimed.
    claimed: Amount,
    /// What was paid.
    paid: Amount,
}

struct Walk {
    world: Option<World>,
    lanes: Vec<Lane>,
    /// Batches, and what their worker gave for each of their leaves.
    batches: Vec<(String, String)>,
    named: usize,
    reached: BTreeSet<String>,
}

fn hundredths(count: u64) -> Amount {
    Amount::from_base_units(count * 10_000_000).unwrap()
}

fn pick<T: Copy>(list: &[T], which: u64) -> Option<T> {
    let length = u64::try_from(list.len()).unwrap();
    let position = which.checked_rem(length)?;
    list.get(usize::try_from(position).unwrap()).copied()
}

impl Walk {
    fn new() -> Self {
        let mut setup = SETUP.to_owned();
        for worker in WORKERS {
            setup += &format!("{worker}: bond 3000\n{worker}: offer collateral=3000 price=1\n");
        }
        for verifier in 1..=VERIFIERS {
            setup += &format!("V{verifier}: bond 200\nV{verifier}: enrol\n");
        }
        Self {
            world: run_on(None, "random sessions", &setup),
            lanes: Vec::new(),
            batches: Vec::new(),
            named: 0,
            reached: BTreeSet::new(),
        }
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    fn name(&mut self, kind: char) -> String {
        self.named += 1;
        format!("{kind}{}", self.named)
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        self.world().slot(name)
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

    /// Whether the ledger did what a line says.
    fn tried(&mut self, line: &str) -> bool {
        self.line(&format!("{line} => anything"));
        self.world().last.outcomes[0].is_done()
    }

    fn lane_of(&mut self, slot_id: SlotId) -> &mut Lane {
        let orders = &self.world.as_ref().unwrap().orders;
        let lane = self.lanes.iter_mut();
        lane.into_iter()
            .find(|lane| orders[&lane.name] == slot_id.order)
            .unwrap()
    }

    /// What an account says that a batch's leaves give.
    fn word(&self, who: &str, (batch, leaves): &(String, String)) -> String {
        let worker = self.slot(batch).and_then(|slot| slot.worker);
        if worker.is_some_and(|worker| self.world().name_of(worker) == who) {
            return leaves.clone();
        }
        if LIARS.contains(&who) {
            "wrong"
        } else {
            "right"
        }
        .to_owned()
    }

    fn follow(&mut self, event: &Event) {
        let debug = format!("{event:?}");
        self.reached
            .insert(debug.split('(').next().unwrap().to_owned());
        match event {
            Event::BatchPosted(posted) => {
                let lane = self.lane_of(posted.lane);
                lane.claimed = lane.claimed.checked_add(posted.root.sum).unwrap();
                assert!(lane.claimed <= lane.covered, "{lane:?}");
            }
            Event::BatchSettled(settled) => {
                let lane = self.lane_of(settled.lane);
                lane.paid = lane.paid.checked_add(settled.paid.amount).unwrap();
                assert!(lane.paid <= lane.claimed, "{lane:?}");
            }
            Event::LaneClosed(closed) => {
                let lane = self.lane_of(closed.slot_id);
                assert_eq!(lane.claimed, closed.claimed, "{lane:?}");
            }
            Event::Slashed(slashed) => {
                self.reached.insert(format!("{:?}", slashed.reason));
            }
            Event::AppealDecided(decided) => {
                self.reached.insert(format!("{:?}", decided.outcome));
                let found_wrong = match decided.outcome {
                    AppealOutcome::DefenderWrong => decided.defender,
                    AppealOutcome::AppellantWrong => decided.appellant,
                    _ => return,
                };
                let name = self.world().name_of(found_wrong);
                let orders = &self.world().orders;
                let mut batches = self.batches.iter();
                let batch = batches.find(|batch| orders[&batch.0] == decided.slot_id.order);
                let leaves = &batch.unwrap().1;
                // A worker is right where its answers are, whoever it is.
                let is_right = match WORKERS.contains(&name.as_str()) {
                    true => !leaves.contains("wrong"),
                    false => !LIARS.contains(&name.as_str()),
                };
                assert!(!is_right, "{name} was right");
            }
            _ => {}
        }
    }

    fn open(&mut self, step: &Step) {
        let buyer = BUYERS[step.which % 2];
        let name = self.name('s');
        let cap = hundredths(50 + step.amount % 600);
        let open = 5_000 + step.amount % 60_000;
        if self.tried(&format!(
            "{buyer}: session {name} cap={cap} price=1 open={open}"
        )) {
            self.lanes.push(Lane {
                name,
                buyer,
                covered: Amount::ZERO,
                claimed: Amount::ZERO,
                paid: Amount::ZERO,
            });
        }
    }

    /// A worker claims for some leaves; mostly with a voucher that covers them.
    fn claim(&mut self, lane: usize, step: &Step) {
        let name = self.lanes[lane].name.clone();
        if self.slot(&name).is_none_or(|slot| slot.worker.is_none()) {
            return;
        }
        let total = hundredths(1 + step.amount % 100);
        let all = self.lanes[lane].claimed.checked_add(total).unwrap();
        let signed = hundredths(1 + (step.amount >> 8) % 400);
        let covers = (step.amount >> 16) % 8;
        let voucher = if covers == 0 { signed } else { all };
        let buyer = self.lanes[lane].buyer;
        let signer = pick(&["A", "B"], covers).filter(|_| covers == 1);
        let signer = signer.unwrap_or(buyer);
        if signer == buyer {
            self.lanes[lane].covered = self.lanes[lane].covered.max(voucher);
        }
        let worker = self.slot(&name).and_then(|slot| slot.worker).unwrap();
        let forges = LIARS.contains(&self.world().name_of(worker).as_str());
        let leaf = |bit: u32| match (step.amount >> (24 + bit)) % 2 {
            1 if forges => "wrong",
            _ => "right",
        };
        let count = 1 + u32::try_from(step.amount >> 32).unwrap() % 4;
        let leaves: Vec<&str> = (0..count).map(leaf).collect();
        let leaves = leaves.join(",");
        let batch = self.name('b');
        if self.tried(&format!(
            "worker: batch {name} {batch} total={total} voucher={voucher} signed-by={signer} leaves={leaves}"
        )) {
            self.batches.push((batch, leaves));
        }
    }

    /// Somebody does what a batch waits for.
    fn advance(&mut self, batch: &(String, String), which: usize) {
        let Some(slot) = self.slot(&batch.0) else {
            return;
        };
        let name = &batch.0;
        let drawn = |draw: &Draw| -> Vec<String> {
            let verifiers = draw.iter().map(|drawn| drawn.verifier);
            verifiers
                .map(|verifier| self.world().name_of(verifier))
                .collect()
        };
        let readers = drawn(if slot.dispute.is_empty() {
            &slot.first
        } else {
            &slot.dispute
        });
        let reader = readers.get(which.checked_rem(readers.len()).unwrap_or_default());
        let says = |what: &str| {
            let reader = reader.unwrap();
            format!("{reader}: {what} {name} {}", self.word(reader, batch))
        };
        let line = match slot.phase {
            Phase::Linking => format!("linker: link {name}"),
            Phase::Showing => format!("worker: show {name}"),
            Phase::Committing | Phase::DisputeCommitting => says("commit"),
            Phase::Revealing | Phase::DisputeRevealing => says("reveal"),
            Phase::Opening => format!("worker: open-batch {name} {}", batch.1),
            Phase::Sharing => format!("f{}: share {name}", 1 + which % 2),
            Phase::Challengeable | Phase::Unsampled => {
                let buyer = self
                    .lanes
                    .iter()
                    .find(|lane| slot_of_lane(self.world(), lane) == lane_id(&slot));
                let at = match slot.phase {
                    Phase::Unsampled => {
                        format!("at={}", hundredths(u64::try_from(which % 4).unwrap()))
                    }
                    _ => String::new(),
                };
                format!("{}: challenge {name} {at}", buyer.unwrap().buyer)
            }
            Phase::Appealable => return self.appeal(&slot, batch),
            Phase::Appealed => return self.play(&slot, name, which),
            _ => return,
        };
        self.tried(&line);
    }

    /// Who lost appeals about the samples, with the run that its answers were made of: another is refused.
    fn appeal(&mut self, slot: &Slot, (name, _): &(String, String)) {
        let losers = slot.worker.into_iter();
        let losers = losers.chain(slot.first.iter().map(|drawn| drawn.verifier));
        let losers: Vec<Address> = losers
            .chain(slot.dispute.iter().map(|drawn| drawn.verifier))
            .collect();
        for loser in losers {
            let who = self.world().name_of(loser);
            for sample in 0..slot.batch.as_ref().map_or(0, |batch| batch.samples.len()) {
                for run in ["a/b.c", "a/b.x"] {
                    if self.tried(&format!("{who}: appeal {name} {run} sample={sample}")) {
                        return;
                    }
                }
            }
        }
    }

    /// Both sides of an appeal make their moves, or one of them keeps silent; what is no move of theirs is refused.
    fn play(&mut self, slot: &Slot, name: &str, which: usize) {
        let game = slot
            .appeals
            .as_ref()
            .and_then(|appeals| appeals.game.clone());
        let game = game.unwrap();
        let sides = [game.defenders.as_slice()[0], game.appellant];
        let sides = sides.map(|side| self.world().name_of(side));
        let speak = match which % 4 {
            0 => &sides[..1],
            1 => &sides[1..],
            _ => &sides[..],
        };
        let moves = [
            ("defend", "a/b.c", "a/b.x", ""),
            ("open-node", "a/b.c", "a/b.x", ""),
            ("open-node", "b.c", "b.x", "depth=1"),
            ("exhibit", "c", "c", ""),
        ];
        for (verb, right, wrong, option) in moves {
            for side in speak {
                // Before they are at a cell a real referee refuses what the scripts' one takes for one.
                let path = |slot: Slot| Some(slot.appeals?.game?.path.len());
                if verb == "exhibit" && self.slot(name).and_then(path) != Some(2) {
                    continue;
                }
                for shown in [right, wrong] {
                    let sample = game.sample;
                    self.tried(&format!(
                        "{side}: {verb} {name} {shown} sample={sample} {option}"
                    ));
                    if self
                        .slot(name)
                        .is_none_or(|slot| slot.phase != Phase::Appealed)
                    {
                        return;
                    }
                }
            }
        }
    }

    /// Anybody does anything to anything.
    fn meddle(&mut self, step: &Step) {
        let who = pick(&["A", "B", "W", "X", "V1", "V4", "V8"], step.amount).unwrap();
        let slots = self.lanes.iter().map(|lane| &lane.name);
        let slots: Vec<&String> = slots
            .chain(self.batches.iter().map(|batch| &batch.0))
            .filter(|name| self.slot(name).is_some())
            .collect();
        let Some(name) = pick(&slots, step.amount >> 8).cloned() else {
            return;
        };
        let verb = pick(
            &[
                "link",
                "show",
                "commit",
                "open-batch",
                "reveal",
                "share",
                "challenge",
                "close",
                "raise",
                "cancel",
            ],
            step.amount >> 16,
        );
        let verb = verb.unwrap();
        // What has no batch shows no leaves.
        let is_batch = name.starts_with('b');
        if !is_batch && ["show", "open-batch", "share"].contains(&verb) {
            return;
        }
        let word = if verb == "raise" { "0.5" } else { "" };
        self.tried(&format!("{who}: {verb} {name} {word}"));
    }

    fn act(&mut self, step: &Step) {
        let which = u64::try_from(step.which).unwrap();
        let lanes: Vec<usize> = (0..self.lanes.len())
            .filter(|lane| self.slot(&self.lanes[*lane].name).is_some())
            .collect();
        let lane = pick(&lanes, which);
        let open: Vec<_> = (self.batches.iter())
            .filter(|batch| self.slot(&batch.0).is_some())
            .collect();
        let batch = pick(&open, which).cloned();
        match (step.verb, lane, batch) {
            (0..=2, ..) => self.open(step),
            (3..=8, Some(lane), _) => self.claim(lane, step),
            (9, Some(lane), _) => {
                let (name, buyer) = (&self.lanes[lane].name, self.lanes[lane].buyer);
                let amount = hundredths(1 + step.amount % 200);
                self.tried(&format!("{buyer}: raise {name} {amount}"));
            }
            (10, Some(lane), _) => {
                let (name, buyer) = (&self.lanes[lane].name, self.lanes[lane].buyer);
                self.tried(&format!("{buyer}: close {name}"));
            }
            // Everybody who is asked does what it should, for a while.
            (11..=16, _, Some(batch)) => {
                for turn in 0..step.which {
                    self.advance(&batch, turn);
                }
            }
            (17..=32, _, Some(batch)) => {
                let turn = usize::try_from(step.amount % 64).unwrap();
                self.advance(&batch, turn);
            }
            (33, ..) => self.meddle(step),
            (34, ..) => self.line(&format!("wait {}", 1_000 + step.amount % 8_000)),
            (35, ..) if step.which < 8 => self.line("wait 25000"),
            _ => self.line("blocks 1"),
        }
    }

    fn of(steps: &[Vec<Step>]) -> Self {
        let mut walk = Self::new();
        for step in steps.iter().flatten() {
            walk.act(step);
        }
        // Whoever does nothing is replaced, or loses: all that was opened comes to its end.
        for _ in 0..60 {
            walk.line("wait 5000");
        }
        steps::assert_nothing_is_open(walk.world());
        walk
    }
}

fn slot_of_lane(world: &World, lane: &Lane) -> SlotId {
    world.slot_id(&lane.name)
}

fn lane_id(slot: &Slot) -> SlotId {
    slot.batch.as_ref().unwrap().lane
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn sessions_pay_what_was_signed_and_come_to_an_end(steps in steps::blocks(4, VERBS, any::<u64>())) {
        let (first, second) = (Walk::of(&steps), Walk::of(&steps));
        prop_assert_eq!(&first.world().state, &second.world().state);
    }
}

#[test]
fn random_steps_reach_everything_that_happens_to_sessions() {
    let mut reached = BTreeSet::new();
    for seed in 0..12 {
        reached.extend(Walk::of(&steps::fixed(seed, 200, VERBS)).reached);
    }
    for name in [
        "LaneOpened",
        "LaneToppedUp",
        "LaneClosing",
        "LaneClosed",
        "BatchPosted",
        "NothingDrawn",
        "SampleChosen",
        "LeavesShown",
        "BatchSettled",
        "Judged",
        "LeavesShared",
        "WrongTrace",
        "WrongVerdict",
        "VerdictMissing",
        "LinkMissing",
        "Unopened",
        "Refunded",
        "Appealed",
        "DefenderWrong",
        "AppellantWrong",
    ] {
        assert!(reached.contains(name), "no step led to {name}: {reached:?}");
    }
    let silent = ["DefenderSilent", "AppellantSilent"];
    assert!(silent.iter().any(|name| reached.contains(*name)));
}
