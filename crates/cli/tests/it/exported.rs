//! A state as a file: the same records, of a node that does not run, which goes on afterwards.

use super::{
    assert_fails, fairweir,
    several_machines::{Node, done, json, status_at},
};
use fairweir_ledger::{
    bank,
    export::{digest, import},
    invariants,
};

#[test]
fn the_state_of_a_node_that_was_killed_is_exported_whole() {
    let all = tempfile::tempdir().unwrap();
    let data = all.path().join("node");
    let file = |name: &str| all.path().join(name).to_str().unwrap().to_owned();
    let init = ["node", "init", "--chain-id", "dev-exported"];
    done(&data, &[&init[..], &["--listen", "127.0.0.1:0"]].concat());
    let node = Node::start(&data, &[]);
    let genesis = status_at(&data, 1)["genesis"].as_str().unwrap().to_owned();
    done(&data, &["keys", "new", "friend"]);
    for _ in 0..3 {
        done(&data, &["transfer", "friend", "3"]);
    }
    let friend = json(&done(&data, &["--json", "account", "friend"]));
    let height = status_at(&data, 1)["height"].as_u64().unwrap();
    let (first, second) = (file("first"), file("second"));
    assert_fails(&fairweir(&data, &["node", "export", &first]), 6, "in use");
    drop(node);
    let said = json(&done(&data, &["--json", "node", "export", &first]));
    assert!(said["height"].as_u64().unwrap() >= height);
    let bytes = std::fs::read(&first).unwrap();
    let imported = import(&bytes).unwrap();
    assert_eq!(imported.genesis.to_string(), genesis);
    assert_eq!(imported.height.get(), said["height"].as_u64().unwrap());
    assert_eq!(
        digest(&imported.state).to_string(),
        said["digest"].as_str().unwrap()
    );
    invariants::check(&imported.state).unwrap();
    let address = friend["address"].as_str().unwrap().parse().unwrap();
    let account = bank::account(&imported.state, address).unwrap();
    assert_eq!(account.balance.to_string(), "9");
    // The same folder makes the same bytes; what is there is not written over.
    done(&data, &["node", "export", &second]);
    assert_eq!(std::fs::read(&second).unwrap(), bytes);
    assert_fails(&fairweir(&data, &["node", "export", &first]), 6, "first");
    assert_eq!(std::fs::read(&first).unwrap(), bytes);
    // And the node goes on.
    let _node = Node::start(&data, &[]);
    status_at(&data, imported.height.get() + 1);
    done(&data, &["transfer", "friend", "3"]);
}
