//! The buyer's side of a lane: which number comes next, what was promised, and what it may still cost.

use fairweir_types::{
    Amount, AmountError, ChainId, SecretKey, Units,
    order::{Demand, KindId, PriceVector, SlotId, UnitVector},
    receipt::{SignedStop, Stop},
    session::{Credit, Request, SignedRequest, SignedVoucher, Voucher, request_slot},
};
use std::collections::BTreeMap;
use thiserror::Error;

/// Output units that a buyer promises to pay ahead of what it got: the most that either side can lose (protocol rule 6).
pub const CREDIT_CHUNK: Units = Units(64);

/// What a lane was opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneTerms {
    /// The chain.
    pub chain_id: ChainId,
    /// The lane.
    pub lane: SlotId,
    /// The kind of its requests.
    pub kind: KindId,
    /// Its worker's prices.
    pub prices: PriceVector,
    /// The most that all requests may cost together.
    pub cap: Amount,
    /// How much output is promised ahead: [`CREDIT_CHUNK`] for work whose output comes bit by bit; [`LaneTerms::WHOLE`] for work that
    /// comes at once, of which one request is the most that either side can lose.
    pub chunk: Units,
}

impl LaneTerms {
    /// All output of a request is promised when it begins.
    pub const WHOLE: Units = Units(u64::MAX);
}

/// Why a lane takes no more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccountError {
    /// The rest of the cap does not pay for the request.
    #[error("the lane has {left} coins left, the request may cost {needed}")]
    CapReached {
        /// What is left.
        left: Amount,
        /// What the request may cost.
        needed: Amount,
    },
    /// The price is out of range.
    #[error("the price is out of range")]
    Price(#[from] AmountError),
    /// The lane has no such request under way.
    #[error("the lane has no such request under way")]
    NoSuchRequest,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    demand: UnitVector,
    /// Output units that are paid for.
    credit: Units,
    /// What they cost, with the whole input.
    promised: Amount,
    /// What the whole request may cost.
    quote: Amount,
}

/// How far an account is used: whoever takes it up again begins there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The next request's number.
    pub next: u64,
    /// The highest voucher given.
    pub promised: Amount,
}

/// The buyer's account of one lane.
#[derive(Clone, Debug)]
pub struct LaneAccount {
    terms: LaneTerms,
    next: u64,
    /// What requests that are over cost.
    spent: Amount,
    flights: BTreeMap<u64, Flight>,
    /// The highest voucher given.
    promised: Amount,
}

impl LaneAccount {
    /// A new lane's account.
    #[must_use]
    pub const fn new(terms: LaneTerms) -> Self {
        Self {
            terms,
            next: 0,
            spent: Amount::ZERO,
            flights: BTreeMap::new(),
            promised: Amount::ZERO,
        }
    }

    /// The account of a lane that another process used before, as it stood at a [`mark`](Self::mark) or beyond it.
    #[must_use]
    pub const fn resumed(terms: LaneTerms, mark: Mark) -> Self {
        Self {
            terms,
            next: mark.next,
            // What was promised and not taken may still be claimed: it is gone.
            spent: mark.promised,
            flights: BTreeMap::new(),
            promised: mark.promised,
        }
    }

    /// How far the account is used.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        Mark {
            next: self.next,
            promised: self.promised,
        }
    }

    /// What the lane was opened with.
    #[must_use]
    pub const fn terms(&self) -> &LaneTerms {
        &self.terms
    }

    /// The ledger raised the lane's cap; it never falls.
    pub fn raise_cap(&mut self, cap: Amount) {
        self.terms.cap = self.terms.cap.max(cap);
    }

    /// Requests under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.flights.len()
    }

    /// What the lane can still pay for, should all that is under way cost its most.
    #[must_use]
    pub fn left(&self) -> Amount {
        let quotes = self.flights.values().map(|flight| flight.quote);
        Amount::sum(quotes)
            .and_then(|quotes| quotes.checked_add(self.spent))
            .and_then(|used| self.terms.cap.checked_sub(used))
            .unwrap_or(Amount::ZERO)
    }

    fn cost(&self, demand: &UnitVector, output: Units) -> Result<Amount, AmountError> {
        self.terms.prices.quote(&UnitVector { output, ..*demand })
    }

    /// Begins a request: its number, and credit for all of its input and the first chunk of its output.
    ///
    /// # Errors
    /// [`AccountError::CapReached`] or [`AccountError::Price`].
    pub fn begin(
        &mut self,
        spec_digest: fairweir_types::Digest,
        demand: &Demand,
        key: &SecretKey,
    ) -> Result<(SignedRequest, Credit), AccountError> {
        let units = demand.units;
        let quote = self.terms.prices.quote(&units)?;
        let left = self.left();
        if quote > left {
            return Err(AccountError::CapReached {
                left,
                needed: quote,
            });
        }
        let index = self.next;
        let credit = units.output.min(self.terms.chunk);
        let flight = Flight {
            demand: units,
            credit,
            promised: self.cost(&units, credit)?,
            quote,
        };
        self.next = index.saturating_add(1);
        self.flights.insert(index, flight);
        let request = Request {
            chain_id: self.terms.chain_id.clone(),
            lane: self.terms.lane,
            index,
            kind: self.terms.kind,
            spec_digest,
            demand: *demand,
        };
        let credit = self.credit(index, key)?;
        Ok((SignedRequest::sign(request, key), credit))
    }

    /// The credit of a request as it stands.
    fn credit(&mut self, index: u64, key: &SecretKey) -> Result<Credit, AccountError> {
        let flight = self
            .flights
            .get(&index)
            .ok_or(AccountError::NoSuchRequest)?;
        let output_max = flight.credit;
        let promised = Amount::sum(self.flights.values().map(|flight| flight.promised))?;
        let needed = promised.checked_add(self.spent)?;
        // What an earlier request was promised and did not take is good for later ones: a voucher never falls.
        self.promised = self.promised.max(needed);
        let voucher = Voucher {
            chain_id: self.terms.chain_id.clone(),
            lane: self.terms.lane,
            cumulative: self.promised,
        };
        let stop = Stop {
            chain_id: self.terms.chain_id.clone(),
            slot_id: request_slot(&self.terms.lane, index),
            attempt: 0,
            output_max,
        };
        Ok(Credit {
            voucher: SignedVoucher::sign(voucher, key),
            stop: SignedStop::sign(stop, key),
        })
    }

    /// The newest credit of a request once more, for a worker that may not have it.
    ///
    /// # Errors
    /// [`AccountError::NoSuchRequest`].
    pub fn again(&mut self, index: u64, key: &SecretKey) -> Result<Credit, AccountError> {
        self.credit(index, key)
    }

    /// More credit once half of the newest chunk was received; `None` while there is enough.
    ///
    /// # Errors
    /// [`AccountError`].
    pub fn received(
        &mut self,
        index: u64,
        output: Units,
        key: &SecretKey,
    ) -> Result<Option<Credit>, AccountError> {
        let flight = *self
            .flights
            .get(&index)
            .ok_or(AccountError::NoSuchRequest)?;
        let chunk = self.terms.chunk.get();
        let is_enough = output.get().saturating_add(chunk / 2) < flight.credit.get();
        if is_enough || flight.credit >= flight.demand.output {
            return Ok(None);
        }
        let ahead = Units(output.get().saturating_add(chunk));
        let credit = flight.demand.output.min(ahead.max(flight.credit));
        let promised = self.cost(&flight.demand, credit)?;
        if let Some(flight) = self.flights.get_mut(&index) {
            flight.credit = credit;
            flight.promised = promised;
        }
        self.credit(index, key).map(Some)
    }

    /// The buyer's word that a request ends here; what was promised stays promised.
    #[must_use]
    pub fn stop(&self, index: u64, output_max: Units, key: &SecretKey) -> SignedStop {
        let stop = Stop {
            chain_id: self.terms.chain_id.clone(),
            slot_id: request_slot(&self.terms.lane, index),
            attempt: 0,
            output_max,
        };
        SignedStop::sign(stop, key)
    }

    /// A request is over and cost so much; what it was promised beyond that is free for others.
    ///
    /// # Errors
    /// [`AccountError::NoSuchRequest`], or [`AccountError::CapReached`] when it costs more than was promised.
    pub fn done(&mut self, index: u64, units: &UnitVector) -> Result<Amount, AccountError> {
        let flight = *self
            .flights
            .get(&index)
            .ok_or(AccountError::NoSuchRequest)?;
        let amount = self.terms.prices.quote(units)?;
        if amount > flight.promised {
            return Err(AccountError::CapReached {
                left: flight.promised,
                needed: amount,
            });
        }
        self.spent = self.spent.checked_add(amount)?;
        self.flights.remove(&index);
        Ok(amount)
    }

    /// A request got lost: its worker may claim all that it was promised.
    pub fn lost(&mut self, index: u64) -> Amount {
        let Some(flight) = self.flights.remove(&index) else {
            return Amount::ZERO;
        };
        self.spent = self
            .spent
            .checked_add(flight.promised)
            .unwrap_or(self.terms.cap);
        flight.promised
    }
}
