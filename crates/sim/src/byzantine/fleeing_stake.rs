use super::{Twist, WrongOutput};
use fairweir_services::Executed;
use fairweir_types::{
    Action, Amount,
    order::{Demand, KindId},
    tx::Unbond,
};

/// A worker that forges its output and, with its receipt, takes out of its stake what no rule holds back.
#[derive(Clone, Copy, Debug)]
pub struct FleeingStake {
    /// What it unbonds.
    pub unbonds: Amount,
}

impl Twist for FleeingStake {
    fn execution(&self, kind: KindId, executed: Executed, demand: &Demand) -> Executed {
        WrongOutput.execution(kind, executed, demand)
    }

    fn besides(&self, action: &Action) -> Option<Action> {
        let amount = self.unbonds;
        matches!(action, Action::SubmitReceipt(_)).then_some(Action::Unbond(Unbond { amount }))
    }
}
