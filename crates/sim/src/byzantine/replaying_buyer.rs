use crate::{Work, adversaries::Patron};
use fairweir_types::Amount;

/// A buyer that pays for its first request and shows the same voucher for all others. Returns what it got is worth.
pub(crate) async fn replaying_buyer(patron: &mut Patron, works: &[Work]) -> Amount {
    let mut first = None;
    let mut worth = Amount::ZERO;
    for work in works {
        let (mut ask, _) = patron.next_ask(work);
        let voucher = first.get_or_insert_with(|| ask.credit.voucher.clone());
        ask.credit.voucher = voucher.clone();
        worth = worth
            .checked_add(patron.try_ask(ask).await)
            .expect("little");
    }
    worth
}
