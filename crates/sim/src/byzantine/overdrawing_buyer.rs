use crate::{Work, adversaries::Patron};
use fairweir_types::{
    Amount,
    session::{Credit, SignedVoucher},
};

/// A buyer that asks for more than its lane holds: it signs vouchers that its escrow does not cover. Returns what it got.
pub(crate) async fn overdrawing_buyer(patron: &mut Patron, works: &[Work]) -> Amount {
    let mut worth = Amount::ZERO;
    for work in works {
        let (mut ask, _) = patron.next_ask(work);
        let mut voucher = ask.credit.voucher.voucher.clone();
        voucher.cumulative = Amount::MAX;
        ask.credit = Credit {
            voucher: SignedVoucher::sign(voucher, patron.key()),
            ..ask.credit
        };
        worth = worth
            .checked_add(patron.try_ask(ask).await)
            .expect("little");
    }
    worth
}
