use crate::{Work, adversaries::Patron};
use fairweir_client::orders::OutputItem;
use fairweir_types::Amount;

/// A buyer that asks for a long answer, reads what comes on its first credit, gives no more, and hangs up. Returns what it read is worth.
pub(crate) async fn unpaying_buyer(patron: &mut Patron, work: &Work) -> Amount {
    let (ask, prices, units) = patron.next_ask(work);
    let mut stream = patron.open(ask).await.expect("the worker answers");
    let mut tokens = 0;
    // Longer than the pause between two tokens, shorter than the worker's patience.
    while let Ok(OutputItem::Chunk(_)) = stream.next(core::time::Duration::from_secs(2)).await {
        tokens += 1;
    }
    patron.worth(&prices, &units, tokens)
}
