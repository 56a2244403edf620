//! A small, slow model of the ledger's money, written from the rules in `docs`: plain maps, sums over lists, 128 bits, no records, no keys, no overlay. It follows
//! the blocks that the ledger makes, says of each transaction what must become of it, and must have the same money in the same places after every block.
//!
//! It knows transfers, fees and who earns them, stake, delegations with their rewards, and orders from escrow to settlement, cancellation, or a verdict with its
//! slashes. When a slot is matched, judged and settled, and who is slashed for what, it takes from the ledger's events; what a verdict must be, and how much
//! goes from whom to whom, it works out itself. It knows no votes of stakeholders and no sessions; record deposits are zero.

mod slash;
mod stake;
mod walk;

use crate::world::Made;
use fairweir_types::{
    Action, Address, Digest, Event, VerifiedTx,
    event::RefundReason,
    order::{OrderHeader, OrderId, PriceVector, SlotId, UnitVector},
};
use slash::Debts;
use stake::{Due, Pot, Share};
use std::collections::BTreeMap;

/// Base units.
type Money = u128;

/// `docs/reference/parameters.md`, and what the walk sets.
const COIN: Money = 1_000_000_000;
const HALT_GAP: u64 = 5_000;
const UNBONDING_DELAY: u64 = 4_000_000;
const FEE_BASE: Money = 1_000;
const FEE_PER_BYTE: Money = 10;
const ROLE_STAKE_MIN: Money = 100 * COIN;
const SETTLEMENT_FEE: (Money, Money) = (100, 1_000);
const CHECK_FEE: (Money, Money) = (2_500, 15_000);
const FIRST_DRAW: Money = 2;
const EXPOSURE_BPS: Money = 20_000;
/// What `validator` keeps of the fees of its blocks.
const COMMISSION_BPS: Money = 1_000;

/// A part in basis points, rounded up.
fn bps_up(amount: Money, bps: Money) -> Money {
    (amount * bps).div_ceil(10_000)
}

fn quote(prices: &PriceVector, units: &UnitVector) -> Money {
    let parts = [
        (prices.input, units.input),
        (prices.cached_input, units.cached_input),
        (prices.output, units.output),
        (prices.time, units.time),
    ];
    let total: Money = parts
        .iter()
        .map(|(price, units)| Money::from(price.base_units()) * Money::from(units.get()))
        .sum();
    total.div_ceil(1_000_000)
}

/// An order: who has how much in it, in the order in which they came.
#[derive(Clone, Debug)]
struct Purse {
    buyer: Address,
    header: OrderHeader,
    streams: Vec<(Address, Money)>,
    slots_open: u16,
    budget: Money,
    settlement_fee: Money,
    check_fee: Money,
    /// What its posting cost, which a worker that cheats gives back.
    posting_fee: Money,
}

/// A slot that a worker has.
#[derive(Clone, Debug)]
struct Work {
    worker: Address,
    prices: PriceVector,
    quote: Money,
    units: UnitVector,
    /// What the worker opened.
    opened: Option<Digest>,
    /// What the verifiers of both draws found; nothing of those who say nothing.
    first: Vec<(Address, Option<Digest>)>,
    dispute: Vec<(Address, Option<Digest>)>,
    /// What those who are slashed for it still owe.
    debts: Debts,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    time: u64,
    chain_time: u64,
    balances: BTreeMap<Address, Money>,
    bonded: BTreeMap<Address, Money>,
    unbonding: Vec<(u64, Address, Money)>,
    exposure: BTreeMap<Address, Money>,
    roles: BTreeMap<Address, u32>,
    pots: BTreeMap<Address, Pot>,
    shares: BTreeMap<(Address, Address), Share>,
    due: Vec<Due>,
    offers: BTreeMap<Address, PriceVector>,
    orders: BTreeMap<OrderId, Purse>,
    work: BTreeMap<SlotId, Work>,
    burned: Money,
}

/// A code, and what is to be done if there is none.
type Verdict = Result<(), u16>;

fn refuse(is_so: bool, code: u16) -> Verdict {
    if is_so { Err(code) } else { Ok(()) }
}

impl Model {
    pub(crate) fn new(time: u64, balances: impl Iterator<Item = (Address, Money)>) -> Self {
        Self {
            time,
            balances: balances.collect(),
            ..Self::default()
        }
    }

    fn balance(&self, who: Address) -> Money {
        self.balances.get(&who).copied().unwrap_or_default()
    }

    fn credit(&mut self, who: Address, amount: Money) {
        *self.balances.entry(who).or_default() += amount;
    }

    fn debit(&mut self, who: Address, amount: Money) {
        let balance = self.balances.get_mut(&who).unwrap();
        *balance = balance.checked_sub(amount).unwrap();
    }

    /// Follows a block that the ledger made.
    pub(crate) fn follow(&mut self, made: &Made, proposer: Address) {
        let time = made.context.time.get();
        self.chain_time += (time - self.time).min(HALT_GAP);
        self.time = time;
        let mut fees = 0;
        for (tx, outcome) in made.txs.iter().zip(&made.outcomes) {
            let fee = Money::from(tx.transaction().fee.base_units());
            self.debit(tx.sender(), fee);
            fees += fee;
            let code = self.act(tx, outcome.is_done()).err().unwrap_or(0);
            let action = &tx.transaction().action;
            assert_eq!(code, outcome.code.0, "{action:?}: {}", outcome.reason);
        }
        self.free_stake();
        for event in &made.events {
            match event {
                Event::Matched(matched) => self.matched(matched.slot_id, matched.worker),
                Event::Settled(settled) => self.settled(settled.slot_id),
                Event::VerifiersDrawn(drawn) => self.drawn(drawn),
                Event::ReceiptOpened(opened) => {
                    self.work.get_mut(&opened.slot_id).unwrap().opened = Some(opened.trace);
                }
                Event::VerdictRevealed(revealed) => self.revealed(revealed),
                Event::Judged(judged) => self.judged(judged),
                Event::Slashed(slashed) => self.slashed(slashed),
                Event::Refunded(refunded) if refunded.reason == RefundReason::Cancelled => {}
                Event::Refunded(refunded) => self.refunded(refunded.slot_id),
                Event::WithdrawalsHalted(_) => panic!("{event:?}"),
                _ => {}
            }
        }
        self.share_fees(proposer, fees);
    }

    fn act(&mut self, tx: &VerifiedTx, is_done: bool) -> Verdict {
        let who = tx.sender();
        let units = |amount: fairweir_types::Amount| Money::from(amount.base_units());
        match &tx.transaction().action {
            Action::Transfer(transfer) => self.transfer(who, transfer.to, units(transfer.amount)),
            Action::Bond(bond) => self.bond(who, units(bond.amount)),
            Action::Unbond(unbond) => self.unbond(who, units(unbond.amount)),
            Action::RegisterCandidate(register) => {
                self.register(who, units(register.amount));
                Ok(())
            }
            Action::DelegateStake(delegate) => {
                self.delegate(who, delegate.candidate, units(delegate.amount))
            }
            Action::UndelegateStake(undelegate) => {
                self.undelegate(who, undelegate.candidate, units(undelegate.shares))
            }
            Action::RedelegateStake(redelegate) => self.redelegate(
                who,
                (redelegate.from, redelegate.to),
                units(redelegate.amount),
            ),
            Action::ClaimRewards(claim) => self.claim(who, claim.candidate),
            Action::PostOrder(post) => {
                let id = OrderId::of(&tx.transaction().chain_id, who, tx.transaction().nonce);
                let least = FEE_BASE + FEE_PER_BYTE * Money::from(tx.size().get());
                let posting_fee = units(tx.transaction().fee).min(2 * least);
                self.post(who, id, (&post.header, posting_fee))
            }
            Action::TopUp(top_up) => self.top_up(who, top_up.order, units(top_up.amount)),
            Action::CancelOrder(cancel) => self.cancel(who, cancel.order),
            Action::RegisterOffer(register) => {
                self.offers.insert(who, register.offer.prices);
                *self.roles.entry(who).or_default() += 1;
                Ok(())
            }
            Action::EnrolVerifier(_) => {
                *self.roles.entry(who).or_default() += 1;
                Ok(())
            }
            // What the walk does with open work is right, and moves no money by itself.
            Action::SubmitReceipt(submit) => {
                assert!(is_done);
                let work = self.work.get_mut(&submit.receipt.receipt.slot_id).unwrap();
                work.units = submit.receipt.receipt.units;
                Ok(())
            }
            Action::CommitVerdict(_) | Action::OpenReceipt(_) | Action::RevealVerdict(_) => {
                assert!(is_done);
                Ok(())
            }
            other => panic!("the model does not know {other:?}"),
        }
    }

    fn transfer(&mut self, from: Address, to: Address, amount: Money) -> Verdict {
        refuse(amount == 0, 100)?;
        refuse(to == from, 102)?;
        refuse(self.balance(from) < amount, 101)?;
        self.debit(from, amount);
        self.credit(to, amount);
        Ok(())
    }

    fn post(
        &mut self,
        buyer: Address,
        id: OrderId,
        (header, posting_fee): (&OrderHeader, Money),
    ) -> Verdict {
        let quote = quote(&header.price_max, &header.demand.units);
        let (fee_bps, fee_min) = SETTLEMENT_FEE;
        let (check_bps, check_min) = CHECK_FEE;
        let settlement_fee = bps_up(quote, fee_bps).max(fee_min);
        let check_fee = bps_up(quote, check_bps).max(check_min);
        let budget = quote + settlement_fee + FIRST_DRAW * check_fee;
        let escrow = budget * Money::from(header.slots);
        refuse(self.balance(buyer) < escrow, 408)?;
        self.debit(buyer, escrow);
        let purse = Purse {
            buyer,
            header: header.clone(),
            streams: vec![(buyer, escrow)],
            slots_open: header.slots,
            budget,
            settlement_fee,
            check_fee,
            posting_fee: posting_fee / Money::from(header.slots),
        };
        self.orders.insert(id, purse);
        Ok(())
    }

    fn top_up(&mut self, who: Address, id: OrderId, amount: Money) -> Verdict {
        refuse(!self.orders.contains_key(&id), 409)?;
        refuse(amount == 0, 419)?;
        refuse(self.balance(who) < amount, 420)?;
        self.debit(who, amount);
        let streams = &mut self.orders.get_mut(&id).unwrap().streams;
        match streams.iter_mut().find(|(payer, _)| *payer == who) {
            Some((_, held)) => *held += amount,
            None => streams.push((who, amount)),
        }
        Ok(())
    }

    fn cancel(&mut self, who: Address, id: OrderId) -> Verdict {
        let Some(purse) = self.orders.get(&id) else {
            return Err(409);
        };
        refuse(purse.buyer != who, 410)?;
        let is_matched = self.work.keys().any(|slot| slot.order == id);
        refuse(is_matched || purse.slots_open < purse.header.slots, 411)?;
        self.close(id);
        Ok(())
    }

    /// What is left in an order goes back to whose it is.
    fn close(&mut self, id: OrderId) {
        let purse = self.orders.remove(&id).unwrap();
        for (payer, held) in purse.streams {
            self.credit(payer, held);
        }
    }

    fn matched(&mut self, slot: SlotId, worker: Address) {
        let prices = self.offers[&worker];
        let quote = quote(&prices, &self.orders[&slot.order].header.demand.units);
        *self.exposure.entry(worker).or_default() += bps_up(quote, EXPOSURE_BPS);
        let work = Work {
            worker,
            prices,
            quote,
            units: UnitVector::default(),
            opened: None,
            first: Vec::new(),
            dispute: Vec::new(),
            debts: Debts::default(),
        };
        assert!(self.work.insert(slot, work).is_none());
    }

    /// The worker is paid for what it metered, each verifier for its check, the fee burns, and the rest of the budget goes back: what is spent comes from
    /// who came first, what goes back is of who came last.
    fn settled(&mut self, slot: SlotId) {
        let work = self.release(slot);
        let pay = quote(&work.prices, &work.units).min(work.quote);
        self.credit(work.worker, pay);
        let mut purse = self.orders.remove(&slot.order).unwrap();
        let checked = (work.first.iter()).filter(|(_, found)| *found == work.opened);
        let checked: Vec<Address> = checked.map(|(verifier, _)| *verifier).collect();
        for verifier in &checked {
            self.credit(*verifier, purse.check_fee);
        }
        self.burned += purse.settlement_fee;
        let checks = purse.check_fee * Money::try_from(checked.len()).unwrap();
        let mut spent = pay + checks + purse.settlement_fee;
        let back = purse.budget - spent;
        for (_, held) in &mut purse.streams {
            let part = spent.min(*held);
            *held -= part;
            spent -= part;
        }
        assert_eq!(spent, 0);
        self.give_back(slot.order, purse, back);
    }

    /// Some of an order's money goes back for one of its slots, which ends; it is of who came last.
    fn give_back(&mut self, id: OrderId, mut purse: Purse, mut back: Money) {
        for (payer, held) in purse.streams.iter_mut().rev() {
            let part = back.min(*held);
            *held -= part;
            back -= part;
            self.credit(*payer, part);
        }
        assert_eq!(back, 0);
        purse.slots_open -= 1;
        let is_over = purse.slots_open == 0;
        self.orders.insert(id, purse);
        if is_over {
            self.close(id);
        }
    }

    /// A slot ends: what its worker set aside for it is free.
    fn release(&mut self, slot: SlotId) -> Work {
        let work = self.work.remove(&slot).unwrap();
        if !work.debts.is_released {
            *self.exposure.get_mut(&work.worker).unwrap() -= bps_up(work.quote, EXPOSURE_BPS);
        }
        work
    }
}
