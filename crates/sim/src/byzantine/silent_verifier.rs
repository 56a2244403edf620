use super::Twist;
use fairweir_types::Action;

/// A verifier that commits and never reveals.
#[derive(Clone, Copy, Debug)]
pub struct SilentVerifier;

impl Twist for SilentVerifier {
    fn action(&self, action: Action) -> Option<Action> {
        (!matches!(action, Action::RevealVerdict(_))).then_some(action)
    }
}
