//! The market on the network: orders are posted, followed, and their outputs taken from the workers.

mod audit;
mod board;
mod given;
mod lane;
mod lanes;
mod offers;
mod outlet;
mod poster;
mod pursuit;
mod receipts;
mod request;

use crate::market::{
    Bill, ChatRun, Embedded, Market, MarketError, Model, Purchase, ReceiptError, Relayed,
};
use audit::Auditor;
use board::{Board, Follower, Hearing};
use commonware_codec::Encode as _;
use fairweir_client::{ClientError, Sender, orders};
use fairweir_net::Network;
use fairweir_services::{
    Kind,
    inference::{
        ModelId,
        chat::{Chat, ChatSpec},
        embedding::{Embedding, EmbeddingSpec},
    },
    pipeline::Shelf,
};
use fairweir_types::{
    Address, Amount, Bps, Height, Millis, Rounding,
    file::Filed as _,
    order::{Demand, PriceVector, SlotId},
    relay::{Relay, SignedRelay},
};
use futures::{FutureExt as _, future::BoxFuture};
use lanes::Lanes;
use offers::Offers;
use outlet::Outlet;
use poster::Poster;
use pursuit::{Pursuit, Work};
use receipts::{Receipts, Standing};
use request::Request;
use std::{
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Parts of an answer that wait for a slow reader here; more wait at the worker.
const EVENTS_MAX: usize = 64;
/// Blocks that are heard again after a restart: what a machine that lost its power had not written down.
const HEARD_AGAIN: u64 = 256;
/// Orders under way may take this long when the gateway stops.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// What an order costs besides the work, as the chain's parameters say.
#[derive(Clone, Copy, Debug)]
pub struct OrderFees {
    /// Of the quote, burned.
    pub settlement: Bps,
    /// At least.
    pub settlement_min: Amount,
    /// Of the quote, for each check.
    pub check: Bps,
    /// At least.
    pub check_min: Amount,
    /// Checks of one order.
    pub checks: u64,
}

impl Default for OrderFees {
    /// Those of a chain whose genesis changes nothing.
    fn default() -> Self {
        let thousand = Amount::from_base_units(1_000).unwrap_or_default();
        Self {
            settlement: Bps(100),
            settlement_min: thousand,
            check: Bps(2_500),
            check_min: thousand,
            checks: 2,
        }
    }
}

/// How requests are paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payment {
    /// By vouchers in sessions: no transaction, and no wait for a block, for a request.
    #[default]
    Sessions,
    /// By an order each: every one is checked, and has a receipt of its own soon.
    Orders,
}

/// How a gateway buys.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// The models that clients may ask for by name, as far as they are on offer.
    pub models: Vec<Model>,
    /// The highest price, per 10^6 tokens.
    pub price_max: PriceVector,
    /// Time within which a worker must be found.
    pub match_within: Millis,
    /// What orders cost besides.
    pub fees: OrderFees,
    /// How requests are paid.
    pub payment: Payment,
    /// Where open sessions survive a crash of the gateway; without it the next process opens new ones.
    pub sessions: Option<Arc<dyn Shelf>>,
    /// Where receipts survive the process; without it they are gone with it.
    pub receipts: Option<Arc<dyn Shelf>>,
    /// Whose money sessions spend, by a grant; without one it is the gateway's own.
    pub owner: Option<Address>,
}

/// What every order needs.
#[derive(Debug)]
struct Shared<N> {
    sender: Sender<N>,
    options: NetworkOptions,
    offers: Arc<Offers<N>>,
    receipts: Arc<Receipts>,
    poster: Poster<N>,
    lanes: Arc<Lanes>,
    tasks: TaskTracker,
    stop: CancellationToken,
    running: Arc<AtomicUsize>,
}

/// The network as a market, for one account. Its tasks end with [`NetworkMarket::close`].
#[derive(Debug)]
pub struct NetworkMarket<N> {
    shared: Arc<Shared<N>>,
    models: RwLock<Vec<Model>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

fn unreachable(error: &ClientError) -> MarketError {
    MarketError::Unreachable(error.to_string())
}

impl<N: Network> NetworkMarket<N> {
    /// Buys with the sender's account from now on.
    ///
    /// # Errors
    /// [`ClientError`] when the node is not reached.
    pub async fn start(
        sender: Sender<N>,
        options: NetworkOptions,
    ) -> Result<Arc<Self>, ClientError> {
        let client = sender.client().clone();
        let board = Arc::new(Board::default());
        let tip = client.status().await?.header.height;
        board.raise_tip(tip);
        let offers = Arc::new(Offers::new(client.clone()));
        let (receipts, unfinished) = match &options.receipts {
            Some(shelf) => Receipts::on(shelf, sender.chain_id()),
            None => Default::default(),
        };
        let receipts = Arc::new(receipts);
        let heard = unfinished
            .heard
            .map(|heard| Height(heard.get().saturating_sub(HEARD_AGAIN)));
        let hearing = Hearing::new(heard.map_or(tip, |heard| heard.max(Height(1))), tip);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let lanes = Arc::new(Lanes::default());
        let auditor = Auditor {
            network: client.network().clone(),
            key: sender.key().clone(),
            receipts: Arc::clone(&receipts),
            lanes: Arc::clone(&lanes),
            offers: Arc::clone(&offers),
            stop: stop.clone(),
        };
        let follower = Arc::new(Follower {
            client,
            tasks: tasks.clone(),
            account: sender.key().address(),
            payer: options.owner.unwrap_or(sender.key().address()),
            board: Arc::clone(&board),
            auditor,
            hearing: Mutex::new(hearing),
        });
        for posted in unfinished.posted {
            follower.audit(posted);
        }
        if !follower.hearing().is_done() {
            follower.auditor.receipts.fall_behind();
            let (follower, stopped) = (Arc::clone(&follower), stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = follower.catch_up() => {}
                    () = stopped.cancelled() => {}
                }
            });
        }
        let stopped = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = follower.run() => {}
                () = stopped.cancelled() => {}
            }
        });
        let models = RwLock::new(options.models.clone());
        let shared = Arc::new(Shared {
            poster: Poster::new(sender.clone(), board),
            lanes,
            tasks: tasks.clone(),
            stop: stop.clone(),
            sender,
            options,
            offers,
            receipts,
            running: Arc::default(),
        });
        shared.lanes.resume(&shared).await?;
        Ok(Arc::new(Self {
            models,
            shared,
            tasks,
            stop,
        }))
    }

    /// Offers these models by name from now on.
    pub fn set_models(&self, models: Vec<Model>) {
        if let Ok(mut known) = self.models.write() {
            *known = models;
        }
    }

    /// Ends its tasks: orders under way get a moment, so that workers are told to stop.
    pub async fn close(&self) {
        self.tasks.close();
        let running = async {
            while self.shared.running.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = timeout(CLOSE_WITHIN, running).await;
        let _ = timeout(CLOSE_WITHIN, self.shared.lanes.close(&self.shared)).await;
        self.stop.cancel();
        self.tasks.wait().await;
        self.shared.receipts.keep_heard();
    }

    /// Pursues an order in a task of its own, which outlives whoever waits for it.
    fn pursue<K: Kind>(
        &self,
        spec: &K::Spec,
        model: ModelId,
        outlet: Outlet,
        bill: Bill,
    ) -> Result<oneshot::Receiver<Result<Purchase, MarketError>>, MarketError> {
        if self.stop.is_cancelled() || self.tasks.is_closed() {
            return Err(MarketError::Closed);
        }
        let demand = K::demand(spec).map_err(|error| MarketError::Spec(error.to_string()))?;
        let (matched, purchase) = oneshot::channel();
        let work = Work {
            kind: K::ID,
            spec: spec.encode().to_vec(),
            demand,
            capability: model.capability(),
            key: bill.key,
        };
        let cost = bill.cost;
        let shared = Arc::clone(&self.shared);
        let running: BoxFuture<'static, ()> = match shared.options.payment {
            Payment::Sessions => Request::new(shared, work, outlet, matched, cost)
                .run()
                .boxed(),
            Payment::Orders => Pursuit::new(shared, work, outlet, matched, cost)
                .run()
                .boxed(),
        };
        let stopped = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = running => {}
                () = stopped.cancelled() => {}
            }
        });
        Ok(purchase)
    }
}

impl<N: Network> Market for NetworkMarket<N> {
    fn models(&self) -> BoxFuture<'_, Result<Vec<Model>, MarketError>> {
        async {
            let models = self.models.read().map(|models| models.clone());
            let models = models.unwrap_or_default();
            let offered = self.shared.offers.offered(&models).await;
            offered.map_err(|error| unreachable(&error))
        }
        .boxed()
    }

    fn price_max(&self, demand: &Demand) -> Result<Amount, MarketError> {
        let fees = &self.shared.options.fees;
        let quote = self.shared.options.price_max.quote(&demand.units);
        let share = |quote: Amount, share: Bps, least: Amount| {
            let share = quote.checked_mul_ratio(share.get(), Bps::WHOLE, Rounding::Up)?;
            Ok(share.max(least))
        };
        quote
            .and_then(|quote| {
                let check = share(quote, fees.check, fees.check_min)?;
                Amount::sum([
                    quote,
                    share(quote, fees.settlement, fees.settlement_min)?,
                    check.checked_mul_ratio(fees.checks, 1, Rounding::Up)?,
                ])
            })
            .map_err(|error| MarketError::Spec(error.to_string()))
    }

    fn chat(&self, spec: ChatSpec, bill: Bill) -> BoxFuture<'_, Result<ChatRun, MarketError>> {
        async move {
            let (sender, events) = mpsc::channel(EVENTS_MAX);
            let purchase = self.pursue::<Chat>(&spec, spec.model(), Outlet::Chat(sender), bill)?;
            let purchase = purchase.await.unwrap_or(Err(MarketError::Closed))?;
            Ok(ChatRun { purchase, events })
        }
        .boxed()
    }

    fn embed(
        &self,
        spec: EmbeddingSpec,
        bill: Bill,
    ) -> BoxFuture<'_, Result<Embedded, MarketError>> {
        async move {
            let (sender, done) = oneshot::channel();
            let outlet = Outlet::Embedding(Some(sender));
            let purchase = self.pursue::<Embedding>(&spec, spec.model(), outlet, bill)?;
            let purchase = purchase.await.unwrap_or(Err(MarketError::Closed))?;
            let done = done.await.unwrap_or(Err(MarketError::Closed))?;
            Ok(Embedded { purchase, done })
        }
        .boxed()
    }

    fn receipt<'a>(
        &'a self,
        slot_id: SlotId,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Vec<u8>, ReceiptError>> {
        async move {
            match self.shared.receipts.standing(slot_id, key) {
                Standing::Unknown => Err(ReceiptError::Unknown),
                Standing::NotSettled(claimed) => Err(ReceiptError::NotSettled(claimed)),
                Standing::Refunded => Err(ReceiptError::Refunded),
                Standing::Unclaimed => Err(ReceiptError::Unclaimed),
                Standing::InBatch(batched) => {
                    let receipts::Batched {
                        in_batch,
                        place,
                        delivery,
                        spec,
                    } = *batched;
                    let client = self.shared.sender.client();
                    let proof =
                        fairweir_client::sessions::prove(client, in_batch, place, &delivery, spec)
                            .await;
                    let proof = proof.map_err(|error| unreachable(&error))?;
                    Ok(proof.to_file())
                }
                Standing::Settled(settled) => {
                    let (settlement, delivery, spec) = *settled;
                    let client = self.shared.sender.client();
                    let proof = orders::prove(client, &settlement, &delivery, spec).await;
                    let proof = proof.map_err(|error| unreachable(&error))?;
                    Ok(proof.to_file())
                }
            }
        }
        .boxed()
    }

    fn relay(&self, relayed: &Relayed) -> SignedRelay {
        let sender = &self.shared.sender;
        let Relayed {
            slot_id,
            receipt,
            request,
            answer,
        } = *relayed;
        let relay = Relay {
            chain_id: sender.chain_id().clone(),
            slot_id,
            receipt,
            request,
            answer,
        };
        SignedRelay::sign(relay, sender.key())
    }

    fn running(&self) -> usize {
        self.shared.running.load(Ordering::SeqCst)
    }
}
