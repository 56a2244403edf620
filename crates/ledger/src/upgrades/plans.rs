use super::Plan;

/// The plans whose rules this program follows from their block on, oldest first. A release that changes rules adds its plan at the end; none is ever removed, for whoever
/// executes the chain from its first block needs all of them (docs/how-to/upgrade-a-network.md).
pub const PLANS: &[Plan] = &[];
