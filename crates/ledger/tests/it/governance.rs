//! Random proposals, votes and stakes: a slow model that only reads events agrees with every tally, power, decision and payment, and no
//! proposal has its effect twice. The invariants of the ledger (money, tallies, timers, charges) hold after every block besides.

use crate::world::{World, coins, key_of};
use fairweir_ledger::params::number_of;
use fairweir_types::{
    Action, Address, Amount, BoundedText, Boxed, Bps, Digest, Event, Millis, ProposalId,
    governance::{
        Cancel, Message, Module, Pause, Penalty, ProposalOutcome, ProposalPhase, SetParam,
        TREASURY, Tally, TreasurySpend, Weights,
    },
    tx,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];
const PARAMS: [(&str, u64); 9] = [
    ("window_blocks_min", 2),
    ("proposal_deposit", 10_000_000_000),
    ("deposit_window", 2_000),
    ("voting_window", 2_000),
    ("expedited_window", 1_000),
    ("confirm_window", 1_000),
    ("param_lock", 2_000),
    ("penalty_appeal", 2_000),
    ("pause_max", 5_000),
];

#[derive(Clone, Debug)]
struct Step {
    who: usize,
    verb: u8,
    other: usize,
    number: u64,
    weights: [u16; 3],
    gap_ms: u64,
}

fn step() -> impl Strategy<Value = Step> {
    (
        0..NAMES.len(),
        0u8..16,
        0..NAMES.len(),
        any::<u64>(),
        any::<[u16; 3]>(),
        1u64..400,
    )
        .prop_map(|(who, verb, other, number, weights, gap_ms)| Step {
            who,
            verb,
            other,
            number,
            weights,
            gap_ms,
        })
}

fn message(step: &Step, newest: u64) -> Message {
    let to = key_of(NAMES[step.other]).address();
    match step.number % 6 {
        0 => Message::SetParam(SetParam {
            param: 1,
            value: step.number % 3_000,
        }),
        1 => Message::SetParam(SetParam {
            param: number_of("voting_window").unwrap(),
            value: 1_000 + step.number % 3_000,
        }),
        2 => Message::TreasurySpend(TreasurySpend {
            to,
            amount: coins("3"),
        }),
        3 => Message::Penalty(Penalty {
            accused: to,
            evidence: Digest::ZERO,
            share: Bps(1 + step.number % 1_000),
        }),
        4 => Message::Pause(Pause {
            module: Module::ALL[step.other],
            duration: Millis(1 + step.number % 5_000),
        }),
        _ => Message::Cancel(Cancel {
            proposal: ProposalId(newest),
        }),
    }
}

/// Mostly whole votes, or those of two parts; yes more often than not, so that something passes.
fn weights(step: &Step) -> Weights {
    let cut = step.weights[0] % 10_001;
    match step.weights[1] % 8 {
        0..=3 => Weights {
            yes: 10_000,
            ..Weights::default()
        },
        4 => Weights {
            yes: cut,
            no: 10_000 - cut,
            ..Weights::default()
        },
        5 => Weights {
            abstain: cut,
            veto: 10_000 - cut,
            ..Weights::default()
        },
        6 => Weights {
            veto: 10_000,
            ..Weights::default()
        },
        _ => Weights {
            yes: cut,
            abstain: step.weights[2] % 20_000,
            ..Weights::default()
        },
    }
}

fn action(step: &Step, newest: u64) -> Action {
    let amount = Amount::from_base_units(step.number % 3_000_000_000_000).unwrap();
    let proposal = ProposalId(newest.saturating_sub(step.number % 3));
    match step.verb {
        0 | 1 => Action::Bond(tx::Bond { amount }),
        2 => Action::Unbond(tx::Unbond { amount }),
        3 => Action::Transfer(tx::Transfer {
            to: TREASURY,
            amount: coins("1"),
        }),
        4..=6 => Action::SubmitProposal(Boxed::new(tx::SubmitProposal {
            title: BoundedText::truncating("t"),
            message: message(step, newest),
            expedited: step.weights[0].is_multiple_of(3),
            deposit: if step.weights[1].is_multiple_of(4) {
                coins("4")
            } else {
                coins("10")
            },
        })),
        7 => Action::AddDeposit(tx::AddDeposit {
            proposal,
            amount: coins("3"),
        }),
        8 => Action::AnswerMotion(tx::AnswerMotion {
            proposal,
            answer: Digest::ZERO,
        }),
        9 => Action::AppealMotion(tx::AppealMotion {
            proposal,
            grounds: Digest::ZERO,
        }),
        _ => Action::Vote(tx::Vote {
            proposal,
            weights: weights(step),
        }),
    }
}

/// What events say of one proposal.
struct Known {
    deposit: Amount,
    expedited: bool,
    is_appeal: bool,
    accused: Option<Address>,
    bonded: Amount,
    stakes: BTreeMap<Address, Amount>,
    votes: BTreeMap<Address, (Weights, Amount)>,
    effects: usize,
    ended: bool,
}

/// A model that reads events and computes everything anew.
#[derive(Default)]
struct Model {
    stakes: BTreeMap<Address, Amount>,
    proposals: BTreeMap<ProposalId, Known>,
    /// A penalty that its accused may appeal.
    appealable: Option<(ProposalId, Address)>,
    executed: usize,
    appealed: usize,
}

impl Model {
    fn read(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Bonded(event) => {
                    let stake = self.stakes.entry(event.account).or_default();
                    *stake = stake.checked_add(event.amount).unwrap();
                }
                Event::Unbonding(event) => {
                    let stake = self.stakes.get_mut(&event.account).unwrap();
                    *stake = stake.checked_sub(event.amount).unwrap();
                }
                Event::Penalised(event) => {
                    let stake = self.stakes.get_mut(&event.accused).unwrap();
                    // What is bonded goes first, then what is on its way back, which has no vote.
                    *stake = stake.checked_sub(event.burned.at_most(*stake)).unwrap();
                    self.effect(event.proposal);
                }
                Event::ParamChanged(event) => self.effect(event.proposal),
                Event::TreasurySpent(event) => self.effect(event.proposal),
                Event::ModulePaused(event) => self.effect(event.proposal),
                Event::ProposalSubmitted(event) => {
                    let known = Known {
                        deposit: event.deposit,
                        expedited: event.expedited,
                        is_appeal: false,
                        accused: match &event.message {
                            Message::Penalty(penalty) => Some(penalty.accused),
                            _ => None,
                        },
                        bonded: Amount::ZERO,
                        stakes: BTreeMap::new(),
                        votes: BTreeMap::new(),
                        effects: 0,
                        ended: false,
                    };
                    assert!(self.proposals.insert(event.proposal, known).is_none());
                }
                Event::DepositAdded(event) => {
                    let known = self.proposals.get_mut(&event.proposal).unwrap();
                    known.deposit = known.deposit.checked_add(event.amount).unwrap();
                    assert_eq!(known.deposit, event.deposit);
                }
                Event::VotingStarted(event) => {
                    let stakes = self.stakes.clone();
                    let bonded = Amount::sum(stakes.values().copied()).unwrap();
                    assert_eq!(event.bonded, bonded);
                    self.appealed += usize::from(event.is_appeal);
                    self.appealable = None;
                    let known = self.proposals.get_mut(&event.proposal).unwrap();
                    known.is_appeal = event.is_appeal;
                    known.bonded = bonded;
                    known.stakes = stakes;
                    known.votes.clear();
                }
                Event::Voted(event) => {
                    let known = self.proposals.get_mut(&event.proposal).unwrap();
                    assert_eq!(Some(&event.power), known.stakes.get(&event.voter));
                    known
                        .votes
                        .insert(event.voter, (event.weights, event.power));
                }
                Event::ProposalPassed(event) => {
                    let known = &self.proposals[&event.proposal];
                    let accused = known.accused.map(|accused| (event.proposal, accused));
                    if event.phase == ProposalPhase::Appealable {
                        self.appealable = accused;
                    }
                    assert_eq!(event.tally, known.tally());
                    assert_eq!(known.says(), ProposalOutcome::Executed, "{event:?}");
                    assert_eq!(
                        event.phase == ProposalPhase::Appealable,
                        known.accused.is_some() && event.phase != ProposalPhase::Confirming
                    );
                }
                Event::ProposalEnded(event) => self.ended(event),
                _ => {}
            }
        }
    }

    fn effect(&mut self, proposal: ProposalId) {
        let known = self.proposals.get_mut(&proposal).unwrap();
        assert!(!known.ended, "{proposal} has an effect after its end");
        known.effects += 1;
    }

    fn ended(&mut self, event: &fairweir_types::event::ProposalEnded) {
        let known = self.proposals.get_mut(&event.proposal).unwrap();
        assert!(!known.ended, "{} ended twice", event.proposal);
        known.ended = true;
        assert_eq!(event.tally, known.tally());
        let paid = event.returned.checked_add(event.forfeited).unwrap();
        assert_eq!(paid, known.deposit);
        let is_vetoed = event.outcome == ProposalOutcome::Vetoed;
        assert_eq!(event.forfeited == known.deposit, is_vetoed);
        assert!(known.effects <= 1);
        match event.outcome {
            ProposalOutcome::Executed => {
                self.executed += 1;
                assert_eq!(known.says(), ProposalOutcome::Executed);
            }
            ProposalOutcome::Failed | ProposalOutcome::Cancelled => {
                assert_eq!(known.effects, 0);
                assert_eq!(known.says(), ProposalOutcome::Executed);
            }
            ProposalOutcome::Unfunded => assert!(known.deposit < coins("10")),
            ProposalOutcome::Overturned => {
                assert!(known.is_appeal && known.effects == 0);
                assert_ne!(known.says(), ProposalOutcome::Executed);
            }
            other => {
                assert_eq!(known.effects, 0);
                assert_eq!(other, known.says());
            }
        }
    }
}

impl Known {
    fn tally(&self) -> Tally {
        let sum = |part: fn(&Weights) -> u16| {
            self.votes
                .values()
                .map(|(weights, power)| u128::from(power.base_units()) * u128::from(part(weights)))
                .sum()
        };
        Tally {
            yes: sum(|weights| weights.yes),
            no: sum(|weights| weights.no),
            abstain: sum(|weights| weights.abstain),
            veto: sum(|weights| weights.veto),
        }
    }

    /// What the votes say by the default bars; `Executed` stands for passed.
    fn says(&self) -> ProposalOutcome {
        let tally = self.tally();
        let sides = tally.yes + tally.no + tally.veto;
        let all = sides + tally.abstain;
        let bonded = u128::from(self.bonded.base_units()) * 10_000;
        let bar = if self.expedited || self.is_appeal {
            6_670
        } else {
            5_000
        };
        if all == 0 || all * 10_000 < bonded * 3_340 {
            ProposalOutcome::NoQuorum
        } else if tally.veto * 10_000 >= all * 3_340 {
            ProposalOutcome::Vetoed
        } else if tally.yes * 10_000 > sides * bar {
            ProposalOutcome::Executed
        } else {
            ProposalOutcome::Rejected
        }
    }
}

fn walk(steps: &[Step]) -> (World, Model) {
    let params: Vec<(u16, u64)> = PARAMS
        .iter()
        .map(|(name, value)| (number_of(name).unwrap(), *value))
        .collect();
    let mut world = World::new(&NAMES, &params);
    let mut model = Model::default();
    for name in NAMES {
        let amount = coins("100");
        world.act(&key_of(name), Action::Bond(tx::Bond { amount }));
        model.read(&world.last.events);
    }
    for step in steps {
        let newest = u64::try_from(model.proposals.len()).unwrap();
        let (mut who, mut action) = (NAMES[step.who], action(step, newest));
        if let (8 | 9, Some((proposal, accused))) = (step.verb, model.appealable) {
            who = NAMES
                .into_iter()
                .find(|name| key_of(name).address() == accused)
                .unwrap();
            let grounds = Digest::ZERO;
            action = Action::AppealMotion(tx::AppealMotion { proposal, grounds });
        }
        if world.balance(who) > coins("20") {
            world.act(&key_of(who), action);
            model.read(&world.last.events);
        }
        world.block(step.gap_ms, &[]);
        model.read(&world.last.events);
    }
    // Everything comes to its end by itself.
    for _ in 0..40 {
        world.block(1_000, &[]);
        model.read(&world.last.events);
    }
    assert!(model.proposals.values().all(|known| known.ended));
    (world, model)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_slow_model_agrees_with_every_vote_and_every_end(steps in proptest::collection::vec(step(), 1..120)) {
        walk(&steps);
    }
}

/// The walks do reach what they are for: or the property above would say nothing.
#[test]
fn walks_execute_and_appeal() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let steps = proptest::collection::vec(step(), 100..=100);
    let (mut executed, mut appealed) = (0, 0);
    for _ in 0..24 {
        let (_, model) = walk(&steps.new_tree(&mut runner).unwrap().current());
        executed += model.executed;
        appealed += model.appealed;
    }
    assert!(executed >= 20, "{executed} proposals were executed");
    assert!(appealed >= 1, "{appealed} penalties were appealed");
}

/// A program that does not know the rules of a plan makes the last block before it, and no other.
#[test]
fn an_unknown_upgrade_stops_the_ledger_before_its_block() {
    let world = crate::script::run(
        "upgrade",
        "param window_blocks_min 2
        param voting_window 1000
        param expedited_window 1000
        param confirm_window 1000
        param upgrade_lock 2000
        accounts A
        A: bond 100
        A: propose p1 upgrade 14
        A: vote p1 yes
        wait 1000
        blocks 2
        wait 1000
        blocks 2
        expect proposal p1 locked
        wait 2000
        blocks 2
        expect proposal p1 executed
        expect event upgrade_planned 14",
    );
    let mut world = world.unwrap();
    while world.height < 13 {
        world.block(10, &[]);
    }
    let report = fairweir_ledger::governance::report(&world.state, world.plans)
        .unwrap()
        .rules;
    assert_eq!(report.planned.map(|upgrade| upgrade.height.get()), Some(14));
    assert!(!report.knows);
    world.height += 1;
    world.time += 10;
    let refused = fairweir_ledger::apply_block(&world.state, &world.context(), &world.referee, &[]);
    let said = std::error::Error::source(&refused.unwrap_err()).map(ToString::to_string);
    assert!(said.unwrap().starts_with(
        "this program does not know the rules that begin with block 14: install the release"
    ));
}
