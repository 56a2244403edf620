//! What a process can be. A role registers itself on the ledger, runs its pipeline, and ends with its network.

pub mod candidate;
mod promised;
pub mod validator;
pub mod verifier;
pub mod worker;

use commonware_runtime::Clock;
use fairweir_client::{ClientError, NodeClient, Sender};
use fairweir_net::Network;
use fairweir_services::{NotNow, Registry};
use fairweir_types::{
    Action, Address, Amount, Height,
    catalogue::{Catalogue, KnownKind},
    tx,
};
use futures::future::{Either, select};
use std::{pin::pin, time::Duration};

/// Blocks before the tip from which a role starts at the latest, so that it need not look up each order of now.
const RESUME_BLOCKS: u64 = 2_000;

/// The height from which a role that starts must follow: early enough for all that waits for it, however old that is.
///
/// # Errors
/// [`ClientError`].
pub async fn resume_from<N: Network>(
    client: &NodeClient<N>,
    account: Address,
) -> Result<Height, ClientError> {
    let duties = client.duties(account).await?;
    let recent = Height(duties.tip.get().saturating_sub(RESUME_BLOCKS));
    Ok(duties.since.map_or(recent, |since| since.min(recent)))
}

/// How long a role waits before it looks into the catalogue again.
const CATALOGUE_PAUSE: Duration = Duration::from_secs(2);

/// What a role can work for as the catalogue stands, and why not for the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Kinds in force, in versions that this program knows.
    pub active: Vec<KnownKind>,
    /// The others.
    pub others: Vec<NotNow>,
}

impl Standing {
    fn of(catalogue: &Catalogue, registry: &Registry) -> Self {
        let (active, others) = registry.active(catalogue);
        let standing = Self { active, others };
        standing.tell();
        standing
    }

    fn tell(&self) {
        for why in &self.others {
            tracing::warn!(%why, "a kind of work is neither offered nor checked as the catalogue stands");
        }
    }

    /// Waits until the catalogue makes it another one. A node that is lost says nothing, so it is asked again.
    async fn changed<N: Network>(
        &self,
        clock: &impl Clock,
        client: &NodeClient<N>,
        registry: &Registry,
    ) -> Self {
        loop {
            clock.sleep(CATALOGUE_PAUSE).await;
            let Ok(catalogue) = client.services().await else {
                continue;
            };
            let (active, others) = registry.active(&catalogue);
            let next = Self { active, others };
            if next != *self {
                next.tell();
                return next;
            }
        }
    }

    /// The same, or as it is after this time.
    async fn changed_within<N: Network>(
        &self,
        clock: &impl Clock,
        (client, registry): (&NodeClient<N>, &Registry),
        within: Duration,
    ) -> Self {
        let changed = pin!(self.changed(clock, client, registry));
        match select(changed, pin!(clock.sleep(within))).await {
            Either::Left((next, _)) => next,
            Either::Right(_) => self.clone(),
        }
    }
}

/// Bonds what is missing to a wanted stake. Bonds nothing when there is enough.
///
/// # Errors
/// [`ClientError`].
pub async fn bond_up_to<N: Network>(sender: &Sender<N>, stake: Amount) -> Result<(), ClientError> {
    let account = sender.client().account(sender.key().address()).await?;
    if let Ok(missing) = stake.checked_sub(account.bonded)
        && missing > Amount::ZERO
    {
        sender
            .send(Action::Bond(tx::Bond { amount: missing }))
            .await?;
    }
    Ok(())
}
