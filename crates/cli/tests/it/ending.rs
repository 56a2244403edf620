//! When a program that serves ends: with its terminal, unless it was started to outlive that.

use crate::{COMMAND_WITHIN, fairweir, open_orders::Running};
use std::{
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

const WORDS: [&str; 5] = ["up", "--no-job", "--no-models", "--listen", "127.0.0.1:0"];

fn signal(running: &Running, name: &str) {
    let id = running.child.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(sent.success());
}

/// How it ended.
fn end(running: &mut Running) -> ExitStatus {
    let deadline = Instant::now() + COMMAND_WITHIN;
    loop {
        if let Some(status) = running.child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it runs on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_network_ends_in_order_when_its_terminal_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut network = Running::start(folder.path(), &WORDS);
    network.until("Ctrl-C stops it");
    signal(&network, "-HUP");
    assert!(end(&mut network).success());
}

#[test]
fn a_network_outlives_its_terminal_where_it_is_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_fairweir");
    shell.args(["-c", r#"trap "" HUP; exec "$@""#, "sh", program]);
    let mut network = Running::of(shell, folder.path(), &WORDS);
    network.until("Ctrl-C stops it");
    signal(&network, "-HUP");
    assert!(fairweir(folder.path(), &["status"]).status.success());
    assert!(network.child.try_wait().unwrap().is_none());
    signal(&network, "-TERM");
    assert!(end(&mut network).success());
}
