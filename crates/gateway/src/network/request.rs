//! One request of a session from its first credit to its receipt, on as many workers as it takes.

use super::{
    Shared,
    lane::{OpenLane, Trade},
    lanes::Begun,
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
use futures::{FutureExt as _, future::BoxFuture};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Workers that one request is tried on.
const TRIES_MAX: usize = 8;
/// Without a sign of life for so long a worker is given up: prompts of thousands of tokens take their time.
const STALL: Duration = Duration::from_secs(60);
/// A worker that gave nothing for so long is asked whether it is at work, and has so long to say so: a machine that vanished is given up
/// after both, where its connection would take 20 s to be found dead.
const QUIET: Duration = Duration::from_secs(3);
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// How long the end of a request that is over may still be on its way.
const OVER_WITHIN: Duration = Duration::from_secs(2);
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
}

/// How one worker's part ended.
enum Ended {
    Whole(Box<Delivery>, Amount),
    /// The worker was not reached, or not for the whole answer; another may go on, and this one may come back.
    Lost(MarketError),
    /// The worker gave something wrong; another may go on.
    Wrong(MarketError),
}

/// What a worker that says nothing answers when it is asked whether it is at work.
type Probe<'a> = BoxFuture<'a, Probed>;

enum Probed {
    Works,
    /// It knows no such request: it is over, and its end is on the way, or the worker started again.
    Over,
    Unreachable(ClientError),
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
        }
    }

    /// Buys the answer; the outlet gets the output or what went wrong.
    pub(super) async fn run(mut self) {
        let running = super::pursuit::Running::new(&self.shared.running);
        let bought = self.buy().await;
        drop(running);
        match bought {
            Ok((delivery, cost)) => {
                // Workers that failed have no receipt to claim with: whoever asked pays once.
                let _ = self.cost.send(cost);
                self.outlet.whole(&delivery, cost).await;
            }
            Err(error) => {
                tracing::debug!(%error, "a request failed");
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
                Ended::Whole(delivery, amount) => {
                    lane.praise();
                    return Ok((delivery, amount));
                }
                Ended::Lost(error) => {
                    lane.rest();
                    // It may have come back elsewhere.
                    shared.offers.forget();
                    last = error;
                }
                Ended::Wrong(error) => {
                    lane.give_up();
                    last = error;
                }
            }
            // A worker that could show a receipt may claim all that it was promised: that is counted as spent.
            lane.account().lost(index);
            tracing::warn!(worker = %lane.opened.worker, error = %last, "a worker failed a request, which goes on elsewhere");
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
        let lost = |error: &ClientError| Ended::Lost(MarketError::Unreachable(error.to_string()));
        let spec = match BoundedBytes::new(self.work.spec.clone()) {
            Ok(spec) => spec,
            Err(error) => return Ended::Wrong(MarketError::Spec(error.to_string())),
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
        let (kind, worker) = (request.request.kind, lane.opened.worker);
        if let Ok(Some(reach)) = shared.offers.reach(kind, worker).await {
            lane.reached_at(reach);
        }
        let stream = match sessions::ask(network, &lane.endpoint(), ask).await {
            Ok(stream) => stream,
            Err(error) => return lost(&error),
        };
        self.tell_begun(&lane, &request);
        match self.follow(&lane, &request, stream).await {
            Ok(delivery) => self.finish(&lane, &request, delivery),
            Err(error) => lost(&error),
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
        let mut quiet_since = Instant::now();
        let mut probe: Option<Probe<'_>> = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let probe_at = quiet_since + QUIET;
            let item = tokio::select! {
                biased;
                item = stream.next(left) => item?,
                () = self.outlet.closed(), if !self.is_unwanted => {
                    self.is_unwanted = true;
                    deadline = Instant::now() + END_WITHIN;
                    self.stop(lane, index, seen.tokens);
                    continue;
                }
                probed = async { probe.as_mut().expect("the branch is on").await }, if probe.is_some() => {
                    probe = None;
                    quiet_since = Instant::now();
                    match probed {
                        Probed::Works => {}
                        Probed::Over => deadline = deadline.min(Instant::now() + OVER_WITHIN),
                        Probed::Unreachable(error) => return Err(error),
                    }
                    continue;
                }
                () = sleep_until(probe_at), if probe.is_none() => {
                    probe = Some(self.probe(lane, index));
                    continue;
                }
            };
            quiet_since = Instant::now();
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

    /// Asks a worker that says nothing whether it is at work, by giving the newest credit once more.
    fn probe(&self, lane: &Arc<OpenLane>, index: u64) -> Probe<'static> {
        let key = self.shared.sender.key();
        let credit = lane.account().again(index, key);
        let (shared, lane) = (Arc::clone(&self.shared), Arc::clone(lane));
        async move {
            let Ok(credit) = credit else {
                return Probed::Over;
            };
            let network = shared.sender.client().network();
            let endpoint = lane.endpoint();
            let asked = sessions::credit(network, &endpoint, credit);
            match timeout(PROBE_WITHIN, asked).await {
                Ok(Ok(())) => Probed::Works,
                Ok(Err(ClientError::Refused(_))) => Probed::Over,
                Ok(Err(error)) => Probed::Unreachable(error),
                Err(_) => Probed::Unreachable(ClientError::StreamEnded),
            }
        }
        .boxed()
    }

    /// Promises more, off the way of the chunks.
    fn give_credit(&self, lane: &Arc<OpenLane>, index: u64, tokens: usize) {
        let received = Units(u64::try_from(tokens).unwrap_or(u64::MAX));
        let credit = lane.received(index, received, self.shared.sender.key());
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
            return Ended::Wrong(MarketError::Failed(reason.to_owned()));
        }
        if let Some(fault) = claim.fault(&assignment) {
            return Ended::Wrong(MarketError::Failed(fault.to_string()));
        }
        if delivery.disclosure.stopped.is_some() && !self.is_unwanted {
            let reason = "the worker ended the answer before its time";
            return Ended::Wrong(MarketError::Failed(reason.to_owned()));
        }
        let units = &delivery.receipt.receipt.units;
        let done = lane.account().done(asked.index, units);
        match done {
            Ok(amount) => {
                self.shared.receipts.deliver(request.slot_id(), &delivery);
                Ended::Whole(delivery, amount)
            }
            Err(error) => Ended::Wrong(MarketError::Failed(error.to_string())),
        }
    }
}

/// How often credit that was not taken is offered again.
const CREDIT_TRIES: u32 = 5;

async fn send_credit<N: Network>(shared: Arc<Shared<N>>, lane: Arc<OpenLane>, credit: Credit) {
    let network = shared.sender.client().network();
    for tries in 1..=CREDIT_TRIES {
        match sessions::credit(network, &lane.endpoint(), credit.clone()).await {
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
    if let Err(error) = sessions::stop(network, &lane.endpoint(), stop).await {
        tracing::debug!(%error, "a worker did not take a stop");
    }
}

#[cfg(test)]
mod tests;
