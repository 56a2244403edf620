//! What a peer can do that speaks QUIC but not our protocol.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, tokio::Runner};
use iroh::{EndpointAddr, PublicKey, TransportAddr, endpoint::Connection};

use super::{
    handshake::{Status, header},
    *,
};
use crate::{FRAME_BYTES_MAX, FrameStream as _};

const PROTOCOL: Protocol = Protocol::new(1);
const LONG: Duration = Duration::from_secs(20);

fn options(key: u8) -> QuicOptions {
    QuicOptions {
        secret_key: [key; 32],
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        policy: DialPolicy::LoopbackOnly,
        advertise: Vec::new(),
    }
}

async fn connect(stranger: &Endpoint, network: &QuicNetwork) -> Connection {
    let addr = network.local_addr();
    let key = PublicKey::from_bytes(addr.id().as_bytes()).unwrap();
    let addrs = addr.addrs().iter().copied().map(TransportAddr::Ip);
    let target = EndpointAddr::from_parts(key, addrs);
    stranger.connect(target, ALPN).await.unwrap()
}

/// What the network's handler receives when a stranger writes `bytes` after the header, and finishes.
async fn received(bytes: &[u8]) -> Result<Option<Vec<u8>>, NetError> {
    let network = QuicNetwork::bind(options(1)).await.unwrap();
    let stranger = endpoint(&options(2)).await.unwrap();
    let mut incoming = network.accept(PROTOCOL, 1).unwrap();
    let connection = connect(&stranger, &network).await;
    let (mut outward, mut inward) = connection.open_bi().await.unwrap();
    outward.write_all(&header(PROTOCOL)).await.unwrap();
    let mut status = [255];
    inward.read_exact(&mut status).await.unwrap();
    assert_eq!(status, [Status::Accepted.to_byte()]);
    outward.write_all(bytes).await.unwrap();
    outward.finish().unwrap();
    let (_, mut stream) = incoming.next().await.unwrap();
    let found = stream.recv(usize::MAX, LONG).await;
    stranger.close().await;
    network.close().await;
    found
}

#[test]
fn frames_that_lie_about_their_length_are_refused() {
    Runner::default().start(|_| async move {
        let limit = FRAME_BYTES_MAX;
        let found = u32::MAX as usize;
        let cases: [(&[u8], _); 6] = [
            (&[], Ok(None)),
            (&[0, 0], Err(NetError::Truncated)),
            (&[0, 0, 0, 0], Ok(Some(Vec::new()))),
            (&[0, 0, 0, 2, 7], Err(NetError::Truncated)),
            (&[0, 0, 0, 1, 7], Ok(Some(vec![7]))),
            (&[255; 4], Err(NetError::FrameTooLarge { limit, found })),
        ];
        for (bytes, expected) in cases {
            assert_eq!(received(bytes).await, expected, "{bytes:?}");
        }
    });
}

#[test]
fn stream_of_another_version_is_told_so() {
    Runner::default().start(|_| async move {
        let network = QuicNetwork::bind(options(1)).await.unwrap();
        let stranger = endpoint(&options(2)).await.unwrap();
        let _incoming = network.accept(PROTOCOL, 1).unwrap();
        let connection = connect(&stranger, &network).await;
        let (mut outward, mut inward) = connection.open_bi().await.unwrap();
        outward.write_all(&[9, 9, 0, 1]).await.unwrap();
        let answer = inward.read_to_end(8).await.unwrap();
        assert_eq!(answer, [Status::BadVersion.to_byte()]);
        stranger.close().await;
        network.close().await;
    });
}

#[test]
fn one_peer_cannot_take_all_connections() {
    Runner::default().start(|_| async move {
        let network = QuicNetwork::bind(options(1)).await.unwrap();
        let stranger = endpoint(&options(2)).await.unwrap();
        let mut connections = Vec::new();
        let refused = loop {
            assert!(connections.len() <= 32, "no bound on connections");
            let connection = connect(&stranger, &network).await;
            // The refusal may arrive before the stream is open, or after.
            let Ok((mut outward, mut inward)) = connection.open_bi().await else {
                break connection.closed().await;
            };
            let asked = outward.write_all(&header(PROTOCOL)).await;
            let answered = inward.read_to_end(8).await;
            if asked.is_err() || answered.is_err() {
                break connection.closed().await;
            }
            connections.push(connection);
        };
        let peer = network.local_addr().id();
        let meaning = error::from_connection(&refused, peer);
        assert_eq!(meaning, NetError::Busy { peer });
        stranger.close().await;
        network.close().await;
    });
}

#[test]
fn whoever_is_asked_to_prove_its_address_gets_in() {
    Runner::default().start(|context| async move {
        let door = endpoint(&options(1)).await.unwrap();
        let registry = Arc::new(Registry::new());
        let mut incoming = registry.register(PROTOCOL, 1).unwrap();
        let policy = DialPolicy::LoopbackOnly;
        let acceptor = Acceptor::new(door.clone(), policy, registry).asking_from(0);
        let accepting = context.child("accept").spawn(move |_| acceptor.run());
        let address = local_addr(&door, &options(1)).unwrap();
        let client = QuicNetwork::bind(options(2)).await.unwrap();
        client.open(&address, PROTOCOL, LONG).await.unwrap();
        let (peer, _) = incoming.next().await.unwrap();
        assert_eq!(peer, client.local_addr().id());
        client.close().await;
        door.close().await;
        accepting.await.unwrap();
    });
}
