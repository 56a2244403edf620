//! What workers offer now.

use super::lane::Trade;
use crate::market::{Model, ModelKind};
use fairweir_client::{ClientError, NodeClient};
use fairweir_net::{Network, PeerAddr};
use fairweir_services::{
    Kind as _,
    inference::{ModelId, chat::Chat, embedding::Embedding},
};
use fairweir_types::{
    Address, Amount,
    node_api::OfferReport,
    order::{Demand, KindId, PriceVector, UnitVector},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};

/// How long offers are believed, even if nobody says that they changed.
const BELIEVED: Duration = Duration::from_secs(30);

/// Where a worker is reached, and what it asks.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) endpoint: PeerAddr,
    pub(super) prices: PriceVector,
}

#[derive(Debug)]
struct Known {
    at: Instant,
    sold: Arc<Sold>,
}

/// What is on offer of the kinds that this gateway can sell now.
#[derive(Debug)]
struct Sold {
    /// Kinds in force, in the version that this program speaks, with the most that one piece of work may ask for.
    kinds: BTreeMap<KindId, Demand>,
    offers: Vec<OfferReport>,
}

/// The offers for our kinds of work, asked for again when the chain says that they changed.
#[derive(Debug)]
pub(super) struct Offers<N> {
    client: NodeClient<N>,
    is_fresh: AtomicBool,
    known: Mutex<Option<Known>>,
}

/// The version of a kind that this program writes specs and reads outputs of.
pub(super) const fn version_of(kind: KindId) -> u16 {
    match kind {
        Embedding::ID => Embedding::VERSION,
        _ => Chat::VERSION,
    }
}

/// The kind of work that a model is for.
pub(super) const fn kind_of(kind: ModelKind) -> KindId {
    match kind {
        ModelKind::Chat => Chat::ID,
        ModelKind::Embedding => Embedding::ID,
    }
}

impl<N: Network> Offers<N> {
    pub(super) fn new(client: NodeClient<N>) -> Self {
        Self {
            client,
            is_fresh: AtomicBool::new(false),
            known: Mutex::new(None),
        }
    }

    /// They may have changed.
    pub(super) fn forget(&self) {
        self.is_fresh.store(false, Ordering::Release);
    }

    async fn all(&self) -> Result<Arc<Sold>, ClientError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && self.is_fresh.load(Ordering::Acquire)
            && known.at.elapsed() < BELIEVED
        {
            return Ok(Arc::clone(&known.sold));
        }
        // Before the question: what changes while it is answered is asked for again.
        self.is_fresh.store(true, Ordering::Release);
        let asked = async {
            let catalogue = self.client.services().await?;
            let mut sold = Sold {
                kinds: BTreeMap::new(),
                offers: Vec::new(),
            };
            for kind in [Chat::ID, Embedding::ID] {
                sold.offers.extend(self.client.offers(kind).await?);
                let ours = version_of(kind);
                match catalogue.in_force(kind) {
                    Some(terms) if terms.version == ours => {
                        sold.kinds.insert(kind, terms.demand_max);
                    }
                    Some(terms) => tracing::warn!(
                        %kind, version = terms.version, ours,
                        "a kind is at a version that is not this gateway's, so it is not sold: run a release that has the version in force as its newest"
                    ),
                    None => tracing::debug!(%kind, "a kind is not active on this chain"),
                }
            }
            Ok(sold)
        };
        match asked.await {
            Ok(sold) => {
                let sold = Arc::new(sold);
                *known = Some(Known {
                    at: Instant::now(),
                    sold: Arc::clone(&sold),
                });
                Ok(sold)
            }
            Err(error) => {
                self.forget();
                Err(error)
            }
        }
    }

    /// Of these models those that somebody offers, as far as the catalogue has their kind in the version of this program.
    pub(super) async fn offered(&self, models: &[Model]) -> Result<Vec<Model>, ClientError> {
        let sold = self.all().await?;
        let is_offered = |kind: KindId, id: ModelId| {
            let capability = id.capability();
            let mut offers = sold.offers.iter();
            sold.kinds.contains_key(&kind)
                && offers.any(|report| {
                    report.offer.kind == kind
                        && report.offer.versions.include(version_of(kind))
                        && report.offer.capabilities.iter().any(|c| *c == capability)
                })
        };
        let offered = models
            .iter()
            .filter(|model| is_offered(kind_of(model.kind), model.id));
        Ok(offered.cloned().collect())
    }

    /// What units cost at most among the offers for a trade, as far as they are within the highest price; `None` without such offers.
    pub(super) async fn dearest(
        &self,
        trade: &Trade,
        units: &UnitVector,
        price_max: &PriceVector,
    ) -> Result<Option<Amount>, ClientError> {
        let sold = self.all().await?;
        let quotes = sold
            .offers
            .iter()
            .filter(|report| {
                let offer = &report.offer;
                offer.kind == trade.kind
                    && offer.versions.include(version_of(trade.kind))
                    && offer.capabilities.iter().any(|c| *c == trade.capability)
                    && offer.prices.first_above(price_max).is_none()
            })
            .filter_map(|report| report.offer.prices.quote(units).ok());
        Ok(quotes.max())
    }

    /// The most that the catalogue lets one piece of work of a kind ask for; none of a kind that is not sold.
    pub(super) async fn demand_max(&self, kind: KindId) -> Result<Option<Demand>, ClientError> {
        Ok(self.all().await?.kinds.get(&kind).copied())
    }

    /// Where a worker is reached.
    pub(super) async fn reach(
        &self,
        kind: KindId,
        worker: Address,
    ) -> Result<Option<Reach>, ClientError> {
        let find = |offers: &[OfferReport]| {
            let found = offers
                .iter()
                .find(|report| report.worker == worker && report.offer.kind == kind)?;
            let endpoint = PeerAddr::from_bytes(found.offer.endpoint.as_slice()).ok()?;
            Some(Reach {
                endpoint,
                prices: found.offer.prices,
            })
        };
        if let Some(reach) = find(&self.all().await?.offers) {
            return Ok(Some(reach));
        }
        self.forget();
        Ok(find(&self.all().await?.offers))
    }
}
