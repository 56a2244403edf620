//! Every limit on what comes from outside, in one place: unit last, reason beside it.
//!
//! Relations between limits are checked at compile time at the end of the file.

/// Bytes of a chain's name with its tag.
pub const CHAIN_ID_BYTES_MAX: usize = 48;
/// Bytes of the name that its founders give a chain.
pub const CHAIN_NAME_BYTES_MAX: usize = 31;
/// Bytes of a spec that travels inside its order. Larger specs are blobs: blocks hold no bulk data.
pub const SPEC_INLINE_BYTES_MAX: usize = 1_024;
/// Bytes of one blob (a spec or an output) on the data plane.
pub const BLOB_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Bytes of the spec of one request in a session: so many that a batch's sampled leaves fit one blob.
pub const SESSION_SPEC_BYTES_MAX: usize = 128 * 1_024;
/// Requests of one batch that are checked at most.
pub const BATCH_SAMPLES_MAX: usize = 16;
/// Who says what a batch's samples give: its worker, and the verifiers of both draws.
pub const BATCH_VOICES_MAX: usize = 17;
/// Requests that one batch holds at most.
pub const BATCH_REQUESTS_MAX: u32 = 16_384;
/// The same as a length.
pub const BATCH_LEAVES_MAX: usize = 16_384;
/// Batches of one lane that wait for their settlement at a time.
pub const BATCHES_OPEN_MAX: u32 = 16;
/// Bytes of the hint that a worker gives to verifiers: four for each of 16,384 tokens.
pub const HINT_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of a chunk of output on its way to the buyer.
pub const CHUNK_BYTES_MAX: usize = 256 * 1_024;
/// Slots (replicas) of one order. A draw of five more verifiers than slots must stay cheap.
pub const SLOTS_MAX: usize = 16;
/// Delegates of one account: an account's report names them all.
pub const DELEGATES_MAX: usize = 16;
/// Funding streams of one order.
pub const FUNDING_STREAMS_MAX: usize = 8;
/// Capabilities that an order asks for, or an offer names.
pub const CAPABILITIES_MAX: usize = 16;
/// Bytes of one capability or region name.
pub const NAME_BYTES_MAX: usize = 32;
/// Bytes of a peer address (identity, socket addresses) inside an offer.
pub const ENDPOINT_BYTES_MAX: usize = 256;
/// Kinds that the catalogue holds, retired ones too: a vote adds each, and an answer lists them all.
pub const SERVICES_MAX: usize = 64;
/// What the catalogue holds of one kind: what is in force, and what is planned.
pub const SERVICE_ENTRIES_MAX: usize = 4;
/// Service kinds that one verifier enrols for.
pub const VERIFIER_KINDS_MAX: usize = 16;
/// Verifiers in the pool. A draw reads all of them.
pub const VERIFIERS_MAX: usize = 1_024;
/// Offers of one kind that one match looks at.
pub const OFFERS_PER_KIND_MAX: usize = 1_024;
/// Candidates whose non-match reason one event reports; the rest is given as a count.
pub const CANDIDATES_REPORTED_MAX: usize = 32;
/// Verifiers in one draw (five in a dispute).
pub const DRAWN_MAX: usize = 8;
/// Links of one verifier's hash chain: its owner takes some milliseconds to find any of them.
pub const LINKS_MAX: u32 = 65_536;
/// Links of a verifier's hash chain that are asked for after the newest that it revealed. To check one costs as many hashes: about what it costs to check the
/// signature of the transaction that reveals it.
pub const LINKS_OPEN_MAX: u32 = 256;
const _: () = assert!(
    LINKS_OPEN_MAX < LINKS_MAX,
    "a chain is not used up by what is open"
);
/// Workers excluded from a slot after they failed it.
pub const EXCLUDED_MAX: usize = 8;
/// Bytes of one signed transaction: the largest action is a `PostOrder` with an inline spec.
pub const TX_BYTES_MAX: usize = 4_096;
/// Bytes of what an exhibit shows to the referee: a row of logits of 200,000 tokens, or the weights of the widest tile.
pub const EXHIBIT_BYTES_MAX: usize = 960 * 1_024;
/// Bytes of a transaction that exhibits; it pays for each.
pub const EXHIBIT_TX_BYTES_MAX: usize = EXHIBIT_BYTES_MAX + TX_BYTES_MAX;
/// Children of a node of a run.
pub const APPEAL_CHILDREN_MAX: usize = 16;
/// Nodes between the root of a run and a cell at most: a section, seven levels of values, and four within a value that fits an exhibit.
pub const APPEAL_PATH_MAX: usize = 12;
/// Moves of one side in a game at most, once both have shown their runs: it opens every node of the path, and exhibits the cell.
pub const APPEAL_MOVES_MAX: u64 = 13;
/// Who may have to defend a verdict, one after the other: one honest one among them holds it.
pub const APPEAL_DEFENDERS_MAX: usize = 3;
/// Who may appeal one verdict, one after the other: everybody who loses by it has a turn of its own, which no other can take. With the
/// governed values at their greatest these are the worker, four of the first draw and three of a dispute.
pub const APPELLANTS_MAX: usize = 8;
/// Bytes of the spec of work whose verdict can be appealed: beside it an exhibit holds what a cell follows from.
pub const APPEAL_SPEC_BYTES_MAX: u64 = 64 * 1_024;
/// Bytes of the output of such work: it is shown whole, with its spec and with what leads to the ends of a run.
pub const APPEAL_OUTPUT_BYTES_MAX: u64 = 768 * 1_024;
/// Times that the referee is asked in one block at most: each takes validators some milliseconds.
pub const REFEREE_ASKED_MAX: usize = 8;
/// Bytes of all transactions in one block.
pub const BLOCK_TX_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// Transactions in one block.
pub const BLOCK_TXS_MAX: usize = 8_192;
/// Events of one block. The ledger refuses a transaction whose events would leave no room for the end of the block.
pub const BLOCK_EVENTS_MAX: usize = 65_536;
/// Events that beginning and end of a block may need: a slot that is judged emits at most thirty, an unbonding two, a try to match two, a
/// proposal whose time is up four, stake that leaves a candidate or goes free behind it two, a vote that
/// leaves the state one, an epoch one and one for each seat, and a halt of withdrawals one.
pub const END_OF_BLOCK_EVENTS_MAX: usize = SWEEP_ITEMS_MAX * 30
    + SWEEP_ITEMS_MAX * 2
    + MATCH_RETRIES_PER_BLOCK_MAX * 2
    + PROPOSALS_DUE_MAX * 4
    + SWEEP_ITEMS_MAX * 2
    + VOTES_SWEPT_MAX
    + VALIDATORS_MAX
    + 2;
/// Due items that one block works off; the rest carries over to the next block.
pub const SWEEP_ITEMS_MAX: usize = 256;
/// Slots for which the beginning of a block draws, and slots whose windows its end works off: each half of what a block works off, so that many new orders
/// hold up no windows, nor many windows draws.
pub const SLOTS_SWEPT_MAX: usize = SWEEP_ITEMS_MAX / 2;
/// Records that the ledger reads at the end of a block to check its invariants: with the default of 300 blocks, a state of 76,800 in an epoch.
pub const AUDIT_RECORDS_MAX: usize = 256;
/// Unmatched slots that one block tries again: each looks at all offers of its kind, and nobody pays for a try.
pub const MATCH_RETRIES_PER_BLOCK_MAX: usize = 32;
/// Bytes of one encoded event: the seats of an epoch, with their vote keys, take most.
pub const EVENT_BYTES_MAX: usize = 8_192;
/// Accounts named in a genesis file.
pub const GENESIS_ACCOUNTS_MAX: usize = 4_096;
/// Validators in a genesis file.
pub const VALIDATORS_MAX: usize = 64;
/// Validators that one answer lists at most: those of the genesis and those with seats.
pub const VALIDATORS_LISTED_MAX: usize = 2 * VALIDATORS_MAX;
/// Governed values that a genesis file overrides.
pub const GENESIS_PARAMS_MAX: usize = 256;
/// Bytes of a finality certificate: one aggregate signature, a bitmap and the proposal.
pub const CERTIFICATE_BYTES_MAX: usize = 1_024;
/// Handovers of seats in one file.
pub const HANDOVERS_MAX: usize = 4_096;
/// Headers between a block and the certificate that finalises it through a descendant.
pub const DESCENDANTS_MAX: usize = 64;
/// Levels of a Merkle path: trees of up to 2^24 leaves.
pub const MERKLE_PATH_MAX: usize = 24;
/// Events that one page of the node protocol carries.
pub const EVENT_PAGE_MAX: usize = 512;
/// Outcomes of transactions in one page: with their longest reasons they stay far below a message.
pub const OUTCOME_PAGE_MAX: usize = 1_024;
/// Records (accounts, offers, orders) that one page of the node protocol carries.
pub const RECORD_PAGE_MAX: usize = 256;
/// Bytes of a key of the ledger's state; all are shorter.
pub const STATE_KEY_BYTES_MAX: usize = 128;
/// Bytes of what the store says about one key: the largest record of its own or of a neighbour, and a path.
pub const STATE_PROOF_BYTES_MAX: usize = 1_024 * 1_024 + 16 * 1_024;
/// Operations of the store of the state in one part: so few that a disk reads them at once.
pub const STATE_OPERATIONS_MAX: u32 = 256;
/// Bytes of one part of the state: more than the largest operation with its proof has.
pub const STATE_PART_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// Proposals that wait for the rest of their deposit: so many that the wait is short, and that one look finds them all.
pub const PROPOSALS_WAITING_MAX: usize = 16;
/// Proposals that are voted on at a time: each may add one number to the history of a stake that changes.
pub const VOTINGS_MAX: usize = 16;
/// How many of them may be anything but a pause or a cancellation: what stops harm must find a place.
pub const VOTINGS_ORDINARY_MAX: usize = 12;
/// Reports of double votes whose signatures a block checks: two pairings each, some milliseconds of every validator.
pub const REPORTS_CHECKED_MAX: usize = 4;
/// Candidates that stand for seats at a time: the end of an epoch reads all of them.
pub const CANDIDATES_MAX: usize = 128;
/// Registrations of candidates whose keys a block checks: a pairing each.
pub const REGISTRATIONS_CHECKED_MAX: usize = 4;
/// Candidates that one account has delegated to: a report names them all.
pub const DELEGATIONS_MAX: usize = 32;
/// Who may pay for one proposal's deposit.
pub const PROPOSAL_DEPOSITORS_MAX: usize = 16;
/// Proposals that are over and still known by their number; what was before them stands in the events.
pub const PROPOSALS_ENDED_MAX: usize = 64;
/// Proposals whose time is up that the end of one block takes on.
pub const PROPOSALS_DUE_MAX: usize = 16;
/// Votes of votings that are over that the end of one block removes.
pub const VOTES_SWEPT_MAX: usize = 256;
/// Changes of rules that one chain has in its life: the state keeps each.
pub const UPGRADES_MAX: usize = 256;
/// Readings and writings of a migration, so that the block that it begins with is made within the time of a view.
pub const MIGRATION_STEPS_MAX: usize = 262_144;
/// Bytes of a proposal's title: a line.
pub const TITLE_BYTES_MAX: usize = 128;
/// Bytes of a human-readable text in a message (reason, note).
pub const TEXT_BYTES_MAX: usize = 512;

const _: () = assert!(
    TX_BYTES_MAX > SPEC_INLINE_BYTES_MAX + 2_048,
    "a PostOrder with a full inline spec fits one transaction"
);
const _: () = assert!(
    BLOCK_TX_BYTES_MAX >= 64 * TX_BYTES_MAX,
    "a block holds many of the largest transactions"
);
const _: () = assert!(
    BLOCK_EVENTS_MAX >= BLOCK_TXS_MAX + END_OF_BLOCK_EVENTS_MAX,
    "a full block of transfers fits"
);
const _: () = assert!(
    1 << MERKLE_PATH_MAX >= BLOCK_EVENTS_MAX,
    "a path can prove every event of a block"
);
const _: () = assert!(
    HINT_BYTES_MAX + 1_024 <= BLOB_BYTES_MAX,
    "a disclosure fits one blob"
);
const _: () = assert!(
    BATCH_SAMPLES_MAX * (SESSION_SPEC_BYTES_MAX + HINT_BYTES_MAX + 8_192)
        + BATCH_LEAVES_MAX * 48
        + 2_048
        <= BLOB_BYTES_MAX,
    "the sampled requests of a batch fit one blob with the list of its leaves"
);
const _: () = assert!(
    BATCH_SAMPLES_MAX * 136 + 1_024 <= TX_BYTES_MAX,
    "what is shown of a batch, and what opens it, fits one transaction"
);
const _: () = assert!(
    BATCH_LEAVES_MAX == 16_384
        && BATCH_REQUESTS_MAX == 16_384
        && BATCH_LEAVES_MAX <= 1 << MERKLE_PATH_MAX,
    "every leaf of a batch has a path"
);
const _: () = assert!(
    2 * EXHIBIT_TX_BYTES_MAX <= BLOCK_TX_BYTES_MAX,
    "a block holds the exhibits of both sides"
);
const _: () = assert!(
    APPEAL_PATH_MAX == 12 && APPEAL_MOVES_MAX == 13,
    "a side opens every node of the path, and exhibits"
);
const _: () = assert!(
    EXHIBIT_BYTES_MAX == 983_040
        && APPEAL_SPEC_BYTES_MAX + APPEAL_OUTPUT_BYTES_MAX + 64 * 1_024 <= 983_040,
    "what binds a run fits an exhibit"
);
const _: () = assert!(
    BATCH_LEAVES_MAX * 48 + 4_096 <= EXHIBIT_BYTES_MAX,
    "what shows a leaf of a batch fits an exhibit"
);
const _: () = assert!(
    BATCH_VOICES_MAX == 2 * DRAWN_MAX + 1,
    "a worker, and all of two draws"
);
const _: () = assert!(DRAWN_MAX >= 5, "a dispute draws five");
