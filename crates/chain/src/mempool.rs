//! Transactions that wait for a block.
//!
//! Invariants: count and bytes, in total and per account, never exceed the limits; one transaction per account and
//! nonce; a transaction leaves when its nonce is used in a finalised block, when it expired, when it is replaced by one
//! that pays a tenth more, or when a proposer finds that it cannot be paid for. An account's waiting fees never exceed
//! its balance, so a place in the pool costs money that is there. What pays most for each byte goes first; in a full pool it takes the place of
//! what pays least, and only if that makes room for it. What waits behind a gap pays nothing yet: it goes before all that could be included.

use crate::{compact::ShortName, config::MempoolLimits, error::SubmitError};
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
    /// The account's next nonce in the applied state, as far as the pool was told.
    next_nonce: Nonce,
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

    fn fees(&self) -> u64 {
        self.txs.values().fold(0, |sum, tx| {
            sum.saturating_add(tx.transaction().fee.base_units())
        })
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
            (account.txs.len(), account.bytes, account.fees())
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
        let others = self
            .accounts
            .iter()
            .filter(|(sender, _)| **sender != tx.sender());
        // The last transaction of each account that has not been dropped.
        let mut cheapest: BinaryHeap<_> = others
            .filter_map(|(sender, account)| account.last(*sender, .., account.txs.len()))
            .map(Reverse)
            .collect();
        let mut dropped = Vec::new();
        while !has_room(txs, bytes) {
            let Some(Reverse(last)) = cheapest.pop() else {
                return Err(self.full());
            };
            let makes_way = match (is_reached, last.is_reached) {
                (true, false) => true,
                (false, true) => false,
                _ => Rate::of(tx).outbids(&last.rate),
            };
            if !makes_way {
                return Err(self.full());
            }
            txs = txs.saturating_sub(1);
            bytes = bytes.saturating_sub(last.rate.bytes);
            dropped.push((last.sender, last.nonce));
            let account = self.accounts.get(&last.sender);
            let before =
                account.and_then(|account| account.last(last.sender, ..last.nonce, last.count - 1));
            cheapest.extend(before.map(Reverse));
        }
        for (sender, nonce) in dropped {
            self.remove(&sender, nonce);
        }
        Ok(())
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
            self.bytes -= size;
            self.places.remove(&tx.digest());
            self.expiries
                .remove(&(tx.transaction().expiry, *sender, nonce));
        }
        self.refresh(sender);
    }

    fn refresh(&mut self, sender: &Address) {
        let account = self.accounts.get(sender);
        if account.is_some_and(|account| account.txs.is_empty()) {
            self.accounts.remove(sender);
        }
        if self.accounts.get(sender).is_some_and(Account::is_ready) {
            self.ready.insert(*sender);
        } else {
            self.ready.remove(sender);
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

    /// Drops what a finalised block used up: nonces of an account below its next, and what expires before `next`.
    pub(crate) fn finalised(&mut self, senders: &BTreeMap<Address, Nonce>, next: Height) {
        for (sender, next_nonce) in senders {
            let Some(account) = self.accounts.get_mut(sender) else {
                continue;
            };
            account.next_nonce = *next_nonce;
            let used: Vec<Nonce> = account
                .txs
                .range(..*next_nonce)
                .map(|(nonce, _)| *nonce)
                .collect();
            for nonce in used {
                self.remove(sender, nonce);
            }
            self.refresh(sender);
        }
        while let Some((expiry, sender, nonce)) = self.expiries.first().copied() {
            if expiry >= next {
                break;
            }
            self.remove(&sender, nonce);
        }
    }

    /// The accounts whose next transaction waits.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Address> {
        self.ready.iter()
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

/// The last of the first so many transactions of an account, ordered by how little is lost without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Last {
    is_reached: bool,
    rate: Rate,
    sender: Address,
    nonce: Nonce,
    count: usize,
}

/// The least fee that takes the place of one that pays `fee`; none is high enough at the supply cap.
fn outbid(fee: Amount) -> Option<Amount> {
    let raise = fee.base_units().div_ceil(REPLACEMENT_FRACTION).max(1);
    fee.base_units()
        .checked_add(raise)
        .and_then(Amount::from_base_units)
}

/// What a transaction pays for its bytes, ordered by the fee for each, exactly.
#[derive(Clone, Copy, Debug)]
struct Rate {
    fee: u64,
    bytes: u64,
}

impl Rate {
    fn of(tx: &VerifiedTx) -> Self {
        Self {
            fee: tx.transaction().fee.base_units(),
            bytes: tx.size().get(),
        }
    }

    /// Both fees, each times the other's bytes.
    fn crossed(&self, other: &Self) -> (u128, u128) {
        let times = |fee: u64, bytes: u64| u128::from(fee).saturating_mul(u128::from(bytes));
        (times(self.fee, other.bytes), times(other.fee, self.bytes))
    }

    /// Whether it pays more, by a tenth at least.
    fn outbids(&self, other: &Self) -> bool {
        let (own, others) = self.crossed(other);
        own > others && own >= others.saturating_add(others / u128::from(REPLACEMENT_FRACTION))
    }
}

impl PartialEq for Rate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rate {}

impl PartialOrd for Rate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rate {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = self.crossed(other);
        own.cmp(&others)
    }
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
mod tests {
    use super::*;
    use fairweir_types::{
        Action, BoundedBytes, Boxed, ChainId, SecretKey, Transaction,
        order::{OrderId, SlotId},
        tx::Exhibit,
    };

    const RICH: Standing = Standing {
        next_nonce: Nonce(0),
        balance: Amount::MAX,
    };

    /// A transaction of an account with a fee, of so many bytes and a few more.
    fn tx(account: u8, nonce: u64, (fee, bytes): (u64, usize)) -> VerifiedTx {
        let key = SecretKey::from_seed([account; 32]).expect("any seed");
        let slot_id = SlotId {
            order: OrderId(Digest::ZERO),
            slot: 0,
        };
        let shown = BoundedBytes::new(vec![0; bytes]).expect("few");
        let transaction = Transaction {
            chain_id: ChainId::new("dev-test").expect("a name"),
            sender: key.account_key(),
            nonce: Nonce(nonce),
            fee: Amount::from_base_units(fee).expect("small"),
            expiry: Height(100),
            action: Action::Exhibit(Boxed::new(Exhibit { slot_id, shown })),
        };
        transaction.sign(&key).verify().expect("signed")
    }

    fn pool(txs_max: usize, bytes_max: u64) -> Mempool {
        Mempool::new(MempoolLimits {
            txs_max,
            bytes_max: ByteCount(bytes_max),
            ..MempoolLimits::default()
        })
    }

    fn is_taken(pool: &mut Mempool, tx: &VerifiedTx) -> bool {
        pool.insert(tx.clone(), RICH).is_ok()
    }

    #[test]
    fn rates_compare_without_rounding() {
        let rate = |fee, bytes| Rate { fee, bytes };
        assert_eq!(rate(1, 3), rate(2, 6));
        assert!(rate(u64::MAX, 3) > rate(u64::MAX - 1, 3));
        assert!(rate(u64::MAX, u64::MAX) < rate(u64::MAX, u64::MAX - 1));
        assert!(rate(11, 10).outbids(&rate(1, 1)) && !rate(109, 100).outbids(&rate(1, 1)));
        assert!(!rate(0, 10).outbids(&rate(0, 1)) && rate(1, 1_000).outbids(&rate(0, 1)));
    }

    #[test]
    fn what_pays_most_for_each_byte_goes_first() {
        let mut pool = pool(10, 1 << 20);
        let large = tx(1, 0, (3_000_000, 100_000));
        let small = [tx(2, 0, (50_000, 10)), tx(3, 0, (1_000, 10))];
        for tx in [&large, &small[0], &small[1]] {
            assert!(is_taken(&mut pool, tx));
        }
        let heads = vec![small[1].clone(), large.clone(), small[0].clone()];
        let all = pool.select(heads.clone(), (10, 1 << 20), |_| true, |_| false);
        assert_eq!(all, [small[0].clone(), large.clone(), small[1].clone()]);
        // What must wait is left out, and waits on.
        let few = pool.select(heads.clone(), (10, 1 << 20), |tx| *tx != large, |_| false);
        assert_eq!(few, small);
        assert_eq!(pool.len(), 3);
        // Room is kept for what goes first, whatever the others pay.
        let crowded = (10, 100_300);
        let without = pool.select(heads.clone(), crowded, |_| true, |_| false);
        assert_eq!(without, small);
        let with = pool.select(heads, crowded, |_| true, |tx| *tx == large);
        assert_eq!(with, [large]);
    }

    #[test]
    fn what_waits_behind_a_gap_makes_way() {
        let mut pool = pool(4, 1 << 20);
        // It pays a lot, and nothing as long as its nonces 1 and 3 do not come.
        let gapped = [
            tx(1, 0, (9_000, 10)),
            tx(1, 2, (9_000, 10)),
            tx(1, 4, (9_000, 10)),
        ];
        assert!(gapped.iter().all(|tx| is_taken(&mut pool, tx)));
        assert!(is_taken(&mut pool, &tx(2, 0, (500, 10))));
        // Another behind a gap does not take their place, nor that of one that could be included.
        assert!(!is_taken(&mut pool, &tx(3, 1, (9_000, 10))));
        assert!(!is_taken(&mut pool, &tx(3, 1, (9_000, 10_000))));
        assert!(is_taken(&mut pool, &tx(4, 0, (10, 10))));
        assert!(!pool.contains(&gapped[2].digest()));
        assert!(is_taken(&mut pool, &tx(4, 1, (10, 10))));
        assert!(!pool.contains(&gapped[1].digest()));
        // What can be included stays, unless another that can be pays more.
        assert!(!is_taken(&mut pool, &tx(5, 0, (10, 10))));
        assert!(!is_taken(&mut pool, &tx(5, 1, (90_000, 10))));
        assert!(is_taken(&mut pool, &tx(5, 0, (90_000, 10))));
        assert!(pool.contains(&gapped[0].digest()));
    }

    #[test]
    fn nothing_is_dropped_that_does_not_make_enough_room() {
        let mut pool = pool(10, 4_000);
        let small: Vec<_> = (1..=3).map(|account| tx(account, 0, (100, 700))).collect();
        assert!(small.iter().all(|tx| is_taken(&mut pool, tx)));
        // It pays more for each byte than all, but a pool without them has no room for it either.
        assert!(!is_taken(&mut pool, &tx(9, 0, (1_000_000, 4_000))));
        assert_eq!(pool.len(), 3);
        // It pays more in all, and less for each byte.
        assert!(!is_taken(&mut pool, &tx(9, 0, (150, 3_000))));
        assert_eq!(pool.len(), 3);
        // It pays more for each byte: as many go as must.
        let dear = tx(9, 0, (1_000_000, 2_300));
        assert!(is_taken(&mut pool, &dear));
        assert!(pool.contains(&dear.digest()));
        assert_eq!(pool.len(), 2);
    }

    #[test]
    fn of_an_account_the_last_goes_first() {
        let mut pool = pool(3, 1 << 20);
        let queue = [tx(1, 0, (10, 10)), tx(1, 1, (500, 10))];
        assert!(queue.iter().all(|tx| is_taken(&mut pool, tx)));
        assert!(is_taken(&mut pool, &tx(2, 0, (1_000, 10))));
        // The one that pays least has another behind it, which would be left without it.
        assert!(is_taken(&mut pool, &tx(3, 0, (600, 10))));
        assert!(pool.contains(&queue[0].digest()) && !pool.contains(&queue[1].digest()));
        assert!(is_taken(&mut pool, &tx(4, 0, (20, 10))));
        assert!(!pool.contains(&queue[0].digest()));
    }
}
