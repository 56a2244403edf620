//! The command line as its users meet it: exit codes, and messages that say what to do.
#![expect(
    clippy::unwrap_used,
    reason = "a failing test should stop at the line that fails"
)]

mod copied_state;
mod ending;
mod exported;
mod moving_seats;
mod open_orders;
mod several_machines;

use std::{
    net::UdpSocket,
    path::Path,
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

/// How long a command may take: longer than it waits for a transaction.
const COMMAND_WITHIN: Duration = Duration::from_secs(240);

/// Runs a command to its end; panics with its words if it does not come.
#[track_caller]
fn fairweir(data: &Path, words: &[&str]) -> Output {
    let child = Command::new(env!("CARGO_BIN_EXE_fairweir"))
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
    let id = child.id();
    let (sender, ended) = mpsc::channel();
    // Reads both pipes as they fill.
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match ended.recv_timeout(COMMAND_WITHIN) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let killed = Command::new("kill").args(["-9", &id.to_string()]).status();
            let output = ended.recv().unwrap().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            panic!("{words:?} does not end ({killed:?}): {said}");
        }
    }
}

#[track_caller]
fn assert_fails(output: &Output, code: i32, advice: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(advice), "{said:?} does not say {advice:?}");
}

#[test]
fn help_names_every_command_and_every_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let output = fairweir(folder.path(), &["--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    for word in [
        "up",
        "node",
        "genesis",
        "worker",
        "keys",
        "account",
        "transfer",
        "stake",
        "order",
        "status",
        "events",
        "verify",
        "proof",
        "chat",
        "embed",
        "model",
        "gateway",
        "apikey",
        "config",
        "doctor",
        "completions",
        "Exit codes",
        "fairweir up",
    ] {
        assert!(help.contains(word), "help does not mention {word}");
    }
}

#[test]
fn a_busy_port_is_named_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = fairweir(
        folder.path(),
        &[
            "up",
            "--once",
            "--no-models",
            "--job",
            "text",
            "--listen",
            &listen,
        ],
    );
    assert_fails(&output, 6, "is busy: another program listens on");
    assert_fails(&output, 6, "--listen 127.0.0.1:0");
}

#[test]
fn a_development_chain_refuses_to_leave_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let output = fairweir(folder.path(), &["up", "--once", "--listen", "0.0.0.0:0"]);
    assert_fails(&output, 6, "stays on loopback");
}

#[test]
fn a_gateway_for_this_machine_alone_refuses_to_be_reached_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let output = fairweir(
        folder.path(),
        &["gateway", "--local", "--listen", "0.0.0.0:0"],
    );
    assert_fails(&output, 6, "--local serves this machine alone");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_chain_of_ones_own_needs_a_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let output = fairweir(
        folder.path(),
        &[
            "up",
            "--once",
            "--chain-id",
            "mine",
            "--listen",
            "127.0.0.1:0",
        ],
    );
    assert_fails(&output, 6, "FAIRWEIR_PASSPHRASE");
}

#[test]
fn without_a_node_a_question_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    assert_fails(
        &fairweir(folder.path(), &["status"]),
        4,
        "start one with `fairweir up`",
    );
    assert_fails(
        &fairweir(folder.path(), &["account", "buyer"]),
        6,
        "there are no keys here yet",
    );
    assert_fails(
        &fairweir(folder.path(), &["--node", "nonsense", "status"]),
        1,
        "begins with fwpeer1",
    );
}

#[test]
fn models_are_fetched_from_peers_and_tickets_alone() {
    let folder = tempfile::tempdir().unwrap();
    let join = ["worker", "join", "fwjoin1no", "--model", "all"];
    assert_fails(&fairweir(folder.path(), &join), 1, "no join ticket");
    let fetch = ["model", "fetch", "some", "--from", "https://x.org"];
    assert_fails(&fairweir(folder.path(), &fetch), 1, "fwpeer1");
}

#[test]
fn a_file_that_is_no_receipt_is_refused_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        fairweir(folder.path(), &["node", "init", "--chain-id", "dev-test"])
            .status
            .success()
    );
    let file = folder.path().join("no.fwr");
    std::fs::write(&file, b"hello").unwrap();
    let file = file.to_str().unwrap();
    assert_fails(
        &fairweir(folder.path(), &["verify", file]),
        5,
        "(not_a_receipt)",
    );
    assert_fails(
        &fairweir(folder.path(), &["verify", "/no/such/file"]),
        6,
        "/no/such/file",
    );
    assert_fails(
        &fairweir(folder.path(), &["node", "init", "--chain-id", "dev-test"]),
        6,
        "holds a network already",
    );
}

#[test]
fn keys_are_made_listed_backed_up_and_restored() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let passphrase = here.path().join("passphrase");
    std::fs::write(&passphrase, "a passphrase for a test\n").unwrap();
    let passphrase = passphrase.to_str().unwrap();
    let keys = |folder: &Path, words: &[&str]| {
        let output = fairweir(
            folder,
            &[&["--passphrase-file", passphrase, "keys"], words].concat(),
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let made = keys(here.path(), &["new", "savings"]);
    assert_eq!(keys(here.path(), &["list"]), made);
    let copy = here.path().join("copy.age");
    let copy = copy.to_str().unwrap();
    let _ = keys(here.path(), &["backup", copy]);
    let _ = keys(there.path(), &["restore", copy]);
    assert_eq!(keys(there.path(), &["list"]), made);
    let bytes = std::fs::read(here.path().join("keys.age")).unwrap();
    assert!(
        bytes.starts_with(b"age-encryption.org/v1"),
        "the store is encrypted by age"
    );
}

#[test]
fn settings_and_params_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let shown = fairweir(folder.path(), &["config", "show"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("heartbeat_ms = 1000"));
    let params = fairweir(folder.path(), &["--json", "config", "params"]);
    assert!(String::from_utf8_lossy(&params.stdout).contains("settlement_fee_bps"));
    std::fs::write(folder.path().join("fairweir.toml"), "heartbeat_ms = 1").unwrap();
    assert_fails(
        &fairweir(folder.path(), &["config", "show"]),
        6,
        "100 to 60000",
    );
}

#[test]
fn a_folder_in_use_and_a_machine_without_trouble_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        fairweir(folder.path(), &["config", "show"])
            .status
            .success()
    );
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    assert_fails(
        &fairweir(folder.path(), &["up", "--once"]),
        6,
        "in use by another fairweir process",
    );
}

/// A file system in memory, as small as a disk that is nearly full; it is gone with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Needs root: `None` without.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "fairweir-test"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_disk_that_is_nearly_full_is_named_with_a_way_out() {
    // What it says is tested without root too, beside the check.
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let path = disk.0.path();
    assert_fails(&fairweir(path, &["up", "--once"]), 6, "MiB are free at");
    assert_fails(&fairweir(path, &["up", "--once"]), 6, "--data");
    let doctor = fairweir(path, &["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("FAIL  disk"), "{said}");
    assert_eq!(doctor.status.code(), Some(6));
}

#[cfg(target_os = "linux")]
#[test]
fn engines_get_the_cores_that_there_are_and_leave_one() {
    let data = tempfile::tempdir().unwrap();
    let with = |cores: &str| {
        fairweir(
            data.path(),
            &["--engine-cores", cores, "model", "time", "none"],
        )
    };
    // No machine that this runs on has so many. What loads no model does not need them.
    for words in [["config", "show"], ["model", "list"]] {
        let shown = fairweir(
            data.path(),
            &[&["--engine-cores", "1023"], &words[..]].concat(),
        );
        assert!(shown.status.success());
    }
    let crowded = [
        "--threads",
        "2",
        "--engine-cores",
        "0",
        "model",
        "time",
        "none",
    ];
    assert_fails(
        &fairweir(data.path(), &crowded),
        1,
        "more threads than --engine-cores",
    );
    assert_fails(&with("1023"), 6, "of the cores 1023 this process may use");
    assert_fails(&with("3-1"), 2, "write for example 0-3,8");
    assert_fails(&with("1024"), 2, "numbered from 0 to 1023");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    assert_fails(
        &with(allowed.unwrap().trim()),
        6,
        "leave one for everything else",
    );
}
