//! One order from its posting to its output, whoever still waits for it.

use super::{
    Shared,
    board::{Listening, Told},
    given::{Given, Place},
    offers::{Reach, version_of},
    outlet::Outlet,
    poster::Posted,
};
use crate::market::{CostTeller, MarketError, Purchase};
use fairweir_client::{
    ClientError,
    orders::{self, OutputItem},
};
use fairweir_net::Network;
use fairweir_services::{Claim, contract::Assignment, inference::chat::ChatChunk};
use fairweir_types::{
    Amount, BoundedBytes, BoundedVec, Digest, Units, decode,
    event::Matched,
    limits::{BLOB_BYTES_MAX, CHUNK_BYTES_MAX, SPEC_INLINE_BYTES_MAX},
    node_api::Delivery,
    order::{
        Demand, KindId, Name, OrderHeader, Privacy, Requirements, Rounds, SlotId, SlotRole, Urgency,
    },
    receipt::Stop,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

/// Tokens that a worker may be paid for beyond those that were here when the client hung up: what was on its way.
const STOP_MARGIN: usize = 16;
/// What comes without a pause of this length was made before the client hung up.
const DRAIN_PAUSE: Duration = Duration::from_millis(5);
/// Time for that in all.
const DRAIN_WITHIN: Duration = Duration::from_millis(150);
/// Time beyond the order's own for the ledger to say that it did not match, or that it ended.
const LEDGER_MARGIN: Duration = Duration::from_secs(60);
/// Time before a worker is asked again that does not know the slot yet: it hears of the match when we do.
const RETRY_MIN: Duration = Duration::from_millis(2);
const RETRY_MAX: Duration = Duration::from_millis(500);
/// Time for one stop to be taken.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// What is ordered.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) kind: KindId,
    pub(super) spec: Vec<u8>,
    pub(super) demand: Demand,
    pub(super) capability: Name,
    /// The API key that asks.
    pub(super) key: String,
}

/// An order under way.
#[derive(Debug)]
pub(super) struct Pursuit<N> {
    shared: Arc<Shared<N>>,
    work: Work,
    outlet: Outlet,
    matched: Option<oneshot::Sender<Result<Purchase, MarketError>>>,
    cost: CostTeller,
    /// Whether the client is gone.
    is_unwanted: bool,
    /// What the order may cost although it failed.
    at_stake: Amount,
    given: Given,
}

/// Counts an order as running until it is dropped.
pub(super) struct Running(Arc<AtomicUsize>);

impl Running {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How following one worker ended.
enum Followed {
    Whole(Box<Delivery>),
    /// Another worker gets the slot, or has it already.
    Replaced(Option<Box<Matched>>),
}

impl<N: Network> Pursuit<N> {
    pub(super) const fn new(
        shared: Arc<Shared<N>>,
        work: Work,
        outlet: Outlet,
        matched: oneshot::Sender<Result<Purchase, MarketError>>,
        cost: CostTeller,
    ) -> Self {
        Self {
            shared,
            work,
            outlet,
            matched: Some(matched),
            cost,
            is_unwanted: false,
            at_stake: Amount::ZERO,
            given: Given::EMPTY,
        }
    }

    /// Runs to the end. Tells the client, if it is there, and what it cost.
    pub(super) async fn run(mut self) {
        let running = Running::new(&self.shared.running);
        let bought = self.buy().await;
        drop(running);
        match bought {
            Ok((delivery, cost)) => {
                let _ = self.cost.send(cost);
                self.outlet.whole(&delivery, (cost, Vec::new())).await;
            }
            Err(error) => {
                tracing::debug!(%error, "an order failed");
                let is_returned = matches!(
                    error,
                    MarketError::NoWorker { .. } | MarketError::Refunded(_)
                );
                if !is_returned && self.at_stake > Amount::ZERO {
                    // It may still be settled: a worker that is paid need not have delivered.
                    let _ = self.cost.send(self.at_stake);
                }
                if let Some(matched) = self.matched.take() {
                    let _ = matched.send(Err(error));
                } else {
                    self.outlet.fail(error).await;
                }
            }
        }
    }

    async fn buy(&mut self) -> Result<(Box<Delivery>, Amount), MarketError> {
        let header = self.header()?;
        if header.spec_inline.is_none() {
            let client = self.shared.sender.client();
            let stored = client.put_blob(self.work.spec.clone()).await;
            stored.map_err(|error| MarketError::Unreachable(error.to_string()))?;
        }
        if self.outlet.is_closed() {
            return Err(MarketError::Closed);
        }
        let quote_max = header
            .price_max
            .quote(&header.demand.units)
            .map_err(|error| MarketError::Spec(error.to_string()))?;
        let Posted {
            order,
            mut listening,
            fee,
        } = self.shared.poster.post(header).await?;
        let slot_id = SlotId { order, slot: 0 };
        // From here on the order costs what it locks, until the ledger or a delivery says better.
        self.at_stake = Amount::sum([quote_max, fee]).unwrap_or(quote_max);
        self.shared.receipts.expect(None, slot_id, &self.work);
        let mut escrow = None;
        let mut next = None;
        loop {
            let matched = match next.take() {
                Some(matched) => matched,
                None => self.worker(&mut listening, &mut escrow).await?,
            };
            // All that the order locks, and its fee.
            let price_max = Amount::sum([escrow.unwrap_or(quote_max), fee])
                .map_err(|error| MarketError::Failed(error.to_string()))?;
            self.at_stake = price_max;
            if let Some(teller) = self.matched.take() {
                let _ = teller.send(Ok(Purchase {
                    slot_id,
                    worker: matched.worker,
                    price_max,
                }));
            }
            match self.follow(&matched, &mut listening).await? {
                Followed::Replaced(matched) => next = matched,
                Followed::Whole(delivery) => {
                    self.shared.receipts.deliver(slot_id, &delivery);
                    let besides = price_max.checked_sub(quote_max).unwrap_or(fee);
                    let cost = self.cost_of(&matched, &delivery, besides).await;
                    return Ok((delivery, cost));
                }
            }
        }
    }

    fn header(&self) -> Result<OrderHeader, MarketError> {
        let failed = |error: fairweir_types::LengthError| MarketError::Spec(error.to_string());
        let (spec, options) = (&self.work.spec, &self.shared.options);
        let spec_inline = (spec.len() <= SPEC_INLINE_BYTES_MAX)
            .then(|| BoundedBytes::new(spec.clone()))
            .transpose()
            .map_err(failed)?;
        Ok(OrderHeader {
            kind: self.work.kind,
            version: version_of(self.work.kind),
            spec_digest: Digest::of_blob(spec),
            spec_inline,
            demand: self.work.demand,
            slots: 1,
            role: SlotRole::Worker,
            rounds: Rounds::Fixed(1),
            price_max: options.price_max,
            urgency: Urgency::High,
            match_within: options.match_within,
            requirements: Requirements {
                capabilities: BoundedVec::new(vec![self.work.capability.clone()])
                    .map_err(failed)?,
                ..Requirements::default()
            },
            privacy: Privacy::Public,
        })
    }

    /// What the order costs if it is settled as delivered: the work at the worker's prices, and what comes `besides`.
    async fn cost_of(&self, matched: &Matched, delivery: &Delivery, besides: Amount) -> Amount {
        let reach = self.shared.offers.reach(self.work.kind, matched.worker);
        let prices = match reach.await {
            Ok(Some(reach)) => reach.prices,
            _ => self.shared.options.price_max,
        };
        let units = &delivery.receipt.receipt.units;
        let work = prices.quote(units).unwrap_or(matched.quote);
        let cost = work.at_most(matched.quote).checked_add(besides);
        cost.unwrap_or(matched.quote)
    }

    /// Waits until a worker has the order.
    async fn worker(
        &self,
        listening: &mut Listening,
        escrow: &mut Option<Amount>,
    ) -> Result<Box<Matched>, MarketError> {
        let within = Duration::from_millis(self.shared.options.match_within.get());
        let mut reasons = Vec::new();
        let wait = async {
            while let Some(told) = listening.told.recv().await {
                match told {
                    Told::Posted { escrow: locked } => *escrow = Some(locked),
                    Told::Matched(matched) => return Ok(matched),
                    Told::Unmatched { reasons: why } => reasons = why,
                    Told::Replaced { reason } => {
                        tracing::info!(?reason, "an order goes to another worker");
                    }
                    Told::LaneOpened(_) => {}
                    Told::Refunded { reason } => return Err(Some(reason)),
                }
            }
            Err(None)
        };
        match timeout(within.saturating_add(LEDGER_MARGIN), wait).await {
            Ok(Ok(matched)) => Ok(matched),
            Ok(Err(Some(fairweir_types::event::RefundReason::NoMatch)) | Err(None)) | Err(_) => {
                reasons.sort();
                reasons.dedup();
                Err(MarketError::NoWorker { reasons })
            }
            Ok(Err(Some(reason))) => Err(refunded(reason)),
        }
    }

    /// Follows a worker's output to its end. Every connection begins anew, and what was given is not given again.
    async fn follow(
        &mut self,
        matched: &Matched,
        listening: &mut Listening,
    ) -> Result<Followed, MarketError> {
        let within = Duration::from_millis(matched.within.get()).saturating_add(LEDGER_MARGIN);
        let deadline = Instant::now() + within;
        let mut pause = RETRY_MIN;
        let mut last = MarketError::Failed("the worker delivered nothing in time".to_owned());
        while Instant::now() < deadline {
            match self.connection(matched, listening, deadline).await {
                Ok(Ok(followed)) => return Ok(followed),
                Ok(Err(error)) => return Err(error),
                Err(error) => {
                    // The worker does not know the slot yet, or was not reached, or failed: then the ledger will say so.
                    if error.refusal_code() != Some("not_found") {
                        self.shared.offers.forget();
                    }
                    last = MarketError::Unreachable(error.to_string());
                }
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(RETRY_MAX),
                told = listening.told.recv() => {
                    if let Some(followed) = ended(told) {
                        return followed;
                    }
                }
            }
        }
        Err(last)
    }

    /// Takes what one connection to the worker gives.
    async fn connection(
        &mut self,
        matched: &Matched,
        listening: &mut Listening,
        deadline: Instant,
    ) -> Result<Result<Followed, MarketError>, ClientError> {
        let Some(reach) = self
            .shared
            .offers
            .reach(self.work.kind, matched.worker)
            .await?
        else {
            return Err(ClientError::OtherAnswer);
        };
        let sender = &self.shared.sender;
        let network = sender.client().network();
        let mut stream =
            orders::stream(network, &reach.endpoint, sender.key(), matched.slot_id).await?;
        let mut place = Place::default();
        let mut rest = Vec::new();
        // The client may have gone while the order was not matched, or during another connection.
        let mut hung_up = self.is_unwanted.then(Instant::now);
        let mut is_stopped = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_draining = hung_up.is_some() && !is_stopped;
            let item = tokio::select! {
                biased;
                item = stream.next(left) => item?,
                told = listening.told.recv() => {
                    match ended(told) {
                        Some(followed) => return Ok(followed),
                        None => continue,
                    }
                }
                () = self.outlet.closed(), if !self.is_unwanted => {
                    self.is_unwanted = true;
                    hung_up = Some(Instant::now());
                    continue;
                }
                () = sleep(DRAIN_PAUSE), if is_draining => {
                    is_stopped = true;
                    self.stop(&reach, matched, place.tokens).await;
                    continue;
                }
            };
            match item {
                OutputItem::Whole(delivery) => {
                    return Ok(self.check(matched, delivery));
                }
                OutputItem::Chunk(bytes) => {
                    let Some(chunk) = assembled(&mut rest, &bytes)? else {
                        continue;
                    };
                    let Ok(new) = self.given.take(&mut place, &chunk) else {
                        // Whoever has the order now gives the answer that counts: the next connection begins it anew.
                        self.given = Given::EMPTY;
                        self.outlet.revoke().await;
                        return Err(ClientError::OtherAnswer);
                    };
                    if let Some(new) = new
                        && !self.is_unwanted
                        && !self.outlet.part(new).await
                    {
                        self.is_unwanted = true;
                        hung_up = Some(Instant::now());
                    }
                }
            }
            if hung_up.is_some_and(|since| since.elapsed() > DRAIN_WITHIN) && !is_stopped {
                is_stopped = true;
                self.stop(&reach, matched, place.tokens).await;
            }
        }
    }

    /// Tells the worker that nobody wants more, so that it is free at once and paid for what it made until now.
    async fn stop(&self, reach: &Reach, matched: &Matched, received: usize) {
        if !self.outlet.is_chat() {
            return;
        }
        let sender = &self.shared.sender;
        let most = received.saturating_add(STOP_MARGIN);
        let stop = Stop {
            chain_id: sender.chain_id().clone(),
            slot_id: matched.slot_id,
            attempt: matched.attempt,
            output_max: Units(u64::try_from(most).unwrap_or(u64::MAX)),
        };
        let network = sender.client().network();
        let stopped = orders::stop(network, &reach.endpoint, sender.key(), stop);
        match timeout(STOP_WITHIN, stopped).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a worker did not take a stop"),
            Err(_) => tracing::warn!("a worker did not take a stop in time"),
        }
    }

    /// A delivery must be what the worker signed, for this order.
    fn check(&self, matched: &Matched, delivery: Box<Delivery>) -> Result<Followed, MarketError> {
        let assignment = Assignment {
            chain_id: self.shared.sender.chain_id().clone(),
            slot_id: matched.slot_id,
            attempt: matched.attempt,
            kind: self.work.kind,
            version: version_of(self.work.kind),
            spec_digest: Digest::of_blob(&self.work.spec),
            demand: self.work.demand,
        };
        let claim = Claim::of_delivery(&delivery);
        if claim.worker != matched.worker || !delivery.receipt.is_signed() {
            let reason = "the receipt is not signed by the worker";
            return Err(MarketError::Failed(reason.to_owned()));
        }
        match claim.fault(&assignment) {
            None => Ok(Followed::Whole(delivery)),
            Some(fault) => Err(MarketError::Failed(fault.to_string())),
        }
    }
}

fn refunded(reason: fairweir_types::event::RefundReason) -> MarketError {
    MarketError::Refunded(format!("{reason:?}"))
}

/// What the ledger says while a worker is followed, if that ends it.
fn ended(told: Option<Told>) -> Option<Result<Followed, MarketError>> {
    match told {
        Some(Told::Replaced { .. }) => Some(Ok(Followed::Replaced(None))),
        Some(Told::Matched(matched)) => Some(Ok(Followed::Replaced(Some(matched)))),
        Some(Told::Refunded { reason }) => Some(Err(refunded(reason))),
        Some(Told::Posted { .. } | Told::Unmatched { .. } | Told::LaneOpened(_)) => None,
        None => Some(Err(MarketError::Closed)),
    }
}

/// Puts a chunk together that is longer than one message.
pub(super) fn assembled(
    rest: &mut Vec<u8>,
    bytes: &[u8],
) -> Result<Option<ChatChunk>, ClientError> {
    if rest.len() > BLOB_BYTES_MAX {
        return Err(ClientError::OtherAnswer);
    }
    rest.extend_from_slice(bytes);
    match decode(rest) {
        Ok(chunk) => {
            rest.clear();
            Ok(Some(chunk))
        }
        Err(_) if bytes.len() == CHUNK_BYTES_MAX => Ok(None),
        Err(error) => Err(ClientError::Malformed(error)),
    }
}
