//! Blobs of one node, asked for at another.

use crate::{
    four::{link, validator_with},
    harness::{Keys, config, genesis},
};
use commonware_cryptography::Signer as _;
use commonware_p2p::simulated::Link;
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use commonware_utils::probability;
use fairweir_chain::{BlobShelf, ChainHandle, ChainTask, SoughtBlob, start, transport};
use fairweir_types::{Digest, Genesis, Height, limits::BLOB_BYTES_MAX};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A shelf in memory; what it says of a digest need not be true, and it may give nothing of what it says that it has.
#[derive(Debug, Default)]
struct Shelf {
    blobs: Mutex<BTreeMap<Digest, Vec<u8>>>,
    is_silent: bool,
}

impl Shelf {
    fn with(blobs: &[(Digest, Vec<u8>)]) -> Arc<Self> {
        Arc::new(Self {
            blobs: Mutex::new(blobs.iter().cloned().collect()),
            is_silent: false,
        })
    }

    fn silent(blobs: &[(Digest, Vec<u8>)]) -> Arc<Self> {
        Arc::new(Self {
            blobs: Mutex::new(blobs.iter().cloned().collect()),
            is_silent: true,
        })
    }
}

impl BlobShelf for Shelf {
    fn size(&self, digest: &Digest) -> Option<usize> {
        self.blobs.lock().unwrap().get(digest).map(Vec::len)
    }

    fn part(&self, digest: &Digest, from: usize, bytes: usize) -> Option<Vec<u8>> {
        let blobs = self.blobs.lock().unwrap();
        let rest = blobs.get(digest)?.get(from..)?;
        let part = rest.get(..bytes).unwrap_or(rest);
        (!self.is_silent).then(|| part.to_vec())
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

fn found(sought: SoughtBlob) -> Vec<u8> {
    match sought {
        SoughtBlob::Found(blob) => blob.to_vec(),
        other => panic!("not found: {other:?}"),
    }
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
        assert_eq!(found(asking.seek_blob(small.0, false).await), small.1);
        // Together, and who asks twice at the same time is answered twice.
        let began = context.current();
        let (one, two, three) = futures::join!(
            asking.seek_blob(large.0, true),
            asking.seek_blob(large.0, true),
            other.seek_blob(large.0, false)
        );
        for blob in [one, two, three] {
            assert_eq!(found(blob), large.1);
        }
        let took = context.current().duration_since(began).unwrap();
        assert!(took < Duration::from_secs(4), "{took:?}");
    });
}

#[test]
fn liars_are_passed_over() {
    let network = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(120)).start(|context| async move {
        let (digest, bytes) = blob(1_000_000);
        let mut other = bytes.clone();
        other[999_999] ^= 1;
        let shelves = [
            Shelf::with(&[(digest, other)]),
            Shelf::with(&[(digest, bytes[..300_000].to_vec())]),
            Shelf::with(&[(digest, bytes.clone())]),
            empty(),
        ];
        let chains = four(&context, &network, shelves).await;
        // Whichever answers first: the honest one gives it in the end, and each time.
        for is_named in [true, false, true, false] {
            assert_eq!(found(chains[3].0.seek_blob(digest, is_named).await), bytes);
        }
    });
}

#[test]
fn who_gives_nothing_holds_nobody_up_for_long_and_only_once() {
    let network = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(120)).start(|context| async move {
        let (digest, bytes) = blob(1_000_000);
        let held = [(digest, bytes.clone())];
        let shelves = [
            Shelf::silent(&held),
            Shelf::silent(&held),
            Shelf::with(&held),
            empty(),
        ];
        let chains = four(&context, &network, shelves).await;
        let mut took = Vec::new();
        for _ in 0..8 {
            let began = context.current();
            assert_eq!(found(chains[3].0.seek_blob(digest, true).await), bytes);
            took.push(context.current().duration_since(began).unwrap());
        }
        // Two that are asked first take two seconds each, until another is asked besides; then they are asked last.
        let slow = took.iter().filter(|took| **took > Duration::from_secs(2));
        assert!(slow.count() <= 2, "{took:?}");
        assert!(
            took.iter().all(|took| *took < Duration::from_secs(6)),
            "{took:?}"
        );
    });
}

#[test]
fn what_nobody_has_is_given_up_sooner_if_no_transaction_names_it() {
    let network = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let chains = four(&context, &network, [empty(), empty(), empty(), empty()]).await;
        chains[0].0.wait_height(Height(2)).await.unwrap();
        let asking = &chains[0].0;
        for (is_named, least, most) in [(false, 0, 1_000), (true, 9_000, 12_000)] {
            let began = context.current();
            // Whoever asks first.
            let (sought, besides) = futures::join!(
                asking.seek_blob(Digest::ZERO, false),
                asking.seek_blob(Digest::ZERO, is_named)
            );
            assert_eq!(
                (sought, besides),
                (SoughtBlob::Nowhere, SoughtBlob::Nowhere)
            );
            let took = context.current().duration_since(began).unwrap().as_millis();
            assert!((least..most).contains(&took), "{is_named}: {took} ms");
        }
    });
}

#[test]
fn who_looks_for_much_that_nobody_named_leaves_room_for_what_is_named() {
    let network = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (digest, bytes) = blob(1_000);
        let shelf = Shelf::with(&[(digest, bytes.clone())]);
        let chains = four(&context, &network, [shelf, empty(), empty(), empty()]).await;
        let asking = &chains[3].0;
        let strangers = (0..40_u8).map(|number| {
            let digest = Digest::of_blob(&[number]);
            async move { asking.seek_blob(digest, false).await }
        });
        let strangers = futures::future::join_all(strangers);
        let (strangers, sought) = futures::join!(strangers, asking.seek_blob(digest, true));
        assert_eq!(found(sought), bytes);
        assert!(strangers.contains(&SoughtBlob::Later) && strangers.contains(&SoughtBlob::Nowhere));
    });
}

#[test]
fn who_reaches_nobody_does_not_say_that_nobody_has_it() {
    let (genesis, keys) = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let mut config = config(&genesis, &keys[0]);
        config.partition_prefix = "apart".to_owned();
        // A network without a wire, though the chain has four validators.
        let transport = transport::solo(keys[0].identity.as_identity().public_key());
        let (chain, _task) = start(context.child("apart"), config, transport)
            .await
            .unwrap();
        for is_named in [false, true] {
            let sought = chain.seek_blob(Digest::ZERO, is_named).await;
            assert_eq!(sought, SoughtBlob::Later);
        }
    });
}

#[test]
fn many_large_blobs_at_once_are_got_all_the_same() {
    let network = genesis(4);
    deterministic::Runner::timed(Duration::from_secs(120)).start(|context| async move {
        let blobs: Vec<_> = (0..6).map(|number| blob(BLOB_BYTES_MAX - number)).collect();
        let chains = four(
            &context,
            &network,
            [Shelf::with(&blobs), empty(), empty(), empty()],
        )
        .await;
        // More parts than one peer is given in a second.
        let asking = &chains[3].0;
        let seeks = blobs
            .iter()
            .map(|(digest, _)| asking.seek_blob(*digest, true));
        for (sought, (_, bytes)) in futures::future::join_all(seeks)
            .await
            .into_iter()
            .zip(&blobs)
        {
            assert_eq!(found(sought), *bytes);
        }
    });
}

#[test]
fn a_node_that_is_alone_says_at_once_that_nobody_has_it() {
    let (genesis, keys) = genesis(1);
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let (chain, _task) = crate::harness::start_solo(&context, config(&genesis, &keys[0])).await;
        let began = context.current();
        assert_eq!(
            chain.seek_blob(Digest::ZERO, false).await,
            SoughtBlob::Nowhere
        );
        assert!(context.current().duration_since(began).unwrap() < Duration::from_millis(100));
    });
}
