//! Proposals in the table language.
//!
//! ```text
//! A: propose p1 set-param fee_base 2000          also `spend B 5`, `penalty B 1000`, `pause orders 5000`, `cancel p1`, `release B 7`,
//!                                                `upgrade 20`, or `upgrade 20 levy` by a plan that is known,
//!                                                `resume` of the halt that there is, or of that of a block: `resume 7`
//! A: propose p1 set-service 2 name=chat at=40    also version=2, units=5, no-appeals=yes; `retire-service 2 at=40`
//! A: propose p2 pause orders 5000 deposit=200    of what the deposit needs; expedited=yes for the fast track
//! B: fund p2 800                                 the rest of a deposit
//! A: vote p1 yes                                 or in parts: `vote p1 yes=6000 veto=4000`
//! B: answer p3                                   the accused's answer; `appeal-motion p3` for its appeal
//! expect proposal p1 locked                      its phase, or how it ended
//! expect service 2 1                             its version in force in the next block, or none; and how many entries are planned after
//! expect tally p1 100 0 0 0                      coins for yes, no, abstain and veto
//! ```

use super::{Line, address};
use crate::world::{World, coins};
use fairweir_ledger::{governance, params};
use fairweir_types::{
    Action, Amount, BoundedText, Boxed, Bps, Digest, Height, Millis, ProposalId, Units,
    catalogue::{ServiceEntry, ServiceTerms, SetService},
    governance::{
        Cancel, Message, Module, Pause, Penalty, Release, Resume, SetParam, TreasurySpend, Upgrade,
        Weights,
    },
    order::{KindId, UnitVector},
    tx,
};

/// The proposal that the next transaction may make has this name.
pub(super) fn name_next(world: &mut World, name: &str) {
    let made = governance::governance(&world.state).unwrap().proposals;
    world
        .proposals
        .insert(name.to_owned(), ProposalId(made + 1));
}

fn some_proposal(world: &World, name: &str) -> ProposalId {
    world.proposals.get(name).copied().unwrap_or_default()
}

fn message(world: &World, line: &Line<'_>) -> Message {
    let number = |position: usize| line.word(position).parse::<u64>().unwrap();
    match line.word(2) {
        "set-param" => Message::SetParam(SetParam {
            param: params::number_of(line.word(3)).unwrap_or(u16::MAX),
            value: number(4),
        }),
        "spend" => Message::TreasurySpend(TreasurySpend {
            to: address(world, line.word(3)),
            amount: coins(line.word(4)),
        }),
        "penalty" => Message::Penalty(Penalty {
            accused: address(world, line.word(3)),
            evidence: Digest::of_blob(b"evidence"),
            share: Bps(number(4)),
        }),
        "pause" => Message::Pause(Pause {
            module: Module::ALL
                .into_iter()
                .find(|module| module.name() == line.word(3))
                .unwrap(),
            duration: Millis(number(4)),
        }),
        "upgrade" => Message::Upgrade(Upgrade {
            height: Height(number(3)),
            plan: line.words.get(4).map_or_else(
                || Digest::of_blob(b"plan"),
                |name| world.plans.named(name).unwrap().digest(),
            ),
        }),
        "set-service" | "retire-service" => Message::SetService(Boxed::new(SetService {
            kind: KindId(line.word(3).parse().unwrap()),
            entry: ServiceEntry {
                from: Height(line.option("at", 0)),
                terms: (line.word(2) == "set-service").then(|| terms(line)),
            },
        })),
        "cancel" => Message::Cancel(Cancel {
            proposal: some_proposal(world, line.word(3)),
        }),
        "release" => Message::Release(Release {
            candidate: address(world, line.word(3)),
            until: number(4),
        }),
        "resume" => Message::Resume(Resume {
            halted: match line.words.get(3) {
                Some(height) => Height(height.parse().unwrap()),
                None => super::audit::halted(world).unwrap().halted,
            },
        }),
        other => panic!("no message {other}"),
    }
}

/// Narrow ones, of a machine that takes 10,000,000 units.
fn terms(line: &Line<'_>) -> ServiceTerms {
    let name = line.options.get("name").copied().unwrap_or("text");
    let mut terms = ServiceTerms::widest(name, line.option("version", 1));
    terms.demand_max.units.input = Units(line.option("units", 10_000_000));
    if line.options.contains_key("nothing") {
        terms.demand_max.units = UnitVector::default();
    }
    terms.demand_max.execution_max = Millis(line.option("execution", 60_000));
    terms.has_appeals = !line.options.contains_key("no-appeals");
    terms
}

fn weights(line: &Line<'_>) -> Weights {
    let part = |name: &str| {
        let whole = u16::from(line.words.get(2) == Some(&name)) * 10_000;
        line.option(name, whole)
    };
    Weights {
        yes: part("yes"),
        no: part("no"),
        abstain: part("abstain"),
        veto: part("veto"),
    }
}

pub(super) fn action(world: &World, line: &Line<'_>) -> Option<Action> {
    let proposal = some_proposal(world, line.words.get(1).copied().unwrap_or_default());
    Some(match line.word(0) {
        "propose" => Action::SubmitProposal(Boxed::new(tx::SubmitProposal {
            title: BoundedText::truncating(
                line.options.get("title").copied().unwrap_or("a proposal"),
            ),
            message: message(world, line),
            expedited: line.options.contains_key("expedited"),
            deposit: line
                .options
                .get("deposit")
                .map_or(Amount::MAX, |text| coins(text)),
        })),
        "fund" => Action::AddDeposit(tx::AddDeposit {
            proposal,
            amount: coins(line.word(2)),
        }),
        "vote" => Action::Vote(tx::Vote {
            proposal,
            weights: weights(line),
        }),
        "answer" => Action::AnswerMotion(tx::AnswerMotion {
            proposal,
            answer: Digest::of_blob(b"answer"),
        }),
        "appeal-motion" => Action::AppealMotion(tx::AppealMotion {
            proposal,
            grounds: Digest::of_blob(b"grounds"),
        }),
        _ => return None,
    })
}

/// Checks what a line expects; false when it is not about proposals.
pub(super) fn expect(world: &World, line: &Line<'_>) -> bool {
    let subject = line.words.get(1).copied().unwrap_or_default();
    let record = |name: &str| {
        governance::proposal(&world.state, some_proposal(world, name))
            .unwrap()
            .unwrap_or_else(|| panic!("no proposal {name}"))
    };
    match line.word(0) {
        "proposal" => {
            let record = record(subject);
            let found = record
                .ended
                .map_or(record.phase.name(), |ended| ended.outcome.name());
            assert_eq!(found, line.word(2), "proposal {subject}");
        }
        "tally" => {
            let tally = record(subject).voting.tally;
            let found = [tally.yes, tally.no, tally.abstain, tally.veto];
            let expected = [2, 3, 4, 5].map(|position| {
                u128::from(coins(line.word(position)).base_units()) * u128::from(Bps::WHOLE)
            });
            assert_eq!(found, expected, "tally of {subject}");
        }
        "param" => {
            let report = governance::report(&world.state, world.plans).unwrap();
            let number = params::number_of(subject).unwrap();
            let found = report.params.iter().find(|param| param.param == number);
            assert_eq!(found.unwrap().value.to_string(), line.word(2), "{subject}");
        }
        "service" => {
            let catalogue =
                fairweir_ledger::catalogue::report(&world.state, Height(world.height)).unwrap();
            let kind = KindId(subject.parse().unwrap());
            let found = catalogue
                .in_force(kind)
                .map_or_else(|| "none".to_owned(), |terms| terms.version.to_string());
            assert_eq!(found, line.word(2), "kind {subject} in {catalogue:?}");
            if let Some(planned) = line.words.get(3) {
                let report = catalogue.get(kind).unwrap();
                let count = report.planned(Height(world.height + 1)).count();
                assert_eq!(count.to_string(), *planned, "planned of {report:?}");
            }
        }
        "charged" => {
            let staked =
                fairweir_ledger::stake::stake(&world.state, address(world, subject)).unwrap();
            assert_eq!(staked.charged, coins(line.word(2)), "charged of {subject}");
        }
        "treasury" => {
            let report = governance::report(&world.state, world.plans).unwrap();
            assert_eq!(report.treasury, coins(subject));
        }
        _ => return false,
    }
    true
}
