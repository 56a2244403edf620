//! What can be asked: one list of paths, from which both the router and the document are made, so that they cannot differ.
//!
//! A list has at most one condition, and each condition has an index of its own, so that no question reads more than its page.

mod values;

use crate::explorer::tables::{self, Table};
use values::{ACTIONS, EVENT_NAMES, OPEN_OR_CLOSED, PROPOSAL_STATES, REASONS, SLASH_REASONS};

/// The form of a parameter in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Height,
    Digest,
    Slot,
    Address,
}

/// Heights up to here are asked for.
pub(crate) const HEIGHT_MAX: u64 = 999_999_999_999;

/// A number as programs write it: digits without a sign or leading zeros.
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    let is_form = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    is_form.then(|| text.parse().ok()).flatten()
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl Format {
    pub(crate) fn fits(self, text: &str) -> bool {
        match self {
            Self::Height => whole_number(text).is_some_and(|height| height <= HEIGHT_MAX),
            Self::Digest => is_hex(text, 64),
            Self::Slot => text.split_once(':').is_some_and(|(order, slot)| {
                is_hex(order, 64)
                    && (1..=5).contains(&slot.len())
                    && slot.bytes().all(|byte| byte.is_ascii_digit())
            }),
            Self::Address => text.strip_prefix("fw1").is_some_and(|data| {
                data.len() == 38
                    && data
                        .bytes()
                        .all(|byte| b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(&byte))
            }),
        }
    }

    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::Height => "is a whole number",
            Self::Digest => "is 64 lower-case hexadecimal digits",
            Self::Slot => "is 64 lower-case hexadecimal digits, a colon and a number",
            Self::Address => "is an address such as fw1…",
        }
    }

    /// The pattern that says the same; none for numbers.
    pub(crate) const fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Height => None,
            Self::Digest => Some("^[0-9a-f]{64}$"),
            Self::Slot => Some("^[0-9a-f]{64}:[0-9]{1,5}$"),
            Self::Address => Some("^fw1[ac-hj-np-z02-9]{38}$"),
        }
    }
}

/// One thing by its key.
#[derive(Debug)]
pub(crate) struct One {
    pub(crate) path: &'static str,
    pub(crate) what: &'static str,
    pub(crate) table: &'static Table,
    pub(crate) column: &'static str,
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    pub(crate) schema: &'static str,
    /// An account is answered with what it has now.
    pub(crate) is_account: bool,
}

/// What a list is part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within {
    pub(crate) of: &'static One,
    pub(crate) name: &'static str,
    pub(crate) format: Format,
    pub(crate) column: &'static str,
}

/// A condition that may be given.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) name: &'static str,
    pub(crate) column: &'static str,
    pub(crate) values: &'static [&'static str],
}

/// Things, newest first.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) path: &'static str,
    pub(crate) what: &'static str,
    pub(crate) table: &'static Table,
    pub(crate) within: Option<Within>,
    pub(crate) filter: Option<Filter>,
    /// A condition that always holds.
    pub(crate) fixed: Option<(&'static str, &'static str)>,
    pub(crate) schema: &'static str,
}

/// Something that can be asked.
#[derive(Debug)]
pub(crate) enum Resource {
    List(List),
    One(&'static One),
}

impl Resource {
    pub(crate) const fn path(&self) -> &'static str {
        match self {
            Self::List(list) => list.path,
            Self::One(one) => one.path,
        }
    }
}

const fn one(
    path: &'static str,
    what: &'static str,
    table: &'static Table,
    (name, format, column): (&'static str, Format, &'static str),
    schema: &'static str,
) -> One {
    One {
        path,
        what,
        table,
        column,
        name,
        format,
        schema,
        is_account: false,
    }
}

const fn all(
    path: &'static str,
    what: &'static str,
    table: &'static Table,
    schema: &'static str,
) -> List {
    List {
        path,
        what,
        table,
        within: None,
        filter: None,
        fixed: None,
        schema,
    }
}

const fn filtered(
    path: &'static str,
    what: &'static str,
    table: &'static Table,
    schema: &'static str,
    (name, values): (&'static str, &'static [&'static str]),
) -> Resource {
    Resource::List(List {
        filter: Some(Filter {
            name,
            column: name,
            values,
        }),
        ..all(path, what, table, schema)
    })
}

const fn within(
    path: &'static str,
    what: &'static str,
    table: &'static Table,
    schema: &'static str,
    (of, column): (&'static One, &'static str),
) -> Resource {
    Resource::List(List {
        within: Some(Within {
            of,
            name: of.name,
            format: of.format,
            column,
        }),
        ..all(path, what, table, schema)
    })
}

static BLOCK: One = one(
    "/blocks/{height}",
    "block",
    &tables::BLOCKS,
    ("height", Format::Height, "height"),
    "Block",
);
static TRANSACTION: One = one(
    "/transactions/{transaction}",
    "transaction",
    &tables::TRANSACTIONS,
    ("transaction", Format::Digest, "id"),
    "Transaction",
);
static ACCOUNT: One = One {
    is_account: true,
    ..one(
        "/accounts/{address}",
        "account",
        &tables::ACCOUNTS,
        ("address", Format::Address, "address"),
        "AccountNow",
    )
};
static ORDER: One = one(
    "/orders/{order}",
    "order",
    &tables::ORDERS,
    ("order", Format::Digest, "order_id"),
    "Order",
);
static SLOT: One = one(
    "/slots/{slot}",
    "slot",
    &tables::SLOTS,
    ("slot", Format::Slot, "slot_id"),
    "Slot",
);
static LANE: One = one(
    "/lanes/{slot}",
    "lane",
    &tables::LANES,
    ("slot", Format::Slot, "slot_id"),
    "Lane",
);
static BATCH: One = one(
    "/batches/{slot}",
    "batch",
    &tables::BATCHES,
    ("slot", Format::Slot, "slot_id"),
    "Batch",
);
static RECEIPT: One = one(
    "/receipts/{receipt}",
    "receipt",
    &tables::RECEIPTS,
    ("receipt", Format::Digest, "id"),
    "Receipt",
);
static NODE: One = one(
    "/nodes/{address}",
    "node",
    &tables::NODES,
    ("address", Format::Address, "address"),
    "Node",
);

static SERVICE: One = one(
    "/services/{kind}",
    "kind of work",
    &tables::SERVICES,
    ("kind", Format::Height, "kind"),
    "Service",
);

static PROPOSAL: One = one(
    "/proposals/{proposal}",
    "proposal",
    &tables::PROPOSALS,
    ("proposal", Format::Height, "proposal_id"),
    "Proposal",
);

/// Everything that can be asked of the tables.
pub(crate) static RESOURCES: &[Resource] = &[
    Resource::List(all("/blocks", "blocks", &tables::BLOCKS, "Block")),
    Resource::One(&BLOCK),
    within(
        "/blocks/{height}/transactions",
        "transactions of a block",
        &tables::TRANSACTIONS,
        "Transaction",
        (&BLOCK, "height"),
    ),
    within(
        "/blocks/{height}/events",
        "events of a block",
        &tables::EVENTS,
        "Event",
        (&BLOCK, "height"),
    ),
    filtered(
        "/transactions",
        "transactions",
        &tables::TRANSACTIONS,
        "Transaction",
        ("action", ACTIONS),
    ),
    Resource::One(&TRANSACTION),
    filtered(
        "/events",
        "events",
        &tables::EVENTS,
        "Event",
        ("event", EVENT_NAMES),
    ),
    Resource::List(all(
        "/services",
        "the catalogue of services: kinds of work and what holds for them",
        &tables::SERVICES,
        "Service",
    )),
    Resource::One(&SERVICE),
    filtered(
        "/proposals",
        "proposals",
        &tables::PROPOSALS,
        "Proposal",
        ("state", PROPOSAL_STATES),
    ),
    Resource::One(&PROPOSAL),
    within(
        "/proposals/{proposal}/votes",
        "votes on a proposal, replaced ones too",
        &tables::PROPOSAL_VOTES,
        "ProposalVote",
        (&PROPOSAL, "proposal_id"),
    ),
    Resource::List(all("/accounts", "accounts", &tables::ACCOUNTS, "Account")),
    Resource::One(&ACCOUNT),
    within(
        "/accounts/{address}/transactions",
        "transactions that an account sent",
        &tables::TRANSACTIONS,
        "Transaction",
        (&ACCOUNT, "sender"),
    ),
    within(
        "/accounts/{address}/events",
        "events that concern an account",
        &tables::ACCOUNT_EVENTS,
        "Event",
        (&ACCOUNT, "account"),
    ),
    within(
        "/accounts/{address}/orders",
        "orders of a buyer",
        &tables::ORDERS,
        "Order",
        (&ACCOUNT, "buyer"),
    ),
    within(
        "/accounts/{address}/slashes",
        "slashes of an account",
        &tables::SLASHES,
        "Slash",
        (&ACCOUNT, "account"),
    ),
    filtered(
        "/orders",
        "orders, sessions among them",
        &tables::ORDERS,
        "Order",
        ("state", OPEN_OR_CLOSED),
    ),
    Resource::One(&ORDER),
    within(
        "/orders/{order}/slots",
        "slots of an order",
        &tables::SLOTS,
        "Slot",
        (&ORDER, "order_id"),
    ),
    within(
        "/orders/{order}/lanes",
        "lanes of a session",
        &tables::LANES,
        "Lane",
        (&ORDER, "order_id"),
    ),
    within(
        "/orders/{order}/events",
        "events about an order",
        &tables::EVENTS,
        "Event",
        (&ORDER, "order_id"),
    ),
    within(
        "/orders/{order}/non-matches",
        "why candidates for an order were not taken",
        &tables::NON_MATCHES,
        "NonMatch",
        (&ORDER, "order_id"),
    ),
    Resource::List(List {
        fixed: Some(("shape", "session")),
        ..all("/sessions", "sessions", &tables::ORDERS, "Order")
    }),
    Resource::One(&SLOT),
    within(
        "/slots/{slot}/events",
        "events about a slot",
        &tables::EVENTS,
        "Event",
        (&SLOT, "slot_id"),
    ),
    within(
        "/slots/{slot}/non-matches",
        "why candidates for a slot were not taken",
        &tables::NON_MATCHES,
        "NonMatch",
        (&SLOT, "slot_id"),
    ),
    within(
        "/slots/{slot}/receipts",
        "receipts of a slot",
        &tables::RECEIPTS,
        "Receipt",
        (&SLOT, "slot_id"),
    ),
    within(
        "/slots/{slot}/verdicts",
        "verdicts on a slot",
        &tables::VERDICTS,
        "Verdict",
        (&SLOT, "slot_id"),
    ),
    within(
        "/slots/{slot}/judgements",
        "judgements on a slot",
        &tables::JUDGEMENTS,
        "Judgement",
        (&SLOT, "slot_id"),
    ),
    within(
        "/slots/{slot}/disputes",
        "disputes about a slot",
        &tables::DISPUTES,
        "Dispute",
        (&SLOT, "slot_id"),
    ),
    within(
        "/slots/{slot}/slashes",
        "slashes for a slot",
        &tables::SLASHES,
        "Slash",
        (&SLOT, "slot_id"),
    ),
    filtered(
        "/lanes",
        "lanes",
        &tables::LANES,
        "Lane",
        ("state", &["open", "closing", "closed"]),
    ),
    Resource::One(&LANE),
    within(
        "/lanes/{slot}/batches",
        "batches of a lane",
        &tables::BATCHES,
        "Batch",
        (&LANE, "lane"),
    ),
    filtered(
        "/batches",
        "batches",
        &tables::BATCHES,
        "Batch",
        ("state", &["open", "settled", "refunded"]),
    ),
    Resource::One(&BATCH),
    filtered(
        "/receipts",
        "receipts",
        &tables::RECEIPTS,
        "Receipt",
        ("state", &["pending", "settled", "refunded", "replaced"]),
    ),
    Resource::One(&RECEIPT),
    Resource::List(all("/verdicts", "verdicts", &tables::VERDICTS, "Verdict")),
    filtered(
        "/judgements",
        "judgements",
        &tables::JUDGEMENTS,
        "Judgement",
        ("verdict", &["valid", "invalid", "unopened", "undecided"]),
    ),
    filtered(
        "/disputes",
        "disputes",
        &tables::DISPUTES,
        "Dispute",
        (
            "state",
            &["open", "decided", "understaffed", "appealed", "turned"],
        ),
    ),
    filtered(
        "/slashes",
        "slashes",
        &tables::SLASHES,
        "Slash",
        ("reason", SLASH_REASONS),
    ),
    filtered(
        "/non-matches",
        "why candidates were not taken",
        &tables::NON_MATCHES,
        "NonMatch",
        ("reason", REASONS),
    ),
    Resource::List(all(
        "/nodes",
        "workers and verifiers",
        &tables::NODES,
        "Node",
    )),
    Resource::One(&NODE),
    within(
        "/nodes/{address}/offers",
        "offers of a worker",
        &tables::OFFERS,
        "Offer",
        (&NODE, "worker"),
    ),
    within(
        "/nodes/{address}/lanes",
        "lanes of a worker",
        &tables::LANES,
        "Lane",
        (&NODE, "worker"),
    ),
    within(
        "/nodes/{address}/batches",
        "batches of a worker",
        &tables::BATCHES,
        "Batch",
        (&NODE, "worker"),
    ),
    within(
        "/nodes/{address}/receipts",
        "receipts of a worker",
        &tables::RECEIPTS,
        "Receipt",
        (&NODE, "worker"),
    ),
    within(
        "/nodes/{address}/verdicts",
        "verdicts of a verifier",
        &tables::VERDICTS,
        "Verdict",
        (&NODE, "verifier"),
    ),
    within(
        "/nodes/{address}/non-matches",
        "why a worker was not taken",
        &tables::NON_MATCHES,
        "NonMatch",
        (&NODE, "worker"),
    ),
    filtered(
        "/offers",
        "offers",
        &tables::OFFERS,
        "Offer",
        ("state", &["registered", "withdrawn"]),
    ),
];
