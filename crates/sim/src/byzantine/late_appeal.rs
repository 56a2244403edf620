use super::Twist;
use fairweir_types::Action;
use std::sync::atomic::{AtomicBool, Ordering};

/// An honest worker whose first appeal is lost on the way, so that another's comes first.
#[derive(Debug, Default)]
pub struct LateAppeal {
    has_lost_one: AtomicBool,
}

impl Twist for LateAppeal {
    fn action(&self, action: Action) -> Option<Action> {
        let is_appeal = matches!(action, Action::Appeal(_));
        if is_appeal && !self.has_lost_one.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(action)
    }
}
