use crate::adversaries::Books;
use fairweir_types::{
    BoundedVec,
    session::{Kept, KeptBatch},
};

/// A worker that claims one request twice in its batch: the dearest that its voucher still covers beyond the receipts.
pub(crate) fn repeated_leaf(books: &mut Books) {
    let (requests, voucher) = books.requests();
    let Some(voucher) = voucher else { return };
    let mut left = voucher.voucher.cumulative;
    for request in &requests {
        left = left.checked_sub(request.amount).unwrap_or_default();
    }
    let fitting = requests.iter().filter(|request| request.amount <= left);
    let twice = fitting.max_by_key(|request| request.amount);
    let indices = requests.iter().map(|request| request.request.request.index);
    let again = twice.map(|request| request.request.request.index);
    books.keep(&Kept::Batch(KeptBatch {
        lane: voucher.voucher.lane,
        number: 0,
        indices: BoundedVec::truncating(indices.chain(again)),
    }));
}
