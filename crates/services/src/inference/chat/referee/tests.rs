use super::*;
use crate::{
    StopAt,
    contract::Served,
    inference::{
        chat::{Parameters, Prompt},
        testing::{TINY_CHAT, TINY_OTHER, tiny_chat_file},
    },
    testing::{MemoryBlobs, run},
};

fn spec(model: ModelId, tokens_max: u32) -> Vec<u8> {
    let prompt = Prompt::Tokens(BoundedVec::truncating(5..25));
    let spec = ChatSpec::new(model, prompt, Parameters::greedy(tokens_max), [9; 32]);
    spec.unwrap().encode().to_vec()
}

fn record(spec: &[u8]) -> Arc<dyn Record> {
    let (blobs, stop) = (MemoryBlobs::default(), StopAt::default());
    let limits = Chat::service().demand(spec).unwrap();
    let env = Env::checking(&blobs, &limits, &stop, &[]);
    let recorder = Chat::service().recorder().unwrap();
    run(recorder.record(&env, spec)).unwrap()
}

/// The path of the run's last value, which has one cell.
fn last(record: &dyn Record) -> Vec<u8> {
    let mut path = Vec::new();
    while let Some(last) = run(record.children(&path)).unwrap().len().checked_sub(1) {
        path.push(u8::try_from(last).unwrap());
    }
    path
}

fn cell_at(record: &dyn Record, path: &[u8]) -> Digest {
    let (last, above) = path.split_last().unwrap();
    run(record.children(above)).unwrap()[usize::from(*last)]
}

#[test]
fn a_run_ends_in_the_trace_that_verifiers_find_and_nodes_are_those_that_the_ledger_asks_for() {
    let spec = spec(TINY_CHAT, 6);
    let record = record(&spec);
    let (blobs, stop) = (MemoryBlobs::default(), StopAt::default());
    let limits = Chat::service().demand(&spec).unwrap();
    let env = Env::checking(&blobs, &limits, &stop, &[]);
    let executed = run(Chat::service().execute(&env, &spec, &mut Discard)).unwrap();
    assert_eq!(record.trace(), executed.trace(&Digest::of_blob(&spec)));
    assert!(record.stands_for(&record.trace()) && !record.stands_for(&Digest::ZERO));
    let path = last(record.as_ref());
    let mut node_there = record.run();
    for length in 0..path.len() {
        let children = run(record.children(&path[..length])).unwrap();
        assert_eq!(node(&children), node_there);
        node_there = children[usize::from(path[length])];
    }
}

#[test]
fn what_is_shown_decides_and_what_is_not_of_the_order_is_refused() {
    let asked = spec(TINY_CHAT, 6);
    let record = record(&asked);
    let path = last(record.as_ref());
    let right = cell_at(record.as_ref(), &path);
    let claims = [right, Digest([7; 32])];
    let shown = run(record.exhibit(&path, claims)).unwrap();
    let (digest, root) = (Digest::of_blob(&asked), record.run());
    assert_eq!(
        find(&digest, &root, &path, &claims, &shown),
        Ok(Some(right))
    );

    let refused = |spec: &Digest, run: &Digest, path: &[u8], shown: &[u8]| {
        find(spec, run, path, &claims, shown).unwrap_err()
    };
    assert_eq!(
        refused(&digest, &root, &path, b"nothing"),
        ShownError::Malformed
    );
    assert_eq!(
        refused(&Digest::ZERO, &root, &path, &shown),
        ShownError::OtherSpec
    );
    assert_eq!(
        refused(&digest, &root, &path[..3], &shown),
        ShownError::Referee(RefereeError::NotACell)
    );
    assert!(matches!(
        refused(&digest, &Digest([3; 32]), &path, &shown),
        ShownError::Referee(RefereeError::NotShown { .. })
    ));
    let with = |change: &dyn Fn(&mut Shown)| {
        let mut shown: Shown = decode(&shown).unwrap();
        change(&mut shown);
        shown.encode().to_vec()
    };
    let other_files = with(&|shown| shown.files = BoundedVec::default());
    assert_eq!(
        refused(&digest, &root, &path, &other_files),
        ShownError::OtherFiles
    );
    // The spec of another model, and none at all.
    for other in [spec(TINY_OTHER, 6), vec![1, 2, 3]] {
        let shown = with(&|shown| shown.spec = BoundedBytes::new(other.clone()).unwrap());
        let found = find(&Digest::of_blob(&other), &root, &path, &claims, &shown);
        assert_ne!(found, Ok(Some(right)));
    }
    // Cut or changed anywhere, it is refused or says the same; it never says that another cell is right.
    for at in (0..shown.len()).step_by(shown.len() / 200 + 1) {
        let mut changed = shown.clone();
        changed[at] ^= 0x10;
        let cut = find(&digest, &root, &path, &claims, &shown[..at]);
        assert!(cut.is_err());
        let found = find(&digest, &root, &path, &claims, &changed);
        assert!(
            found.is_err() || found == Ok(Some(right)),
            "{at}: {found:?}"
        );
    }
    assert!(
        tiny_chat_file(1).len() > referee::PIECE,
        "the file has several pieces"
    );
}
