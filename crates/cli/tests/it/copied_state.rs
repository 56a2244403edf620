//! A node whose disk is empty copies the state of another one, each a process of its own.

use super::{
    assert_fails, fairweir,
    several_machines::{Node, done, json, status_at},
};
use std::time::Duration;

#[test]
fn a_node_copies_the_state_also_after_it_was_killed_and_can_be_copied_from() {
    let all = tempfile::tempdir().unwrap();
    let [first, copy, second, whole] =
        ["first", "copy", "second", "whole"].map(|name| all.path().join(name));
    let init = ["node", "init", "--chain-id", "dev-copied"];
    done(&first, &[&init[..], &["--listen", "127.0.0.1:0"]].concat());
    let node = Node::start(&first, &[]);
    let status = status_at(&first, 1);
    let digest = status["genesis"].as_str().unwrap();
    done(&first, &["keys", "new", "friend"]);
    for _ in 0..5 {
        done(&first, &["transfer", "friend", "3"]);
    }
    let upstream = done(&first, &["node", "address"]);
    let follow = ["node", "follow", upstream.trim(), "--genesis", digest];
    let listen = ["--listen", "127.0.0.1:0"];
    let wrong = fairweir(&copy, &[&follow[..], &["--sync", "snapshot"]].concat());
    assert_fails(&wrong, 2, "state");
    done(
        &copy,
        &[&follow[..], &listen, &["--sync", "state"]].concat(),
    );
    let settings = std::fs::read_to_string(copy.join("fairweir.toml")).unwrap();
    assert!(settings.contains("sync = \"state\""), "{settings}");
    // Killed as the copy begins, and at some moments after.
    Node::kill_when(&copy, "the state is copied");
    for wait in [20, 60, 150, 400] {
        let killed = Node::start(&copy, &[]);
        std::thread::sleep(Duration::from_millis(wait));
        drop(killed);
    }
    let height = status_at(&first, 8)["height"].as_u64().unwrap();
    let copied = Node::start(&copy, &[]);
    let seen = status_at(&copy, height);
    assert_eq!(seen["genesis"].as_str(), Some(digest));
    let account = |data| json(&done(data, &["--json", "account", "friend"]));
    let address = account(&first)["address"].as_str().unwrap().to_owned();
    let at = |data| json(&done(data, &["--json", "account", &address]));
    assert_eq!(at(&copy)["balance"], account(&first)["balance"]);
    // A transfer by way of the copy; what was before the copy it does not have.
    let door = done(&copy, &["node", "address"]);
    done(&first, &["--node", door.trim(), "transfer", "friend", "1"]);
    assert_eq!(at(&copy)["balance"], account(&first)["balance"]);
    let before = fairweir(&copy, &["events", "--from", "1"]);
    assert_fails(&before, 3, "not kept");
    let newest = status_at(&copy, height)["height"].to_string();
    done(&copy, &["events", "--from", &newest]);
    // From the copy another one is made; who executes everything finds no first block there, and goes to the next node.
    let from_copy = ["node", "follow", door.trim(), "--genesis", digest];
    done(&second, &[&from_copy[..], &listen].concat());
    let both = [
        "node",
        "follow",
        door.trim(),
        upstream.trim(),
        "--genesis",
        digest,
    ];
    done(
        &whole,
        &[&both[..], &listen, &["--sync", "blocks"]].concat(),
    );
    let others = [Node::start(&second, &[]), Node::start(&whole, &[])];
    let height = status_at(&first, 1)["height"].as_u64().unwrap();
    for data in [&second, &whole] {
        status_at(data, height);
        assert_eq!(at(data)["balance"], account(&first)["balance"]);
    }
    assert_fails(&fairweir(&second, &["events"]), 3, "not kept");
    let all = done(&whole, &["--json", "events"]);
    assert!(all.contains("transferred"), "{all}");
    drop((node, copied, others));
}
