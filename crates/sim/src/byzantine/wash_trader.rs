use crate::{Work, adversaries::Patron};

/// One person who buys from its own worker, to look busy.
pub(crate) async fn wash_trader(patron: &Patron, works: &[Work]) {
    for work in works {
        patron.post(work).await;
    }
}
