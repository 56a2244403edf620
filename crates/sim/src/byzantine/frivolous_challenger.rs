use crate::adversaries::Patron;
use fairweir_types::{Action, Event, order::OrderId, receipt::Verdict, tx::Challenge};

/// A buyer that challenges work which every verifier found right.
pub(crate) async fn frivolous_challenger(patron: &Patron, order: OrderId) {
    let judged = patron.wait_for(|event| match event {
        Event::Judged(judged)
            if judged.slot_id.order == order && judged.verdict == Verdict::Valid =>
        {
            Some(judged.slot_id)
        }
        _ => None,
    });
    let slot_id = judged.await;
    patron
        .seat()
        .done(Action::Challenge(Challenge { slot_id, at: None }))
        .await;
}
