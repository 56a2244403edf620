//! Blobs of one node, asked for at another.

use crate::{
    four::{link, validator_with},
    harness::{Keys, config, genesis},
};
use commonware_p2p::simulated::Link;
use commonware_runtime::{Clock as _, Runner as _, deterministic};
use commonware_utils::probability;
use fairweir_chain::{BlobShelf, ChainHandle, ChainTask};
use fairweir_types::{Digest, Genesis, limits::BLOB_BYTES_MAX};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A shelf in memory; what it says of a digest need not be true.
#[derive(Debug, Default)]
struct Shelf(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl Shelf {
    fn with(blobs: &[(Digest, Vec<u8>)]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(blobs.iter().cloned().collect())))
    }
}

impl BlobShelf for Shelf {
    fn size(&self, digest: &Digest) -> Option<usize> {
        self.0.lock().unwrap().get(digest).map(Vec::len)
    }

    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(digest).cloned()
    }
}

fn whole() -> Link {
    Link {
        latency: Duration::from_millis(50),
        jitter: Duration::from_millis(20),
        success_rate: probability!(1.0),
    }
}

/// A blob of so many bytes.
fn blob(size: usize) -> (Digest, Vec<u8>) {
    let bytes: Vec<u8> = (0..size)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    (Digest::of_blob(&bytes), bytes)
}

async fn four(
    context: &deterministic::Context,
    (genesis, keys): &(Genesis, Vec<Keys>),
    shelves: [Arc<Shelf>; 4],
) -> Vec<(ChainHandle, ChainTask)> {
    let oracle = link(context, genesis, keys, whole()).await;
    let mut started = Vec::new();
    for (number, (keys, shelf)) in keys.iter().zip(shelves).enumerate() {
        let mut config = config(genesis, keys);
        config.shelf = shelf;
        started.push(validator_with(context, &oracle, (config, keys), number).await);
    }
    started
}

fn empty() -> Arc<Shelf> {
    Arc::default()
}

#[test]
fn a_blob_is_got_from_whoever_has_it() {
    let network = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (small, large) = (blob(1), blob(BLOB_BYTES_MAX));
        let shelves = [
            Shelf::with(std::slice::from_ref(&small)),
            Shelf::with(std::slice::from_ref(&large)),
            empty(),
            empty(),
        ];
        let chains = four(&context, &network, shelves).await;
        let (asking, other) = (&chains[2].0, &chains[3].0);
        assert_eq!(asking.seek_blob(small.0).await, Some(small.1));
        // Together, and who asks twice at the same time is answered twice.
        let began = context.current();
        let (one, two, three) = futures::join!(
            asking.seek_blob(large.0),
            asking.seek_blob(large.0),
            other.seek_blob(large.0)
        );
        for found in [one, two, three] {
            assert_eq!(found.as_ref(), Some(&large.1));
        }
        let took = context.current().duration_since(began).unwrap();
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert!(asking.hand_on_blob(vec![1]).await);
    });
}

#[test]
fn what_nobody_has_is_given_up_and_liars_are_passed_over() {
    let network = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(120)).start(|context| async move {
        let (digest, bytes) = blob(1_000_000);
        let (mut other, mut short) = (bytes.clone(), bytes.clone());
        other[999_999] ^= 1;
        short.truncate(300_000);
        let shelves = [
            Shelf::with(&[(digest, other)]),
            Shelf::with(&[(digest, short)]),
            Shelf::with(&[(digest, bytes.clone())]),
            empty(),
        ];
        let chains = four(&context, &network, shelves).await;
        let asking = &chains[3].0;
        // Whichever answers first: the honest one gives it in the end, and each time.
        for _ in 0..8 {
            assert_eq!(asking.seek_blob(digest).await, Some(bytes.clone()));
        }
        let began = context.current();
        assert_eq!(asking.seek_blob(Digest::ZERO).await, None);
        let took = context.current().duration_since(began).unwrap();
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

#[test]
fn a_node_that_is_alone_says_at_once_that_nobody_has_it() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (chain, _task) = crate::harness::start_solo(&context, config(&genesis, &keys[0])).await;
        let began = context.current();
        assert_eq!(chain.seek_blob(Digest::ZERO).await, None);
        assert!(context.current().duration_since(began).unwrap() < Duration::from_millis(100));
    });
}
