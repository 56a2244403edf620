//! A state that was exported and imported is the same, and goes on the same: the next blocks do on both what they do on one.

use crate::{
    random_candidates, random_walk, script,
    world::{World, coins, key_of},
};
use fairweir_ledger::{
    BlockOutcome, MemoryState, apply_block,
    export::{ExportError, KEY_BYTES_MAX, RECORD_BYTES_MAX, digest, export, import},
    invariants,
};
use fairweir_types::{Action, Address, Digest, Height, VerifiedTx, digest::Domain, tx};
use proptest::prelude::*;

/// The state of a world, exported and imported.
fn copied(world: &World) -> MemoryState {
    let bytes = export(&world.state, Height(world.height)).unwrap();
    let imported = import(&bytes).unwrap();
    assert_eq!(imported.genesis, world.genesis.digest());
    assert_eq!(imported.height, Height(world.height));
    assert_eq!(imported.state, world.state);
    assert_eq!(digest(&imported.state), digest(&world.state));
    assert_eq!(export(&imported.state, imported.height).unwrap(), bytes);
    invariants::check(&imported.state).unwrap();
    imported.state
}

/// Makes a block on the copy; on the world it was made before.
fn follow(copy: &mut MemoryState, world: &World) {
    let made = world.blocks.last().unwrap();
    let outcome: BlockOutcome =
        apply_block(copy, &made.context, &world.referee, &made.txs).unwrap();
    assert_eq!(outcome, world.last);
    copy.apply(&outcome.writes);
}

/// Goes on for some blocks on both sides, with transactions of the accounts that can pay.
fn goes_on_the_same(world: &mut World, names: &[&str], blocks: u64) {
    let mut copy = copied(world);
    for _ in 0..blocks {
        let mut txs: Vec<VerifiedTx> = Vec::new();
        for name in names {
            if world.balance(name) < coins("2") {
                continue;
            }
            let key = key_of(name);
            let transfer = tx::Transfer {
                to: Address([1; 20]),
                amount: coins("1"),
            };
            let transaction = world.transaction(&key, Action::Transfer(transfer));
            txs.push(transaction.sign(&key).verify().unwrap());
        }
        world.block(5_000, &txs);
        follow(&mut copy, world);
    }
    assert_eq!(copy, world.state);
    assert_eq!(digest(&copy), digest(&world.state));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_random_walk_goes_on_the_same_on_a_copy(steps in proptest::collection::vec(random_walk::step(), 1..40)) {
        let mut world = random_walk::walk(&steps);
        goes_on_the_same(&mut world, &random_walk::NAMES, 10);
    }

    #[test]
    fn candidates_and_votings_go_on_the_same_on_a_copy(steps in proptest::collection::vec(random_candidates::step(), 1..60)) {
        let mut world = random_candidates::walk(&steps);
        goes_on_the_same(&mut world, &random_candidates::NAMES, 30);
    }

    #[test]
    fn bytes_that_were_changed_are_no_export(at in any::<proptest::sample::Index>(), bit in 0u8..8, cut in any::<proptest::sample::Index>()) {
        let world = World::new(&["A"], &[]);
        let bytes = export(&world.state, Height(0)).unwrap();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= 1 << bit;
        prop_assert!(import(&changed).is_err());
        prop_assert!(import(&bytes[..cut.index(bytes.len())]).is_err());
    }
}

#[test]
fn open_work_goes_on_the_same_on_a_copy() {
    let script = "accounts A W V1 V2 V3 V4 V5 V6 V7\nW: bond 100\nW: offer\nV1: bond 100\nV1: enrol\nV2: bond 100\nV2: enrol\nA: order o1\nblocks 2\nW: receipt o1\n\
        A: order o2\nblocks 1\nA: bond 1000\nA: propose p1 pause orders 5000\nA: vote p1 yes";
    let mut world = script::run("export", script).unwrap();
    goes_on_the_same(&mut world, &["A", "W", "V1", "V3"], 200);
}

/// An export with these entries and a right digest.
fn with_entries(entries: &[(&[u8], &[u8])], count: u64) -> Vec<u8> {
    let mut bytes = b"fairweir-state\r\n\0\x01".to_vec();
    bytes.extend_from_slice(&[0; 40]);
    bytes.extend_from_slice(&count.to_be_bytes());
    for (key, record) in entries {
        bytes.extend_from_slice(&u16::try_from(key.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&u32::try_from(record.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(record);
    }
    let digest = Digest::of(Domain::State, &[&bytes]);
    bytes.extend_from_slice(&digest.0);
    bytes
}

#[test]
fn each_reason_against_an_export_is_told() {
    let world = World::new(&["A"], &[]);
    let bytes = export(&world.state, Height(0)).unwrap();
    assert!(matches!(import(&[]), Err(ExportError::NotAnExport)));
    assert!(matches!(import(&bytes[1..]), Err(ExportError::NotAnExport)));
    let mut other = bytes.clone();
    other[17] = 2;
    assert!(matches!(
        import(&other),
        Err(ExportError::OtherVersion { found: 2 })
    ));
    let cut = &bytes[..bytes.len() - 1];
    assert!(matches!(import(cut), Err(ExportError::Truncated)));
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(
        import(&longer),
        Err(ExportError::LeftOver { left: 1 })
    ));
    let mut other = bytes.clone();
    // The height, of which nothing else tells.
    other[16 + 2 + 32] ^= 1;
    assert!(matches!(import(&other), Err(ExportError::Digest { .. })));
    let long_key = [1; KEY_BYTES_MAX + 1];
    let long_record = vec![1; RECORD_BYTES_MAX + 1];
    for (entries, count, is_told) in [
        (vec![(&[][..], &[][..])], 1, "Length { position: 0 }"),
        (vec![(&long_key[..], &[][..])], 1, "Length { position: 0 }"),
        (
            vec![(&[1][..], &[][..]), (&[2][..], &long_record[..])],
            2,
            "Length { position: 1 }",
        ),
        (
            vec![(&[1][..], &[][..]), (&[1][..], &[][..])],
            2,
            "Order { position: 1 }",
        ),
        (
            vec![(&[2][..], &[][..]), (&[1, 1][..], &[][..])],
            2,
            "Order { position: 1 }",
        ),
        // More entries than there are: what follows is read as one, and does not fit.
        (vec![(&[1][..], &[][..])], u64::MAX, ""),
        // A state of no chain.
        (
            vec![(&[1][..], &[][..])],
            1,
            "Fault(Missing { what: \"chain\" })",
        ),
    ] {
        let error = import(&with_entries(&entries, count)).unwrap_err();
        assert!(format!("{error:?}").contains(is_told), "{error:?}");
    }
    // A state of another chain than it says.
    let mut other = bytes.clone();
    other[18] ^= 1;
    let end = other.len() - 32;
    let digest = Digest::of(Domain::State, &[&other[..end]]);
    other[end..].copy_from_slice(&digest.0);
    assert!(matches!(
        import(&other),
        Err(ExportError::OtherGenesis { .. })
    ));
    // What is too long is not exported either.
    let mut state = world.state.clone();
    state.insert(vec![2; KEY_BYTES_MAX + 1], Vec::new());
    assert!(matches!(
        export(&state, Height(0)),
        Err(ExportError::Length { .. })
    ));
}
