//! A session of a simulated buyer: lanes, requests and credit as any client's.

use crate::{Buyer, Work, buyer::again};
use commonware_runtime::Clock;
use fairweir_client::{
    ClientError,
    orders::{self, OutputItem},
    sessions,
};
use fairweir_net::Network;
use fairweir_services::{
    Claim,
    contract::Assignment,
    session::{LaneAccount, LaneTerms},
};
use fairweir_types::{
    Action, Amount, BoundedBytes, Boxed, Digest, Event, Millis,
    event::LaneOpened,
    node_api::Delivery,
    order::{OpenRounds, OrderHeader, OrderId, Rounds},
    session::Ask,
    tx::{CloseSession, PostOrder, TopUpLane},
};
use std::time::Duration;

/// How long the longest answer may be on its way.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long lanes stay open by themselves.
const OPEN_FOR: Millis = Millis(3_600_000);

/// An open session.
#[derive(Debug)]
pub struct Session {
    /// Its order.
    pub order: OrderId,
    /// Its lanes with their accounts, by their numbers.
    pub lanes: Vec<(LaneOpened, LaneAccount)>,
}

impl<N: Network> Buyer<N> {
    /// The longest request that a session of this buyer for texts takes.
    fn longest(&self) -> OrderHeader {
        self.header(&Work::text(&"a line of some length\n".repeat(40)))
    }

    /// Opens a session of one lane for work like this.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_session_for(&self, work: &Work) -> Result<Session, ClientError> {
        let cap = Amount::from_coins(1).expect("a coin is below the cap");
        self.open_lanes(1, cap, self.header(work)).await
    }

    /// Opens a session of so many lanes, each with a cap of one coin, and waits until all are matched.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_session(&self, lanes: u16) -> Result<Session, ClientError> {
        let cap = Amount::from_coins(1).expect("a coin is below the cap");
        self.open_lanes(lanes, cap, self.longest()).await
    }

    /// Opens a session of one lane, whose cap is the least that the ledger takes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open_small_session(&self) -> Result<Session, ClientError> {
        let longest = self.longest();
        let quote = longest.price_max.quote(&longest.demand.units);
        let cap = quote.expect("it is little");
        self.open_lanes(1, cap, longest).await
    }

    async fn open_lanes(
        &self,
        lanes: u16,
        cap: Amount,
        sample: OrderHeader,
    ) -> Result<Session, ClientError> {
        let header = OrderHeader {
            spec_digest: Digest::ZERO,
            spec_inline: None,
            slots: lanes,
            rounds: Rounds::Open(OpenRounds {
                lane_cap: cap,
                open_for: OPEN_FOR,
                delegate: None,
            }),
            ..sample
        };
        let included = self
            .sender()
            .send(Action::PostOrder(Boxed::new(PostOrder { header })))
            .await?;
        let mut events = again(|| self.sender().client().follow(included.height)).await?;
        let mut order = None;
        let mut opened = Vec::new();
        while opened.len() < usize::from(lanes) {
            let page = events.next().await?;
            for event in page.events.iter() {
                match event {
                    Event::OrderPosted(posted) if posted.buyer == self.address() => {
                        order = Some(posted.order);
                    }
                    Event::LaneOpened(lane) if Some(lane.slot_id.order) == order => {
                        opened.push((**lane).clone());
                    }
                    _ => {}
                }
            }
        }
        let account = |lane: LaneOpened| {
            let terms = LaneTerms {
                chain_id: self.sender().chain_id().clone(),
                lane: lane.slot_id,
                kind: lane.kind,
                prices: lane.prices,
                cap: lane.cap,
                chunk: LaneTerms::WHOLE,
            };
            (lane, LaneAccount::new(terms))
        };
        Ok(Session {
            order: order.expect("lanes are told after their order"),
            lanes: opened.into_iter().map(account).collect(),
        })
    }

    /// Whether a lane still pays for a text.
    #[must_use]
    pub fn can_ask(&self, session: &Session, lane: usize, text: &str) -> bool {
        let (opened, account) = &session.lanes[lane];
        let demand = self.header(&Work::text(text)).demand;
        let quote = opened.prices.quote(&demand.units);
        quote.is_ok_and(|quote| quote <= account.left())
    }

    /// Raises the cap of a lane by what it was opened with.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn top_up(&self, session: &mut Session, lane: usize) -> Result<(), ClientError> {
        let (opened, account) = &mut session.lanes[lane];
        let amount = opened.cap;
        let action = Action::TopUpLane(TopUpLane {
            lane: opened.slot_id,
            amount,
        });
        self.sender().send(action).await?;
        let cap = account.terms().cap.checked_add(amount);
        account.raise_cap(cap.expect("it is little"));
        Ok(())
    }

    /// Buys one request for a text in a lane.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask(
        &self,
        session: &mut Session,
        lane: usize,
        text: &str,
    ) -> Result<Delivery, ClientError> {
        self.ask_work(session, lane, Work::text(text)).await
    }

    /// Buys one request in a lane.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Panics
    /// If the worker's receipt is not one for the request.
    pub async fn ask_work(
        &self,
        session: &mut Session,
        lane: usize,
        work: Work,
    ) -> Result<Delivery, ClientError> {
        let (opened, account) = &mut session.lanes[lane];
        let demand = self.header(&work).demand;
        let spec = work.spec;
        let key = self.sender().key();
        let (request, credit) = account
            .begin(Digest::of_blob(&spec), &demand, key)
            .expect("the lane pays for it");
        let client = self.sender().client();
        let endpoint = again(|| orders::endpoint(client, opened.kind, opened.worker)).await?;
        let endpoint = endpoint.ok_or(ClientError::OtherAnswer)?;
        let index = request.request.index;
        let ask = Ask {
            request: request.clone(),
            spec: BoundedBytes::new(spec.clone()).expect("a simulated spec is short"),
            credit,
        };
        let mut stream = sessions::ask(self.network(), &endpoint, ask, ANSWER_WITHIN).await?;
        let delivery = loop {
            if let OutputItem::Whole(delivery) = stream.next(ANSWER_WITHIN).await? {
                break *delivery;
            }
        };
        let assignment = Assignment::of_request(&request, opened.version);
        let claim = Claim::of_delivery(&delivery);
        assert_eq!(
            claim.fault(&assignment),
            None,
            "the receipt is of the request"
        );
        assert!(delivery.receipt.is_signed(), "the worker signed it");
        account
            .done(index, &delivery.receipt.receipt.units)
            .expect("it costs what was promised at most");
        Ok(delivery)
    }

    /// Closes a session and waits until its order has left the ledger.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn close_session(
        &self,
        clock: &impl Clock,
        session: &Session,
    ) -> Result<(), ClientError> {
        let order = session.order;
        self.sender()
            .send(Action::CloseSession(CloseSession { order }))
            .await?;
        loop {
            match again(|| self.sender().client().order(order)).await {
                Err(error) if error.refusal_code() == Some("not_found") => return Ok(()),
                Ok(_) => clock.sleep(Duration::from_secs(1)).await,
                Err(error) => return Err(error),
            }
        }
    }
}
