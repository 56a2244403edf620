//! Changes of rules that the programs of scripts know.

use super::coins;
use commonware_codec::Encode as _;
use fairweir_ledger::{
    bank::{self, Account},
    upgrades::{Migrating, Migration, MigrationError, Plan, Plans},
};
use fairweir_types::{Amount, decode, governance::TREASURY};

/// The first byte of the keys of accounts.
const ACCOUNT: u8 = 0x01;

/// Those plans, oldest first.
pub(super) const KNOWN: Plans = Plans::new(&[
    plan("levy", "# levy\n\nA coin of every account.\n", Some(levy)),
    plan("second", "# second\n", None),
]);

pub(crate) const fn plan(
    name: &'static str,
    text: &'static str,
    migrate: Option<Migration>,
) -> Plan {
    Plan {
        name,
        text,
        migrate,
    }
}

fn read(record: &[u8]) -> Result<Account, MigrationError> {
    decode(record).map_err(|_| MigrationError::Unreadable)
}

/// Calls for each record of a kind.
pub(crate) fn each(
    state: &mut Migrating<'_>,
    kind: u8,
    mut change: impl FnMut(&mut Migrating<'_>, &[u8], Vec<u8>) -> Result<(), MigrationError>,
) -> Result<(), MigrationError> {
    let mut after = vec![kind];
    while let Some((key, record)) = state.next_of(&[kind], &after)? {
        change(state, &key, record)?;
        after = key;
    }
    Ok(())
}

/// A coin of every account that has one goes to the treasury.
pub(crate) fn levy(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    let mut raised = Amount::ZERO;
    each(state, ACCOUNT, |state, key, record| {
        let mut account = read(&record)?;
        let left = account.balance.checked_sub(coins("1"));
        let (Ok(left), true) = (left, key != bank::key(TREASURY)) else {
            return Ok(());
        };
        account.balance = left;
        raised = raised.checked_add(coins("1")).unwrap();
        state.put(key, account.encode().to_vec())
    })?;
    let record = state.get(&bank::key(TREASURY))?;
    let mut treasury = record.map_or(Ok(Account::default()), |record| read(&record))?;
    treasury.balance = treasury.balance.checked_add(raised).unwrap();
    state.put(&bank::key(TREASURY), treasury.encode().to_vec())
}
