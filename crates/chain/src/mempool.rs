//! Transactions that wait for a block.
//!
//! Invariants: count and bytes, in total and per account, never exceed the limits; one transaction per account and
//! nonce; a transaction leaves when its nonce is used in a finalised block, when it expired, when it is replaced by one
//! that pays a tenth more, or when a proposer finds that it cannot be paid for.

use crate::{config::MempoolLimits, error::SubmitError};
use fairweir_types::{Address, Amount, ByteCount, Digest, Height, Nonce, VerifiedTx};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// A replacement pays at least the old fee and this fraction of it.
const REPLACEMENT_FRACTION: u64 = 10;

#[derive(Debug, Default)]
struct Account {
    txs: BTreeMap<Nonce, VerifiedTx>,
    bytes: u64,
}

/// Transactions that wait for a block.
#[derive(Debug)]
pub(crate) struct Mempool {
    limits: MempoolLimits,
    accounts: BTreeMap<Address, Account>,
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
            places: BTreeMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Takes a transaction of an account whose next nonce is `next_nonce`. The envelope was checked against the state.
    pub(crate) fn insert(
        &mut self,
        tx: VerifiedTx,
        next_nonce: Nonce,
    ) -> Result<Inserted, SubmitError> {
        if self.contains(&tx.digest()) {
            return Ok(Inserted::Known);
        }
        let (sender, nonce) = (tx.sender(), tx.transaction().nonce);
        self.check_nonce(nonce, next_nonce)?;
        let replaced = self
            .accounts
            .get(&sender)
            .and_then(|account| account.txs.get(&nonce));
        if let Some(waiting) = replaced {
            check_replacement(waiting, &tx)?;
        }
        let freed = replaced.map_or(0, |waiting| waiting.size().get());
        let count_change = usize::from(replaced.is_none());
        self.check_room(&sender, count_change, tx.size().get().saturating_sub(freed))?;
        self.remove(&sender, nonce);
        self.put(tx);
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

    fn check_room(
        &self,
        sender: &Address,
        more: usize,
        more_bytes: u64,
    ) -> Result<(), SubmitError> {
        let (txs, bytes) = self
            .accounts
            .get(sender)
            .map_or((0, 0), |account| (account.txs.len(), account.bytes));
        let limits = &self.limits;
        if txs + more > limits.account_txs_max
            || bytes + more_bytes > limits.account_bytes_max.get()
        {
            return Err(SubmitError::AccountFull {
                txs,
                bytes: ByteCount(bytes),
            });
        }
        let txs = self.places.len();
        if txs + more > limits.txs_max || self.bytes + more_bytes > limits.bytes_max.get() {
            return Err(SubmitError::Full {
                txs,
                bytes: ByteCount(self.bytes),
            });
        }
        Ok(())
    }

    fn put(&mut self, tx: VerifiedTx) {
        let (sender, nonce, size) = (tx.sender(), tx.transaction().nonce, tx.size().get());
        self.places.insert(tx.digest(), (sender, nonce));
        self.expiries
            .insert((tx.transaction().expiry, sender, nonce));
        self.bytes += size;
        let account = self.accounts.entry(sender).or_default();
        account.bytes += size;
        account.txs.insert(nonce, tx);
    }

    fn remove(&mut self, sender: &Address, nonce: Nonce) {
        let Some(account) = self.accounts.get_mut(sender) else {
            return;
        };
        if let Some(tx) = account.txs.remove(&nonce) {
            let size = tx.size().get();
            account.bytes = account.bytes.saturating_sub(size);
            self.bytes = self.bytes.saturating_sub(size);
            self.places.remove(&tx.digest());
            self.expiries
                .remove(&(tx.transaction().expiry, *sender, nonce));
        }
        if account.txs.is_empty() {
            self.accounts.remove(sender);
        }
    }

    /// Whether a transaction waits.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.places.contains_key(digest)
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
            let used: Vec<Nonce> = self
                .accounts
                .get(sender)
                .map(|account| {
                    account
                        .txs
                        .range(..*next_nonce)
                        .map(|(nonce, _)| *nonce)
                        .collect()
                })
                .unwrap_or_default();
            for nonce in used {
                self.remove(sender, nonce);
            }
        }
        while let Some((expiry, sender, nonce)) = self.expiries.first().copied() {
            if expiry >= next {
                break;
            }
            self.remove(&sender, nonce);
        }
    }

    /// The senders of waiting transactions.
    pub(crate) fn senders(&self) -> impl Iterator<Item = &Address> {
        self.accounts.keys()
    }

    /// The transaction of an account with a nonce.
    pub(crate) fn get(&self, sender: &Address, nonce: Nonce) -> Option<&VerifiedTx> {
        self.accounts.get(sender)?.txs.get(&nonce)
    }

    /// Picks transactions for a block: highest fee first, each account in order of nonce, starting with `heads`, the
    /// next transaction of each account that may be included.
    pub(crate) fn select(
        &self,
        heads: Vec<VerifiedTx>,
        txs_max: usize,
        bytes_max: usize,
    ) -> Vec<VerifiedTx> {
        let mut queue: BinaryHeap<Candidate> = heads.into_iter().map(Candidate).collect();
        let (mut picked, mut bytes) = (Vec::new(), 0_u64);
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        while let Some(Candidate(tx)) = queue.pop() {
            let size = tx.size().get();
            if picked.len() >= txs_max {
                break;
            }
            if bytes + size > bytes_max {
                continue;
            }
            bytes += size;
            let next = tx
                .transaction()
                .nonce
                .next()
                .and_then(|nonce| self.get(&tx.sender(), nonce));
            queue.extend(next.cloned().map(Candidate));
            picked.push(tx);
        }
        picked
    }
}

fn check_replacement(waiting: &VerifiedTx, found: &VerifiedTx) -> Result<(), SubmitError> {
    let (old, found) = (waiting.transaction().fee, found.transaction().fee);
    let raise = old.base_units().div_ceil(REPLACEMENT_FRACTION).max(1);
    // At the supply cap no fee is high enough.
    let needed = old
        .base_units()
        .checked_add(raise)
        .and_then(Amount::from_base_units);
    match needed {
        Some(needed) if found >= needed => Ok(()),
        needed => Err(SubmitError::Underpriced {
            needed: needed.unwrap_or(Amount::MAX),
            found,
        }),
    }
}

/// A transaction ordered by what it pays; equal fees by id, so that the order is total.
struct Candidate(VerifiedTx);

impl Candidate {
    fn rank(&self) -> (Amount, core::cmp::Reverse<Digest>) {
        (
            self.0.transaction().fee,
            core::cmp::Reverse(self.0.digest()),
        )
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}
