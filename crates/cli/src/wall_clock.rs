//! The time of day of this machine, which its operator may set while a node runs.
//!
//! Deadlines of consensus and limits of links are times of day: until a clock that was set back comes to them again, the node hears nobody. So it ends, and
//! begins anew with the time as it is.

use crate::failure::{Exit, code};
use std::{
    convert::Infallible,
    time::{Duration, Instant, SystemTime},
};
use tokio::time::sleep;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// By so much it may be set back at once: a node stands still for a few views then.
const SET_BACK_MAX: Duration = Duration::from_secs(5);

/// Two clocks at one moment: one that nobody sets, and the time of day.
#[derive(Clone, Copy, Debug)]
struct Look {
    steady: Instant,
    day: SystemTime,
}

impl Look {
    fn now() -> Self {
        Self {
            steady: Instant::now(),
            day: SystemTime::now(),
        }
    }

    /// By how much the time of day was set back between a look and this one, if by too much.
    fn set_back_since(self, before: Self) -> Option<Duration> {
        let passed = self.steady.duration_since(before.steady);
        let back = (before.day + passed).duration_since(self.day).ok()?;
        (back > SET_BACK_MAX).then_some(back)
    }
}

/// Waits until the clock is set back, for as long as that takes.
///
/// # Errors
/// [`code::MACHINE`], which says by how much it was.
pub(crate) async fn watch() -> Result<Infallible, Exit> {
    let mut before = Look::now();
    loop {
        sleep(EVERY).await;
        let now = Look::now();
        if let Some(back) = now.set_back_since(before) {
            let message = format!(
                "the clock of this machine was set back by {} s while the node ran, which would hear nobody for as long: set the clock right, keep it so with systemd-timesyncd or chrony, and start the node again",
                back.as_secs()
            );
            return Err(Exit::message(code::MACHINE, message));
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_is_set_back_by_much_is_noticed() {
        let before = Look::now();
        let passed = Duration::from_secs(60);
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let found = |day: SystemTime| {
            let steady = before.steady + passed;
            Look { steady, day }.set_back_since(before)
        };
        let right = before.day + passed;
        assert_eq!(found(right), None);
        assert_eq!(found(right + minutes(10)), None);
        assert_eq!(found(right - SET_BACK_MAX), None);
        let back = SET_BACK_MAX + Duration::from_secs(1);
        assert_eq!(found(right - back), Some(back));
        assert_eq!(found(right - minutes(10)), Some(minutes(10)));
    }
}
