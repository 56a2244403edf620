use crate::{Work, adversaries::Patron};
use fairweir_types::Amount;

/// A buyer that asks for a long answer and gives no more credit than the first chunk: it takes all that its worker then hands over. Returns
/// what that is worth.
pub(crate) async fn unpaying_buyer(patron: &mut Patron, work: &Work) -> Amount {
    let (ask, _) = patron.next_ask(work);
    patron.try_ask(ask).await
}
