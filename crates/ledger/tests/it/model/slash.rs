//! Verdicts in the model, and what they cost: of orders, whose verdict nobody appeals.

use super::{EXPOSURE_BPS, FIRST_DRAW, Model, Money, bps_up};
use fairweir_types::{
    Address, Digest,
    event::{Judged, SlashReason, Slashed, VerdictRevealed, VerifiersDrawn},
    order::SlotId,
    receipt::{Tier, Verdict},
};
use std::collections::BTreeMap;

/// `docs/reference/parameters.md`.
const SLASH_SHARE_BPS: Money = 500;
const WRONG_VERDICT_BPS: Money = 500;
const MISSING_VERDICT_BPS: Money = 100;
const REPORTER_SHARE_BPS: Money = 2_000;
const DISPUTE_QUORUM: usize = 4;

/// What is owed to others out of the slashes of one verdict, and who reported.
#[derive(Clone, Debug, Default)]
pub(super) struct Debts {
    /// To the buyer, by the worker: what posting the order cost it.
    buyer: Money,
    /// To verifiers, for their checks.
    checks: Vec<(Address, Money)>,
    /// Those who found what was right at first: they share in what the worker loses.
    reporters: Vec<Address>,
    /// Whether the worker's stake is free already.
    pub(super) is_released: bool,
}

impl Model {
    pub(super) fn drawn(&mut self, drawn: &VerifiersDrawn) {
        let work = self.work.get_mut(&drawn.slot_id).unwrap();
        let draw = drawn.verifiers.iter().map(|verifier| (*verifier, None));
        match drawn.tier {
            Tier::First => {
                work.first = draw.collect();
                assert_eq!(Money::try_from(work.first.len()), Ok(FIRST_DRAW));
            }
            Tier::Dispute => {
                work.dispute = draw.collect();
                let first = work.first.iter().map(|(verifier, _)| verifier);
                assert!(
                    !first
                        .clone()
                        .any(|one| drawn.verifiers.iter().any(|other| one == other))
                );
            }
        }
    }

    pub(super) fn revealed(&mut self, revealed: &VerdictRevealed) {
        let work = self.work.get_mut(&revealed.slot_id).unwrap();
        let draw = match revealed.tier {
            Tier::First => &mut work.first,
            Tier::Dispute => &mut work.dispute,
        };
        let found = draw
            .iter_mut()
            .find(|(verifier, _)| *verifier == revealed.verifier);
        found.unwrap().1 = Some(revealed.trace);
    }

    /// What the verdict must be, and who is owed what out of the slashes that follow.
    pub(super) fn judged(&mut self, judged: &Judged) {
        let check_fee = self.orders[&judged.slot_id.order].check_fee;
        let posting_fee = self.orders[&judged.slot_id.order].posting_fee;
        let work = self.work.get_mut(&judged.slot_id).unwrap();
        if judged.tier == Tier::First {
            let all_agree = work.first.iter().all(|(_, found)| *found == work.opened);
            match work.opened {
                Some(_) => assert_eq!((judged.verdict, all_agree), (Verdict::Valid, true)),
                None => {
                    assert_eq!(judged.verdict, Verdict::Unopened);
                    // Everybody committed: they checked, and are paid by the worker.
                    let checks = work
                        .first
                        .iter()
                        .map(|(verifier, _)| (*verifier, check_fee));
                    work.debts.checks = checks.collect();
                    work.debts.buyer = posting_fee;
                }
            }
            return;
        }
        let mut votes: BTreeMap<Digest, usize> = BTreeMap::new();
        for found in work.dispute.iter().filter_map(|(_, found)| *found) {
            *votes.entry(found).or_default() += 1;
        }
        let right = votes
            .into_iter()
            .find(|(_, count)| *count >= DISPUTE_QUORUM);
        let right = right.map(|(trace, _)| trace);
        let verdict = match right {
            Some(right) if Some(right) == work.opened => Verdict::Valid,
            Some(_) => Verdict::Invalid,
            None => Verdict::Undecided,
        };
        assert_eq!(judged.verdict, verdict);
        let voted = work.dispute.iter().filter(|(_, found)| match right {
            Some(_) => *found == right,
            None => found.is_some(),
        });
        work.debts.checks = voted.map(|(verifier, _)| (*verifier, check_fee)).collect();
        if verdict == Verdict::Invalid {
            work.debts.buyer = posting_fee;
            let reporters = work.first.iter().filter(|(_, found)| *found == right);
            work.debts.reporters = reporters.map(|(verifier, _)| *verifier).collect();
        }
    }

    /// How much an account loses, and who gets it: the buyer, then checks, then reporters; the rest burns.
    pub(super) fn slashed(&mut self, slashed: &Slashed) {
        let who = slashed.account;
        let on_its_way = self.unbonding.iter().filter(|(_, of, _)| *of == who);
        let slashable = self.bonded(who) + on_its_way.map(|(_, _, amount)| amount).sum::<Money>();
        let work = self.work.get_mut(&slashed.slot_id).unwrap();
        let (asked, is_worker) = match slashed.reason {
            SlashReason::WrongTrace | SlashReason::Unopened => {
                let share = slashable * SLASH_SHARE_BPS / 10_000;
                (work.quote + share, true)
            }
            SlashReason::WrongVerdict => (bps_up(slashable, WRONG_VERDICT_BPS), false),
            SlashReason::VerdictMissing => (bps_up(slashable, MISSING_VERDICT_BPS), false),
            other => panic!("the model does not know {other:?}"),
        };
        assert_eq!(is_worker, work.worker == who);
        if is_worker {
            let covers = bps_up(work.quote, EXPOSURE_BPS);
            *self.exposure.get_mut(&who).unwrap() -= covers;
            work.debts.is_released = true;
        }
        let mut debts = std::mem::take(&mut work.debts);
        let buyer = self.orders[&slashed.slot_id.order].buyer;
        let taken = asked.min(slashable);
        self.lose(who, taken);
        let mut left = taken;
        let to_buyer = debts.buyer.min(left);
        debts.buyer -= to_buyer;
        left -= to_buyer;
        self.credit(buyer, to_buyer);
        for (verifier, owed) in &mut debts.checks {
            let part = left.min(*owed);
            *owed -= part;
            left -= part;
            self.credit(*verifier, part);
        }
        // Whoever reported shares in what the worker loses, not in what others do.
        let reporters = if is_worker {
            std::mem::take(&mut debts.reporters)
        } else {
            Vec::new()
        };
        if let Ok(heads @ 1..) = Money::try_from(reporters.len()) {
            let each = (taken * REPORTER_SHARE_BPS / 10_000).min(left) / heads;
            for reporter in reporters {
                left -= each;
                self.credit(reporter, each);
            }
        }
        self.burned += left;
        self.work.get_mut(&slashed.slot_id).unwrap().debts = debts;
    }

    /// Takes bonded stake, then what is on its way back, of which the last to come lacks it.
    fn lose(&mut self, who: Address, amount: Money) {
        let bonded = self.bonded(who);
        let mut left = amount.saturating_sub(bonded);
        self.bonded.insert(who, bonded - (amount - left));
        let newest_first = self.unbonding.iter_mut().rev();
        for (_, _, held) in newest_first.filter(|(_, of, _)| *of == who) {
            let part = left.min(*held);
            *held -= part;
            left -= part;
        }
        assert_eq!(left, 0);
    }

    /// The buyer has its money back.
    pub(super) fn refunded(&mut self, slot: SlotId) {
        self.release(slot);
        let purse = self.orders.remove(&slot.order).unwrap();
        let budget = purse.budget;
        self.give_back(slot.order, purse, budget);
    }
}
