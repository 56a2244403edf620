//! Running one request: execution, credit, and the receipt at its end.

use super::lanes::{Lanes, Served};
use crate::{
    Blobs, Env, ExecuteError, Executed,
    pipeline::{Feed, Follower, within, worker_salt},
};
use commonware_runtime::Clock;
use core::{pin::pin, time::Duration};
use fairweir_types::{
    BoundedBytes, Digest, Receipt, SignedReceipt,
    node_api::Delivery,
    receipt::{Disclosure, Salt, Stopped, output_commitment},
    session::KeptRequest,
};
use futures::future::{Either, select};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long work waits for credit before it ends where its credit does.
const CREDIT_WITHIN: Duration = Duration::from_secs(10);
/// How often waiting work is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where the chunks of a request are taken from, and how its end is told.
#[derive(Debug)]
pub struct Running {
    served: Served,
    feed: Feed,
    /// What there is to be paid for, until it is kept.
    made: Mutex<Option<KeptRequest>>,
}

impl Served {
    /// The run of the request, and a follower of its output.
    #[must_use]
    pub fn start(self) -> (Running, Follower) {
        let feed = Feed::default();
        let follower = Follower::of(feed.clone());
        let running = Running {
            served: self,
            feed,
            made: Mutex::default(),
        };
        (running, follower)
    }
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    /// The execution failed.
    #[error("the execution failed")]
    Execute(#[from] ExecuteError),
    /// It took longer than its demand allows.
    #[error("not done within {} ms", .0.as_millis())]
    Late(Duration),
    /// What was made cannot be charged or shown.
    #[error("{0}")]
    Unfit(&'static str),
}

impl Running {
    /// Runs the request to its end: afterwards the follower has the whole, or is told that there is none.
    pub async fn run(&self, lanes: &Lanes, blobs: &dyn Blobs, clock: &impl Clock) {
        match self.serve(lanes, blobs, clock).await {
            Ok(delivery) => self.feed.complete(Arc::new(delivery)),
            Err(error) => {
                tracing::warn!(slot_id = %self.served.slot_id, %error, "a request came to nothing");
                lanes.failed(self.served.slot_id);
                self.feed.end();
            }
        }
    }

    /// Keeps what was made, to claim it: to be called once the output is handed over, or its buyer is gone. A worker that crashes before
    /// claims nothing, and so a buyer that had to ask elsewhere pays once.
    pub fn keep(&self, lanes: &Lanes) {
        if let Some(made) = self.made().take() {
            lanes.done(self.served.slot_id, made);
        }
    }

    fn made(&self) -> MutexGuard<'_, Option<KeptRequest>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody takes the output any more: the work ends where its credit does.
    pub fn abandoned(&self, lanes: &Lanes) {
        lanes.end_at_credit(self.served.slot_id);
    }

    async fn serve(
        &self,
        lanes: &Lanes,
        blobs: &dyn Blobs,
        clock: &impl Clock,
    ) -> Result<Delivery, ServeError> {
        let served = &self.served;
        let demand = &served.ask.request.request.demand;
        let env = Env::answering(blobs, demand, &served.stop);
        let mut outlet = self.feed.writer();
        let executing = async {
            let spec = served.ask.spec.as_slice();
            match served.service.execute(&env, spec, &mut outlet).await {
                Err(error) if error.is_refusal() => Ok(Executed::refusal()),
                result => result,
            }
        };
        let limit = Duration::from_millis(demand.execution_max.get());
        let executed = within(clock, limit, self.watched(lanes, clock, executing))
            .await
            .ok_or(ServeError::Late(limit))??;
        self.finish(lanes, executed)
    }

    /// Runs the work, and ends it at its credit when it waits for more for too long.
    async fn watched<T>(
        &self,
        lanes: &Lanes,
        clock: &impl Clock,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        let mut held = Duration::ZERO;
        loop {
            let look = pin!(clock.sleep(LOOK_EVERY));
            match select(work.as_mut(), look).await {
                Either::Left((done, _)) => return done,
                Either::Right(_) if self.served.stop.is_held() => held += LOOK_EVERY,
                Either::Right(_) => held = Duration::ZERO,
            }
            if held >= CREDIT_WITHIN {
                lanes.end_at_credit(self.served.slot_id);
            }
        }
    }

    fn finish(&self, lanes: &Lanes, executed: Executed) -> Result<Delivery, ServeError> {
        let served = &self.served;
        let slot_id = served.slot_id;
        let amount = lanes.price(slot_id, &executed).ok_or(ServeError::Unfit(
            "it took more units than its credit covers",
        ))?;
        let stopped = match executed.stopped_at {
            None => None,
            Some(at) => Some(Stopped {
                at,
                stop: lanes
                    .word_for(slot_id, at)
                    .ok_or(ServeError::Unfit("it ended without the buyer's word"))?,
            }),
        };
        let disclosure = Disclosure {
            stopped,
            hint: BoundedBytes::new(executed.hint.clone()).unwrap_or_default(),
        };
        let request = &served.ask.request.request;
        let trace = executed.trace(&request.spec_digest);
        let salt = worker_salt(&lanes.identity().seed, lanes.chain_id(), &slot_id, 0);
        let receipt = self.receipt(lanes, &executed, &disclosure, (&salt, &trace));
        let output = BoundedBytes::new(executed.output)
            .map_err(|_| ServeError::Unfit("the output is longer than a blob may be"))?;
        let kept = KeptRequest {
            request: served.ask.request.clone(),
            amount,
            receipt: receipt.clone(),
            trace,
            spec: served.ask.spec.clone(),
            disclosure: disclosure.clone(),
        };
        *self.made() = Some(kept);
        Ok(Delivery {
            receipt,
            salt,
            output,
            disclosure,
        })
    }

    fn receipt(
        &self,
        lanes: &Lanes,
        executed: &Executed,
        disclosure: &Disclosure,
        (salt, trace): (&Salt, &Digest),
    ) -> SignedReceipt {
        let slot_id = self.served.slot_id;
        let request = &self.served.ask.request.request;
        let receipt = Receipt {
            chain_id: lanes.chain_id().clone(),
            slot_id,
            attempt: 0,
            kind: request.kind,
            version: self.served.service.version(),
            spec_digest: request.spec_digest,
            units: executed.units,
            disclosure: disclosure.to_blob().1,
            output_commitment: output_commitment(lanes.me(), &slot_id, 0, salt, trace),
        };
        SignedReceipt::sign(receipt, &lanes.identity().key)
    }
}
