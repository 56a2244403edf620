use super::Twist;
use crate::adversaries::Books;
use fairweir_types::{
    Action, BoundedVec, Boxed,
    session::{Kept, KeptBatch},
};

/// A worker that claims one request twice in its batch: the dearest that its voucher still covers beyond the receipts. It says that the
/// batch's numbers are one more than they are, or the ledger would see that there are too few.
#[derive(Clone, Copy, Debug)]
pub struct RepeatedLeaf;

impl Twist for RepeatedLeaf {
    fn action(&self, action: Action) -> Option<Action> {
        let Action::PostBatch(post) = action else {
            return Some(action);
        };
        let mut post = (*post).clone();
        let least = post
            .numbers
            .first
            .saturating_add(u64::from(post.count).saturating_sub(1));
        post.numbers.last = post.numbers.last.max(least);
        Some(Action::PostBatch(Boxed::new(post)))
    }
}

/// Writes the batch of a [`RepeatedLeaf`] into the books.
pub(crate) fn repeat_leaf(books: &mut Books) {
    let (requests, voucher) = books.requests();
    let Some(voucher) = voucher else { return };
    let mut left = voucher.voucher.cumulative;
    for request in &requests {
        left = left.checked_sub(request.amount).unwrap_or_default();
    }
    let fitting = requests.iter().filter(|request| request.amount <= left);
    let twice = fitting.max_by_key(|request| request.amount);
    let twice = twice.map(|request| request.request.request.index);
    let mut indices = Vec::new();
    for request in &requests {
        let index = request.request.request.index;
        indices.push(index);
        indices.extend(twice.filter(|twice| *twice == index));
    }
    books.keep(&Kept::Batch(KeptBatch {
        lane: voucher.voucher.lane,
        number: 0,
        indices: BoundedVec::truncating(indices),
    }));
}
