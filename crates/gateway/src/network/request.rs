//! One request of a session from its first credit to its receipt, on as many workers as it takes.
//!
//! Where a worker does not come to the end, the next one gets what is there of the answer as a draft: it computes that at once, as a prompt, and
//! goes on behind it. Equal work gives equal bits, so the client sees a pause and no seam; where the bits differ, somebody is wrong.

mod pace;

use super::{
    Shared,
    given::{Given, Place},
    lane::{OpenLane, Trade},
    lanes::{Begun, REQUEST_UNITS_MAX, Shunned},
    outlet::Outlet,
    pursuit::{Running, Work, assembled},
};
use crate::market::{CostTeller, MarketError, Part, Purchase};
use commonware_codec::Encode as _;
use fairweir_client::{
    ClientError,
    orders::{OutputItem, OutputStream},
    sessions,
};
use fairweir_net::{FrameStream, Network};
use fairweir_services::{
    Claim, Kind as _,
    contract::Assignment,
    inference::chat::{Chat, ChatChunk, ChatOutput, ChatSpec},
};
use fairweir_types::{
    Address, Amount, BoundedBytes, BoundedVec, Units, decode,
    limits::SESSION_SPEC_BYTES_MAX,
    node_api::Delivery,
    order::{SlotId, UnitVector},
    receipt::SignedStop,
    session::{Ask, Credit, SignedRequest},
};
use futures::{FutureExt as _, future::BoxFuture};
use pace::Pace;
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Workers that one request is tried on.
const TRIES_MAX: usize = 8;
/// Workers that find otherwise than what was given before it is taken for wrong.
const DOUBTERS_MAX: usize = 2;
/// Without a sign of life for so long a worker is given up, though nobody else is ready: prompts of thousands of tokens take their time.
const STALL: Duration = Duration::from_secs(60);
/// A worker must be reached within this time: half of it on a connection that is there, which a worker that started again no more knows, and half on a
/// new one.
const REACH_WITHIN: Duration = Duration::from_secs(4);
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
    /// What the client was told that it can cost.
    price_max: Option<Amount>,
    given: Given,
    /// Whose lanes it came from.
    givers: Vec<Arc<OpenLane>>,
    /// Those whose answer begins otherwise.
    doubters: Vec<Arc<OpenLane>>,
    /// Workers that were too slow, or not reached: others are asked before them.
    left: Vec<Address>,
    /// What workers are paid that came to a part of it.
    parts: Vec<Part>,
    /// The slot that the client was told it has its receipt under.
    told: Option<SlotId>,
    /// The client is gone.
    is_unwanted: bool,
}

/// What the next worker is asked.
#[derive(Debug)]
struct Try<'a> {
    work: Cow<'a, Work>,
    /// Tokens of its draft.
    drafted: usize,
}

/// How one worker's part ended.
enum Ended {
    Whole(Box<Delivery>, Amount),
    /// It was too slow, and is paid for what it gave.
    Left,
    /// The worker was not reached, or not for the whole answer; another may go on, and this one may come back.
    Lost(MarketError),
    /// Its answer begins otherwise than what the client has.
    Differs,
    /// The worker gave something wrong; another may go on.
    Wrong(&'static str),
}

/// What a worker signed at its end.
struct Followed {
    delivery: Box<Delivery>,
    /// Whether it was stopped because it was too slow.
    is_left: bool,
}

/// Why following a worker ended without the whole.
enum Broken {
    Lost(ClientError),
    Differs,
    Wrong(&'static str),
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        Self::Lost(error)
    }
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Lost(error) => Self::Lost(MarketError::Unreachable(error.to_string())),
            Broken::Differs => Self::Differs,
            Broken::Wrong(what) => Self::Wrong(what),
        }
    }
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
            price_max: None,
            given: Given::EMPTY,
            givers: Vec::new(),
            doubters: Vec::new(),
            left: Vec::new(),
            parts: Vec::new(),
            told: None,
            is_unwanted: false,
        }
    }

    /// Buys the answer; the outlet gets the output or what went wrong.
    pub(super) async fn run(mut self) {
        let running = Running::new(&self.shared.running);
        let bought = self.buy().await;
        drop(running);
        match bought {
            Ok((delivery, cost)) => {
                let _ = self.cost.send(cost);
                let last = delivery.receipt.receipt.slot_id;
                // A part that is paid has its own receipt, and is told with the answer.
                let is_part = |told: &SlotId| self.parts.iter().any(|part| part.slot_id == *told);
                if let Some(told) = self.told.filter(|told| !is_part(told)) {
                    self.shared.receipts.go_on(told, last);
                }
                self.outlet.whole(&delivery, (cost, self.parts)).await;
            }
            Err(error) => {
                tracing::debug!(%error, "a request failed");
                let cost = self.cost_with(Amount::ZERO);
                if cost > Amount::ZERO {
                    let _ = self.cost.send(cost);
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
        let shared = Arc::clone(&self.shared);
        let mut last = MarketError::Closed;
        for _ in 0..TRIES_MAX {
            if self.outlet.is_closed() {
                return Err(MarketError::Closed);
            }
            let next = next_try(&self.work, &self.given);
            let (spec, demand) = (next.work.spec.as_slice(), &next.work.demand);
            let mut parties = workers(&self.doubters);
            if !parties.is_empty() {
                // Nobody judges its own words.
                parties.extend(workers(&self.givers));
            }
            let shunned = Shunned {
                never: &parties,
                last: &self.left,
            };
            let begun = match shared
                .lanes
                .begin(&shared, &trade, (spec, demand), shunned)
                .await
            {
                Ok(begun) => begun,
                Err(_) if !self.doubters.is_empty() => {
                    // Nobody is left who could say which of two answers is right, so the one that can be had begins anew.
                    self.revoke().await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (work, drafted) = (next.work.into_owned(), next.drafted);
            let (lane, index) = (Arc::clone(&begun.lane), begun.request.request.index);
            match self.on(begun, (&work, drafted)).await {
                Ended::Whole(delivery, amount) => {
                    lane.praise();
                    for doubter in self.doubters.drain(..) {
                        doubter.give_up();
                    }
                    return Ok((delivery, self.cost_with(amount)));
                }
                Ended::Left => {
                    self.left.push(lane.opened.worker);
                    lane.rest();
                    last = MarketError::Failed("the workers are too slow".to_owned());
                }
                Ended::Lost(error) => {
                    self.left.push(lane.opened.worker);
                    lane.rest();
                    // It may have come back elsewhere.
                    shared.offers.forget();
                    last = error;
                }
                Ended::Differs => {
                    last = MarketError::Revoked;
                    self.doubters.push(Arc::clone(&lane));
                    if self.doubters.len() >= DOUBTERS_MAX {
                        for giver in &self.givers {
                            giver.give_up();
                        }
                        self.revoke().await;
                    }
                }
                Ended::Wrong(what) => {
                    lane.give_up();
                    last = MarketError::Failed(what.to_owned());
                    if self.has_given(&lane) {
                        self.revoke().await;
                    }
                }
            }
            // A worker that could show a receipt may claim all that it was promised: that is counted as spent.
            lane.account().lost(index);
            tracing::warn!(worker = %lane.opened.worker, error = %last, given = self.given.tokens().len(), "a worker failed a request, which goes on elsewhere");
            if self.is_unwanted {
                return Err(MarketError::Closed);
            }
        }
        Err(last)
    }

    /// Whether some of what the client has came from the lane's worker.
    fn has_given(&self, lane: &OpenLane) -> bool {
        workers(&self.givers).contains(&lane.opened.worker)
    }

    /// What was given is not the answer, and costs nothing; whoever doubted it is no doubter of what comes.
    async fn revoke(&mut self) {
        self.givers.clear();
        self.doubters.clear();
        self.parts.clear();
        if !self.given.is_empty() {
            self.given = Given::EMPTY;
            self.outlet.revoke().await;
        }
    }

    /// What the client pays: for each part to whoever made it, and never more than it was told at the beginning. What a worker takes that was
    /// not reached any more, and the second reading of a prompt beyond that, is the gateway's loss.
    fn cost_with(&self, amount: Amount) -> Amount {
        let parts = self.parts.iter().map(|part| part.cost);
        let cost = Amount::sum(parts.chain([amount])).unwrap_or(Amount::MAX);
        self.price_max.map_or(cost, |most| cost.at_most(most))
    }

    /// A worker is paid for a part, as far as the client pays that much altogether.
    fn pay_part(&mut self, (slot_id, worker): (SlotId, Address), amount: Amount) {
        let before = self.cost_with(Amount::ZERO);
        let cost = self.cost_with(amount).checked_sub(before);
        self.parts.push(Part {
            slot_id,
            worker,
            cost: cost.unwrap_or(Amount::ZERO),
        });
    }

    /// The request on one worker.
    async fn on(&mut self, begun: Begun, (work, drafted): (&Work, usize)) -> Ended {
        let Begun {
            lane,
            request,
            credit,
        } = begun;
        let Ok(spec) = BoundedBytes::new(work.spec.clone()) else {
            return Ended::Wrong("the request is too long for a session");
        };
        let slot_id = request.slot_id();
        let receipts = &self.shared.receipts;
        receipts.expect(Some(lane.opened.slot_id), slot_id, work);
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
        let stream = match sessions::ask(network, &lane.endpoint(), ask, REACH_WITHIN).await {
            Ok(stream) => stream,
            Err(error) => return Broken::Lost(error).into(),
        };
        self.tell_begun(&lane, &request);
        match self.follow(&lane, (&request, drafted), stream).await {
            Ok(followed) => self.finish(&lane, (&request, work), followed),
            Err(broken) => broken.into(),
        }
    }

    fn tell_begun(&mut self, lane: &OpenLane, request: &SignedRequest) {
        if let Some(begun) = self.begun.take() {
            let quote = lane.opened.prices.quote(&self.work.demand.units);
            let price_max = quote.unwrap_or(lane.opened.cap);
            self.price_max = Some(price_max);
            self.told = Some(request.slot_id());
            let _ = begun.send(Ok(Purchase {
                slot_id: request.slot_id(),
                worker: lane.opened.worker,
                price_max,
            }));
        }
    }

    /// Hands on the worker's chunks and gives credit ahead of them, until the whole is there.
    async fn follow(
        &mut self,
        lane: &Arc<OpenLane>,
        (request, drafted): (&SignedRequest, usize),
        mut stream: OutputStream<N::Stream>,
    ) -> Result<Followed, Broken>
    where
        N::Stream: FrameStream,
    {
        let asked = &request.request;
        let index = asked.index;
        let mut place = Place::default();
        let mut rest = Vec::new();
        // Whatever it gives, it may take no longer than was asked for.
        let ends = Instant::now() + Duration::from_millis(asked.demand.execution_max.get()) + STALL;
        let mut deadline = Instant::now() + STALL;
        let mut quiet_since = Instant::now();
        let mut probe: Option<Probe<'_>> = None;
        let mut pace = Pace::new(Instant::now(), asked.demand.units.input);
        let mut is_left = false;
        loop {
            // What comes is taken first, so a flood of it must not hide that the time is up.
            let left = deadline.min(ends).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::StreamEnded.into());
            }
            let probe_at = quiet_since + QUIET;
            let item = tokio::select! {
                biased;
                item = stream.next(left) => item?,
                () = self.outlet.closed(), if !self.is_unwanted => {
                    self.is_unwanted = true;
                    deadline = Instant::now() + END_WITHIN;
                    self.stop(lane, index, made(&place, drafted));
                    continue;
                }
                probed = async { probe.as_mut().expect("the branch is on").await }, if probe.is_some() => {
                    probe = None;
                    quiet_since = Instant::now();
                    match probed {
                        Probed::Works => {}
                        Probed::Over => deadline = deadline.min(Instant::now() + OVER_WITHIN),
                        Probed::Unreachable(error) => return Err(error.into()),
                    }
                    continue;
                }
                () = sleep_until(probe_at), if probe.is_none() => {
                    probe = Some(self.probe(lane, index));
                    continue;
                }
                () = sleep_until(pace.ends()), if self.outlet.is_chat() && !self.is_unwanted && !is_left => {
                    if pace.is_slow(place.tokens) && self.has_faster(lane, request) {
                        is_left = true;
                        deadline = Instant::now() + OVER_WITHIN;
                        self.stop(lane, index, made(&place, drafted));
                    }
                    pace.begin(Instant::now(), place.tokens);
                    continue;
                }
            };
            quiet_since = Instant::now();
            let bytes = match item {
                OutputItem::Whole(delivery) => {
                    self.outlet.give_way().await;
                    return Ok(Followed { delivery, is_left });
                }
                OutputItem::Chunk(bytes) => bytes,
            };
            let Some(chunk) = assembled(&mut rest, &bytes)? else {
                continue;
            };
            if is_left {
                continue;
            }
            if chunk == ChatChunk::default() {
                return Err(Broken::Wrong("a part of the answer is empty"));
            }
            let new = self.take(lane, &mut place, &chunk)?;
            if !self.given.is_within(&place, &asked.demand) {
                return Err(Broken::Wrong("the worker gave more than it was asked for"));
            }
            if self.is_unwanted {
                continue;
            }
            deadline = Instant::now() + STALL;
            self.give_credit(lane, index, made(&place, drafted));
            if let Some(new) = new {
                let since = Instant::now();
                if !self.outlet.part(new).await {
                    self.is_unwanted = true;
                    deadline = Instant::now() + END_WITHIN;
                    self.stop(lane, index, made(&place, drafted));
                }
                // A client that reads slowly is not the worker's fault.
                quiet_since = Instant::now();
                deadline += since.elapsed();
                pace.wait(since.elapsed());
            }
        }
    }

    fn take(
        &mut self,
        lane: &Arc<OpenLane>,
        place: &mut Place,
        chunk: &ChatChunk,
    ) -> Result<Option<ChatChunk>, Broken> {
        let new = self.given.take(place, chunk);
        let new = new.map_err(|_| Broken::Differs)?;
        if new.is_some() && !self.has_given(lane) {
            self.givers.push(Arc::clone(lane));
        }
        Ok(new)
    }

    /// Whether a worker is ready that has not shown yet that it is slow or wrong.
    fn has_faster(&self, lane: &OpenLane, request: &SignedRequest) -> bool {
        let trade = Trade {
            kind: self.work.kind,
            capability: self.work.capability.clone(),
        };
        let mut others = workers(&self.doubters);
        others.extend(&self.left);
        others.push(lane.opened.worker);
        let lanes = &self.shared.lanes;
        lanes.has_other(&trade, &request.request.demand, &others)
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
    fn give_credit(&self, lane: &Arc<OpenLane>, index: u64, received: Units) {
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
    fn stop(&self, lane: &Arc<OpenLane>, index: u64, received: Units) {
        let stop = lane
            .account()
            .stop(index, received, self.shared.sender.key());
        self.shared
            .tasks
            .spawn(send_stop(Arc::clone(&self.shared), Arc::clone(lane), stop));
    }

    /// Whether an answer is what the client was given of it, and charged as what it is.
    fn check(
        &self,
        spec: &[u8],
        output: &[u8],
        (units, is_part): (&UnitVector, bool),
    ) -> Result<(), Broken> {
        if output.is_empty() {
            // A refusal, which every worker comes to: then there is no beginning.
            return if self.given.is_empty() {
                Ok(())
            } else {
                Err(Broken::Differs)
            };
        }
        let malformed = |_| Broken::Wrong("the worker's output is malformed");
        let output: ChatOutput = decode(output).map_err(malformed)?;
        let spec: ChatSpec = decode(spec).map_err(malformed)?;
        let prompt = usize::try_from(output.prompt_tokens).unwrap_or(usize::MAX);
        if spec.units(prompt, output.tokens.as_slice()) != *units {
            return Err(Broken::Wrong(
                "the receipt charges other units than the answer has",
            ));
        }
        // Who was stopped may have given more than it is paid for.
        if self.given.begins(&output) || (is_part && self.given.goes_on_from(&output)) {
            Ok(())
        } else {
            Err(Broken::Differs)
        }
    }

    /// A delivery must be what the worker signed, for this request, and what the client was given of it.
    fn finish(
        &mut self,
        lane: &OpenLane,
        (request, work): (&SignedRequest, &Work),
        followed: Followed,
    ) -> Ended {
        let Followed { delivery, is_left } = followed;
        let asked = &request.request;
        let assignment = Assignment::of_request(request, lane.opened.version);
        let claim = Claim::of_delivery(&delivery);
        if claim.worker != lane.opened.worker || !delivery.receipt.is_signed() {
            return Ended::Wrong("the receipt is not signed by the worker");
        }
        if claim.fault(&assignment).is_some() {
            return Ended::Wrong("the receipt is not one for this request");
        }
        let is_part = delivery.disclosure.stopped.is_some();
        let units = &delivery.receipt.receipt.units;
        if self.outlet.is_chat() {
            match self.check(&work.spec, delivery.output.as_slice(), (units, is_part)) {
                Ok(()) => {}
                // Whoever says so of its own words refutes itself.
                Err(Broken::Differs) if self.has_given(lane) => {
                    return Ended::Wrong("the answer is not what was given of it");
                }
                Err(broken) => return broken.into(),
            }
        }
        let Ok(amount) = lane.account().done(asked.index, units) else {
            return Ended::Wrong("the receipt charges more than was promised");
        };
        // A part is claimed and proved as a whole answer is.
        self.shared.receipts.deliver(request.slot_id(), &delivery);
        if is_part && !self.is_unwanted {
            if !is_left {
                return Ended::Wrong("the worker ended the answer before its time");
            }
            self.pay_part((request.slot_id(), lane.opened.worker), amount);
            return Ended::Left;
        }
        Ended::Whole(delivery, amount)
    }
}

fn workers(lanes: &[Arc<OpenLane>]) -> Vec<Address> {
    lanes.iter().map(|lane| lane.opened.worker).collect()
}

/// Output units of a worker's until now: tokens that were not in its draft.
fn made(place: &Place, drafted: usize) -> Units {
    let made = place.tokens.saturating_sub(drafted);
    Units(u64::try_from(made).unwrap_or(u64::MAX))
}

/// The work with as much of what the client has as its draft as a request of a session may take.
fn next_try<'a>(work: &'a Work, given: &Given) -> Try<'a> {
    drafted(work, given).unwrap_or(Try {
        work: Cow::Borrowed(work),
        drafted: 0,
    })
}

fn drafted(work: &Work, given: &Given) -> Option<Try<'static>> {
    if work.kind != Chat::ID || given.tokens().is_empty() {
        return None;
    }
    let room = REQUEST_UNITS_MAX
        .get()
        .checked_sub(work.demand.units.input.get())?;
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let draft: Vec<u32> = given.tokens().iter().copied().take(room).collect();
    let drafted = draft.len();
    let spec: ChatSpec = decode(&work.spec).ok()?;
    let spec = spec.with_draft(BoundedVec::new(draft).ok()?);
    let demand = Chat::demand(&spec).ok()?;
    let spec = spec.encode().to_vec();
    (spec.len() <= SESSION_SPEC_BYTES_MAX).then(|| Try {
        work: Cow::Owned(Work {
            spec,
            demand,
            ..work.clone()
        }),
        drafted,
    })
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
pub(super) mod tests;
