//! What lines expect.

use super::{Line, address, audit, candidates, governance};
use crate::world::{World, coins};
use fairweir_ledger::market::Phase;
use fairweir_types::Event;

pub(super) fn expect(world: &World, line: &Line<'_>) {
    let subject = line.words.get(1).copied().unwrap_or_default();
    match line.word(0) {
        "balance" => assert_eq!(
            world.balance(subject),
            coins(line.word(2)),
            "balance of {subject}"
        ),
        "left" => {
            let report =
                fairweir_ledger::report::account(&world.state, address(world, subject)).unwrap();
            let delegate = address(world, line.word(2));
            let granted = report
                .delegates
                .iter()
                .find(|granted| granted.delegate == delegate);
            assert_eq!(granted.unwrap().left, coins(line.word(3)));
        }
        "bonded" => assert_eq!(
            world.bonded(subject),
            coins(line.word(2)),
            "stake of {subject}"
        ),
        "phase" => {
            let phase = world
                .slot(subject)
                .map_or("closed", |slot: fairweir_ledger::market::Slot| {
                    Phase::name(slot.phase)
                });
            assert_eq!(phase, line.word(2));
        }
        "closed" => assert!(
            !world
                .state
                .iter()
                .any(|(key, _)| key[0] == 0x06 && key.ends_with(&world.orders[subject].0.0))
        ),
        "duty" => {
            let account = world.keys[subject].address();
            let since = fairweir_ledger::report::duty_since(&world.state, account).unwrap();
            let found = if since.is_some() { "waits" } else { "none" };
            assert_eq!(found, line.word(2), "duty of {subject}");
        }
        "worker" => {
            let worker = world.slot(subject).unwrap().worker.unwrap();
            assert_eq!(world.name_of(worker), line.word(2));
        }
        "candidate" => {
            let others = world.history().rev().find_map(|event| match event {
                Event::Matched(matched) => Some(&matched.others),
                Event::Unmatched(unmatched) => Some(&unmatched.candidates),
                _ => None,
            });
            let reason = others
                .unwrap()
                .iter()
                .find(|other| world.name_of(other.worker) == subject)
                .unwrap()
                .reason;
            assert_eq!(reason.name(), line.word(2), "{reason:?}");
        }
        "event" => assert!(
            world.history().any(|event| matches(world, event, line)),
            "no such event in {:#?}",
            world.history().collect::<Vec<_>>()
        ),
        "no-event" => assert!(!world.history().any(|event| matches(world, event, line))),
        other => assert!(
            governance::expect(world, line)
                || candidates::expect(world, line)
                || audit::expect(world, line),
            "cannot expect {other}"
        ),
    }
}

/// `event slashed W1 wrong_trace 5.3` and the like: the variant's name, then what of its debug text must occur.
fn matches(world: &World, event: &Event, line: &Line<'_>) -> bool {
    let debug = format!("{event:?}").to_lowercase().replace('_', "");
    let mut wanted = line
        .words
        .iter()
        .skip(1)
        .map(|word| word.to_lowercase().replace('_', ""));
    if !wanted.next().is_some_and(|name| debug.starts_with(&name)) {
        return false;
    }
    line.words.iter().skip(2).all(|word| {
        let shown = world
            .keys
            .get(*word)
            .map(|key| format!("{:?}", key.address()).to_lowercase());
        let money = word
            .parse::<fairweir_types::Amount>()
            .ok()
            .map(|amount| format!("({})", amount.base_units()));
        [shown, money, Some(word.to_lowercase().replace('_', ""))]
            .iter()
            .flatten()
            .any(|text| debug.contains(text.as_str()))
    })
}
