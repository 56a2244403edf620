use super::Twist;
use fairweir_types::Action;

/// A worker that hands in a receipt and never opens it.
#[derive(Clone, Copy, Debug)]
pub struct WithheldOpening;

impl Twist for WithheldOpening {
    fn action(&self, action: Action) -> Option<Action> {
        (!matches!(action, Action::OpenReceipt(_) | Action::OpenBatch(_))).then_some(action)
    }
}
