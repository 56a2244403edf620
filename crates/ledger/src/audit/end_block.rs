//! The check at the end of every block.

use super::{Audit, Imbalances, halt::Halted};
use crate::{
    execution::Execution,
    fault::{Fault, counted},
    keys,
    state::{Overlay, State},
};
use fairweir_types::{
    BoundedBytes, Event, event::WithdrawalsHalted, invariant::Invariant, limits::AUDIT_RECORDS_MAX,
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
            if keys::kind(key).is_some() {
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
    fn read_on(&mut self, state: &dyn State) -> bool {
        let (_, to) = keys::everything();
        let mut from = std::mem::take(&mut self.next).into_vec();
        for _ in 0..AUDIT_RECORDS_MAX {
            let Some((key, record)) = state.first_in(&from, &to) else {
                return true;
            };
            self.read.add(&Imbalances::of_record(&key, Some(&record)));
            from = key;
            // The next possible key: the same bytes and one zero.
            from.push(0);
        }
        // No key of the ledger is as long; behind one that is nothing would be read.
        self.next = BoundedBytes::new(from).unwrap_or_default();
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

/// Checks what the block wrote, and reads on. Runs after everything else has written.
///
/// Costs O(writes), and [`AUDIT_RECORDS_MAX`] records.
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
