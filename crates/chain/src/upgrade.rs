//! A node whose program cannot follow the rules that were decided stops before their first block.
//!
//! Whether it can is looked at behind every final block: the ledger says so of the next one, and tries the migration that it would begin with. So a node stops where all with its
//! program do, with everything before that block final, stored and handed out; the next program goes on from there.

use crate::{error::StartError, replica::Core, watched::Watched};
use commonware_runtime::Clock;
use commonware_utils::sync::Mutex;
use fairweir_ledger::{
    Fault,
    upgrades::{self, MigrationError},
};
use fairweir_types::{Digest, Height, governance::Upgrade};
use std::time::Duration;

/// How long a node that stops hands out what it has: its last block and certificate, to peers that lost messages, and outcomes to clients that wait. Some round trips of a slow
/// network; who misses them gets them when the others are back.
const LINGER: Duration = Duration::from_secs(5);

/// Why a program cannot follow the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It does not have the plan.
    Unknown,
    /// It has, and the state cannot be changed to them.
    Migration(MigrationError),
}

/// A node stopped before the first block of rules that its program cannot follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeStop {
    /// Its newest block.
    pub newest: Height,
    /// The first block of the rules.
    pub height: Height,
    /// The blob digest of their description.
    pub plan: Digest,
    /// Why.
    pub reason: StopReason,
}

impl std::fmt::Display for UpgradeStop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            newest,
            height,
            plan,
            reason,
        } = self;
        match reason {
            StopReason::Unknown => write!(
                f,
                "other rules begin with block {height}, by the plan {plan}, which this program does not have; it stops behind block {newest}"
            ),
            StopReason::Migration(error) => write!(
                f,
                "other rules begin with block {height}, by the plan {plan}, and this program cannot change the state to them: {error}; it stops behind block {newest}"
            ),
        }
    }
}

impl std::error::Error for UpgradeStop {}

impl UpgradeStop {
    fn of(newest: Height, fault: &Fault) -> Option<Self> {
        let (height, plan, reason) = match *fault {
            Fault::UnknownUpgrade { height, plan } => (height, plan, StopReason::Unknown),
            Fault::Migration {
                height,
                plan,
                source,
                ..
            } => (height, plan, StopReason::Migration(source)),
            _ => return None,
        };
        Some(Self {
            newest,
            height,
            plan,
            reason,
        })
    }
}

/// Whether the rules are such that this program can follow them.
pub(crate) struct Rules {
    stopped: Watched<Option<UpgradeStop>>,
    /// The upgrade of which the log has told.
    told: Mutex<Option<Upgrade>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            stopped: Watched::new(None),
            told: Mutex::new(None),
        }
    }
}

impl Rules {
    /// Why this node stopped, if it did.
    pub(crate) fn stop(&self) -> Option<UpgradeStop> {
        self.stopped.get()
    }

    /// Looks whether the next block can be made behind the newest one.
    pub(crate) fn look(&self, core: &Core) {
        let (_, header) = core.cache.applied();
        let newest = header.height;
        let next = Height(newest.get().saturating_add(1));
        let plans = core.config.plans;
        let (checked, report) = core.cache.read(|state| {
            let checked = upgrades::check(state, plans, next);
            (checked, upgrades::report(state, plans))
        });
        if let Err(fault) = checked
            && let Some(stop) = UpgradeStop::of(newest, &fault)
        {
            tracing::error!(%stop, "the node stops");
            self.stopped.set(Some(stop));
            return;
        }
        let Ok(report) = report else { return };
        let mut told = self.told.lock();
        if let (Some(planned), true) = (report.planned, *told != report.planned) {
            let (height, plan) = (planned.height, planned.plan);
            if report.knows {
                tracing::info!(%height, %plan, "other rules are to begin, and this program has their plan");
            } else {
                tracing::warn!(%height, %plan, "other rules are to begin, and this program does not have their plan: it will stop before that block");
            }
        }
        *told = report.planned;
    }

    /// The same where a chain is opened: it does not begin if it cannot go on.
    pub(crate) fn check_start(&self, core: &Core) -> Result<(), StartError> {
        self.look(core);
        self.stop()
            .map_or(Ok(()), |stop| Err(StartError::Upgrade(stop)))
    }

    /// Waits until this node makes and takes no more blocks.
    pub(crate) async fn wait(&self) -> UpgradeStop {
        let mut stopped = self.stopped.watch();
        // The value lives as long as this future.
        match stopped.wait_for(Option::is_some).await {
            Ok(Some(stop)) => stop,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// The same, and until it has handed out what it has.
    pub(crate) async fn stopped(&self, clock: &impl Clock) -> UpgradeStop {
        let stop = self.wait().await;
        clock.sleep(LINGER).await;
        stop
    }
}
