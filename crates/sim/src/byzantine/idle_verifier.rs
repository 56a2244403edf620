use super::Twist;
use fairweir_types::Action;

/// A verifier that takes its seat in the pool and does nothing: it never commits.
#[derive(Clone, Copy, Debug)]
pub struct IdleVerifier;

impl Twist for IdleVerifier {
    fn action(&self, action: Action) -> Option<Action> {
        let is_vote = matches!(action, Action::CommitVerdict(_) | Action::RevealVerdict(_));
        (!is_vote).then_some(action)
    }
}
