//! Accounts that send without pause, and insist.

use super::{
    Faults, Seats,
    cluster::{CHAIN, Cluster, Directory, SENDERS},
};
use crate::validators::transfer;
use commonware_runtime::{Clock as _, Handle, Spawner as _, Supervisor as _, deterministic};
use fairweir_chain::IncludedTx;
use fairweir_types::{Digest, SignedTx};
use futures::{
    FutureExt as _,
    future::{Either, select},
};
use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Time between two transactions of an account.
const PAUSE: Duration = Duration::from_millis(700);
/// The same where epochs are short, so that many of them end in a story.
const SHORT_PAUSE: Duration = Duration::from_millis(150);
/// Time after which what was not acknowledged is handed to another validator too.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a validator said became of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    /// Whose it was.
    pub(super) sender: u8,
    pub(super) tx: Digest,
    pub(super) included: IncludedTx,
}

/// The load of a story.
pub(super) struct Load {
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    tasks: Vec<Handle<()>>,
}

impl Load {
    /// How many transactions of each account were acknowledged.
    pub(super) fn counts(&self) -> Vec<usize> {
        let acknowledged = self.acknowledged.lock();
        let acknowledged = acknowledged.unwrap_or_else(PoisonError::into_inner);
        let of = |number| acknowledged.iter().filter(move |one| one.sender == number);
        (0..SENDERS).map(|number| of(number).count()).collect()
    }

    /// Ends it, and says what was acknowledged.
    pub(super) fn end(self) -> Vec<Acknowledged> {
        for task in self.tasks {
            task.abort();
        }
        let acknowledged = self.acknowledged.lock();
        acknowledged.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Starts all accounts.
pub(super) fn start(context: &deterministic::Context, cluster: &Cluster, faults: &Faults) -> Load {
    let seed = faults.seed;
    let pause = match faults.seats {
        Seats::Stay => PAUSE,
        Seats::StayOverEpochs | Seats::Move | Seats::MoveAndJail => SHORT_PAUSE,
    };
    let acknowledged = Arc::new(Mutex::default());
    let tasks = (0..SENDERS).map(|number| {
        let (directory, told) = (cluster.directory(), Arc::clone(&acknowledged));
        context
            .child("load")
            .with_attribute("number", number)
            .spawn(move |context| async move {
                send(&context, &directory, (number, seed, pause), &told).await;
            })
    });
    let tasks = tasks.collect();
    Load {
        acknowledged,
        tasks,
    }
}

/// Sends one transaction after the other, each until it is acknowledged.
async fn send(
    context: &deterministic::Context,
    directory: &Directory,
    (number, seed, pause): (u8, u64, Duration),
    told: &Mutex<Vec<Acknowledged>>,
) {
    for nonce in 0_u64.. {
        let tx = transfer(CHAIN, number, nonce);
        let mut tries = seed.wrapping_add(nonce).wrapping_add(u64::from(number));
        let acknowledged = loop {
            tries = tries.wrapping_add(1);
            if let Some(included) = offer(context, directory, &tx, tries).await {
                break included;
            }
        };
        let acknowledged = Acknowledged {
            sender: number,
            tx: tx.digest(),
            included: acknowledged,
        };
        told.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(acknowledged);
        context.sleep(pause).await;
    }
}

/// Hands a transaction to one of those that run, and waits a while for its outcome.
async fn offer(
    context: &deterministic::Context,
    directory: &Directory,
    tx: &SignedTx,
    tries: u64,
) -> Option<IncludedTx> {
    let chain = {
        let running = directory.lock();
        let count = u64::try_from(running.len()).unwrap_or(u64::MAX).max(1);
        let which = usize::try_from(tries % count).unwrap_or_default();
        running.values().nth(which).cloned()
    };
    let patience = pin!(context.sleep(PATIENCE));
    let Some(chain) = chain else {
        patience.await;
        return None;
    };
    let id = tx.digest();
    // It may be in a block already, or wait here.
    let _ = chain.submit(tx.clone());
    let outcome = async {
        match chain.outcome(id).await {
            Ok(Some(included)) => Some(included),
            _ => chain.wait_outcome(id).await.ok(),
        }
    };
    match select(pin!(outcome.boxed()), patience).await {
        Either::Left((Some(included), _)) => Some(included),
        Either::Left((None, patience)) => {
            patience.await;
            None
        }
        Either::Right(_) => None,
    }
}
