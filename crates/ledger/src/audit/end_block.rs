//! The check at the end of every block.

use super::{Audit, Imbalances, halt::Halted};
use crate::{
    bank::Account,
    execution::Execution,
    fault::{Fault, counted},
    keys::{self, Kind},
    state::{Overlay, State},
};
use fairweir_types::{
    BoundedBytes, Event, decode, event::WithdrawalsHalted, invariant::Invariant,
    limits::AUDIT_RECORDS_MAX,
};

/// What the writes of a block did to the sums.
struct Changes {
    /// In all.
    all: Imbalances,
    /// Where this reading has been.
    read: Imbalances,
}

impl Changes {
    fn of(overlay: &Overlay<'_>, next: &[u8]) -> Self {
        let mut all = Imbalances::default();
        let mut read = None;
        let before = overlay.before();
        let (from, to) = keys::everything();
        for (key, record) in overlay.written_in(&from, &to) {
            // Keys ascend: what was read comes first.
            if key >= next {
                read.get_or_insert(all);
            }
            if let Some(change) = balance_change(key, before, record) {
                all.money = all.money.saturating_add(change);
            } else if keys::kind(key).is_some() {
                all.add(&Imbalances::of_record(key, record));
                let was = before.get(key);
                all.take(&Imbalances::of_record(key, was.as_deref()));
            }
        }
        let read = read.unwrap_or(all);
        Self { all, read }
    }
}

impl Audit {
    /// Reads on; true when the reading is over.
    fn read_on(&mut self, overlay: &Overlay<'_>) -> bool {
        let (_, to) = keys::everything();
        let mut from = std::mem::take(&mut self.next).into_vec();
        let mut left = AUDIT_RECORDS_MAX;
        while left > 0 {
            let Some((key, record)) = overlay.first_in(&from, &to) else {
                return true;
            };
            // What this block wrote comes for nothing: else whoever writes just ahead holds the reading up for ever.
            if !overlay.is_written(&key) {
                left = left.saturating_sub(1);
            }
            self.read.add(&Imbalances::of_record(&key, Some(&record)));
            from = key;
            // The next possible key: the same bytes and one zero.
            from.push(0);
        }
        // No key of the ledger is as long; with one that is the reading begins anew.
        match BoundedBytes::new(from) {
            Ok(next) => self.next = next,
            Err(_) => self.read = Imbalances::default(),
        }
        false
    }

    /// Follows the block; returns the first invariant that holds less than was known.
    fn follow(&mut self, overlay: &Overlay<'_>) -> (Option<Invariant>, bool) {
        let changes = Changes::of(overlay, self.next.as_slice());
        self.read.add(&changes.read);
        let is_over = self.read_on(overlay);
        let mut found = self.known;
        found.add(&changes.all);
        if is_over {
            found = std::mem::take(&mut self.read);
        }
        let broken = found.worse_than(&self.known);
        self.known = found;
        (broken, is_over)
    }
}

/// By how much a record of an account changed its balance; none for other records, and for ones that do not read. Nearly all that blocks write is of
/// accounts, and of these nothing else is summed.
fn balance_change(key: &[u8], before: &dyn State, record: Option<&[u8]>) -> Option<i128> {
    if keys::kind(key) != Some(Kind::Account) {
        return None;
    }
    let balance = |record: &[u8]| {
        let account: Account = decode(record).ok()?;
        Some(i128::from(account.balance.base_units()))
    };
    let is = record.map_or(Some(0), balance)?;
    let was = before.get(key).map_or(Some(0), |was| balance(&was))?;
    Some(is.saturating_sub(was))
}

/// Checks what the block wrote, and reads on. Runs after everything else has written.
///
/// Costs O(writes), and [`AUDIT_RECORDS_MAX`] records that the block did not write.
pub(crate) fn end_block(execution: &mut Execution<'_>) -> Result<(), Fault> {
    let known: Option<Audit> = execution.overlay.load(&keys::audit())?;
    let mut audit = known.unwrap_or_default();
    let (broken, is_over) = audit.follow(&execution.overlay);
    let height = execution.context.height;
    if is_over {
        audit.readings = counted(audit.readings.checked_add(1), "readings of the audit")?;
        audit.ended = height;
    }
    execution.overlay.store(keys::audit(), &audit);
    if let Some(invariant) = broken {
        execution
            .overlay
            .store(keys::halt(), &Halted { invariant, height });
        execution.emit(Event::WithdrawalsHalted(WithdrawalsHalted {
            invariant,
            halted: height,
        }));
    }
    Ok(())
}
