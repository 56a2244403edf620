//! Seats that move between machines, each with a process of its own: somebody comes, somebody leaves, somebody is gone for a while.

use super::{
    assert_fails, fairweir,
    several_machines::{Node, cards, done, json, status_at},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Those of the genesis; one more comes later.
const FOUNDERS: usize = 4;

/// Blocks come five times a second, so that an epoch lasts two.
fn hurry(folder: &Path) {
    let file = folder.join("fairweir.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let quick = text.replace("heartbeat_ms = 1000", "heartbeat_ms = 200");
    assert_ne!(text, quick);
    std::fs::write(file, quick).unwrap();
}

/// The identity on a folder's card.
fn identity(card: &str) -> String {
    let text = std::fs::read_to_string(card).unwrap();
    let line = text.lines().find(|line| line.starts_with("identity"));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}

fn seats(data: &Path) -> (BTreeSet<String>, u64) {
    let shown = json(&done(data, &["--json", "validator", "candidates"]));
    let seats = shown["seats"].as_array().unwrap().iter();
    let seats = seats.map(|seat| seat["validator"].as_str().unwrap().to_owned());
    (seats.collect(), shown["since"].as_u64().unwrap())
}

/// Waits until exactly these have the seats, as a node says.
#[track_caller]
fn wait_for_seats(data: &Path, of: &[&String]) {
    let expected: BTreeSet<String> = of.iter().map(|identity| (*identity).clone()).collect();
    let deadline = Instant::now() + Duration::from_secs(90);
    while seats(data).0 != expected {
        let shown = done(data, &["validator", "candidates"]);
        assert!(Instant::now() < deadline, "the seats do not move: {shown}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn height(data: &Path) -> u64 {
    json(&done(data, &["--json", "status"]))["height"]
        .as_u64()
        .unwrap()
}

/// A network of four, and a folder that may join it as a candidate.
fn found(folders: &[PathBuf], file: &str) -> Vec<String> {
    let cards = cards(folders);
    let first = &folders[0];
    done(
        first,
        &["genesis", "new", file, "--chain-id", "dev-several"],
    );
    let founders: Vec<&str> = cards[..FOUNDERS].iter().map(String::as_str).collect();
    let add = ["genesis", "add-validator", file];
    done(first, &[&add[..], &founders[..]].concat());
    for folder in folders {
        done(
            folder,
            &["genesis", "add-account", file, "validator", "100"],
        );
    }
    for (name, value) in [
        ("candidate_stake_min", "10000000000"),
        ("seats_stake_min", "30000000000"),
        ("seats_min", "3"),
        ("seats", "4"),
        ("epoch_blocks", "10"),
    ] {
        done(first, &["genesis", "set-param", file, name, value]);
    }
    done(first, &["genesis", "finalise", file]);
    for folder in &folders[..FOUNDERS] {
        done(folder, &["node", "join", file]);
    }
    let late = &folders[FOUNDERS];
    assert_fails(
        &fairweir(late, &["node", "join", file]),
        5,
        "join a network that runs already with --candidate",
    );
    folders.iter().for_each(|folder| hurry(folder));
    cards.iter().map(|card| identity(card)).collect()
}

#[test]
fn a_machine_that_comes_later_takes_a_seat_and_one_that_is_gone_loses_its_own() {
    let all = tempfile::tempdir().unwrap();
    let folders: Vec<PathBuf> = (0..=FOUNDERS)
        .map(|number| all.path().join(number.to_string()))
        .collect();
    let file = all.path().join("genesis.toml");
    let ids = found(&folders, file.to_str().unwrap());
    let (first, leaver, newcomer) = (&folders[0], &folders[3], &folders[FOUNDERS]);
    let mut nodes: Vec<Node> = folders[..FOUNDERS]
        .iter()
        .map(|folder| Node::start(folder, &[]))
        .collect();
    status_at(first, 12);
    assert_eq!(seats(first).1, 0);

    // The newcomer copies the state. The fourth does not stand; the newcomer's node is let in once its account does.
    let door = done(first, &["node", "address"]);
    let join = ["node", "join", file.to_str().unwrap(), "--candidate"];
    done(newcomer, &[&join[..], &["--copy", door.trim()]].concat());
    nodes.push(Node::start(newcomer, &[]));
    let terms = [
        "validator",
        "candidate",
        "--commission",
        "500",
        "--amount",
        "20",
    ];
    for folder in [first, &folders[1], &folders[2], newcomer] {
        done(folder, &[&["--node", door.trim()], &terms[..]].concat());
    }
    wait_for_seats(first, &[&ids[0], &ids[1], &ids[2], &ids[4]]);
    let status = status_at(newcomer, height(first));
    assert_eq!(status["validators"], 4);
    assert!(seats(newcomer).1 > 0);
    // It did not execute what was before.
    assert_fails(&fairweir(newcomer, &["events"]), 3, "not kept");
    // Who has no seat any more follows, and passes on what it is given; so does who has one.
    for folder in [leaver, newcomer] {
        done(folder, &["keys", "new", "friend"]);
        done(folder, &["transfer", "friend", "1", "--from", "validator"]);
    }

    let (seats, checkpoint) = handovers_are_written(all.path(), first);
    the_state_is_proven(all.path(), leaver, &seats);
    a_checkpoint_is_enough_to_copy(all.path(), first, &checkpoint);

    // One is gone for some epochs: the others go on without its seat, and it comes back by itself.
    drop(nodes.remove(0));
    let second = &folders[1];
    wait_for_seats(second, &[&ids[1], &ids[2], &ids[4]]);
    nodes.push(Node::start(first, &[]));
    wait_for_seats(second, &[&ids[0], &ids[1], &ids[2], &ids[4]]);
    status_at(first, height(second));
    // Of those that run now the second machine's is the first.
    drop(nodes.remove(0));
    nodes.push(repaired(second, first));
    // It may have been gone for so long that its seat was, too.
    wait_for_seats(first, &[&ids[0], &ids[1], &ids[2], &ids[4]]);
    status_at(leaver, height(first));
    let listed = json(&format!(
        "[{}]",
        done(leaver, &["--json", "validator", "list"])
            .trim()
            .replace('\n', ",")
    ));
    assert_eq!(listed.as_array().unwrap().len(), FOUNDERS + 1);
    for validator in listed.as_array().unwrap() {
        let has_left = validator["identity"] == ids[3].as_str();
        assert_eq!(validator["seated"], !has_left, "{validator}");
    }
}

/// Writes what proves who has the seats, from the genesis and from a checkpoint. Gives the file, and that checkpoint.
fn handovers_are_written(folder: &Path, of: &Path) -> (PathBuf, String) {
    let file = folder.join("seats.fw");
    let write = ["--json", "validator", "handovers", file.to_str().unwrap()];
    let written = json(&done(of, &write));
    assert!(written["handovers"].as_u64().unwrap() >= 1, "{written}");
    let checkpoint = written["checkpoint"].as_str().unwrap();
    let trusting = [&write[..], &["--checkpoint", checkpoint]].concat();
    let from_there = json(&done(of, &trusting));
    assert!(from_there["handovers"].as_u64().unwrap() >= 1);
    assert!(from_there["since"].as_u64() >= written["since"].as_u64());
    let (height, digest) = checkpoint.split_once(':').unwrap();
    let other = format!("{height}:{}", digest.chars().rev().collect::<String>());
    let misled = [&write[..], &["--checkpoint", &other]].concat();
    assert_fails(&fairweir(of, &misled), 5, "is not the checkpoint");
    done(of, &write);
    (file, checkpoint.to_owned())
}

/// A node copies the state of another one, and trusts a block of later validators instead of the genesis; with another block it copies nothing.
fn a_checkpoint_is_enough_to_copy(folder: &Path, of: &Path, checkpoint: &str) {
    let (misled, copy) = (folder.join("misled"), folder.join("copy"));
    let (height, digest) = checkpoint.split_once(':').unwrap();
    let other = format!("{height}:{}", digest.chars().rev().collect::<String>());
    let genesis = status_at(of, 1)["genesis"].as_str().unwrap().to_owned();
    let door = done(of, &["node", "address"]);
    let follow = ["node", "follow", door.trim(), "--genesis", &genesis];
    let listen = ["--listen", "127.0.0.1:0", "--checkpoint"];
    let all = fairweir(
        &copy,
        &[
            &follow[..],
            &["--sync", "blocks"],
            &listen[2..],
            &[checkpoint],
        ]
        .concat(),
    );
    assert_fails(&all, 2, "--checkpoint");
    done(&misled, &[&follow[..], &listen, &[&other]].concat());
    Node::kill_when(&misled, "does not show that its newest block is final");
    assert!(!misled.join("node.address").exists());
    done(&copy, &[&follow[..], &listen, &[checkpoint]].concat());
    let _node = Node::start(&copy, &[]);
    let address = json(&done(of, &["--json", "account", "buyer"]))["address"].clone();
    let account = ["--json", "account", address.as_str().unwrap()];
    status_at(&copy, self::height(of));
    assert_eq!(json(&done(&copy, &account)), json(&done(of, &account)));
    // What was before was not even asked for.
    assert_fails(&fairweir(&copy, &["events"]), 3, "not kept");
}

/// Proves an account after a block of validators that the genesis does not know; who checks it has the genesis and the file of handovers alone.
fn the_state_is_proven(folder: &Path, of: &Path, seats: &Path) {
    let (file, away) = (folder.join("account.fws"), folder.join("away"));
    let (file, seats) = (file.to_str().unwrap(), seats.to_str().unwrap());
    let genesis = of.join("genesis.bin");
    let genesis = ["--genesis", genesis.to_str().unwrap()];
    let address = json(&done(of, &["--json", "account", "friend"]));
    let get = [
        "--json", "proof", "account", "friend", "--seats", "--output", file,
    ];
    let check = [&["--json", "proof", "check", file], &genesis[..]].concat();
    // A certificate that three of the founders signed holds for who knows them alone; one with the newcomer's signature does not.
    let deadline = Instant::now() + Duration::from_secs(60);
    let (got, untold) = loop {
        let got = json(&done(of, &get));
        let untold = fairweir(&away, &check);
        if !untold.status.success() {
            break (got, untold);
        }
        assert!(Instant::now() < deadline, "the newcomer signs nothing");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(got["account"]["balance"], address["balance"], "{got}");
    assert_fails(&untold, 5, "other_validators");
    let check = [&check[..], &["--handovers", seats]].concat();
    let checked = json(&done(&away, &check));
    assert_eq!(checked, got);
    let none = json(&done(of, &["--json", "proof", "key", "01ff", "--seats"]));
    assert!(none["record"].is_null(), "{none}");
    let mut bytes = std::fs::read(file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(file, bytes).unwrap();
    assert_fails(&fairweir(&away, &check), 5, "checksum");
}

/// Cuts the files of a store's state in half. Of blocks the others would give what is missing, perhaps before anybody here misses it.
fn cut_state(broken: &Path) {
    let state = broken.join("chain/chain-state-log_data");
    for file in std::fs::read_dir(&state).unwrap() {
        let file = std::fs::File::options()
            .write(true)
            .open(file.unwrap().path())
            .unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length / 2).unwrap();
    }
}

/// Breaks the store of a machine that does not run, and repairs it: it gets the chain from the others.
fn repaired(broken: &Path, other: &Path) -> Node {
    cut_state(broken);
    let (code, said) = Node::refusal(broken);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("`fairweir node repair`"), "{said}");
    let keeps_keys = std::fs::read(broken.join("keys.age")).unwrap();
    let done = json(&done(broken, &["--json", "node", "repair"]));
    assert!(done["votes_from"].as_u64().unwrap() > 0, "{done}");
    assert_eq!(std::fs::read(broken.join("keys.age")).unwrap(), keeps_keys);
    let node = Node::start(broken, &[]);
    status_at(broken, height(other));
    node
}
