//! One request of a session from its first credit to its receipt, on as many workers as it takes.

use super::{
    Shared,
    lanes::{Begun, OpenLane, Trade},
    outlet::{Extent, Outlet},
    pursuit::{Work, assembled},
};
use crate::market::{CostTeller, MarketError, Purchase};
use fairweir_client::{
    ClientError,
    orders::{OutputItem, OutputStream},
    sessions,
};
use fairweir_net::{FrameStream, Network};
use fairweir_services::{Claim, contract::Assignment};
use fairweir_types::{
    Amount, BoundedBytes, Digest, Units,
    node_api::Delivery,
    receipt::SignedStop,
    session::{Ask, Credit, SignedRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

/// Workers that one request is tried on.
const TRIES_MAX: usize = 4;
/// Without a sign of life for so long a worker is given up: prompts of thousands of tokens take their time.
const STALL: Duration = Duration::from_secs(60);
/// After a hang-up: how long the end may take.
const END_WITHIN: Duration = Duration::from_secs(20);

/// The pursuit of one request's output.
#[derive(Debug)]
pub(super) struct Request<N> {
    shared: Arc<Shared<N>>,
    work: Work,
    outlet: Outlet,
    begun: Option<oneshot::Sender<Result<Purchase, MarketError>>>,
    cost: CostTeller,
    /// What the client was told, whichever worker it came from.
    told: Extent,
    /// The client is gone.
    is_unwanted: bool,
    /// What workers that failed may still claim.
    lost: Amount,
}

/// How one worker's part ended.
enum Ended {
    Whole(Box<Delivery>, Amount),
    /// The worker failed; another may go on.
    Failed(MarketError),
}

impl<N: Network> Request<N> {
    pub(super) const fn new(
        shared: Arc<Shared<N>>,
        work: Work,
        outlet: Outlet,
        begun: oneshot::Sender<Result<Purchase, MarketError>>,
        cost: CostTeller,
    ) -> Self {
        Self {
            shared,
            work,
            outlet,
            begun: Some(begun),
            cost,
            told: Extent::EMPTY,
            is_unwanted: false,
            lost: Amount::ZERO,
        }
    }

    /// Buys the answer; the outlet gets the output or what went wrong.
    pub(super) async fn run(mut self) {
        let running = super::pursuit::Running::new(&self.shared.running);
        let bought = self.buy().await;
        drop(running);
        let lost = self.lost;
        match bought {
            Ok((delivery, amount)) => {
                let cost = amount.checked_add(lost).unwrap_or(amount);
                let _ = self.cost.send(cost);
                let worker = delivery.receipt.worker.address();
                let output = delivery.output.as_slice();
                self.outlet.whole(output, worker, cost).await;
            }
            Err(error) => {
                tracing::debug!(%error, "a request failed");
                if lost > Amount::ZERO {
                    let _ = self.cost.send(lost);
                }
                match self.begun.take() {
                    Some(begun) => {
                        let _ = begun.send(Err(error));
                    }
                    None => self.outlet.fail(error).await,
                }
            }
        }
    }

    async fn buy(&mut self) -> Result<(Box<Delivery>, Amount), MarketError> {
        let trade = Trade {
            kind: self.work.kind,
            capability: self.work.capability.clone(),
        };
        let mut last = MarketError::Closed;
        for _ in 0..TRIES_MAX {
            if self.outlet.is_closed() && self.told == Extent::EMPTY {
                return Err(MarketError::Closed);
            }
            let shared = Arc::clone(&self.shared);
            let work = (self.work.spec.as_slice(), &self.work.demand);
            let begun = shared.lanes.begin(&shared, &trade, work).await?;
            let (lane, index) = (Arc::clone(&begun.lane), begun.request.request.index);
            match self.on(begun).await {
                Ended::Whole(delivery, amount) => return Ok((delivery, amount)),
                Ended::Failed(error) => {
                    // What it was promised it may claim, delivered or not: that is the most that it can take.
                    let lost = lane.account().lost(index);
                    self.lost = self.lost.checked_add(lost).unwrap_or(self.lost);
                    lane.give_up();
                    tracing::warn!(worker = %lane.opened.worker, %error, "a worker failed a request, which goes on elsewhere");
                    last = error;
                }
            }
            if self.is_unwanted {
                return Err(MarketError::Closed);
            }
        }
        Err(last)
    }

    /// The request on one worker.
    async fn on(&mut self, begun: Begun) -> Ended {
        let Begun {
            lane,
            request,
            credit,
        } = begun;
        let failed = |error: &dyn core::fmt::Display| {
            Ended::Failed(MarketError::Unreachable(error.to_string()))
        };
        let spec = match BoundedBytes::new(self.work.spec.clone()) {
            Ok(spec) => spec,
            Err(error) => return Ended::Failed(MarketError::Spec(error.to_string())),
        };
        let slot_id = request.slot_id();
        self.shared.receipts.expect(slot_id, self.work.spec.clone());
        let ask = Ask {
            request: request.clone(),
            spec,
            credit,
        };
        let shared = Arc::clone(&self.shared);
        let network = shared.sender.client().network();
        let stream = match sessions::ask(network, &lane.reach.endpoint, ask).await {
            Ok(stream) => stream,
            Err(error) => return failed(&error),
        };
        self.tell_begun(&lane, &request);
        match self.follow(&lane, &request, stream).await {
            Ok(delivery) => self.finish(&lane, &request, delivery),
            Err(error) => failed(&error),
        }
    }

    fn tell_begun(&mut self, lane: &OpenLane, request: &SignedRequest) {
        if let Some(begun) = self.begun.take() {
            let quote = lane.opened.prices.quote(&self.work.demand.units);
            let _ = begun.send(Ok(Purchase {
                slot_id: request.slot_id(),
                worker: lane.opened.worker,
                price_max: quote.unwrap_or(lane.opened.cap),
            }));
        }
    }

    /// Hands on the worker's chunks and gives credit ahead of them, until the whole is there.
    async fn follow(
        &mut self,
        lane: &Arc<OpenLane>,
        request: &SignedRequest,
        mut stream: OutputStream<N::Stream>,
    ) -> Result<Box<Delivery>, ClientError>
    where
        N::Stream: FrameStream,
    {
        let index = request.request.index;
        let mut seen = Extent::default();
        let mut rest = Vec::new();
        let mut deadline = Instant::now() + STALL;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let item = tokio::select! {
                biased;
                item = stream.next(left) => item?,
                () = self.outlet.closed(), if !self.is_unwanted => {
                    self.is_unwanted = true;
                    deadline = Instant::now() + END_WITHIN;
                    self.stop(lane, index, seen.tokens);
                    continue;
                }
            };
            let bytes = match item {
                OutputItem::Whole(delivery) => return Ok(delivery),
                OutputItem::Chunk(bytes) => bytes,
            };
            if !self.is_unwanted {
                deadline = Instant::now() + STALL;
            }
            let Some(chunk) = assembled(&mut rest, &bytes)? else {
                continue;
            };
            let new = seen.beyond(&chunk, &mut self.told);
            if self.is_unwanted {
                continue;
            }
            self.give_credit(lane, index, seen.tokens);
            if let Some(new) = new
                && !self.outlet.part(new).await
            {
                self.is_unwanted = true;
                deadline = Instant::now() + END_WITHIN;
                self.stop(lane, index, seen.tokens);
            }
        }
    }

    /// Promises more, off the way of the chunks.
    fn give_credit(&self, lane: &Arc<OpenLane>, index: u64, tokens: usize) {
        let received = Units(u64::try_from(tokens).unwrap_or(u64::MAX));
        let key = self.shared.sender.key();
        let credit = lane.account().received(index, received, key);
        if let Ok(Some(credit)) = credit {
            self.shared.tasks.spawn(send_credit(
                Arc::clone(&self.shared),
                Arc::clone(lane),
                credit,
            ));
        }
    }

    /// Says that the client wants no more than it got; until then it pays for what came.
    fn stop(&self, lane: &Arc<OpenLane>, index: u64, tokens: usize) {
        let received = Units(u64::try_from(tokens).unwrap_or(u64::MAX));
        let stop = lane
            .account()
            .stop(index, received, self.shared.sender.key());
        self.shared
            .tasks
            .spawn(send_stop(Arc::clone(&self.shared), Arc::clone(lane), stop));
    }

    fn finish(&self, lane: &OpenLane, request: &SignedRequest, delivery: Box<Delivery>) -> Ended {
        let asked = &request.request;
        let assignment = Assignment {
            chain_id: asked.chain_id.clone(),
            slot_id: request.slot_id(),
            attempt: 0,
            kind: asked.kind,
            spec_digest: Digest::of_blob(&self.work.spec),
            demand: asked.demand,
        };
        let claim = Claim::of_delivery(&delivery);
        if claim.worker != lane.opened.worker || !delivery.receipt.is_signed() {
            let reason = "the receipt is not signed by the worker";
            return Ended::Failed(MarketError::Failed(reason.to_owned()));
        }
        if let Some(fault) = claim.fault(&assignment) {
            return Ended::Failed(MarketError::Failed(fault.to_string()));
        }
        if delivery.disclosure.stopped.is_some() && !self.is_unwanted {
            let reason = "the worker ended the answer before its time";
            return Ended::Failed(MarketError::Failed(reason.to_owned()));
        }
        let units = &delivery.receipt.receipt.units;
        let done = lane.account().done(asked.index, units);
        match done {
            Ok(amount) => {
                self.shared.receipts.deliver(request.slot_id(), &delivery);
                Ended::Whole(delivery, amount)
            }
            Err(error) => Ended::Failed(MarketError::Failed(error.to_string())),
        }
    }
}

/// How often credit that was not taken is offered again.
const CREDIT_TRIES: u32 = 5;

async fn send_credit<N: Network>(shared: Arc<Shared<N>>, lane: Arc<OpenLane>, credit: Credit) {
    let network = shared.sender.client().network();
    for tries in 1..=CREDIT_TRIES {
        match sessions::credit(network, &lane.reach.endpoint, credit.clone()).await {
            // A request that is over needs none.
            Ok(()) | Err(ClientError::Refused(_)) => return,
            Err(error) => {
                tracing::debug!(%error, tries, "credit did not reach its worker");
                sleep(Duration::from_millis(50) * tries).await;
            }
        }
    }
}

async fn send_stop<N: Network>(shared: Arc<Shared<N>>, lane: Arc<OpenLane>, stop: SignedStop) {
    let network = shared.sender.client().network();
    if let Err(error) = sessions::stop(network, &lane.reach.endpoint, stop).await {
        tracing::debug!(%error, "a worker did not take a stop");
    }
}
