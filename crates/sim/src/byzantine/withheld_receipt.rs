use super::Twist;
use fairweir_types::Action;

/// A worker that is matched and never hands in a receipt.
#[derive(Clone, Copy, Debug)]
pub struct WithheldReceipt;

impl Twist for WithheldReceipt {
    fn action(&self, action: Action) -> Option<Action> {
        (!matches!(action, Action::SubmitReceipt(_))).then_some(action)
    }
}
