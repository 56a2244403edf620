//! A buyer of the small market, honest but for what its behaviour does with it.

use super::Seat;
use crate::{Work, buyer::header_of, world::Context};
use core::time::Duration;
use fairweir_client::{
    ClientError,
    orders::{OutputItem, OutputStream},
    sessions,
};
use fairweir_net::{PeerAddr, memory::MemoryNetwork};
use fairweir_services::Registry;
use fairweir_services::session::{LaneAccount, LaneTerms};
use fairweir_types::{
    Action, Amount, BoundedBytes, Boxed, Digest, Event, Height, Millis, SecretKey, Units,
    event::LaneOpened,
    order::{OpenRounds, OrderHeader, OrderId, PriceVector, Rounds, UnitVector},
    session::Ask,
    tx::{CloseSession, PostOrder},
};
use futures::StreamExt as _;

type Stream = <MemoryNetwork<Context> as fairweir_net::Network>::Stream;

/// How long the longest answer may be on its way.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long lanes stay open by themselves.
const OPEN_FOR: Millis = Millis(3_600_000);

struct Lane {
    opened: LaneOpened,
    account: LaneAccount,
    endpoint: PeerAddr,
}

/// The buyer.
pub(crate) struct Patron {
    seat: Seat,
    network: MemoryNetwork<Context>,
    registry: Registry,
    order: Option<OrderId>,
    lane: Option<Lane>,
    promised: Amount,
}

impl Patron {
    pub(super) const fn new(
        seat: Seat,
        network: MemoryNetwork<Context>,
        registry: Registry,
    ) -> Self {
        Self {
            seat,
            network,
            registry,
            order: None,
            lane: None,
            promised: Amount::ZERO,
        }
    }

    pub(crate) const fn key(&self) -> &SecretKey {
        self.seat.key()
    }

    pub(crate) const fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The first event from the first block on that says something.
    pub(crate) async fn wait_for<T>(&self, find: impl Fn(&Event) -> Option<T>) -> T {
        let mut pages = self.seat.follow(Height(1));
        loop {
            let page = pages.next().await.expect("the chain goes on");
            let page = page.expect("a page in memory is whole");
            if let Some(found) = page.events.iter().find_map(&find) {
                return found;
            }
        }
    }

    /// What one piece of work may cost at this price.
    pub(super) fn quote(&self, work: &Work, price: Amount) -> Amount {
        let prices = PriceVector {
            input: price,
            output: price,
            ..PriceVector::default()
        };
        let demand = header_of(&self.registry, work).demand;
        prices.quote(&demand.units).expect("it is little")
    }

    /// What the lane's worker hands over of a request ahead of its pay: its input, and a chunk of its output.
    pub(super) fn ahead(&self, work: &Work, chunk: Units) -> Amount {
        let units = header_of(&self.registry, work).demand.units;
        let units = UnitVector {
            output: units.output.min(chunk),
            ..units
        };
        let lane = self.lane.as_ref().expect("a lane is open");
        let worth = lane.opened.prices.quote(&units);
        worth.expect("it is little")
    }

    /// What one piece of work may cost at the highest price that the buyer takes.
    pub(super) fn quote_at_most(&self, work: &Work) -> Amount {
        let header = header_of(&self.registry, work);
        let quote = header.price_max.quote(&header.demand.units);
        quote.expect("it is little")
    }

    /// What the settled orders of the buyer paid their workers.
    pub(super) fn worth_of_settled(&self) -> Amount {
        let buyer = self.seat.address();
        let events = self.seat.history();
        let paid = events.iter().filter_map(|event| match event {
            Event::Settled(settled) if settled.buyer == buyer => Some(settled.paid.amount),
            _ => None,
        });
        Amount::sum(paid).expect("it is little")
    }

    /// The highest voucher that was given.
    pub(super) const fn promised(&self) -> Amount {
        self.promised
    }

    /// Posts an order for one piece of work.
    pub(crate) async fn post(&self, work: &Work) -> OrderId {
        let header = header_of(&self.registry, work);
        self.post_header(header).await
    }

    async fn post_header(&self, header: OrderHeader) -> OrderId {
        let nonce = self.seat.nonce();
        self.seat
            .done(Action::PostOrder(Boxed::new(PostOrder { header })))
            .await;
        let buyer = self.seat.address();
        self.wait_for(|event| match event {
            Event::OrderPosted(posted) if posted.buyer == buyer && posted.nonce == nonce => {
                Some(posted.order)
            }
            _ => None,
        })
        .await
    }

    /// The header of a session of one lane whose requests are at most like this work.
    pub(crate) fn session_header(&self, sample: &Work, cap: Amount) -> OrderHeader {
        OrderHeader {
            spec_digest: Digest::ZERO,
            spec_inline: None,
            rounds: Rounds::Open(OpenRounds {
                lane_cap: cap,
                open_for: OPEN_FOR,
                delegate: None,
            }),
            ..header_of(&self.registry, sample)
        }
    }

    /// Opens a session of one lane.
    pub(crate) async fn open_session(&mut self, sample: &Work, cap: Amount, chunk: Units) {
        let order = self.post_header(self.session_header(sample, cap)).await;
        let opened = self
            .wait_for(|event| match event {
                Event::LaneOpened(lane) if lane.slot_id.order == order => Some((**lane).clone()),
                _ => None,
            })
            .await;
        let endpoint = self.seat.endpoint(opened.kind, opened.worker);
        let terms = LaneTerms {
            chain_id: self.seat.chain().clone(),
            lane: opened.slot_id,
            kind: opened.kind,
            prices: opened.prices,
            cap: opened.cap,
            chunk,
        };
        self.order = Some(order);
        self.lane = Some(Lane {
            opened,
            account: LaneAccount::new(terms),
            endpoint,
        });
    }

    /// Closes the session.
    pub(crate) async fn close(&self) {
        let order = self.order.expect("a session is open");
        self.seat
            .done(Action::CloseSession(CloseSession { order }))
            .await;
    }

    fn lane(&mut self) -> &mut Lane {
        self.lane.as_mut().expect("a lane is open")
    }

    /// The next request of the lane as an honest client asks it, with the lane's prices.
    pub(crate) fn next_ask(&mut self, work: &Work) -> (Ask, PriceVector) {
        let demand = header_of(&self.registry, work).demand;
        let key = self.seat.key().clone();
        let lane = self.lane();
        let begun = lane
            .account
            .begin(Digest::of_blob(&work.spec), &demand, &key)
            .expect("the lane pays for it");
        let prices = lane.opened.prices;
        self.promised = begun.1.voucher.voucher.cumulative;
        let ask = Ask {
            request: begun.0,
            spec: BoundedBytes::new(work.spec.clone()).expect("a simulated spec is short"),
            credit: begun.1,
        };
        (ask, prices)
    }

    /// From here on it asks as if its lane had no cap.
    pub(crate) fn forget_cap(&mut self) {
        let lane = self.lane();
        let terms = LaneTerms {
            cap: Amount::MAX,
            ..lane.account.terms().clone()
        };
        lane.account = LaneAccount::new(terms);
    }

    /// Sends a request to the lane's worker.
    pub(crate) async fn open(&mut self, ask: Ask) -> Result<OutputStream<Stream>, ClientError> {
        let network = self.network.clone();
        let lane = self.lane();
        sessions::ask(&network, &lane.endpoint, ask, ANSWER_WITHIN).await
    }

    /// Asks as an honest client does; returns what the answer costs.
    pub(crate) async fn ask(&mut self, work: &Work) -> Amount {
        let (ask, prices) = self.next_ask(work);
        let index = ask.request.request.index;
        let mut stream = self.open(ask).await.expect("the worker answers");
        let units = loop {
            let item = stream.next(ANSWER_WITHIN).await;
            if let OutputItem::Whole(delivery) = item.expect("the worker delivers") {
                break delivery.receipt.receipt.units;
            }
        };
        let account = &mut self.lane().account;
        account
            .done(index, &units)
            .expect("it costs what was promised at most");
        prices.quote(&units).expect("it is little")
    }

    /// Sends a request that its worker may well refuse; what the answer is worth, if there is one.
    pub(crate) async fn try_ask(&mut self, ask: Ask) -> Amount {
        let prices = self.lane().opened.prices;
        let Ok(mut stream) = self.open(ask).await else {
            return Amount::ZERO;
        };
        loop {
            match stream.next(ANSWER_WITHIN).await {
                Ok(OutputItem::Chunk(_)) => {}
                Ok(OutputItem::Whole(delivery)) => {
                    let units = &delivery.receipt.receipt.units;
                    return prices.quote(units).expect("it is little");
                }
                Err(_) => return Amount::ZERO,
            }
        }
    }
}
