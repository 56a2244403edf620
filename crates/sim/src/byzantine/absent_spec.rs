use crate::{Work, adversaries::Patron};
use fairweir_types::order::OrderId;

/// A buyer that names a spec which it leaves nowhere: whoever is matched or drawn looks for it in vain.
pub(crate) async fn absent_spec(patron: &Patron, work: &Work) -> OrderId {
    patron.post(work).await
}
