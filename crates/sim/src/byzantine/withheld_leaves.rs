use super::Twist;
use fairweir_types::Action;

/// A worker that claims a batch and never shows what is drawn of it.
#[derive(Clone, Copy, Debug)]
pub struct WithheldLeaves;

impl Twist for WithheldLeaves {
    fn action(&self, action: Action) -> Option<Action> {
        (!matches!(action, Action::ShowLeaves(_))).then_some(action)
    }
}
