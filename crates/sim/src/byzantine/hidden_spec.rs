use crate::{Work, adversaries::Patron};
use fairweir_types::{Event, order::OrderId};

/// A buyer with a friend among the workers: once the friend handed in its receipt the spec is gone, so that nobody can check it. `leave` and `hide` do that
/// to the spec.
pub(crate) async fn hidden_spec(
    patron: &Patron,
    work: &Work,
    (leave, hide): (impl FnOnce(), impl FnOnce()),
) -> OrderId {
    leave();
    let order = patron.post(work).await;
    let is_handed_in = |event: &Event| match event {
        Event::ReceiptSubmitted(submitted) if submitted.slot_id.order == order => Some(()),
        _ => None,
    };
    patron.wait_for(is_handed_in).await;
    hide();
    order
}
