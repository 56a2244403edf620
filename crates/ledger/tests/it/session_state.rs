//! What sessions leave behind in the state.

use crate::script::run;
use std::fmt::Write as _;

/// Bytes of state that a closed session may take.
const BYTES_PER_SESSION_MAX: usize = 200;

/// A script of so many sessions: every second one with a batch that is checked and paid, the others closed by their time alone.
fn script(sessions: usize) -> String {
    let mut script = "param challenge_window 2000\nparam close_window 1000\nparam sampling_bps 10000\naccounts A W V1 V2\nW: bond 1000\n\
        W: offer collateral=1000 price=1\nV1: bond 100\nV1: enrol\nV2: bond 100\nV2: enrol\n"
        .to_owned();
    for number in 0..sessions {
        let steps = if number % 2 == 0 {
            "A: session s cap=4 price=1\nblocks 2\nW: batch s b total=1\nblocks 2\nlinker: link b\nW: show b\nd1: commit b\nd2: commit b\n\
                W: open-batch b\nd1: reveal b\nd2: reveal b\nwait 2100\nblocks 4\nexpect closed b\nA: close s\nwait 1100\nblocks 4\n\
                expect closed s\n"
        } else {
            "A: session s cap=4 price=1 open=10000\nblocks 2\nwait 10100\nblocks 4\nwait 1100\nblocks 4\nexpect closed s\n"
        };
        let steps = steps
            .replace(" s ", &format!(" s{number} "))
            .replace(" s\n", &format!(" s{number}\n"))
            .replace(" b ", &format!(" b{number} "))
            .replace(" b\n", &format!(" b{number}\n"));
        write!(script, "{steps}").unwrap();
    }
    script
}

fn state_bytes(sessions: usize) -> usize {
    let world = run("sessions", &script(sessions)).unwrap();
    world
        .state
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
}

#[test]
fn a_closed_session_leaves_no_record_in_the_state() {
    const MORE: usize = 40;
    let (few, many) = (state_bytes(2), state_bytes(2 + MORE));
    let each = many.saturating_sub(few) / MORE;
    assert!(each <= BYTES_PER_SESSION_MAX, "{each} bytes a session");
    // Their deposits came back because their records are gone: what is left are the accounts, which were there before.
    assert_eq!(many, few, "bytes of state");
}
