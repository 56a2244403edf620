//! The table language: one line, one step; the refusal that is expected stands behind `=>`.
//!
//! ```text
//! accounts A B W V1 V2           everyone has 10000 coins and bonds nothing
//! param challenge_window 2000    before `accounts`
//! A: transfer B 5                A sends a transaction in a block of its own; must be done
//! A: transfer A 5 => to_self     must be refused with that reason
//! A: transfer A 5 => anything    may be done or be refused
//! blocks 2                       two empty blocks, 10 ms apart
//! height 60                      empty blocks until that one is there
//! wait 20000                     empty blocks until so many milliseconds of chain time have passed
//! expect balance B 10005         a balance; also bonded, phase, closed, duty, event, no-event, worker,
//!                                candidate, proposal, tally, param, charged, treasury, service
//! ```
//! `tamper balance A 5` edits a record behind the ledger's back (`audit`). `referee` lets verdicts be appealed. A run is written as its cells: `a/b.c` has the cell `a` and a node over the cells `b` and `c`,
//! `^9:a` the cell `a` below nine nodes of one child. `appeal` and `defend` bind it to an output of its last cell, or to that of `of=`.
//! A batch with `leaves=right,wrong` has a root over such leaves, and verbs about it say what each of its *leaves* gives, `missing` that it was not
//! shown. What binds is then a run of the `sample=`, or what `shows=` says: `leaf`, `nothing`, or a leaf with something wrong about it.
//! `worker` is the matched worker of an order, `d1`, `d2` … the drawn verifiers of its present draw, `f1` and `f2` those of the first, `linker` the one that is asked for its link, `right` and `wrong` are traces, `nospec` is that of an order whose spec is nowhere to be had. Numbers of money are coins. `#` begins a comment.

pub(crate) mod audit;
mod candidates;
mod expected;
mod governance;
mod reports;
mod sessions;

use crate::referee;
use crate::world::{World, chain_of, coins, key_of};
use fairweir_ledger::{params, refusal};
use fairweir_types::{
    Action, Address, BoundedBytes, BoundedText, BoundedVec, Boxed, ByteCount, ChainId, Digest,
    Height, Millis, Nonce, Receipt, SecretKey, SignedReceipt, TxCode, Units,
    catalogue::{KnownKind, Versions},
    order::{
        Demand, KindId, Offer, OrderHeader, OrderId, PriceVector, Privacy, Requirements, Rounds,
        SlotId, SlotRole, UnitVector, Urgency,
    },
    receipt::{Tier, missing_spec_trace, output_commitment, verdict_commitment},
    session::{batch_slot, batch_trace},
    tx,
};
use std::collections::BTreeMap;

const KIND: KindId = KindId(1);
const SALT: [u8; 32] = [5; 32];
const NONCE: [u8; 32] = [6; 32];

struct Line<'a> {
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Self {
        let (options, words): (Vec<_>, Vec<_>) =
            text.split_whitespace().partition(|word| word.contains('='));
        let options = options
            .into_iter()
            .map(|option| option.split_once('=').unwrap())
            .collect();
        Self { words, options }
    }

    fn word(&self, position: usize) -> &'a str {
        self.words
            .get(position)
            .copied()
            .unwrap_or_else(|| panic!("word {position} is missing"))
    }

    fn option<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        self.options.get(name).map_or(default, |value| {
            value
                .parse()
                .unwrap_or_else(|_| panic!("bad {name}={value}"))
        })
    }
}

/// Runs a script; panics with the line that fails.
pub(crate) fn run(name: &str, text: &str) -> Option<World> {
    run_on(None, name, text)
}

/// Runs a script on a world that there is.
pub(crate) fn run_on(mut world: Option<World>, name: &str, text: &str) -> Option<World> {
    let mut params = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let step = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            step(&mut world, &mut params, line)
        }));
        if step.is_err() {
            let events: Vec<_> = world
                .iter()
                .flat_map(|world| world.last.events.iter())
                .collect();
            panic!("{name}:{number}: {line}\nlast events: {events:#?}");
        }
    }
    assert!(world.iter().all(World::are_blocks_whole));
    world
}

/// Every code that an action or an envelope can be refused with must be expected somewhere.
pub(crate) fn assert_every_code_is_expected(scripts: &str) {
    let missing: Vec<_> = refusal::CODES
        .iter()
        .filter(|(code, _)| !matches!(code, 0 | 99))
        .map(|(_, name)| *name)
        // Full blocks, and pools and lists of a thousand, need more than a line: see `full_block` and `full_lists`.
        .filter(|name| {
            ![
                "block_full",
                "verifier_pool_full",
                "too_many_offers",
                "asked_in_this_block",
                "too_many_reports",
                "too_many_registrations",
                "too_many_candidates",
                "too_many_delegations",
                "too_many_upgrades",
                "catalogue_full",
            ]
            .contains(name)
        })
        .filter(|name| !scripts.contains(&format!("=> {name}")))
        .collect();
    assert!(missing.is_empty(), "no script expects {missing:?}");
}

fn step(world: &mut Option<World>, params: &mut Vec<(u16, u64)>, line: &str) {
    if let Some(names) = line.strip_prefix("accounts ") {
        let names: Vec<&str> = names.split_whitespace().collect();
        params.sort_unstable();
        *world = Some(World::new(&names, params));
        return;
    }
    if let Some(param) = line.strip_prefix("param ") {
        let (name, value) = param.split_once(' ').unwrap();
        params.push((params::number_of(name).unwrap(), value.parse().unwrap()));
        return;
    }
    let world = world.as_mut().unwrap();
    if line == "referee" {
        world.referee.knows = true;
    } else if let Some(count) = line.strip_prefix("blocks ") {
        for _ in 0..count.parse().unwrap() {
            world.block(10, &[]);
        }
    } else if let Some(height) = line.strip_prefix("height ") {
        let height: u64 = height.parse().unwrap();
        assert!(world.height <= height, "block {} is there", world.height);
        while world.height < height {
            world.block(10, &[]);
        }
    } else if let Some(time) = line.strip_prefix("wait ") {
        let mut left: u64 = time.parse().unwrap();
        while left > 0 {
            let gap = left.min(5_000);
            world.block(gap, &[]);
            left -= gap;
        }
    } else if let Some(names) = line.strip_prefix("silent") {
        world.silent = names
            .split_whitespace()
            .map(crate::world::identity_of)
            .collect();
    } else if let Some(what) = line.strip_prefix("tamper ") {
        audit::tamper(world, &Line::of(what));
    } else if let Some(expected) = line.strip_prefix("expect ") {
        expected::expect(world, &Line::of(expected));
    } else {
        transact(world, line);
    }
}

fn transact(world: &mut World, line: &str) {
    let (line, expected) = line.split_once(" => ").unwrap_or((line, "ok"));
    let (who, rest) = line.split_once(": ").unwrap();
    let line = Line::of(rest);
    let key = actor(world, who, &line);
    let action = action(world, &key, &line);
    let mut transaction = world.transaction(&key, action);
    transaction.nonce = Nonce(
        transaction
            .nonce
            .get()
            .checked_add_signed(line.option("nonce", 0))
            .unwrap(),
    );
    transaction.fee = coins(
        line.options
            .get("fee")
            .copied()
            .unwrap_or(crate::world::FEE),
    );
    transaction.expiry = Height(
        transaction
            .expiry
            .get()
            .checked_add_signed(line.option("expiry", 0))
            .unwrap(),
    );
    if let Some(chain) = line.options.get("chain") {
        transaction.chain_id = ChainId::new(chain).unwrap();
    }
    if let Action::PostOrder(_) | Action::OpenSession(_) = &transaction.action {
        let id = OrderId::of(&crate::world::chain_id(), key.address(), transaction.nonce);
        world.orders.insert(line.word(1).to_owned(), id);
    }
    if let Action::SubmitProposal(_) = &transaction.action {
        governance::name_next(world, line.word(1));
    }
    if let (Action::PostBatch(post), Some(name)) = (&transaction.action, line.words.get(2)) {
        let number = fairweir_ledger::market::slot(&world.state, post.lane)
            .unwrap()
            .and_then(|slot| slot.lane)
            .map_or(0, |lane| lane.batches);
        let id = batch_slot(&post.lane, number).order;
        world.orders.insert((*name).to_owned(), id);
        if let Some(leaves) = line.options.get("leaves") {
            let leaves = leaves.split(',').map(str::to_owned).collect();
            world.leaves.insert((*name).to_owned(), leaves);
        }
    }
    let tx = transaction.sign(&key).verify().unwrap();
    if expected != "anything" {
        referee::assert_room_is_kept_for_players(&world.state, &tx, expected);
    }
    let mut context = world.context();
    context.height = Height(world.height + 1);
    if let Err(error) = fairweir_ledger::check_envelope(&world.state, &context, &tx) {
        assert_ne!(expected, "anything", "{error}");
        assert_eq!(error.name(), expected, "{error}");
        assert_eq!(refusal::name(TxCode(error.code())), expected);
        return;
    }
    let before = world.state.clone();
    world.block(10, std::slice::from_ref(&tx));
    let outcome = &world.last.outcomes[0];
    let found = refusal::name(outcome.code);
    let expected = if expected == "anything" {
        found
    } else {
        expected
    };
    assert_eq!(found, expected, "{}", outcome.reason);
    assert_eq!(outcome.is_done(), expected == "ok");
    if expected != "ok" {
        crate::world::assert_only_the_fee_changed(&before, world, key.address());
    }
}

fn actor(world: &World, who: &str, line: &Line<'_>) -> SecretKey {
    if let Some(key) = world.keys.get(who) {
        return key.clone();
    }
    let slot = world
        .slot(line.word(1))
        .unwrap_or_else(|| panic!("{who} of a closed slot"));
    let number_in = |draw: &fairweir_ledger::market::Draw, number: &str| {
        draw.as_slice()[number.parse::<usize>().unwrap() - 1].verifier
    };
    if who == "linker" {
        let asked = slot.batch.and_then(|batch| batch.link).unwrap();
        return world.keys[&world.name_of(asked.verifier)].clone();
    }
    if let Some(number) = who.strip_prefix('f') {
        return world.keys[&world.name_of(number_in(&slot.first, number))].clone();
    }
    let address = match who.strip_prefix('d') {
        None => slot.worker.unwrap(),
        Some(number) => {
            let draw = if slot.dispute.is_empty() {
                &slot.first
            } else {
                &slot.dispute
            };
            number_in(draw, number)
        }
    };
    world.keys[&world.name_of(address)].clone()
}

fn output(line: &Line<'_>) -> Digest {
    Digest::of_blob(line.words.get(2).copied().unwrap_or("right").as_bytes())
}

/// The trace of an output under the units of the slot's receipt, or under those that the line gives.
fn trace(world: &World, line: &Line<'_>) -> Digest {
    let receipt = world
        .orders
        .get(line.word(1).split('/').next().unwrap())
        .and_then(|_| world.slot(line.word(1))?.receipt);
    if line.words.get(2) == Some(&"nospec") {
        return missing_spec_trace(&world.slot_id(line.word(1)));
    }
    if let Some(traces) = sessions::sample_traces(world, line) {
        return batch_trace(&world.slot_id(line.word(1)), &traces);
    }
    let units = match (line.options.get("own-units"), receipt) {
        (None, Some(signed)) => signed.receipt.units,
        (own, _) => units(own.map_or_else(
            || line.option("units", 1_000_000),
            |own| own.parse().unwrap(),
        )),
    };
    fairweir_types::receipt::trace(&Digest::of_blob(b"spec"), &output(line), &units)
}

fn tier(world: &World, slot: &str) -> Tier {
    if slot == "nothing" {
        return Tier::First;
    }
    match world.slot(slot) {
        Some(slot) if !slot.dispute.is_empty() => Tier::Dispute,
        _ => Tier::First,
    }
}

fn address(world: &World, name: &str) -> Address {
    if name == "treasury" {
        return fairweir_types::governance::TREASURY;
    }
    world
        .keys
        .get(name)
        .map_or_else(|| key_of(name).address(), SecretKey::address)
}

fn some_slot(world: &World, line: &Line<'_>) -> SlotId {
    if line.word(1) == "nothing" {
        SlotId {
            order: OrderId::default(),
            slot: 0,
        }
    } else {
        world.slot_id(line.word(1))
    }
}

fn some_order(world: &World, line: &Line<'_>) -> OrderId {
    world.orders.get(line.word(1)).copied().unwrap_or_default()
}

/// What binds a run to its trace: the run, and the output that it was made of (`of=`).
fn bound<const MAX: usize>(line: &Line<'_>) -> BoundedBytes<MAX> {
    let run = line.word(2);
    let output = line.options.get("of").copied();
    let output = output.unwrap_or_else(|| referee::output_of(run));
    BoundedBytes::new(format!("{run} {output}").into_bytes()).unwrap()
}

fn action(world: &World, key: &SecretKey, line: &Line<'_>) -> Action {
    match line.word(0) {
        "transfer" => Action::Transfer(tx::Transfer {
            to: address(world, line.word(1)),
            amount: coins(line.word(2)),
        }),
        "bond" => Action::Bond(tx::Bond {
            amount: coins(line.word(1)),
        }),
        "unbond" => Action::Unbond(tx::Unbond {
            amount: coins(line.word(1)),
        }),
        "offer" => Action::RegisterOffer(Boxed::new(tx::RegisterOffer {
            offer: offer(world, key, line),
        })),
        "withdraw" => Action::WithdrawOffer(tx::WithdrawOffer { kind: kind(line) }),
        "enrol" => Action::EnrolVerifier(tx::EnrolVerifier {
            owner: line
                .options
                .get("owner")
                .map_or(key.address(), |name| address(world, name)),
            kinds: BoundedVec::truncating((0..line.option("kinds", 1)).map(|number| KnownKind {
                kind: KindId(kind(line).0 + number),
                versions: versions(line),
            })),
            seal_key: [0; 32],
            hash_chain: chain_of(
                key.address(),
                line.option("hash-chain", 0),
                line.option("links", 64),
            ),
        }),
        "leave" => Action::LeaveVerifiers(tx::LeaveVerifiers {}),
        "order" => Action::PostOrder(Boxed::new(tx::PostOrder {
            header: header(line),
        })),
        "session" if line.options.contains_key("for") => {
            Action::OpenSession(Boxed::new(tx::OpenSession {
                owner: address(world, line.options["for"]),
                header: sessions::session(world, line),
            }))
        }
        "grant" => Action::GrantDelegate(tx::GrantDelegate {
            delegate: address(world, line.word(1)),
            cap: coins(line.options.get("cap").copied().unwrap_or("100")),
            until: Millis(world.time.saturating_add(line.option("for", 60_000))),
        }),
        "revoke" => Action::RevokeDelegate(tx::RevokeDelegate {
            delegate: address(world, line.word(1)),
        }),
        "session" => Action::PostOrder(Boxed::new(tx::PostOrder {
            header: sessions::session(world, line),
        })),
        "batch" => Action::PostBatch(Boxed::new(sessions::post_batch(world, key, line))),
        "show" => Action::ShowLeaves(Boxed::new(sessions::show_leaves(world, key, line))),
        "open-batch" => Action::OpenBatch(Boxed::new(sessions::open_batch(world, line))),
        "close" => Action::CloseSession(tx::CloseSession {
            order: some_order(world, line),
        }),
        "link" => Action::RevealLink(tx::RevealLink {
            slot_id: some_slot(world, line),
            link: match line.words.get(2) {
                Some(other) => Digest::of_blob(other.as_bytes()),
                None if line.word(1) == "nothing" => Digest::ZERO,
                None => world.link(line.word(1)),
            },
        }),
        "share" => Action::ShareLeaves(Boxed::new(sessions::share_leaves(world, line))),
        "raise" => Action::TopUpLane(tx::TopUpLane {
            lane: some_slot(world, line),
            amount: coins(line.word(2)),
        }),
        "topup" => Action::TopUp(tx::TopUp {
            order: some_order(world, line),
            amount: coins(line.word(2)),
        }),
        "cancel" => Action::CancelOrder(tx::CancelOrder {
            order: some_order(world, line),
        }),
        "receipt" => Action::SubmitReceipt(Boxed::new(tx::SubmitReceipt {
            receipt: receipt(world, key, line),
        })),
        "commit" => {
            let slot_id = some_slot(world, line);
            let trace = trace(world, line);
            let committer = line
                .options
                .get("copies")
                .map_or(key.address(), |name| address(world, name));
            let commitment = verdict_commitment(committer, &slot_id, &NONCE, &trace);
            Action::CommitVerdict(tx::CommitVerdict {
                slot_id,
                tier: tier(world, line.word(1)),
                commitment,
            })
        }
        "open" => Action::OpenReceipt(tx::OpenReceipt {
            slot_id: some_slot(world, line),
            salt: SALT,
            output: output(line),
        }),
        "reveal" => Action::RevealVerdict(tx::RevealVerdict {
            slot_id: some_slot(world, line),
            tier: tier(world, line.word(1)),
            nonce: NONCE,
            trace: trace(world, line),
            samples: sessions::told_traces(world, line),
        }),
        "challenge" => Action::Challenge(tx::Challenge {
            slot_id: some_slot(world, line),
            at: line.options.get("at").map(|at| coins(at)),
        }),
        "appeal" => Action::Appeal(Boxed::new(tx::Appeal {
            slot_id: some_slot(world, line),
            sample: line.option("sample", 0),
            run: referee::digest(line.word(2)),
            bound: sessions::bound(world, line).unwrap_or_else(|| bound(line)),
        })),
        "defend" => Action::Defend(Boxed::new(tx::Defend {
            slot_id: some_slot(world, line),
            run: referee::digest(line.word(2)),
            bound: sessions::bound(world, line).unwrap_or_else(|| bound(line)),
        })),
        "open-node" => Action::OpenNode(Boxed::new(tx::OpenNode {
            slot_id: some_slot(world, line),
            depth: line.option("depth", 0),
            children: BoundedVec::new(referee::children(line.word(2))).unwrap(),
        })),
        "exhibit" => Action::Exhibit(Boxed::new(tx::Exhibit {
            slot_id: some_slot(world, line),
            shown: BoundedBytes::new(line.word(2).as_bytes().to_vec()).unwrap(),
        })),
        other => governance::action(world, line)
            .or_else(|| reports::action(world, line))
            .or_else(|| candidates::action(world, key, line))
            .unwrap_or_else(|| panic!("no verb {other}")),
    }
}

/// `kind=2`, of which there is work.
fn kind(line: &Line<'_>) -> KindId {
    KindId(line.option("kind", KIND.0))
}

/// `versions=1-2`: what a worker's or a verifier's program knows.
fn versions(line: &Line<'_>) -> Versions {
    let given = line.options.get("versions").copied().unwrap_or("1");
    let (oldest, newest) = given.split_once('-').unwrap_or((given, given));
    Versions {
        oldest: oldest.parse().unwrap(),
        newest: newest.parse().unwrap(),
    }
}

fn units(input: u64) -> UnitVector {
    UnitVector {
        input: Units(input),
        ..UnitVector::default()
    }
}

fn demand(line: &Line<'_>) -> Demand {
    Demand {
        units: units(line.option("units", 1_000_000)),
        bytes_in: ByteCount(line.option("bytes", 4)),
        bytes_out_max: ByteCount(100),
        memory_max: ByteCount(100),
        execution_max: Millis(line.option("execution", 10_000)),
    }
}

fn prices(line: &Line<'_>) -> PriceVector {
    PriceVector {
        input: coins(line.options.get("price").copied().unwrap_or("1")),
        ..PriceVector::default()
    }
}

fn names<const MAX: usize>(line: &Line<'_>, option: &str) -> BoundedVec<BoundedText<32>, MAX> {
    let given = line.options.get(option).copied().unwrap_or_default();
    BoundedVec::truncating(
        given
            .split(',')
            .filter(|name| !name.is_empty())
            .map(BoundedText::truncating),
    )
}

fn offer(world: &World, key: &SecretKey, line: &Line<'_>) -> Offer {
    Offer {
        kind: kind(line),
        versions: versions(line),
        digest: Digest::ZERO,
        prices: prices(line),
        capacity: line.option("capacity", 4),
        collateral: coins(line.options.get("collateral").copied().unwrap_or("100")),
        demand_max: Demand {
            units: units(line.option("units", 10_000_000)),
            bytes_in: ByteCount(1_000),
            bytes_out_max: ByteCount(1_000),
            memory_max: ByteCount(1_000),
            execution_max: Millis(60_000),
        },
        level: line.option("level", 1),
        capabilities: names(line, "capabilities"),
        region: line
            .options
            .get("region")
            .map(|region| BoundedText::truncating(region)),
        privacy_max: Privacy::Public,
        owner: line
            .options
            .get("owner")
            .map_or(key.address(), |name| address(world, name)),
        endpoint: BoundedBytes::new(vec![1; line.option("endpoint", 1)]).unwrap(),
    }
}

fn header(line: &Line<'_>) -> OrderHeader {
    let spec = b"spec".to_vec();
    let spec_digest = if line.options.contains_key("other-spec") {
        Digest::ZERO
    } else {
        Digest::of_blob(&spec)
    };
    OrderHeader {
        kind: kind(line),
        version: line.option("version", 1),
        spec_digest,
        spec_inline: (line.options.get("spec") != Some(&"blob"))
            .then(|| BoundedBytes::new(spec).unwrap()),
        demand: demand(line),
        slots: line.option("slots", 1),
        role: SlotRole::Worker,
        rounds: Rounds::Fixed(line.option("rounds", 1)),
        price_max: prices(line),
        urgency: if line.options.contains_key("urgent") {
            Urgency::High
        } else {
            Urgency::Normal
        },
        match_within: Millis(line.option("match", 5_000)),
        requirements: Requirements {
            level_min: line.option("level", 0),
            capabilities: names(line, "capabilities"),
            region: line
                .options
                .get("region")
                .map(|region| BoundedText::truncating(region)),
            stake_min: coins(line.options.get("stake").copied().unwrap_or("0")),
        },
        privacy: if line.options.contains_key("private") {
            Privacy::Confidential
        } else {
            Privacy::Public
        },
    }
}

fn receipt(world: &World, key: &SecretKey, line: &Line<'_>) -> SignedReceipt {
    let receipt = Receipt {
        chain_id: ChainId::new(
            line.options
                .get("receipt-chain")
                .copied()
                .unwrap_or("dev-test"),
        )
        .unwrap(),
        slot_id: some_slot(world, line),
        attempt: line.option("attempt", 0),
        kind: KindId(line.option("kind", 1)),
        version: line.option("version", 1),
        spec_digest: Digest::of_blob(
            line.options
                .get("spec")
                .copied()
                .unwrap_or("spec")
                .as_bytes(),
        ),
        units: units(line.option("units", 1_000_000)),
        disclosure: Digest::ZERO,
        output_commitment: Digest::ZERO,
    };
    let receipt = Receipt {
        output_commitment: line.options.get("copies").map_or_else(
            || {
                output_commitment(
                    key.address(),
                    &receipt.slot_id,
                    receipt.attempt,
                    &SALT,
                    &trace(world, line),
                )
            },
            |copied| {
                let copied = world.slot(copied).unwrap().receipt.unwrap();
                copied.receipt.output_commitment
            },
        ),
        ..receipt
    };
    let signer = line
        .options
        .get("signed-by")
        .map_or_else(|| key.clone(), |name| key_of(name));
    SignedReceipt::sign(receipt, &signer)
}
