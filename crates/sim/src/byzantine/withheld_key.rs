use super::{Twist, WrongOutput};
use fairweir_services::Executed;
use fairweir_types::{
    Action,
    order::{Demand, KindId},
};

/// A worker that delivers wrong output, and does not let the verifiers of the dispute that follows read what it showed: they get it from those
/// of the first draw.
#[derive(Clone, Copy, Debug)]
pub struct WithheldKey;

impl Twist for WithheldKey {
    fn execution(&self, kind: KindId, executed: Executed, demand: &Demand) -> Executed {
        WrongOutput.execution(kind, executed, demand)
    }

    fn action(&self, action: Action) -> Option<Action> {
        (!matches!(action, Action::ShareLeaves(_))).then_some(action)
    }
}
