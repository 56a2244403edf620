//! A network that several folders found together, each with a process of its own.

use super::{COMMAND_WITHIN, assert_fails, fairweir};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

const MACHINES: usize = 4;

/// Ports that the system gives to nobody by itself, as it comes. Of those that it does give, another process may get one that was let go here before the node that is to have it runs.
/// They begin at 49,152 (RFC 6335, section 6), on Linux at 32,768.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// So many of them are a process' own, before they are the next one's. What is held by others is passed over.
const PORTS_OF_A_PROCESS: u32 = 16;

/// A running node; killed when dropped.
pub(crate) struct Node(Child);

impl Node {
    /// Starts one. What it says is the test's: it tells why a node ended.
    pub(crate) fn start(data: &Path, words: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_fairweir"))
            .arg("--data")
            .arg(data)
            .args(["node", "run"])
            .args(words)
            .env_remove("FAIRWEIR_PASSPHRASE")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Starts one and kills it as soon as it says something; panics if it does not within a minute.
    pub(crate) fn kill_when(data: &Path, says: &str) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fairweir"))
            .arg("--data")
            .arg(data)
            .args(["node", "run"])
            .env_remove("FAIRWEIR_PASSPHRASE")
            .env("FAIRWEIR_LOG", "info")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, told) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        // Ends with the node, whose end of the pipe it reads.
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(stderr).lines();
            for line in lines.map_while(Result::ok) {
                // Nobody listens any more once it was said.
                let _ = sender.send(line);
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut said = Vec::new();
        let is_said = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match told.recv_timeout(left) {
                Ok(line) if line.contains(says) => break true,
                Ok(line) => said.push(line),
                Err(_) => break false,
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        assert!(is_said, "it never said {says:?}, but:\n{}", said.join("\n"));
    }

    /// The exit code of one that must end by itself, and what it says; panics if it runs on for a minute.
    pub(crate) fn refusal(data: &Path) -> (Option<i32>, String) {
        let mut node = Self(
            Command::new(env!("CARGO_BIN_EXE_fairweir"))
                .arg("--data")
                .arg(data)
                .args(["node", "run"])
                .env_remove("FAIRWEIR_PASSPHRASE")
                .env("FAIRWEIR_LOG", "info")
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let mut stderr = node.0.stderr.take().unwrap();
        // Read as it comes: a full pipe would hold the node up.
        let reader = std::thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = node.0.try_wait().unwrap() {
                return (status.code(), reader.join().unwrap());
            }
            if Instant::now() > deadline {
                drop(node);
                panic!("it runs on: {}", reader.join().unwrap());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Addresses of loopback that are free now, and that another test hardly takes: processes that run at the same time have other numbers.
fn free_addresses(count: usize) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_OF_A_PROCESS);
    let addresses: Vec<_> = PORTS
        .map(|_| {
            let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let port = number % u32::try_from(PORTS.len()).unwrap() + u32::from(PORTS.start);
            format!("127.0.0.1:{port}")
        })
        .filter(|address| TcpListener::bind(address).is_ok())
        .take(count)
        .collect();
    assert_eq!(addresses.len(), count, "too few ports are free");
    addresses
}

#[track_caller]
pub(crate) fn done(data: &Path, words: &[&str]) -> String {
    let output = fairweir(data, words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every folder's card, made for a chain that stays on loopback.
pub(crate) fn cards(folders: &[PathBuf]) -> Vec<String> {
    let peers = free_addresses(folders.len());
    let init = |folder: &PathBuf, peer: &String| {
        let words = ["node", "init", "--chain-id", "dev-several"];
        let ways = ["--listen", "127.0.0.1:0", "--peer", peer];
        let said = done(folder, &[&words[..], &ways].concat());
        said.trim().to_owned()
    };
    folders
        .iter()
        .zip(&peers)
        .map(|(folder, peer)| init(folder, peer))
        .collect()
}

pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// What a node's status says once its chain has reached a height.
pub(crate) fn status_at(data: &Path, height: u64) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = fairweir(data, &["--json", "status"]);
        if output.status.success() {
            let status = json(&String::from_utf8_lossy(&output.stdout));
            if status["height"].as_u64().unwrap() >= height {
                return status;
            }
        }
        assert!(Instant::now() < deadline, "no block {height} in a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address.parse::<SocketAddr>().unwrap()).unwrap();
    stream.set_read_timeout(Some(COMMAND_WITHIN)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn four_folders_found_a_network_and_agree() {
    let all = tempfile::tempdir().unwrap();
    let folders: Vec<PathBuf> = (0..MACHINES)
        .map(|number| all.path().join(number.to_string()))
        .collect();
    let cards = cards(&folders);
    let file = all.path().join("genesis.toml");
    let file = file.to_str().unwrap();
    let first = &folders[0];
    done(
        first,
        &["genesis", "new", file, "--chain-id", "dev-several"],
    );
    let cards: Vec<&str> = cards.iter().map(String::as_str).collect();
    done(
        first,
        &[&["genesis", "add-validator", file], &cards[..]].concat(),
    );
    assert_fails(
        &fairweir(first, &["genesis", "add-validator", file, cards[0]]),
        5,
        "another validator has the same identity",
    );
    done(first, &["genesis", "add-account", file, "buyer", "1000"]);
    assert_fails(
        &fairweir(&folders[1], &["node", "join", file]),
        5,
        "`fairweir genesis finalise` comes first",
    );
    for (name, value) in [
        ("candidate_stake_min", "100000000000"),
        ("seats_stake_min", "200000000000"),
        ("epoch_blocks", "10"),
    ] {
        done(first, &["genesis", "set-param", file, name, value]);
    }
    done(first, &["genesis", "finalise", file]);
    assert_fails(
        &fairweir(first, &["genesis", "set-param", file, "fee_base", "1"]),
        5,
        "the file is finished",
    );
    let shown = json(&done(first, &["--json", "genesis", "show", file]));
    let digest = shown["digest"].as_str().unwrap();
    let other = "00".repeat(32);
    assert_fails(
        &fairweir(first, &["node", "join", file, "--digest", &other]),
        5,
        "ask who made it",
    );
    let stranger = tempfile::tempdir().unwrap();
    assert_fails(
        &fairweir(stranger.path(), &["node", "join", file]),
        6,
        "has no card",
    );
    for folder in &folders {
        done(folder, &["node", "join", file, "--digest", digest]);
    }

    let monitor = free_addresses(1).remove(0);
    let nodes: Vec<Node> = folders
        .iter()
        .enumerate()
        .map(|(number, folder)| match number {
            0 => Node::start(folder, &["--monitor", &monitor]),
            _ => Node::start(folder, &[]),
        })
        .collect();
    for folder in &folders {
        let status = status_at(folder, 3);
        assert_eq!(status["genesis"].as_str().unwrap(), digest);
        assert_eq!(status["validators"], 4);
    }
    // Asked of one validator, known to another.
    done(first, &["keys", "new", "friend"]);
    done(first, &["transfer", "friend", "5"]);
    let friend = json(&done(first, &["--json", "account", "friend"]));
    let address = friend["address"].as_str().unwrap();
    let height = json(&done(first, &["--json", "status"]))["height"].as_u64();
    status_at(&folders[3], height.unwrap());
    let elsewhere = json(&done(&folders[3], &["--json", "account", address]));
    assert_eq!(elsewhere["balance"], friend["balance"]);
    let health = get(&monitor, "/health");
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    assert!(get(&monitor, "/metrics").contains("# TYPE "), "no metrics");

    // A node without a vote follows one of them, and passes transactions on.
    let follower = all.path().join("follower");
    let upstream = done(&folders[1], &["node", "address"]);
    let follow = ["node", "follow", upstream.trim(), "--listen", "127.0.0.1:0"];
    assert_fails(
        &fairweir(&follower, &[&follow[..], &["--genesis", &other]].concat()),
        5,
        "belongs to another network",
    );
    let voter = all.path().join("voter");
    let init = ["node", "init", "--chain-id", "dev-several", "--peer"];
    done(&voter, &[&init[..], &["127.0.0.1:7641"]].concat());
    assert_fails(
        &fairweir(&voter, &[&follow[..], &["--genesis", digest]].concat()),
        6,
        "holds the keys of a validator",
    );
    done(&follower, &[&follow[..], &["--genesis", digest]].concat());
    let following = Node::start(&follower, &[]);
    let height = json(&done(first, &["--json", "status"]))["height"].as_u64();
    status_at(&follower, height.unwrap());
    let seen = json(&done(&follower, &["--json", "account", address]));
    assert_eq!(seen["balance"], friend["balance"]);
    let door = done(&follower, &["node", "address"]);
    done(first, &["--node", door.trim(), "transfer", "friend", "1"]);
    let more = json(&done(&follower, &["--json", "account", address]));
    assert_ne!(more["balance"], friend["balance"]);
    stand_and_delegate(first);
    drop((following, nodes));
}

/// A validator stands for a seat, and somebody delegates to it. It stands alone, so the seats stay where they are.
fn stand_and_delegate(data: &Path) {
    done(data, &["transfer", "validator", "300"]);
    let terms = ["--commission", "500", "--amount", "200"];
    done(data, &[&["validator", "candidate"], &terms[..]].concat());
    assert_fails(
        &fairweir(data, &[&["validator", "candidate"], &terms[..]].concat()),
        3,
        "already",
    );
    let delegate = ["validator", "delegate", "validator", "2", "--key", "friend"];
    done(data, &delegate);
    let shown = json(&done(data, &["--json", "validator", "candidates"]));
    assert_eq!(shown["candidates"][0]["own"], "200");
    assert_eq!(shown["candidates"][0]["stake"], "202");
    assert_eq!(shown["seats"].as_array().unwrap().len(), MACHINES);
    let known = json(&done(
        data,
        &["--json", "validator", "delegations", "friend"],
    ));
    assert_eq!(known["delegations"][0]["shares"], "2");
    let undelegate = [
        "validator",
        "undelegate",
        "validator",
        "2",
        "--key",
        "friend",
    ];
    done(data, &undelegate);
    let known = json(&done(
        data,
        &["--json", "validator", "delegations", "friend"],
    ));
    assert_eq!(known["delegations"], serde_json::json!([]));
    let shown = done(data, &["validator", "candidates"]);
    assert!(shown.contains("seats are those of before"), "{shown}");
    done(data, &["validator", "update", "--stand-down"]);
}
