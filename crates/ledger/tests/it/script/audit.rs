//! What the ledger finds of itself, in the table language.
//!
//! ```text
//! tamper balance B 5             B has so much more, from nowhere: also `bonded`
//! expect halted supply           the invariant that halted withdrawals, or `nothing`
//! expect broken supply           the invariant that is known not to hold, or `nothing`
//! ```

use super::{Line, address};
use crate::world::{World, coins};
use commonware_codec::Encode as _;
use fairweir_ledger::{audit, bank, stake};
use fairweir_types::{Address, node_api::Halt};

/// The halt that there is.
pub(crate) fn halted(world: &World) -> Option<Halt> {
    audit::report(&world.state).unwrap().halt
}

/// The key of an account's record.
pub(crate) fn key(tag: u8, address: Address) -> Vec<u8> {
    [&[tag], address.0.as_slice()].concat()
}

pub(super) fn tamper(world: &mut World, line: &Line<'_>) {
    let who = address(world, line.word(1));
    let more = coins(line.word(2));
    world.is_tampered = true;
    match line.word(0) {
        "balance" => {
            let mut account = bank::account(&world.state, who).unwrap();
            account.balance = account.balance.checked_add(more).unwrap();
            let record = account.encode().to_vec();
            world.state.insert(key(0x01, who), record);
        }
        "bonded" => {
            let mut staked = stake::stake(&world.state, who).unwrap();
            staked.bonded = staked.bonded.checked_add(more).unwrap();
            let record = staked.encode().to_vec();
            world.state.insert(key(0x02, who), record);
        }
        other => panic!("cannot tamper with {other}"),
    }
}

/// Checks what a line expects; false when it is not about the audit.
pub(super) fn expect(world: &World, line: &Line<'_>) -> bool {
    let report = audit::report(&world.state).unwrap();
    let found = match line.word(0) {
        "halted" => report.halt.map(|halt| halt.invariant),
        "broken" => report.broken,
        _ => return false,
    };
    assert_eq!(
        found.map_or("nothing", |invariant| invariant.name()),
        line.word(1)
    );
    true
}
