use crate::adversaries::Books;
use fairweir_types::{
    Boxed, SecretKey,
    receipt::SignedReceipt,
    session::{Kept, SignedRequest, request_slot},
};

/// A worker that claims a request which nobody asked for: a copy of one that it served, under the next number and its own signature.
pub(crate) fn forged_request(books: &mut Books, worker: &SecretKey) {
    let (requests, voucher) = books.requests();
    let Some(voucher) = voucher else { return };
    let mut left = voucher.voucher.cumulative;
    for request in &requests {
        left = left.checked_sub(request.amount).unwrap_or_default();
    }
    let fitting = requests.iter().filter(|request| request.amount <= left);
    let Some(model) = fitting.max_by_key(|request| request.amount) else {
        return;
    };
    let next = requests
        .iter()
        .map(|kept| kept.request.request.index + 1)
        .max();
    let mut forged = model.clone();
    let mut request = forged.request.request.clone();
    request.index = next.unwrap_or_default();
    let mut receipt = forged.receipt.receipt.clone();
    receipt.slot_id = request_slot(&request.lane, request.index);
    forged.request = SignedRequest::sign(request, worker);
    forged.receipt = SignedReceipt::sign(receipt, worker);
    books.keep(&Kept::Request(Boxed::new(forged)));
}
