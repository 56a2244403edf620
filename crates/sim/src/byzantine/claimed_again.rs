use super::Twist;
use fairweir_types::{Action, Boxed};

/// A worker that claims each batch a second time, under the number that follows.
#[derive(Clone, Copy, Debug)]
pub struct ClaimedAgain;

impl Twist for ClaimedAgain {
    fn besides(&self, action: &Action) -> Option<Action> {
        let Action::PostBatch(post) = action else {
            return None;
        };
        let mut again = (**post).clone();
        again.number = again.number.saturating_add(1);
        Some(Action::PostBatch(Boxed::new(again)))
    }
}
