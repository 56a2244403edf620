use crate::{Work, adversaries::Patron};
use fairweir_types::{Action, Amount, Boxed, TxCode, tx::PostOrder};

/// A buyer that opens more lanes than it has money for.
pub(crate) async fn unfunded_buyer(patron: &Patron, sample: &Work) {
    let header = patron.session_header(sample, Amount::MAX);
    let post = Action::PostOrder(Boxed::new(PostOrder { header }));
    let outcome = patron.seat().send(post).await;
    assert_ne!(outcome.code, TxCode::OK, "the ledger refuses it");
}
