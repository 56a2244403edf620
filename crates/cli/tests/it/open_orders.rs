//! Changing open orders and offers on a running network.

use crate::{assert_fails, fairweir};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A process that is killed when the test is over.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    pub(crate) fn start(data: &Path, words: &[&str]) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_fairweir")), data, words)
    }

    /// By a program that becomes it.
    pub(crate) fn of(mut program: Command, data: &Path, words: &[&str]) -> Self {
        let mut child = program
            .arg("--data")
            .arg(data)
            .args(words)
            .env_remove("FAIRWEIR_NODE")
            .env_remove("FAIRWEIR_PASSPHRASE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until it says something.
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        let line = self.lines.find(|line| {
            let line = line.as_ref().map(String::as_str);
            line.is_ok_and(|line| line.contains(wanted))
        });
        line.unwrap().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn orders_are_topped_up_and_cancelled_and_offers_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut network = Running::start(
        data,
        &["up", "--no-job", "--no-models", "--listen", "127.0.0.1:0"],
    );
    network.until("Ctrl-C stops it");

    // Nobody works at this price: the order waits.
    let text = ["--input", "a text", "--price-max", "0.000001"];
    let mut buying = Running::start(
        data,
        &[&["order", "--match-within", "600"], &text[..]].concat(),
    );
    let line = buying.until("its id is");
    let id = line.split_whitespace().last().unwrap();

    let topped = fairweir(data, &["--json", "order", "top-up", id, "1.5"]);
    let said = String::from_utf8_lossy(&topped.stdout).into_owned();
    assert!(
        topped.status.success() && said.contains("\"height\""),
        "{said}"
    );
    let challenge = fairweir(data, &["order", "challenge", id]);
    assert_fails(&challenge, 3, "needs it challengeable");
    let stranger = fairweir(data, &["order", "cancel", id, "--key", "worker-1"]);
    assert_fails(&stranger, 3, "only the buyer");
    let cancelled = fairweir(data, &["order", "cancel", id]);
    let said = String::from_utf8_lossy(&cancelled.stdout).into_owned();
    assert!(
        said.contains(id) && said.contains("is cancelled in block"),
        "{said}"
    );
    // Whoever waits for the order hears of it.
    assert_eq!(buying.child.wait().unwrap().code(), Some(3));
    assert_fails(&fairweir(data, &["order", "cancel", id]), 3, "no such");
    assert_fails(
        &fairweir(data, &["order", "cancel", "abc"]),
        2,
        "64 hexadecimal",
    );

    let withdraw = ["worker", "offer", "withdraw", "--key", "worker-1"];
    let withdrawn = fairweir(data, &withdraw);
    let said = String::from_utf8_lossy(&withdrawn.stdout).into_owned();
    assert!(said.contains("withdrawn in block"), "{said}");
    assert_fails(&fairweir(data, &withdraw), 3, "no such offer");
    let other = ["worker", "offer", "withdraw", "chess"];
    assert_fails(&fairweir(data, &other), 1, "there are: text");
}
