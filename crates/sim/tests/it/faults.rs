//! Stories of faults that did not hold once, and one of each fault that shows that it is told, and that what looks at them sees.

use fairweir_sim::faults::{Broken, Byzantine, Fault, Faults, Seats, Told, tell};
use std::time::Duration;

/// Seeds whose stories found something, as they were drawn then.
///
/// - 3092: a validator was asked for a transaction before it had the block, and its height was looked at after.
const KEPT: [u64; 1] = [3092];

/// One whose seats move more than once.
const MOVES: u64 = 29;

#[test]
fn what_did_not_hold_once_holds() {
    for seed in KEPT {
        told(&Faults::plain(seed));
    }
}

fn told(faults: &Faults) -> Told {
    match tell(faults) {
        Ok(told) => told,
        Err(broken) => panic!("{faults:?}: {broken}"),
    }
}

/// A story of four validators over good links, in which some of the last lie and nothing else goes wrong.
fn calm(byzantine: Vec<Byzantine>) -> Faults {
    Faults {
        seed: 6,
        validators: 4,
        latency_ms: 10,
        jitter_ms: 3,
        loss: 0,
        seats: Seats::Stay,
        skews_ms: vec![0; 4 - byzantine.len()],
        byzantine,
        faults: vec![(
            Duration::from_secs(5),
            Duration::from_secs(20),
            Fault::Loss { hundredths: 1 },
        )],
    }
}

fn twins(first: &[usize], second: &[usize]) -> Byzantine {
    Byzantine::Twins {
        first: first.iter().copied().collect(),
        second: second.iter().copied().collect(),
    }
}

#[test]
fn seats_move_where_they_may_and_who_is_gone_loses_its_own() {
    let mut faults = calm(vec![Byzantine::Silent]);
    faults.seats = Seats::Move;
    assert!(told(&faults).seats_since > 0);
    // The same where much else goes wrong.
    let faults = Faults::of_seed(MOVES);
    assert_eq!(faults.seats, Seats::Move);
    assert!(told(&faults).seats_since > 0);
}

#[test]
fn twins_vote_for_two_real_blocks_of_a_view_and_are_found_out() {
    let told = told(&calm(vec![twins(&[0, 1, 2], &[1, 2])]));
    assert_eq!(told.guilty, 1, "{told}");
}

#[test]
fn a_fork_is_seen_where_too_many_vote_twice() {
    // Half of the validators are two each, and those who keep the rules hear nothing of each other: no chain is safe from that.
    let mut faults = calm(vec![twins(&[0], &[1]), twins(&[0], &[1])]);
    assert!(!faults.must_go_on());
    let apart = Fault::Bridged { side: [0].into() };
    faults.faults = vec![(Duration::ZERO, Duration::from_secs(20), apart)];
    let broken = tell(&faults);
    assert!(matches!(broken, Err(Broken::Fork { .. })), "{broken:?}");
}

#[test]
fn what_a_censor_leaves_out_others_take_and_what_a_forger_proposes_nobody_does() {
    let told = told(&Faults {
        validators: 7,
        skews_ms: vec![0; 5],
        ..calm(vec![Byzantine::Censor, Byzantine::Forger])
    });
    assert!(told.done.lies > 3, "{told}");
}

#[test]
fn one_liar_more_than_may_be_forks_nothing() {
    for more in [Byzantine::Silent, Byzantine::Censor, Byzantine::Forger] {
        let faults = calm(vec![twins(&[0, 2, 3], &[1, 2, 3]), more]);
        assert!(!faults.must_go_on());
        told(&faults);
    }
}

#[test]
fn messages_come_twice_and_disks_are_slow() {
    let mut faults = calm(Vec::new());
    let (from, to) = (Duration::from_secs(1), Duration::from_secs(8));
    let slow = Fault::SlowDisks {
        validators: [0, 3].into(),
        by_ms: 400,
    };
    let crash = Fault::Crash {
        validators: [0, 1].into(),
    };
    let crashes = (Duration::from_secs(4), Duration::from_secs(5), crash);
    faults.faults = vec![
        (from, to, Fault::Echo { hundredths: 50 }),
        (from, to, slow),
        crashes,
    ];
    let told = told(&faults);
    assert!(told.done.echoes > 20 && told.done.waits > 10, "{told}");
}
