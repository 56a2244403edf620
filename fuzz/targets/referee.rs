//! Plays a side of an appeal that shows whatever it likes: a run of its own making, opened as far as it wants, or bytes that are no exhibit.
//!
//! The first byte says which: a run whose values are given by their places (see `run`), what binds a run to a trace, or an exhibit.
#![no_main]

use fairweir_exact::{
    referee::{
        Question, decide, ends,
        tree::{Bag, DEPTH, Hash, Opened, Tree, digits, run as run_of, value},
    },
    sample::Parameters,
};
use fairweir_services::{
    Kind as _,
    inference::chat::{
        Chat, ChatSpec,
        referee::{Bound, Shown, Standing, bind, find, node},
    },
};
use fairweir_types::{
    Digest, Receipt, decode,
    order::{Demand, OrderId, SlotId, UnitVector},
};
use libfuzzer_sys::fuzz_target;
use std::time::{Duration, Instant};

/// Places of values in a section: rows enough for small models.
const PLACES: usize = 4096;
/// What a decision takes at most, with the fuzzer's counting.
const TIME_MAX: Duration = Duration::from_secs(5);

fuzz_target!(|bytes: &[u8]| {
    let start = Instant::now();
    match bytes.split_first() {
        Some((0, rest)) => drop(run(rest)),
        Some((1, rest)) => bound(rest),
        Some((_, rest)) => exhibit(rest),
        None => {}
    }
    assert!(start.elapsed() < TIME_MAX, "it takes longer than its fuel");
});

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(first)
}

fn number(bytes: &mut &[u8], count: usize) -> Option<u64> {
    let taken = take(bytes, count)?.iter().rev();
    Some(taken.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Flags, the file's length, tokens at most, the last step of the head, a path as section, place and digits within the value, and values: each
/// a section, a place, a length and bytes.
fn run(mut bytes: &[u8]) -> Option<()> {
    let bytes = &mut bytes;
    let flags = number(bytes, 1)?;
    let file_bytes = number(bytes, 8)?;
    let tokens_max = number(bytes, 1)? as usize;
    let head_at = number(bytes, 2)? as usize;
    let mut path = vec![number(bytes, 1)? as u8];
    path.extend(digits(number(bytes, 3)? as usize));
    let within = number(bytes, 1)? as usize % 8;
    path.extend(take(bytes, within)?);
    let (mut hashes, mut bag) = (<[Vec<Hash>; 4]>::default(), Bag::default());
    while let Some(section) = number(bytes, 1) {
        let place = number(bytes, 2)? as usize % PLACES;
        let length = number(bytes, 2)? as usize;
        let content = take(bytes, length)?;
        let hashes = &mut hashes[section as usize % 4];
        hashes.resize(hashes.len().max(place + 1), [0; 32]);
        hashes[place] = value(content);
        bag.add_value(content.to_vec());
    }
    let trees = hashes.map(Tree::new);
    for tree in &trees {
        add_nodes(&mut bag, tree, &mut Vec::new());
    }
    let sections = std::array::from_fn(|section| trees[section].root());
    bag.add_node(sections.to_vec());
    let opened = Opened::new(run_of(&sections), &bag);
    let prompt = [1, 2, 3];
    let question = Question {
        origin: b"asked",
        file_bytes,
        file_sha256: [7; 32],
        prompt: (flags & 1 == 0).then_some(&prompt),
        parameters: (flags & 2 == 0).then(|| Parameters {
            temperature: 0.7,
            top_k: (flags >> 4) as u32,
            ..Parameters::default()
        }),
        seed: [3; 32],
        tokens_max,
    };
    let claims = [[u8::from(flags & 4 == 0); 32], [9; 32]];
    let found = decide(&question, &opened, (&path, head_at), &claims);
    let again = decide(&question, &opened, (&path, head_at), &claims);
    assert_eq!(found, again);
    let _ = ends(&opened, b"asked");
    Some(())
}

/// Every node of a sparse tree.
fn add_nodes(bag: &mut Bag, tree: &Tree, path: &mut Vec<u8>) {
    if path.len() == DEPTH {
        return;
    }
    let children = tree.children(path);
    for (digit, child) in children.iter().enumerate() {
        if *child != [0; 32] {
            path.push(digit as u8);
            add_nodes(bag, tree, path);
            path.pop();
        }
    }
    bag.add_node(children);
}

/// What is shown names its own spec and root, so that it gets as far as it can.
fn bound(bytes: &[u8]) {
    let told = decode::<Bound>(bytes).ok();
    let spec = told.as_ref().map(|told| told.spec.as_slice());
    let spec_digest = Digest::of_blob(spec.unwrap_or_default());
    let demand = spec.and_then(|spec| decode::<ChatSpec>(spec).ok());
    let demand = demand.and_then(|spec| Chat::demand(&spec).ok());
    let root = told.as_ref().and_then(|told| told.nodes.as_slice().first());
    let receipt = Receipt {
        chain_id: fairweir_types::ChainId::new("dev-fuzz").expect("a name"),
        slot_id: SlotId {
            order: OrderId::default(),
            slot: 0,
        },
        attempt: 0,
        kind: Chat::ID,
        spec_digest,
        units: UnitVector::default(),
        disclosure: Digest::ZERO,
        output_commitment: Digest::ZERO,
    };
    let standing = Standing {
        spec: &spec_digest,
        demand: &demand.unwrap_or_else(Demand::default),
        receipt: &receipt,
        trace: &Digest([5; 32]),
        run: &root.map_or(Digest([6; 32]), |root| node(root.as_slice())),
    };
    assert!(
        bind(&standing, bytes).is_err(),
        "nobody knows what has this trace"
    );
}

fn exhibit(bytes: &[u8]) {
    let shown = decode::<Shown>(bytes).ok();
    let spec = shown.as_ref().map(|shown| shown.spec.as_slice());
    let spec = Digest::of_blob(spec.unwrap_or_default());
    let root = shown
        .as_ref()
        .and_then(|shown| shown.nodes.as_slice().first());
    let root = root.map_or(Digest([6; 32]), |root| node(root.as_slice()));
    let claims = [Digest([1; 32]), Digest::ZERO];
    for section in 0..5 {
        let path = [section, 0, 0, 0, 0, 0, 0, bytes.len() as u8 % 16, 0];
        let _ = find(&spec, &root, &path, &claims, bytes);
    }
}
