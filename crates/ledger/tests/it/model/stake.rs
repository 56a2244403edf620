//! Stake in the model: bonded, delegated, on its way back, and what it earns.

use super::{COMMISSION_BPS, Model, Money, ROLE_STAKE_MIN, UNBONDING_DELAY, Verdict, refuse};
use fairweir_types::Address;

/// Binary places of the index of rewards (ADR 0017).
const PLACES: u32 = 48;

/// What is behind a candidate.
#[derive(Clone, Debug, Default)]
pub(super) struct Pot {
    /// What a share has earned, in parts of a base unit.
    pub(super) index: u128,
    /// What did not divide.
    pub(super) rest: u128,
    /// What was earned and is not paid.
    pub(super) rewards: Money,
}

/// What an account has behind a candidate.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    pub(super) shares: Money,
    pub(super) moved: Money,
    pub(super) index: u128,
}

/// Shares that wait: on their way back, or until they answer no more for the candidate that they left.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) at: u64,
    pub(super) delegator: Address,
    pub(super) candidate: Address,
    pub(super) shares: Money,
    pub(super) has_moved: bool,
}

impl Model {
    pub(super) fn bonded(&self, who: Address) -> Money {
        self.bonded.get(&who).copied().unwrap_or_default()
    }

    pub(super) fn bond(&mut self, who: Address, amount: Money) -> Verdict {
        refuse(amount == 0, 200)?;
        refuse(self.balance(who) < amount, 201)?;
        self.debit(who, amount);
        *self.bonded.entry(who).or_default() += amount;
        Ok(())
    }

    pub(super) fn unbond(&mut self, who: Address, amount: Money) -> Verdict {
        refuse(amount == 0, 200)?;
        let Some(left) = self.bonded(who).checked_sub(amount) else {
            return Err(202);
        };
        let exposure = self.exposure.get(&who).copied().unwrap_or_default();
        refuse(left < exposure, 203)?;
        let roles = self.roles.get(&who).copied().unwrap_or_default();
        refuse(roles > 0 && left < ROLE_STAKE_MIN, 204)?;
        self.bonded.insert(who, left);
        let at = self.chain_time + UNBONDING_DELAY;
        self.unbonding.push((at, who, amount));
        Ok(())
    }

    /// All that counts behind a candidate.
    fn counting(&self, candidate: Address) -> Money {
        let of = self.shares.iter().filter(|((_, to), _)| *to == candidate);
        of.map(|(_, share)| share.shares).sum()
    }

    pub(super) fn earned(&self, delegator: Address, candidate: Address) -> Money {
        let Some(share) = self.shares.get(&(delegator, candidate)) else {
            return 0;
        };
        ((self.pots[&candidate].index - share.index) * share.shares) >> PLACES
    }

    /// Pays what a delegation earned; shares change only after this.
    fn pay(&mut self, delegator: Address, candidate: Address) {
        let earned = self.earned(delegator, candidate);
        let pot = self.pots.get_mut(&candidate).unwrap();
        pot.rewards -= earned;
        let index = pot.index;
        let share = self.shares.entry((delegator, candidate)).or_default();
        share.index = index;
        self.credit(delegator, earned);
    }

    fn add(&mut self, delegator: Address, candidate: Address, (amount, moved): (Money, Money)) {
        self.pay(delegator, candidate);
        let share = self.shares.get_mut(&(delegator, candidate)).unwrap();
        share.shares += amount;
        share.moved += moved;
    }

    fn remove(&mut self, delegator: Address, candidate: Address, amount: Money) {
        self.pay(delegator, candidate);
        let share = self.shares.get_mut(&(delegator, candidate)).unwrap();
        share.shares -= amount;
        if share.shares == 0 {
            self.shares.remove(&(delegator, candidate));
        }
    }

    pub(super) fn register(&mut self, who: Address, amount: Money) {
        self.debit(who, amount);
        assert!(self.pots.insert(who, Pot::default()).is_none());
        self.add(who, who, (amount, 0));
    }

    pub(super) fn delegate(&mut self, who: Address, to: Address, amount: Money) -> Verdict {
        refuse(amount == 0, 1100)?;
        refuse(!self.pots.contains_key(&to), 1102)?;
        refuse(self.balance(who) < amount, 1111)?;
        self.debit(who, amount);
        self.add(who, to, (amount, 0));
        Ok(())
    }

    pub(super) fn undelegate(&mut self, who: Address, from: Address, amount: Money) -> Verdict {
        refuse(amount == 0, 1100)?;
        refuse(!self.pots.contains_key(&from), 1102)?;
        let Some(share) = self.shares.get(&(who, from)) else {
            return Err(1105);
        };
        refuse(share.shares - share.moved < amount, 1112)?;
        self.remove(who, from, amount);
        self.wait(who, from, (amount, false));
        Ok(())
    }

    pub(super) fn redelegate(
        &mut self,
        who: Address,
        (from, to): (Address, Address),
        amount: Money,
    ) -> Verdict {
        refuse(amount == 0, 1100)?;
        refuse(from == to, 1101)?;
        refuse(!self.pots.contains_key(&from), 1102)?;
        refuse(!self.pots.contains_key(&to), 1102)?;
        let Some(share) = self.shares.get(&(who, from)) else {
            return Err(1105);
        };
        refuse(share.shares - share.moved < amount, 1112)?;
        let there = self.shares.get(&(who, to));
        refuse(there.is_some_and(|there| there.moved > 0), 1113)?;
        self.remove(who, from, amount);
        self.add(who, to, (amount, amount));
        self.wait(who, to, (amount, true));
        Ok(())
    }

    pub(super) fn claim(&mut self, who: Address, candidate: Address) -> Verdict {
        refuse(!self.pots.contains_key(&candidate), 1102)?;
        refuse(!self.shares.contains_key(&(who, candidate)), 1105)?;
        refuse(self.earned(who, candidate) == 0, 1118)?;
        self.pay(who, candidate);
        Ok(())
    }

    fn wait(&mut self, delegator: Address, candidate: Address, (shares, has_moved): (Money, bool)) {
        self.due.push(Due {
            at: self.chain_time + UNBONDING_DELAY,
            delegator,
            candidate,
            shares,
            has_moved,
        });
    }

    /// What was on its way back long enough is there.
    pub(super) fn free_stake(&mut self) {
        let now = self.chain_time;
        for (at, who, amount) in std::mem::take(&mut self.unbonding) {
            if at <= now {
                self.credit(who, amount);
            } else {
                self.unbonding.push((at, who, amount));
            }
        }
        for due in std::mem::take(&mut self.due) {
            if due.at > now {
                self.due.push(due);
            } else if due.has_moved {
                let share = self.shares.get_mut(&(due.delegator, due.candidate));
                share.unwrap().moved -= due.shares;
            } else {
                self.credit(due.delegator, due.shares);
            }
        }
    }

    /// A block's fees are its proposer's up to its commission, and of those who have stake behind it for the rest.
    pub(super) fn share_fees(&mut self, proposer: Address, fees: Money) {
        // Without a pot nothing is behind it.
        let counting = self.counting(proposer);
        let kept = fees * COMMISSION_BPS / 10_000;
        let shared = fees - kept;
        if counting == 0 || shared == 0 {
            self.credit(proposer, fees);
            return;
        }
        self.credit(proposer, kept);
        let pot = self.pots.get_mut(&proposer).unwrap();
        let parts = (shared << PLACES) + pot.rest;
        pot.index += parts / counting;
        pot.rest = parts % counting;
        pot.rewards += shared;
    }
}
