//! The verifier: re-executes drawn work and says what it found.

use super::{
    bond_up_to,
    worker::{Equipment, RETRY_PAUSE},
};
use commonware_runtime::Clock;
use fairweir_client::{ClientError, Sender};
use fairweir_net::Network;
use fairweir_services::{ChainClient, Registry, pipeline};
use fairweir_types::{Action, Address, Amount, BoundedVec, session::SealKey, tx::EnrolVerifier};

/// Enrols an account as a verifier of every kind of the registry, with the key that what it may read is encrypted to.
///
/// # Errors
/// [`ClientError`].
pub async fn enrol<N: Network>(
    sender: &Sender<N>,
    registry: &Registry,
    (owner, seal_key): (Option<Address>, SealKey),
) -> Result<(), ClientError> {
    let kinds = BoundedVec::truncating(registry.iter().map(|service| service.id()));
    let own = sender.key().address();
    let owner = owner.unwrap_or(own);
    let wanted = EnrolVerifier {
        owner,
        kinds,
        seal_key,
    };
    if sender.client().account(own).await?.verifies.as_ref() == Some(&wanted) {
        return Ok(());
    }
    sender.send(Action::EnrolVerifier(wanted)).await.map(|_| ())
}

/// Bonds the stake and enrols.
///
/// # Errors
/// [`ClientError`].
pub async fn register<N: Network>(
    sender: &Sender<N>,
    registry: &Registry,
    stake: Amount,
    terms: (Option<Address>, SealKey),
) -> Result<(), ClientError> {
    bond_up_to(sender, stake).await?;
    enrol(sender, registry, terms).await
}

/// Plays an account's appeals; it ends when its future is dropped.
pub(super) async fn advocate<C: ChainClient>(clock: &impl Clock, equipment: Equipment<C>) {
    let tools = equipment.tools();
    let mut from = equipment.from;
    let mut advocate = pipeline::Advocate::new(&equipment.identity, equipment.chain, tools);
    let progress = advocate.progress();
    loop {
        let error = advocate.run(clock, from).await;
        tracing::warn!(%error, "the advocate lost the chain; it tries again");
        from = progress.resume_from().max(from);
        clock.sleep(RETRY_PAUSE).await;
    }
}

/// Runs an enrolled verifier and its advocate; it ends when its future is dropped.
pub async fn run<C: ChainClient + Clone>(clock: &impl Clock, equipment: Equipment<C>) {
    let advocates = advocate(clock, equipment.clone());
    let checks = check(clock, equipment);
    futures::future::join(advocates, checks).await;
}

async fn check<C: ChainClient>(clock: &impl Clock, equipment: Equipment<C>) {
    let tools = equipment.tools();
    let mut from = equipment.from;
    let mut verifier = pipeline::Verifier::new(equipment.identity, equipment.chain, tools);
    let progress = verifier.progress();
    loop {
        let error = verifier.run(clock, from).await;
        tracing::warn!(%error, "the verifier lost the chain; it tries again");
        from = progress.resume_from().max(from);
        clock.sleep(RETRY_PAUSE).await;
    }
}
