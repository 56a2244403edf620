//! An upgrade to rehearse with: a plan that no release has, whose migration changes records of every account. For tests, and for promises that show how a network changes its
//! rules.

use commonware_codec::Encode as _;
use fairweir_ledger::{
    bank::{self, Account},
    upgrades::{Migrating, MigrationError, Plan, Plans},
};
use fairweir_types::{Amount, decode, governance::TREASURY};

/// The first byte of the keys of accounts.
const ACCOUNT: u8 = 0x01;

/// The text that is voted on.
pub const TEXT: &str = "\
# rehearsal

Every account that has a coin pays one to the treasury, once.
This plan is in no release: the program `fairweir-rehearsal` has it.
";

const PLAN: Plan = Plan {
    name: "rehearsal",
    text: TEXT,
    migrate: Some(levy),
};

/// What the next program knows.
pub const REHEARSAL: Plans = Plans::new(&[PLAN]);

/// What a next program knows whose migration has a mistake.
pub const MISTAKEN: Plans = Plans::new(&[Plan {
    migrate: Some(forget),
    ..PLAN
}]);

/// Takes a coin from each account that has one, and gives them to the treasury.
fn levy(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    let raised = take(state)?;
    let key = bank::key(TREASURY);
    let mut treasury = match state.get(&key)? {
        Some(record) => read(&record)?,
        None => Account::default(),
    };
    let balance = treasury.balance.checked_add(raised);
    treasury.balance = balance.map_err(|_| MigrationError::Unreadable)?;
    state.put(&key, treasury.encode().to_vec())
}

/// The same, but what it takes is nowhere then.
fn forget(state: &mut Migrating<'_>) -> Result<(), MigrationError> {
    take(state).map(drop)
}

fn take(state: &mut Migrating<'_>) -> Result<Amount, MigrationError> {
    let coin = Amount::from_coins(1).unwrap_or(Amount::ZERO);
    let mut raised = Amount::ZERO;
    let mut after = vec![ACCOUNT];
    while let Some((key, record)) = state.next_of(&[ACCOUNT], &after)? {
        let mut account = read(&record)?;
        if let (Ok(left), true) = (
            account.balance.checked_sub(coin),
            key != bank::key(TREASURY),
        ) {
            account.balance = left;
            let sum = raised.checked_add(coin);
            raised = sum.map_err(|_| MigrationError::Unreadable)?;
            state.put(&key, account.encode().to_vec())?;
        }
        after = key;
    }
    Ok(raised)
}

fn read(record: &[u8]) -> Result<Account, MigrationError> {
    decode(record).map_err(|_| MigrationError::Unreadable)
}
