use super::Twist;
use fairweir_types::{Action, Boxed};

/// A worker that claims all that its voucher covers, whatever the receipts under its root add up to.
#[derive(Clone, Copy, Debug)]
pub struct InflatedClaim;

impl Twist for InflatedClaim {
    fn action(&self, action: Action) -> Option<Action> {
        let Action::PostBatch(post) = action else {
            return Some(action);
        };
        let mut post = (*post).clone();
        post.total = post.voucher.voucher.cumulative;
        Some(Action::PostBatch(Boxed::new(post)))
    }
}
