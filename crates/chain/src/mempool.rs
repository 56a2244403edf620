//! Transactions that wait for a block.
//!
//! Invariants: count and bytes, in total and per account, never exceed the limits; one transaction per account and
//! nonce; a transaction leaves when its nonce is used in a finalised block, when it expired, when it is replaced by one
//! that pays a tenth more, or when a proposer finds that it cannot be paid for. An account's waiting fees never exceed
//! its balance, so a place in the pool costs money that is there; when a finalised block took that money, the account's last transactions leave.
//! What pays most for each byte goes first; in a full pool it takes the place of what pays least, and only if that makes room for it. What waits
//! behind a gap pays nothing yet: it goes before all that could be included.

mod cheapest;

use crate::{compact::ShortName, config::MempoolLimits, error::SubmitError};
use cheapest::{Last, Lasts, Rate};
use core::{
    cmp::{Ordering, Reverse},
    ops::RangeBounds,
};
use fairweir_types::{
    Address, Amount, ByteCount, Digest, Height, Nonce, SignedTx, VerifiedTx,
    limits::EXHIBIT_TX_BYTES_MAX,
};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// A replacement pays at least the old fee and this fraction of it.
const REPLACEMENT_FRACTION: u64 = 10;
/// Room of a block that is kept for what goes first: an exhibit of any size of each side of an appeal.
const FIRST_BYTES_MAX: usize = 2 * EXHIBIT_TX_BYTES_MAX;

#[derive(Debug, Default)]
struct Account {
    txs: BTreeMap<Nonce, VerifiedTx>,
    bytes: u64,
    /// The fees of all of them in base units.
    fees: u64,
    /// The account's next nonce in the applied state, as far as the pool was told.
    next_nonce: Nonce,
    /// The last of them as [`Mempool::lasts`] has it.
    listed: Option<Last>,
}

impl Account {
    /// Whether the next transaction is not missing.
    fn is_ready(&self) -> bool {
        self.txs
            .first_key_value()
            .is_some_and(|(nonce, _)| *nonce <= self.next_nonce)
    }

    /// The last of its transactions in a range that begins with the first and holds `count` of them.
    fn last(&self, sender: Address, range: impl RangeBounds<Nonce>, count: usize) -> Option<Last> {
        let (nonce, tx) = self.txs.range(range).next_back()?;
        let ahead = nonce.get().saturating_sub(self.next_nonce.get());
        Some(Last {
            is_reached: u64::try_from(count).is_ok_and(|count| ahead < count),
            rate: Rate::of(tx),
            sender,
            nonce: *nonce,
            count,
        })
    }

    /// The last of its transactions, if a balance does not pay the fees of all.
    fn unpaid(&self, balance: Amount) -> Option<Nonce> {
        let (nonce, _) = self.txs.last_key_value()?;
        (self.fees > balance.base_units()).then_some(*nonce)
    }
}

/// What an account may do, as the applied state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its next nonce.
    pub(crate) next_nonce: Nonce,
    /// What it can pay fees with.
    pub(crate) balance: Amount,
}

/// Transactions that wait for a block.
#[derive(Debug)]
pub(crate) struct Mempool {
    limits: MempoolLimits,
    accounts: BTreeMap<Address, Account>,
    /// Accounts whose next transaction waits.
    ready: BTreeSet<Address>,
    /// What makes way first in a full pool.
    lasts: Lasts,
    places: BTreeMap<Digest, (Address, Nonce)>,
    expiries: BTreeSet<(Height, Address, Nonce)>,
    bytes: u64,
}

/// What became of a transaction offered to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It waits.
    New,
    /// It waited before.
    Known,
}

impl Mempool {
    /// An empty pool.
    pub(crate) const fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            accounts: BTreeMap::new(),
            ready: BTreeSet::new(),
            lasts: Lasts::new(),
            places: BTreeMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Takes a transaction. The envelope was checked against the state, but for a nonce ahead of the account's.
    pub(crate) fn insert(
        &mut self,
        tx: VerifiedTx,
        standing: Standing,
    ) -> Result<Inserted, SubmitError> {
        if self.contains(&tx.digest()) {
            return Ok(Inserted::Known);
        }
        let (sender, nonce) = (tx.sender(), tx.transaction().nonce);
        self.check_nonce(nonce, standing.next_nonce)?;
        let replaced = self.get(&sender, nonce);
        if let Some(waiting) = replaced {
            let needed = outbid(waiting.transaction().fee);
            if needed.is_none_or(|needed| tx.transaction().fee < needed) {
                let (needed, found) = (needed.unwrap_or(Amount::MAX), tx.transaction().fee);
                return Err(SubmitError::Underpriced { needed, found });
            }
        }
        let freed = replaced.map_or((0, 0, 0), |waiting| {
            (
                1,
                waiting.size().get(),
                waiting.transaction().fee.base_units(),
            )
        });
        self.check_account(&tx, standing, freed)?;
        self.make_room(&tx, standing.next_nonce, freed)?;
        self.remove(&sender, nonce);
        self.put(tx, standing.next_nonce);
        Ok(Inserted::New)
    }

    fn check_nonce(&self, found: Nonce, expected: Nonce) -> Result<(), SubmitError> {
        if found < expected {
            return Err(SubmitError::NonceTooLow { expected, found });
        }
        let gap_max = self.limits.nonce_gap_max;
        if found.get().saturating_sub(expected.get()) > gap_max {
            return Err(SubmitError::NonceTooHigh {
                expected,
                found,
                gap_max,
            });
        }
        Ok(())
    }

    /// Checks what the account has waiting; `freed` is count, bytes and fee of what is replaced.
    fn check_account(
        &self,
        tx: &VerifiedTx,
        standing: Standing,
        freed: (usize, u64, u64),
    ) -> Result<(), SubmitError> {
        let account = self.accounts.get(&tx.sender());
        let (txs, bytes, fees) = account.map_or((0, 0, 0), |account| {
            (account.txs.len(), account.bytes, account.fees)
        });
        let limits = &self.limits;
        if txs + 1 - freed.0 > limits.account_txs_max
            || bytes + tx.size().get() - freed.1 > limits.account_bytes_max.get()
        {
            return Err(SubmitError::AccountFull {
                txs,
                bytes: ByteCount(bytes),
            });
        }
        // Without this, accounts without money could fill the pool with nonces that never come up.
        let fees = (fees - freed.2).saturating_add(tx.transaction().fee.base_units());
        if fees > standing.balance.base_units() {
            return Err(SubmitError::CannotPay {
                balance: standing.balance,
                fees,
            });
        }
        Ok(())
    }

    /// Makes room in a full pool by dropping what pays least for each byte, of each account the last first. All of it must pay a tenth less than
    /// the new one, or wait behind a gap as the new one does not; what waits behind a gap itself takes no place of one that does not. Nothing is dropped if that does not make enough room.
    fn make_room(
        &mut self,
        tx: &VerifiedTx,
        next_nonce: Nonce,
        freed: (usize, u64, u64),
    ) -> Result<(), SubmitError> {
        let size = tx.size().get();
        let (mut txs, mut bytes) = (
            (self.places.len() + 1).saturating_sub(freed.0),
            (self.bytes + size).saturating_sub(freed.1),
        );
        let limits = self.limits;
        let has_room =
            |txs: usize, bytes: u64| txs <= limits.txs_max && bytes <= limits.bytes_max.get();
        if has_room(txs, bytes) {
            return Ok(());
        }
        let is_reached = self.is_reached(tx, next_nonce);
        let makes_way = |last: &Last| match (is_reached, last.is_reached) {
            (true, false) => true,
            (false, true) => false,
            _ => Rate::of(tx).outbids(&last.rate),
        };
        let mut cheapest = self.cheapest_of_others(tx.sender());
        let mut dropped = Vec::new();
        while !has_room(txs, bytes) {
            let Some(last) = cheapest.next().filter(makes_way) else {
                return Err(self.full());
            };
            txs = txs.saturating_sub(1);
            bytes = bytes.saturating_sub(last.rate.bytes);
            dropped.push((last.sender, last.nonce));
        }
        drop(cheapest);
        for (sender, nonce) in dropped {
            self.remove(&sender, nonce);
        }
        Ok(())
    }

    /// The transactions of all accounts but one in the order in which they make way.
    fn cheapest_of_others(&self, sender: Address) -> impl Iterator<Item = Last> {
        self.lasts.of_others(sender, |last| {
            let account = self.accounts.get(&last.sender)?;
            account.last(last.sender, ..last.nonce, last.count.checked_sub(1)?)
        })
    }

    /// Whether all that must go before a new transaction waits.
    fn is_reached(&self, tx: &VerifiedTx, next_nonce: Nonce) -> bool {
        let ahead = tx
            .transaction()
            .nonce
            .get()
            .saturating_sub(next_nonce.get());
        let account = self.accounts.get(&tx.sender());
        let before = account.map_or(0, |account| {
            account
                .txs
                .range(next_nonce..tx.transaction().nonce)
                .count()
        });
        u64::try_from(before).is_ok_and(|before| before == ahead)
    }

    fn full(&self) -> SubmitError {
        SubmitError::Full {
            txs: self.places.len(),
            bytes: ByteCount(self.bytes),
        }
    }

    fn put(&mut self, tx: VerifiedTx, next_nonce: Nonce) {
        let (sender, nonce, size) = (tx.sender(), tx.transaction().nonce, tx.size().get());
        self.places.insert(tx.digest(), (sender, nonce));
        self.expiries
            .insert((tx.transaction().expiry, sender, nonce));
        self.bytes += size;
        let account = self.accounts.entry(sender).or_default();
        account.bytes += size;
        account.fees += tx.transaction().fee.base_units();
        account.next_nonce = account.next_nonce.max(next_nonce);
        account.txs.insert(nonce, tx);
        self.refresh(&sender);
    }

    fn remove(&mut self, sender: &Address, nonce: Nonce) {
        let Some(account) = self.accounts.get_mut(sender) else {
            return;
        };
        if let Some(tx) = account.txs.remove(&nonce) {
            let size = tx.size().get();
            account.bytes -= size;
            account.fees -= tx.transaction().fee.base_units();
            self.bytes -= size;
            self.places.remove(&tx.digest());
            self.expiries
                .remove(&(tx.transaction().expiry, *sender, nonce));
        }
        self.refresh(sender);
    }

    /// Keeps what is known of all accounts together up to date with one of them.
    fn refresh(&mut self, sender: &Address) {
        let Some(account) = self.accounts.get_mut(sender) else {
            return;
        };
        let last = account.last(*sender, .., account.txs.len());
        self.lasts.replace(account.listed, last);
        account.listed = last;
        if account.is_ready() {
            self.ready.insert(*sender);
        } else {
            self.ready.remove(sender);
        }
        if account.txs.is_empty() {
            self.accounts.remove(sender);
        }
    }

    /// Whether a transaction waits.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.places.contains_key(digest)
    }

    /// A transaction by its digest.
    pub(crate) fn by_digest(&self, digest: &Digest) -> Option<&VerifiedTx> {
        let (sender, nonce) = self.places.get(digest)?;
        self.get(sender, *nonce)
    }

    /// The transaction of each short name, none where no or more than one has it; nothing if together they have more bytes than this.
    pub(crate) fn all_named(
        &self,
        names: &[ShortName],
        bytes_max: usize,
    ) -> Option<Vec<Option<SignedTx>>> {
        let found: Vec<Option<&VerifiedTx>> = names.iter().map(|name| self.named(name)).collect();
        let sizes = found.iter().flatten().map(|tx| tx.size().get());
        let bytes = usize::try_from(sizes.fold(0, u64::saturating_add));
        let fits = bytes.is_ok_and(|bytes| bytes <= bytes_max);
        let clones = found.into_iter().map(|tx| tx.map(|tx| tx.signed().clone()));
        fits.then(|| clones.collect())
    }

    /// The only transaction with a short name.
    fn named(&self, name: &ShortName) -> Option<&VerifiedTx> {
        let (mut from, mut to) = ([0; 32], [0xff; 32]);
        for end in [&mut from, &mut to] {
            end.iter_mut()
                .zip(name)
                .for_each(|(end, byte)| *end = *byte);
        }
        let mut found = self.places.range(Digest(from)..=Digest(to));
        let (digest, _) = found.next()?;
        found
            .next()
            .is_none()
            .then(|| self.by_digest(digest))
            .flatten()
    }

    /// Transactions that wait.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Drops a transaction.
    pub(crate) fn drop_tx(&mut self, digest: &Digest) {
        if let Some((sender, nonce)) = self.places.get(digest).copied() {
            self.remove(&sender, nonce);
        }
    }

    /// Drops what a finalised block made void: of accounts that it changed, what their nonces and balances say; of all, what expires before `next`.
    pub(crate) fn finalised(&mut self, changed: &BTreeMap<Address, Standing>, next: Height) {
        for (sender, standing) in changed {
            self.follow(sender, *standing);
        }
        while let Some((expiry, sender, nonce)) = self.expiries.first().copied() {
            if expiry >= next {
                break;
            }
            self.remove(&sender, nonce);
        }
    }

    /// Drops the transactions of an account whose nonces were used, and the last of the others as long as its balance does not pay for all.
    fn follow(&mut self, sender: &Address, standing: Standing) {
        let Some(account) = self.accounts.get_mut(sender) else {
            return;
        };
        account.next_nonce = standing.next_nonce;
        let used = account.txs.range(..standing.next_nonce);
        let used: Vec<Nonce> = used.map(|(nonce, _)| *nonce).collect();
        for nonce in used {
            self.remove(sender, nonce);
        }
        let unpaid = |account: &Account| account.unpaid(standing.balance);
        while let Some(nonce) = self.accounts.get(sender).and_then(unpaid) {
            self.remove(sender, nonce);
        }
        self.refresh(sender);
    }

    /// The accounts whose next transaction waits.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Address> {
        self.ready.iter()
    }

    /// The first nonce from one on with which nothing of an account waits.
    pub(crate) fn free_nonce(&self, sender: &Address, from: Nonce) -> Nonce {
        let mut free = from;
        while self.get(sender, free).is_some()
            && let Some(next) = free.next()
        {
            free = next;
        }
        free
    }

    /// The transaction of an account with a nonce.
    pub(crate) fn get(&self, sender: &Address, nonce: Nonce) -> Option<&VerifiedTx> {
        self.accounts.get(sender)?.txs.get(&nonce)
    }

    /// Picks transactions for a block: highest fee for each byte first, each account in order of nonce, starting with `heads`, the next transaction
    /// of each account that may be included. What `may_go` says no to waits, and its account with it. Those of `heads` that `goes_first` says yes
    /// to go before all others, as far as the room kept for them reaches.
    pub(crate) fn select(
        &self,
        heads: Vec<VerifiedTx>,
        (txs_max, bytes_max): (usize, usize),
        may_go: impl Fn(&VerifiedTx) -> bool,
        goes_first: impl Fn(&VerifiedTx) -> bool,
    ) -> Vec<VerifiedTx> {
        let (first, mut queue): (BinaryHeap<Candidate>, BinaryHeap<Candidate>) = heads
            .into_iter()
            .map(Candidate)
            .partition(|candidate| goes_first(&candidate.0));
        let mut picked = Picked::default();
        let room = (txs_max, bytes_max.min(FIRST_BYTES_MAX));
        for candidate in first.into_sorted_vec().into_iter().rev() {
            if picked.has_room(&candidate.0, room) && may_go(&candidate.0) {
                queue.extend(self.next_of(&candidate.0));
                picked.push(candidate.0);
            } else {
                queue.push(candidate);
            }
        }
        while let Some(Candidate(tx)) = queue.pop() {
            if picked.txs.len() >= txs_max {
                break;
            }
            if picked.has_room(&tx, (txs_max, bytes_max)) && may_go(&tx) {
                queue.extend(self.next_of(&tx));
                picked.push(tx);
            }
        }
        picked.txs
    }

    /// The transaction after one of the same account, if it waits.
    fn next_of(&self, tx: &VerifiedTx) -> Option<Candidate> {
        let nonce = tx.transaction().nonce.next()?;
        self.get(&tx.sender(), nonce).cloned().map(Candidate)
    }
}

/// What was picked for a block so far.
#[derive(Default)]
struct Picked {
    txs: Vec<VerifiedTx>,
    bytes: u64,
}

impl Picked {
    fn has_room(&self, tx: &VerifiedTx, (txs_max, bytes_max): (usize, usize)) -> bool {
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        self.txs.len() < txs_max && self.bytes + tx.size().get() <= bytes_max
    }

    fn push(&mut self, tx: VerifiedTx) {
        self.bytes += tx.size().get();
        self.txs.push(tx);
    }
}

/// The least fee that takes the place of one that pays `fee`; none is high enough at the supply cap.
fn outbid(fee: Amount) -> Option<Amount> {
    let raise = fee.base_units().div_ceil(REPLACEMENT_FRACTION).max(1);
    fee.base_units()
        .checked_add(raise)
        .and_then(Amount::from_base_units)
}

/// A transaction ordered by what it pays for each byte; equal ones by id, so that the order is total.
struct Candidate(VerifiedTx);

impl Candidate {
    fn rank(&self) -> (Rate, Reverse<Digest>) {
        (Rate::of(&self.0), Reverse(self.0.digest()))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests;
