//! Roles that run: against a chain in memory, under the deterministic runtime.

use super::*;
use crate::{
    Blobs,
    pipeline::{PipelineError, Shelf},
};
use commonware_runtime::Handle;
use fairweir_types::{
    limits::CHUNK_BYTES_MAX,
    receipt::{SignedStop, Stop, missing_spec_trace},
};
use futures::{FutureExt as _, future::BoxFuture};

/// Waits, by the virtual clock, until something is so.
async fn until(context: &deterministic::Context, holds: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        context.sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came about");
}

fn request(slot_id: SlotId, key: &SecretKey) -> DeliveryRequest {
    DeliveryRequest {
        slot_id,
        buyer: key.account_key(),
        signature: key.sign(Purpose::Delivery, &slot_id.encode()),
    }
}

fn code(reply: &DeliveryReply) -> String {
    match reply {
        DeliveryReply::Refused(refusal) => refusal.code.as_str().to_owned(),
        DeliveryReply::Delivered(_) => "delivered".to_owned(),
        DeliveryReply::Chunk(_) => "chunk".to_owned(),
        DeliveryReply::Stopping(_) => "stopping".to_owned(),
        DeliveryReply::Leaves(_) => "leaves".to_owned(),
    }
}

#[test]
fn a_buyer_follows_its_output_and_it_alone_may_stop_it() {
    let desk = crate::pipeline::Desk::new();
    let stop_by = |key: &SecretKey, attempt| {
        SignedStop::sign(
            Stop {
                chain_id: chain_id(),
                slot_id: slot_id(),
                attempt,
                output_max: Units(3),
            },
            key,
        )
    };
    let good = stop_by(&buyer(), 0);
    assert_eq!(code(&desk.stop(&chain_id(), &good)), "not_found");
    desk.expect(slot_id(), 0, buyer().address());
    let (feed, stop) = desk.equip(slot_id(), 0);
    for bad in [stop_by(&me(), 0), stop_by(&buyer(), 1)] {
        assert_eq!(code(&desk.stop(&chain_id(), &bad)), "not_the_buyer");
    }
    assert_eq!(stop.get(), None);
    assert_eq!(code(&desk.stop(&chain_id(), &good)), "stopping");
    assert_eq!(stop.get(), Some(Units(3)));
    let stopped = desk.stopped((slot_id(), 0), Units(2)).unwrap();
    assert_eq!((stopped.at, &stopped.stop), (Units(2), &good));
    // A later, lower stop does not take away the word that an execution already ended by.
    let lower = SignedStop::sign(
        Stop {
            output_max: Units(1),
            ..good.stop.clone()
        },
        &buyer(),
    );
    assert_eq!(code(&desk.stop(&chain_id(), &lower)), "stopping");
    let stopped = desk.stopped((slot_id(), 0), Units(2)).unwrap();
    assert_eq!(stopped.stop, good);
    assert_eq!(desk.stopped((slot_id(), 0), Units(4)), None);
    let followers: Vec<_> = (0..8)
        .filter_map(|_| desk.follow(&request(slot_id(), &buyer())).ok())
        .collect();
    assert_eq!(followers.len(), 4, "one order cannot take all places");
    drop(followers);

    assert!(desk.follow(&request(slot_id(), &me())).is_err());
    let mut follower = desk.follow(&request(slot_id(), &buyer())).unwrap();
    let chunks = [vec![1; 5], vec![2; CHUNK_BYTES_MAX + 1]];
    for _ in 0..2 {
        // A second try of the same work tells nothing twice.
        let mut writer = feed.writer();
        for chunk in &chunks {
            crate::testing::run(crate::Outlet::emit(&mut writer, chunk.clone())).unwrap();
        }
    }
    desk.close(slot_id());
    let replies: Vec<_> = (0..4)
        .map(|_| crate::testing::run(follower.next()).map(|reply| code(&reply)))
        .collect();
    let expected = ["chunk", "chunk", "chunk", "not_found"].map(|word| Some(word.to_owned()));
    assert_eq!(replies, expected);
}

#[test]
fn a_worker_runs_an_order_from_its_match_to_its_delivery() {
    deterministic::Runner::default().start(|context| async move {
        let chain = MemoryChain::new(chain_id());
        let blobs = MemoryBlobs::default();
        let mut role = Worker::new(identity(), chain.clone(), tools(&blobs));
        let (desk, progress) = (role.desk(), role.progress());
        let clock = context.child("clock");
        let running = context
            .child("worker")
            .spawn(|_| async move { role.run(&clock, Height(1)).await });

        assert_eq!(
            code(&desk.deliver(&request(slot_id(), &buyer()))),
            "not_found"
        );
        let _ = chain.push(vec![posted_with(header(&Carried::AsBlob))]);
        let _ = chain.push(vec![matched()]);
        until(&context, || {
            code(&desk.deliver(&request(slot_id(), &buyer()))) == "not_ready"
        })
        .await;
        // The blob comes late; the node is away for a moment; the connection is cut.
        chain.answer_next(Err(ChainError::Unreachable("away".to_owned())));
        chain.fail_next_connection(ChainError::Busy("too many".to_owned()));
        chain.cut();
        let _ = blobs.keep(spec());
        until(&context, || chain.submitted().len() == 2).await;
        let Action::SubmitReceipt(submit) = chain.submitted()[1].clone() else {
            panic!("{:?}", chain.submitted());
        };
        assert!(submit.receipt.is_signed());
        assert_eq!(
            submit.receipt,
            receipt_from_me(),
            "the same after every restart"
        );
        let _ = chain.push(vec![handed_in(submit.receipt.clone())]);
        until(&context, || progress.seen() == Height(3)).await;

        let reply = desk.deliver(&request(slot_id(), &buyer()));
        let DeliveryReply::Delivered(delivery) = reply else {
            panic!("{reply:?}");
        };
        let output: TextOutput = decode(delivery.output.as_slice()).unwrap();
        assert_eq!((output.text(), output.statistics().words), (TEXT, 4));
        assert_eq!(
            code(&desk.deliver(&request(slot_id(), &me()))),
            "not_the_buyer"
        );
        let mut forged = request(slot_id(), &me());
        forged.buyer = buyer().account_key();
        assert_eq!(code(&desk.deliver(&forged)), "not_the_buyer");

        let _ = chain.push(vec![opening_due()]);
        until(&context, || chain.submitted().len() == 3).await;
        let Action::OpenReceipt(open) = chain.submitted()[2].clone() else {
            panic!("{:?}", chain.submitted());
        };
        let receipt = &submit.receipt.receipt;
        let opened = trace(&receipt.spec_digest, &open.output, &receipt.units);
        assert!(receipt.is_opened_by(me().address(), &open.salt, &opened));
        assert_eq!(progress.resume_from(), Height(1));
        let _ = chain.push(vec![
            Event::ReceiptOpened(ReceiptOpened {
                slot_id: slot_id(),
                worker: me().address(),
                trace: opened,
                samples: BoundedVec::default(),
            }),
            closed(),
        ]);
        until(&context, || progress.resume_from() == Height(5)).await;
        assert_eq!(
            code(&desk.deliver(&request(slot_id(), &buyer()))),
            "delivered",
            "after settlement too"
        );
        running.abort();
    });
}

/// A verifier that is drawn for an order that was posted like this, in a task of its own. It finds no blobs.
fn drawn_verifier(
    context: &deterministic::Context,
    chain: &MemoryChain,
    posted: Event,
) -> Handle<PipelineError> {
    let mut role = Verifier::new(identity(), chain.clone(), tools(&MemoryBlobs::default()));
    let clock = context.child("clock");
    let _ = chain.push(vec![posted]);
    let _ = chain.push(vec![handed_in(receipt_of(&key(5)))]);
    let _ = chain.push(vec![drawn(Tier::First, vec![me().address()])]);
    context
        .child("verifier")
        .spawn(|_| async move { role.run(&clock, Height(1)).await })
}

#[test]
fn a_verifier_commits_and_reveals_what_opens() {
    deterministic::Runner::default().start(|context| async move {
        let chain = MemoryChain::new(chain_id());
        let running = drawn_verifier(&context, &chain, posted());
        until(&context, || chain.submitted().len() == 1).await;
        let _ = chain.push(vec![committed_by(me().address()), reveal_due(Tier::First)]);
        until(&context, || chain.submitted().len() == 2).await;
        let submitted = chain.submitted();
        let (Action::CommitVerdict(commit), Action::RevealVerdict(reveal)) =
            (&submitted[0], &submitted[1])
        else {
            panic!("{submitted:?}");
        };
        assert_eq!(
            verdict_commitment(me().address(), &slot_id(), &reveal.nonce, &reveal.trace),
            commit.commitment
        );
        // The worker with its own seed opens the same trace.
        let salt = crate::pipeline::salt::worker_salt(&[3; 32], &chain_id(), &slot_id(), 0);
        assert!(
            receipt_of(&key(5))
                .receipt
                .is_opened_by(key(5).address(), &salt, &reveal.trace)
        );
        running.abort();
    });
}

#[test]
fn a_blob_that_is_withheld_costs_tries_but_not_the_role() {
    deterministic::Runner::default().start(|context| async move {
        let chain = MemoryChain::new(chain_id());
        let blobs = MemoryBlobs::default();
        for _ in 0..3 {
            blobs.fail_next(BlobError::Unreachable("away".to_owned()));
        }
        let mut role = Worker::new(identity(), chain.clone(), tools(&blobs));
        let progress = role.progress();
        let clock = context.child("clock");
        let running = context
            .child("worker")
            .spawn(|_| async move { role.run(&clock, Height(1)).await });
        let _ = chain.push(vec![posted_with(header(&Carried::AsBlob)), matched()]);
        // Longer than all tries and the order's whole time.
        context.sleep(Duration::from_secs(120)).await;
        assert!(chain.submitted().is_empty());
        let _ = chain.push(vec![]);
        until(&context, || progress.seen() == Height(2)).await;
        running.abort();
    });
}

#[test]
fn a_spec_that_nobody_finds_is_what_a_verifier_finds() {
    deterministic::Runner::default().start(|context| async move {
        let chain = MemoryChain::new(chain_id());
        let running = drawn_verifier(&context, &chain, posted_with(header(&Carried::AsBlob)));
        until(&context, || chain.submitted().len() == 1).await;
        let _ = chain.push(vec![committed_by(me().address()), reveal_due(Tier::First)]);
        until(&context, || chain.submitted().len() == 2).await;
        let Action::RevealVerdict(reveal) = &chain.submitted()[1] else {
            panic!("{:?}", chain.submitted());
        };
        assert_eq!(reveal.trace, missing_spec_trace(&slot_id()));
        running.abort();
    });
}

/// A store whose uploaders take away what somebody read; it may be full.
#[derive(Debug)]
struct TakenAway {
    blobs: MemoryBlobs,
    is_full: bool,
}

impl Blobs for TakenAway {
    fn get(&self, digest: Digest, limit_bytes: usize) -> BoxFuture<'_, Result<Vec<u8>, BlobError>> {
        async move {
            let read = self.blobs.get(digest, limit_bytes).await;
            self.blobs.forget(&digest);
            read
        }
        .boxed()
    }

    fn put(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, BlobError>> {
        if self.is_full {
            return async { Err(BlobError::Full) }.boxed();
        }
        self.blobs.put(bytes)
    }
}

/// What a worker's store holds of the spec once it handed in its receipt.
fn spec_after_work(is_full: bool) -> Result<Vec<u8>, BlobError> {
    deterministic::Runner::default().start(|context| async move {
        let (chain, blobs) = (MemoryChain::new(chain_id()), MemoryBlobs::default());
        let store = TakenAway {
            blobs: blobs.clone(),
            is_full,
        };
        let tools = Tools {
            blobs: Arc::new(store),
            ..tools(&blobs)
        };
        let mut role = Worker::new(identity(), chain.clone(), tools);
        let clock = context.child("clock");
        let running = context
            .child("worker")
            .spawn(|_| async move { role.run(&clock, Height(1)).await });
        let spec_digest = blobs.keep(spec());
        let _ = chain.push(vec![posted_with(header(&Carried::AsBlob)), matched()]);
        until(&context, || chain.submitted().len() == 1).await;
        running.abort();
        blobs.get(spec_digest, spec().len()).await
    })
}

#[test]
fn a_worker_leaves_the_spec_where_it_is_found() {
    assert_eq!(spec_after_work(false), Ok(spec()));
}

#[test]
fn a_worker_whose_node_keeps_no_more_works_all_the_same() {
    assert!(matches!(spec_after_work(true), Err(BlobError::NotFound(_))));
}

#[test]
fn a_role_ends_when_the_chain_cannot_be_followed() {
    deterministic::Runner::default().start(|context| async move {
        let chain = MemoryChain::new(chain_id());
        let away = ChainError::Unreachable("away".to_owned());
        for _ in 0..crate::pipeline::limits::TRIES_MAX {
            chain.fail_next_connection(away.clone());
        }
        let mut role = Verifier::new(identity(), chain.clone(), tools(&MemoryBlobs::default()));
        let error = role.run(&context, Height(1)).await;
        assert_eq!(error, crate::pipeline::PipelineError::Chain(away));
    });
}

#[test]
fn roles_that_start_after_an_order_was_posted_look_it_up() {
    deterministic::Runner::default().start(|context| async move {
        let chain = MemoryChain::new(chain_id());
        let _ = chain.push(vec![posted()]);
        let mut role = Worker::new(identity(), chain.clone(), tools(&MemoryBlobs::default()));
        let clock = context.child("clock");
        let running = context
            .child("worker")
            .spawn(|_| async move { role.run(&clock, Height(2)).await });
        let _ = chain.push(vec![matched()]);
        until(&context, || chain.submitted().len() == 1).await;
        running.abort();

        let chain = MemoryChain::new(chain_id());
        let _ = chain.push(vec![posted()]);
        let _ = chain.push(vec![handed_in(receipt_of(&key(5)))]);
        // Both are read at once: the reveal must not be missed while the order is looked up.
        let drawn = drawn(Tier::First, vec![me().address()]);
        let _ = chain.push(vec![drawn, committed_by(me().address())]);
        let _ = chain.push(vec![reveal_due(Tier::First)]);
        let mut role = Verifier::new(identity(), chain.clone(), tools(&MemoryBlobs::default()));
        let clock = context.child("clock");
        let running = context
            .child("verifier")
            .spawn(|_| async move { role.run(&clock, Height(3)).await });
        until(&context, || chain.submitted().len() == 1).await;
        assert!(matches!(chain.submitted()[0], Action::RevealVerdict(_)));
        running.abort();
    });
}

/// A shelf in memory.
#[derive(Debug, Default)]
struct MemoryShelf(std::sync::Mutex<std::collections::BTreeMap<SlotId, Vec<u8>>>);

impl Shelf for MemoryShelf {
    fn keep(&self, slot_id: SlotId, output: &[u8]) {
        self.0.lock().unwrap().insert(slot_id, output.to_vec());
    }

    fn forget(&self, slot_id: SlotId) {
        self.0.lock().unwrap().remove(&slot_id);
    }

    fn all(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().values().cloned().collect()
    }
}

#[test]
fn an_output_is_handed_over_after_the_worker_restarted() {
    deterministic::Runner::default().start(|context| async move {
        let shelf = Arc::new(MemoryShelf::default());
        let chain = MemoryChain::new(chain_id());
        let new = || {
            let worker = Worker::new(identity(), chain.clone(), tools(&MemoryBlobs::default()));
            worker.with_shelf(shelf.clone())
        };
        let mut role = new();
        let clock = context.child("clock");
        let running = context
            .child("worker")
            .spawn(|_| async move { role.run(&clock, Height(1)).await });
        let _ = chain.push(vec![posted(), matched()]);
        until(&context, || !shelf.all().is_empty()).await;
        running.abort();

        let deliver = |worker: &Worker<MemoryChain>, by: &SecretKey| {
            code(&worker.desk().deliver(&request(slot_id(), by)))
        };
        let again = new();
        assert_eq!(deliver(&again, &buyer()), "delivered");
        assert_eq!(deliver(&again, &me()), "not_the_buyer");
        // The slot went to another worker: nothing stays behind.
        again.desk().forget(slot_id());
        assert!(shelf.all().is_empty());
        assert_eq!(deliver(&new(), &buyer()), "not_found");
    });
}
