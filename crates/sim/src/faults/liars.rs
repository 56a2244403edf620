//! Validators that propose against the rules, and in all else keep them.

use super::cluster::{CHAIN, SENDERS};
use crate::validators::{sender_address, transfer};
use fairweir_chain::{root_of, testing::Dishonest};
use fairweir_types::{Address, Block, BoundedVec, Digest, Millis, SignedTx};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How often the liars of a story lied.
#[derive(Clone, Debug, Default)]
pub(super) struct Lies(Arc<AtomicU64>);

impl Lies {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number.
    pub(super) fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Leaves transactions out of its blocks.
#[derive(Debug)]
pub(super) struct Censor {
    /// Whose; everybody's if it is nobody in particular.
    pub(super) account: Option<Address>,
    pub(super) lies: Lies,
}

impl Censor {
    /// One that is against one of the accounts that send, or against all.
    pub(super) fn of_seed(seed: u64, lies: Lies) -> Self {
        let number = u8::try_from(seed / 7 % u64::from(SENDERS + 1)).unwrap_or_default();
        Self {
            account: (number < SENDERS).then(|| sender_address(number)),
            lies,
        }
    }
}

impl Dishonest for Censor {
    fn leaves_out(&self, tx: &SignedTx) -> bool {
        let sender = tx.transaction.sender.address();
        let is_unwanted = self.account.is_none_or(|account| account == sender);
        if is_unwanted {
            self.lies.count();
        }
        is_unwanted
    }
}

/// Makes every block that it proposes one that nobody may certify, each in another way.
#[derive(Debug)]
pub(super) struct Forger {
    pub(super) seed: u64,
    pub(super) lies: Lies,
}

/// Ways in which a block is spoilt.
const WAYS: u64 = 13;

impl Dishonest for Forger {
    fn twist(&self, block: &mut Block) {
        let way = block.header.height.get().wrapping_add(self.seed) % WAYS;
        spoil(block, way);
        self.lies.count();
    }
}

/// Makes a block invalid. The other roots of the state are compared together with its first one, and the liar's own store would not take them.
fn spoil(block: &mut Block, way: u64) {
    let other = Digest([0xab; 32]);
    let header = &mut block.header;
    match way {
        0 => header.state_root = other,
        1 => header.outcomes_root = other,
        2 => header.events_root = other,
        3 => header.outbox_root = other,
        // Not after its parent, and an hour from now.
        4 => header.time = Millis::ZERO,
        5 => header.time = Millis(header.time.get().saturating_add(3_600_000)),
        6 => header.beacon = other,
        7 => header.beacon_signature = None,
        8 => header.version = header.version.wrapping_add(1),
        9 => header.transactions_root = other,
        // Transactions that may not be there: one twice, one with the signature of another body, one of an account's far future.
        10 => {
            let mut txs = block.transactions.as_slice().to_vec();
            let twice = txs.last().cloned();
            txs.push(twice.unwrap_or_else(|| transfer(CHAIN, 0, 1_000_000)));
            replace(block, txs);
        }
        11 => {
            let mut forged = transfer(CHAIN, 1, 0);
            forged.signature = transfer(CHAIN, 1, 1).signature;
            replace(block, vec![forged]);
        }
        _ => {
            let mut txs = block.transactions.as_slice().to_vec();
            txs.push(transfer(CHAIN, 0, 1_000_000));
            replace(block, txs);
        }
    }
}

fn replace(block: &mut Block, txs: Vec<SignedTx>) {
    block.header.transactions_root = root_of(&txs);
    block.transactions = BoundedVec::truncating(txs);
}
