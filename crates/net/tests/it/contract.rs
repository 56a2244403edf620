//! What every network promises, written once.
//!
//! `contract_tests!(run)` makes a test of each promise; `run` starts a runtime and two connected networks, and hands them over.

use std::time::Duration;

use commonware_runtime::{Clock, Handle, Spawner};
use fairweir_net::{
    FRAME_BYTES_MAX, FrameStream, Incoming, NetError, Network, Operation, PeerAddr, PeerId,
    Protocol, STREAM_WINDOW_BYTES, read_request, reply, request,
};
use futures::{FutureExt as _, future::join_all};

/// What a promise is tested on.
pub(crate) struct World<C, N> {
    pub(crate) context: C,
    pub(crate) a: N,
    pub(crate) b: N,
}

pub(crate) const ECHO: Protocol = Protocol::new(1);
const OTHER: Protocol = Protocol::new(2);
/// Never reached on a working machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// Long enough for a few round trips, short enough to wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
pub(crate) const LIMIT: usize = 1024 * 1024;

macro_rules! contract_tests {
    ($run:path: $($promise:ident)*) => {
        $(
            #[test]
            fn $promise() {
                $run(|world| $crate::contract::$promise(world));
            }
        )*
    };
    ($run:path) => {
        $crate::contract::contract_tests! {
            $run:
            request_is_echoed_and_both_sides_know_each_other
            requests_run_side_by_side
            large_frame_arrives_whole
            empty_frame_is_a_frame
            frame_over_the_senders_limit_is_refused_and_the_stream_lives
            who_drops_a_stream_is_gone
            frame_over_the_readers_limit_waits_for_a_larger_one
            unknown_protocol_is_named
            protocol_is_taken_once
            full_queue_is_busy_until_a_stream_is_taken
            deadline_passes_when_the_handler_stalls
            receive_goes_on_after_a_passed_deadline
            one_deadline_covers_the_whole_request
            finished_side_still_receives
            answerless_finish_is_no_frame
            dropped_stream_is_closed_for_the_peer
            dropped_queue_closes_the_streams_in_it
            slow_reader_stops_the_sender
            peer_that_closes_ends_its_streams
            closed_network_does_nothing_more
            own_address_is_not_dialled
        }
    };
}
pub(crate) use contract_tests;

/// Echoes every request on a protocol.
pub(crate) fn echo<C: Spawner, N: Network>(
    context: &C,
    network: &N,
    protocol: Protocol,
) -> Handle<()> {
    let mut incoming = network.accept(protocol, 64).unwrap();
    context.child("echo").spawn(move |context| async move {
        while let Some((_, mut stream)) = incoming.next().await {
            context.child("stream").spawn(move |_| async move {
                // A peer that goes away is part of some tests.
                if let Ok(frame) = read_request(&mut stream, FRAME_BYTES_MAX, LONG).await {
                    let _ = reply(stream, &frame, LONG).await;
                }
            });
        }
    })
}

async fn pair<C: Spawner, N: Network>(
    world: &World<C, N>,
) -> (N::Stream, N::Stream, Incoming<N::Stream>) {
    let mut incoming = world.b.accept(ECHO, 4).unwrap();
    let ours = world
        .a
        .open(&world.b.local_addr(), ECHO, LONG)
        .await
        .unwrap();
    let (peer, theirs) = incoming.next().await.unwrap();
    assert_eq!(peer, world.a.local_addr().id());
    (ours, theirs, incoming)
}

pub(crate) async fn request_is_echoed_and_both_sides_know_each_other<C: Spawner, N: Network>(
    world: World<C, N>,
) {
    let mut incoming = world.b.accept(ECHO, 1).unwrap();
    let server = world.context.child("server").spawn(move |_| async move {
        let (peer, mut stream) = incoming.next().await.unwrap();
        let frame = read_request(&mut stream, 5, LONG).await.unwrap();
        reply(stream, &[frame.as_slice(), b"!"].concat(), LONG)
            .await
            .unwrap();
        peer
    });
    let answer = request(&world.a, &world.b.local_addr(), ECHO, b"hello", 6, LONG).await;
    assert_eq!(answer.unwrap(), b"hello!");
    assert_eq!(server.await.unwrap(), world.a.local_addr().id());
}

pub(crate) async fn requests_run_side_by_side<C: Spawner, N: Network>(world: World<C, N>) {
    let _server = echo(&world.context, &world.b, ECHO);
    let peer = world.b.local_addr();
    let asked = (0..40_u8).map(|number| {
        let (world, peer) = (&world, &peer);
        let frame = vec![number; usize::from(number) * 1000];
        async move {
            let answer = request(&world.a, peer, ECHO, &frame, LIMIT, LONG).await;
            assert_eq!(answer.unwrap(), frame);
        }
    });
    join_all(asked).await;
}

pub(crate) async fn large_frame_arrives_whole<C: Spawner, N: Network>(world: World<C, N>) {
    let _server = echo(&world.context, &world.b, ECHO);
    let frame: Vec<u8> = (0..FRAME_BYTES_MAX).map(|at| at.to_le_bytes()[0]).collect();
    let peer = world.b.local_addr();
    let answer = request(&world.a, &peer, ECHO, &frame, usize::MAX, LONG).await;
    assert!(answer.unwrap() == frame);
}

pub(crate) async fn empty_frame_is_a_frame<C: Spawner, N: Network>(world: World<C, N>) {
    let (mut ours, mut theirs, _incoming) = pair(&world).await;
    ours.send(b"", LONG).await.unwrap();
    ours.finish().await.unwrap();
    ours.finish().await.unwrap();
    assert_eq!(theirs.recv(0, LONG).await, Ok(Some(Vec::new())));
    assert_eq!(theirs.recv(0, LONG).await, Ok(None));
    assert_eq!(theirs.recv(0, LONG).await, Ok(None));
    assert_eq!(ours.send(b"late", LONG).await, Err(NetError::Closed));
}

pub(crate) async fn frame_over_the_senders_limit_is_refused_and_the_stream_lives<
    C: Spawner,
    N: Network,
>(
    world: World<C, N>,
) {
    let (mut ours, mut theirs, _incoming) = pair(&world).await;
    let limit = FRAME_BYTES_MAX;
    let found = limit + 1;
    let refused = ours.send(&vec![0; found], LONG).await;
    assert_eq!(refused, Err(NetError::FrameTooLarge { limit, found }));
    ours.send(b"small", LONG).await.unwrap();
    assert_eq!(theirs.recv(5, LONG).await, Ok(Some(b"small".to_vec())));
}

pub(crate) async fn who_drops_a_stream_is_gone<C: Spawner, N: Network>(world: World<C, N>) {
    let (mut ours, theirs, _incoming) = pair(&world).await;
    ours.send(b"a question", LONG).await.unwrap();
    assert_eq!(ours.gone().now_or_never(), None);
    drop(theirs);
    ours.gone().await;
}

pub(crate) async fn frame_over_the_readers_limit_waits_for_a_larger_one<C: Spawner, N: Network>(
    world: World<C, N>,
) {
    let (mut ours, mut theirs, _incoming) = pair(&world).await;
    ours.send(b"123456", LONG).await.unwrap();
    ours.finish().await.unwrap();
    let refused = NetError::FrameTooLarge { limit: 5, found: 6 };
    for _ in 0..2 {
        assert_eq!(theirs.recv(5, LONG).await, Err(refused.clone()));
    }
    assert_eq!(theirs.recv(6, LONG).await, Ok(Some(b"123456".to_vec())));
    assert_eq!(theirs.recv(0, LONG).await, Ok(None));
}

pub(crate) async fn unknown_protocol_is_named<C: Spawner, N: Network>(world: World<C, N>) {
    let incoming = world.b.accept(ECHO, 1).unwrap();
    let peer = world.b.local_addr();
    let refused = world.a.open(&peer, OTHER, LONG).await.unwrap_err();
    assert_eq!(refused, NetError::UnknownProtocol { protocol: OTHER });
    drop(incoming);
    let refused = world.a.open(&peer, ECHO, LONG).await.unwrap_err();
    assert_eq!(refused, NetError::UnknownProtocol { protocol: ECHO });
}

pub(crate) async fn protocol_is_taken_once<C: Spawner, N: Network>(world: World<C, N>) {
    let _incoming = world.b.accept(ECHO, 1).unwrap();
    let taken = NetError::ProtocolTaken { protocol: ECHO };
    assert_eq!(world.b.clone().accept(ECHO, 1).unwrap_err(), taken);
    assert!(world.b.accept(OTHER, 1).is_ok());
}

pub(crate) async fn full_queue_is_busy_until_a_stream_is_taken<C: Spawner, N: Network>(
    world: World<C, N>,
) {
    let mut incoming = world.b.accept(ECHO, 2).unwrap();
    let peer = world.b.local_addr();
    let _first = world.a.open(&peer, ECHO, LONG).await.unwrap();
    let _second = world.a.open(&peer, ECHO, LONG).await.unwrap();
    let refused = world.a.open(&peer, ECHO, LONG).await.unwrap_err();
    assert_eq!(refused, NetError::Busy { peer: peer.id() });
    incoming.next().await.unwrap();
    assert!(world.a.open(&peer, ECHO, LONG).await.is_ok());
}

pub(crate) async fn deadline_passes_when_the_handler_stalls<C: Spawner, N: Network>(
    world: World<C, N>,
) {
    let _incoming = world.b.accept(ECHO, 4).unwrap();
    let peer = world.b.local_addr();
    // The queue takes the stream, nobody takes it from there.
    let answer = request(&world.a, &peer, ECHO, b"?", LIMIT, SHORT).await;
    let operation = Operation::Receive;
    assert_eq!(answer, Err(NetError::DeadlinePassed { operation }));
}

pub(crate) async fn receive_goes_on_after_a_passed_deadline<C: Spawner, N: Network>(
    world: World<C, N>,
) {
    let (mut ours, mut theirs, _incoming) = pair(&world).await;
    let operation = Operation::Receive;
    let passed = Err(NetError::DeadlinePassed { operation });
    assert_eq!(theirs.recv(LIMIT, SHORT).await, passed);
    ours.send(b"late", LONG).await.unwrap();
    assert_eq!(theirs.recv(LIMIT, LONG).await, Ok(Some(b"late".to_vec())));
}

pub(crate) async fn one_deadline_covers_the_whole_request<C: Spawner + Clock, N: Network>(
    world: World<C, N>,
) {
    let mut incoming = world.b.accept(ECHO, 4).unwrap();
    let _server = world.context.child("server").spawn(move |_| async move {
        let (_, mut stream) = incoming.next().await.unwrap();
        read_request(&mut stream, LIMIT, LONG).await.unwrap();
        // Holds the stream open for good.
        stream.recv(LIMIT, LONG).await.ok();
        stream.recv(LIMIT, LONG).await.ok();
        std::future::pending::<()>().await;
    });
    let began = world.a.now();
    let peer = world.b.local_addr();
    let answer = request(&world.a, &peer, ECHO, b"?", LIMIT, SHORT).await;
    assert!(matches!(answer, Err(NetError::DeadlinePassed { .. })));
    let took = world.a.now() - began;
    assert!(SHORT <= took && took < SHORT * 10, "{took:?}");
}

pub(crate) async fn finished_side_still_receives<C: Spawner, N: Network>(world: World<C, N>) {
    let (mut ours, mut theirs, _incoming) = pair(&world).await;
    ours.send(b"question", LONG).await.unwrap();
    ours.finish().await.unwrap();
    assert_eq!(
        theirs.recv(LIMIT, LONG).await,
        Ok(Some(b"question".to_vec()))
    );
    assert_eq!(theirs.recv(LIMIT, LONG).await, Ok(None));
    for part in [b"one".as_slice(), b"two", b"three"] {
        theirs.send(part, LONG).await.unwrap();
    }
    theirs.finish().await.unwrap();
    drop(theirs);
    for part in [b"one".as_slice(), b"two", b"three"] {
        assert_eq!(ours.recv(LIMIT, LONG).await, Ok(Some(part.to_vec())));
    }
    assert_eq!(ours.recv(LIMIT, LONG).await, Ok(None));
}

pub(crate) async fn answerless_finish_is_no_frame<C: Spawner, N: Network>(world: World<C, N>) {
    let mut incoming = world.b.accept(ECHO, 1).unwrap();
    let _server = world.context.child("server").spawn(move |_| async move {
        let (_, mut stream) = incoming.next().await.unwrap();
        read_request(&mut stream, LIMIT, LONG).await.unwrap();
        stream.finish().await.unwrap();
        std::future::pending::<()>().await;
    });
    let answer = request(&world.a, &world.b.local_addr(), ECHO, b"?", LIMIT, LONG).await;
    assert_eq!(answer, Err(NetError::NoFrame));
}

pub(crate) async fn dropped_stream_is_closed_for_the_peer<C: Spawner, N: Network>(
    world: World<C, N>,
) {
    let (mut ours, theirs, _incoming) = pair(&world).await;
    drop(theirs);
    assert_eq!(ours.recv(LIMIT, LONG).await, Err(NetError::Closed));
    assert_eq!(ours.recv(LIMIT, LONG).await, Err(NetError::Closed));
    // The refusal to read has come along with the reset, or is soon to come.
    let frame = vec![0; STREAM_WINDOW_BYTES];
    let mut sent = Ok(());
    for _ in 0..64 {
        sent = ours.send(&frame, LONG).await;
        if sent.is_err() {
            break;
        }
    }
    assert_eq!(sent, Err(NetError::Closed));
}

pub(crate) async fn dropped_queue_closes_the_streams_in_it<C: Spawner, N: Network>(
    world: World<C, N>,
) {
    let incoming = world.b.accept(ECHO, 4).unwrap();
    let peer = world.b.local_addr();
    let mut ours = world.a.open(&peer, ECHO, LONG).await.unwrap();
    drop(incoming);
    assert_eq!(ours.recv(LIMIT, LONG).await, Err(NetError::Closed));
}

pub(crate) async fn slow_reader_stops_the_sender<C: Spawner, N: Network>(world: World<C, N>) {
    let (mut ours, mut theirs, _incoming) = pair(&world).await;
    let frame = vec![7; 64 * 1024];
    let mut accepted = 0;
    let stopped = loop {
        match ours.send(&frame, SHORT).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(
            accepted * frame.len() < 32 * STREAM_WINDOW_BYTES,
            "nobody reads"
        );
    };
    let operation = Operation::Send;
    assert_eq!(stopped, NetError::DeadlinePassed { operation });
    assert!(accepted * frame.len() >= STREAM_WINDOW_BYTES / 2);
    assert_eq!(ours.send(b"torn", LONG).await, Err(NetError::Closed));
    // What was accepted is whole.
    for _ in 0..accepted {
        assert_eq!(
            theirs.recv(LIMIT, LONG).await.unwrap().unwrap().len(),
            frame.len()
        );
    }
}

pub(crate) async fn peer_that_closes_ends_its_streams<C: Spawner, N: Network>(world: World<C, N>) {
    let (mut ours, mut theirs, mut incoming) = pair(&world).await;
    world.b.close().await;
    assert_eq!(ours.recv(LIMIT, LONG).await, Err(NetError::Closed));
    assert_eq!(theirs.recv(LIMIT, LONG).await, Err(NetError::Closed));
    assert_eq!(theirs.send(b"late", LONG).await, Err(NetError::Closed));
    assert!(incoming.next().await.is_none());
}

pub(crate) async fn closed_network_does_nothing_more<C: Spawner, N: Network>(world: World<C, N>) {
    let _incoming = world.b.accept(ECHO, 1).unwrap();
    world.a.close().await;
    world.a.close().await;
    let peer = world.b.local_addr();
    let refused = world.a.open(&peer, ECHO, LONG).await.unwrap_err();
    assert_eq!(refused, NetError::Closed);
    assert_eq!(world.a.accept(ECHO, 1).unwrap_err(), NetError::Closed);
}

pub(crate) async fn own_address_is_not_dialled<C: Spawner, N: Network>(world: World<C, N>) {
    let _incoming = world.a.accept(ECHO, 1).unwrap();
    let own: PeerAddr = world.a.local_addr();
    let refused = world.a.open(&own, ECHO, LONG).await.unwrap_err();
    assert_eq!(refused, NetError::SelfDial);
    assert_ne!(own.id(), PeerId::new([0; 32]));
}
