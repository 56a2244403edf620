use crate::{Work, adversaries::Patron};
use fairweir_types::Amount;

/// A buyer that closes its session the moment it has its answers, before its worker has claimed anything. Returns what they are worth.
pub(crate) async fn early_close(patron: &mut Patron, works: &[Work]) -> Amount {
    let mut worth = Amount::ZERO;
    for work in works {
        worth = worth.checked_add(patron.ask(work).await).expect("little");
    }
    patron.close().await;
    worth
}
