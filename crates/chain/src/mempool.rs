//! Transactions that wait for a block.
//!
//! Invariants: count and bytes, in total and per account, never exceed the limits; one transaction per account and
//! nonce; a transaction leaves when its nonce is used in a finalised block, when it expired, when it is replaced by one
//! that pays a tenth more, or when a proposer finds that it cannot be paid for. An account's waiting fees never exceed
//! its balance, so a place in the pool costs money that is there.

use crate::{config::MempoolLimits, error::SubmitError};
use fairweir_types::{Address, Amount, ByteCount, Digest, Height, Nonce, VerifiedTx};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// A replacement pays at least the old fee and this fraction of it.
const REPLACEMENT_FRACTION: u64 = 10;

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
        self.make_room(&tx, freed)?;
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

    /// Makes room in a full pool by dropping the last transaction of the account that pays least, if the new one pays a
    /// tenth more.
    fn make_room(&mut self, tx: &VerifiedTx, freed: (usize, u64, u64)) -> Result<(), SubmitError> {
        let size = tx.size().get();
        let has_room = |pool: &Self| {
            pool.places.len() + 1 - freed.0 <= pool.limits.txs_max
                && pool.bytes + size - freed.1 <= pool.limits.bytes_max.get()
        };
        if has_room(self) {
            return Ok(());
        }
        let full = SubmitError::Full {
            txs: self.places.len(),
            bytes: ByteCount(self.bytes),
        };
        let last = self
            .accounts
            .iter()
            .filter(|(sender, _)| **sender != tx.sender());
        let last = last.filter_map(|(sender, account)| {
            account
                .txs
                .last_key_value()
                .map(|(nonce, tx)| (tx.transaction().fee, *sender, *nonce))
        });
        let Some((fee, sender, nonce)) = last.min() else {
            return Err(full);
        };
        if outbid(fee).is_none_or(|needed| tx.transaction().fee < needed) {
            return Err(full);
        }
        self.remove(&sender, nonce);
        if has_room(self) { Ok(()) } else { Err(full) }
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
            if picked.len() >= txs_max {
                break;
            }
            let size = tx.size().get();
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

/// The least fee that takes the place of one that pays `fee`; none is high enough at the supply cap.
fn outbid(fee: Amount) -> Option<Amount> {
    let raise = fee.base_units().div_ceil(REPLACEMENT_FRACTION).max(1);
    fee.base_units()
        .checked_add(raise)
        .and_then(Amount::from_base_units)
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
