use super::{Migrating, MigrationError, PLANS, Plan, Plans};
use crate::{
    export::{KEY_BYTES_MAX, RECORD_BYTES_MAX},
    keys,
    state::{MemoryState, Overlay},
};
use fairweir_types::limits::MIGRATION_STEPS_MAX;
use std::collections::BTreeSet;

/// A plan is found by its digest, which is of its text; and the text says its name.
#[test]
fn the_plans_of_this_release_are_named_and_differ() {
    assert!(PLANS.iter().all(Plan::is_named));
    let names: BTreeSet<_> = PLANS.iter().map(|plan| plan.name).collect();
    let digests: BTreeSet<_> = PLANS.iter().map(Plan::digest).collect();
    assert_eq!((names.len(), digests.len()), (PLANS.len(), PLANS.len()));
    let plan = |text| Plan {
        name: "better-fees",
        text,
        migrate: None,
    };
    assert!(plan("# better-fees\n\nRelease 2.").is_named());
    for text in [
        "",
        "better-fees",
        "# better",
        "#better-fees",
        "\n# better-fees",
    ] {
        assert!(!plan(text).is_named(), "{text}");
    }
    assert_ne!(
        plan("# better-fees\n").digest(),
        plan("# better-fees").digest()
    );
    assert_eq!(Plans::default(), Plans::new(PLANS));
}

#[test]
fn a_migration_takes_so_many_steps_and_no_more() {
    let state = MemoryState::default();
    let mut migrating = Migrating::new(Overlay::new(&state));
    for step in 0..MIGRATION_STEPS_MAX {
        let done = match step % 4 {
            0 => migrating.get(&[1]).map(drop),
            1 => migrating.put(&[1], vec![1]),
            2 => migrating.next_of(&[1], &[1]).map(drop),
            _ => migrating.delete(&[1]),
        };
        assert_eq!(done, Ok(()));
    }
    assert_eq!(migrating.get(&[1]), Err(MigrationError::TooLong));
    assert_eq!(migrating.put(&[1], vec![]), Err(MigrationError::TooLong));
    assert_eq!(migrating.delete(&[1]), Err(MigrationError::TooLong));
    assert_eq!(migrating.next_of(&[], &[]), Err(MigrationError::TooLong));
}

#[test]
fn a_migration_writes_records_and_nothing_else() {
    let state = MemoryState::default();
    let mut migrating = Migrating::new(Overlay::new(&state));
    let refused = [
        vec![],
        vec![7; KEY_BYTES_MAX + 1],
        vec![u8::MAX],
        keys::upgrade(),
        keys::audit(),
    ];
    for key in refused {
        assert_eq!(migrating.put(&key, vec![1]), Err(MigrationError::NoRecord));
        assert_eq!(migrating.delete(&key), Err(MigrationError::NoRecord));
    }
    let long = vec![0; RECORD_BYTES_MAX + 1];
    assert_eq!(migrating.put(&[7], long), Err(MigrationError::NoRecord));
    migrating
        .put(&[7; KEY_BYTES_MAX], vec![0; RECORD_BYTES_MAX])
        .unwrap();
    migrating.put(&[7], vec![]).unwrap();
    assert_eq!(migrating.get(&[7]), Ok(Some(vec![])));
    let next = migrating.next_of(&[7], &[7]).unwrap();
    assert_eq!(next.unwrap().0, vec![7; KEY_BYTES_MAX]);
    assert_eq!(migrating.next_of(&[6], &[6]), Ok(None), "of another kind");
    let (_, changed) = migrating.into_overlay();
    assert_eq!(changed, 2);
}
