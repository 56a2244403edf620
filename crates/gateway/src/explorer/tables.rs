//! The tables of the index.
//!
//! Every table has the same form: `seq`, which orders it in time and is the cursor of its lists; the columns that it is searched by, each
//! with an index; and `record`, the JSON that the API answers. All columns but `seq` are text, so that one SQL serves both databases and
//! no figure is rounded or cut: amounts are decimal strings of coins in the records, as everywhere outside of the ledger.

use crate::explorer::{
    error::IndexError,
    records::{
        Account, Batch, Block, Dispute, Event, Judgement, Lane, Node, NonMatch, Offer, Order,
        Proposal, ProposalVote, Receipt, Service, Slash, Slot, Transaction, Verdict,
    },
};
use serde::Serialize;

/// The table of what the index is of, and how far it is.
pub(crate) const META: &str = "explorer_meta";

/// Bits of `seq` for the position in a block, and for the place within what happened there.
const POSITION_BITS: u32 = 16;
const SUB_BITS: u32 = 6;
const _: () = assert!(
    fairweir_types::limits::BLOCK_EVENTS_MAX <= 1 << POSITION_BITS
        && fairweir_types::limits::CANDIDATES_REPORTED_MAX < 1 << SUB_BITS
        && fairweir_types::limits::SLOTS_MAX < 1 << SUB_BITS,
    "every row of a block has a number of its own"
);
/// The place of what a transaction itself made, beyond those of events.
pub(crate) const OF_TRANSACTION: usize = (1 << SUB_BITS) - 1;

/// The number of a row: by block, then by position, then by place.
pub(crate) fn seq(height: u64, position: usize, sub: usize) -> Result<i64, IndexError> {
    let fits = position < 1 << POSITION_BITS && sub < 1 << SUB_BITS;
    let number = || {
        let height = i64::try_from(height).ok()?;
        let block = height.checked_mul(1 << (POSITION_BITS + SUB_BITS))?;
        let within = (position << SUB_BITS) | sub;
        block.checked_add(i64::try_from(within).ok()?)
    };
    fits.then(number).flatten().ok_or(IndexError::OutOfRange)
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    /// Where the record stands.
    pub(crate) record: &'static str,
}

impl Table {
    const fn of(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self {
            name,
            columns,
            record: "t.record",
        }
    }

    /// The statements that make it.
    pub(crate) fn definition(&self) -> Vec<String> {
        let columns: String = self
            .columns
            .iter()
            .map(|column| format!(", {column} TEXT NOT NULL"))
            .collect();
        let name = self.name;
        let table =
            format!("CREATE TABLE {name} (seq BIGINT PRIMARY KEY, record TEXT NOT NULL{columns})");
        let indices = self
            .columns
            .iter()
            .map(|column| format!("CREATE INDEX {name}_by_{column} ON {name} ({column}, seq)"));
        std::iter::once(table).chain(indices).collect()
    }
}

pub(crate) static BLOCKS: Table = Table::of("explorer_blocks", &["height"]);
pub(crate) static TRANSACTIONS: Table = Table::of(
    "explorer_transactions",
    &["id", "height", "sender", "action"],
);
pub(crate) static EVENTS: Table = Table::of(
    "explorer_events",
    &["event", "height", "order_id", "slot_id"],
);
/// Which events concern an account; the records are those of the events.
pub(crate) static ACCOUNT_EVENTS: Table = Table {
    name: "explorer_account_events",
    columns: &["account"],
    record: "(SELECT e.record FROM explorer_events e WHERE e.seq = t.seq - t.seq % 64)",
};
pub(crate) static ACCOUNTS: Table = Table::of("explorer_accounts", &["address"]);
pub(crate) static ORDERS: Table =
    Table::of("explorer_orders", &["order_id", "buyer", "state", "shape"]);
pub(crate) static SLOTS: Table = Table::of("explorer_slots", &["slot_id", "order_id", "state"]);
pub(crate) static NON_MATCHES: Table = Table::of(
    "explorer_non_matches",
    &["slot_id", "order_id", "worker", "reason"],
);
pub(crate) static LANES: Table = Table::of(
    "explorer_lanes",
    &["slot_id", "order_id", "worker", "state"],
);
pub(crate) static BATCHES: Table =
    Table::of("explorer_batches", &["slot_id", "lane", "worker", "state"]);
pub(crate) static RECEIPTS: Table =
    Table::of("explorer_receipts", &["id", "slot_id", "worker", "state"]);
pub(crate) static VERDICTS: Table = Table::of("explorer_verdicts", &["slot_id", "verifier"]);
pub(crate) static JUDGEMENTS: Table = Table::of("explorer_judgements", &["slot_id", "verdict"]);
pub(crate) static DISPUTES: Table = Table::of("explorer_disputes", &["slot_id", "state"]);
pub(crate) static SLASHES: Table = Table::of("explorer_slashes", &["account", "slot_id", "reason"]);
pub(crate) static NODES: Table = Table::of("explorer_nodes", &["address"]);
pub(crate) static OFFERS: Table = Table::of("explorer_offers", &["offer_id", "worker", "state"]);
pub(crate) static SERVICES: Table = Table::of("explorer_services", &["kind"]);
pub(crate) static PROPOSALS: Table = Table::of("explorer_proposals", &["proposal_id", "state"]);
pub(crate) static PROPOSAL_VOTES: Table =
    Table::of("explorer_proposal_votes", &["proposal_id", "voter"]);

/// Every table.
pub(crate) static TABLES: [&Table; 20] = [
    &BLOCKS,
    &TRANSACTIONS,
    &EVENTS,
    &ACCOUNT_EVENTS,
    &ACCOUNTS,
    &ORDERS,
    &SLOTS,
    &NON_MATCHES,
    &LANES,
    &BATCHES,
    &RECEIPTS,
    &VERDICTS,
    &JUDGEMENTS,
    &DISPUTES,
    &SLASHES,
    &NODES,
    &OFFERS,
    &SERVICES,
    &PROPOSALS,
    &PROPOSAL_VOTES,
];

/// A record with its table and what it is found by, in the order of the table's columns.
pub(crate) trait Row: Serialize + Sync {
    const TABLE: &'static Table;
    fn keys(&self) -> Vec<String>;
}

macro_rules! rows {
    ($($record:ident in $table:ident by $($field:ident),+;)+) => {
        $(impl Row for $record {
            const TABLE: &'static Table = &$table;
            fn keys(&self) -> Vec<String> {
                vec![$(self.$field.to_string()),+]
            }
        })+
    };
}
rows! {
    Block in BLOCKS by height;
    Transaction in TRANSACTIONS by id, height, sender, action;
    Account in ACCOUNTS by address;
    Order in ORDERS by order, buyer, state, shape;
    Slot in SLOTS by slot, order, state;
    NonMatch in NON_MATCHES by slot, order, worker, reason;
    Lane in LANES by slot, session, worker, state;
    Batch in BATCHES by slot, lane, worker, state;
    Receipt in RECEIPTS by receipt, slot, worker, state;
    Verdict in VERDICTS by slot, verifier;
    Judgement in JUDGEMENTS by slot, verdict;
    Dispute in DISPUTES by slot, state;
    Slash in SLASHES by account, slot, reason;
    Node in NODES by address;
    Offer in OFFERS by offer, worker, state;
    Service in SERVICES by kind;
    Proposal in PROPOSALS by proposal, state;
    ProposalVote in PROPOSAL_VOTES by proposal, voter;
}

impl Row for Event {
    const TABLE: &'static Table = &EVENTS;
    fn keys(&self) -> Vec<String> {
        let or_none = |key: &Option<String>| key.clone().unwrap_or_default();
        vec![
            self.event.clone(),
            self.height.to_string(),
            or_none(&self.order),
            or_none(&self.slot),
        ]
    }
}
