use super::Twist;
use fairweir_types::Action;

/// A worker that takes a lane, serves it, and never claims: it locks its buyer's escrow for as long as the lane lasts.
#[derive(Clone, Copy, Debug)]
pub struct UnclaimedLane;

impl Twist for UnclaimedLane {
    fn action(&self, action: Action) -> Option<Action> {
        (!matches!(action, Action::PostBatch(_))).then_some(action)
    }
}
