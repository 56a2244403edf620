//! The clock of a machine that is wrong.

use commonware_runtime::{Clock, deterministic::Context};
use governor::clock::{Clock as GovernorClock, ReasonablyRealtime};
use std::{
    future::Future,
    time::{Duration, SystemTime},
};

/// Tells the time of day as a machine does whose clock is wrong; time passes as it does everywhere.
pub(super) struct WrongClock {
    inner: Context,
    ahead_ms: i64,
}

impl WrongClock {
    pub(super) const fn new(inner: Context, ahead_ms: i64) -> Self {
        Self { inner, ahead_ms }
    }

    /// A time of this clock as the right one tells it, or the other way around.
    fn shift(time: SystemTime, by_ms: i64) -> SystemTime {
        let by = Duration::from_millis(by_ms.unsigned_abs());
        let shifted = if by_ms < 0 {
            time.checked_sub(by)
        } else {
            time.checked_add(by)
        };
        shifted.unwrap_or(time)
    }
}

impl Clock for WrongClock {
    fn current(&self) -> SystemTime {
        Self::shift(self.inner.current(), self.ahead_ms)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(duration)
    }

    fn sleep_until(
        &self,
        deadline: SystemTime,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner
            .sleep_until(Self::shift(deadline, -self.ahead_ms))
    }
}

impl GovernorClock for WrongClock {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.current()
    }
}

impl ReasonablyRealtime for WrongClock {}
