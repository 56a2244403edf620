use super::Twist;
use fairweir_services::Executed;
use fairweir_types::order::{Demand, KindId};

/// A worker that does the work and charges for all that the order allows.
#[derive(Clone, Copy, Debug)]
pub struct InflatedUnits;

impl Twist for InflatedUnits {
    fn execution(&self, _: KindId, mut executed: Executed, demand: &Demand) -> Executed {
        executed.units = demand.units;
        executed
    }
}
