//! The network between machines, on this one: the contract over loopback, and who is let in.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use commonware_runtime::{Clock as _, Runner as _, tokio};
use fairweir_net::{
    AddressError, NetError, Network as _, PeerAddr, PeerId,
    quic::{DialPolicy, QuicNetwork, QuicOptions},
    request,
};

use crate::contract::{ECHO, LIMIT, LONG, SHORT, World, contract_tests, echo};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

contract_tests!(run);

fn run<F, Fut>(promise: F)
where
    F: FnOnce(World<tokio::Context, QuicNetwork>) -> Fut,
    Fut: Future<Output = ()>,
{
    tokio::Runner::default().start(|context| async move {
        let a = bind(1).await.unwrap();
        let b = bind(2).await.unwrap();
        let (a_again, b_again) = (a.clone(), b.clone());
        promise(World { context, a, b }).await;
        a_again.close().await;
        b_again.close().await;
    });
}

fn options(key: u8) -> QuicOptions {
    QuicOptions {
        secret_key: [key; 32],
        listen: LOOPBACK,
        policy: DialPolicy::LoopbackOnly,
        advertise: Vec::new(),
    }
}

async fn bind(key: u8) -> Result<QuicNetwork, NetError> {
    QuicNetwork::bind(options(key)).await
}

#[test]
fn local_address_is_real_and_a_ticket_leads_to_it() {
    run(|world| async move {
        let _server = echo(&world.context, &world.b, ECHO);
        let ticket = world.b.local_addr().to_string();
        let peer: PeerAddr = ticket.parse().unwrap();
        assert!(
            peer.addrs()
                .iter()
                .all(|addr| addr.ip().is_loopback() && addr.port() != 0)
        );
        let answer = request(&world.a, &peer, ECHO, b"?", LIMIT, LONG).await;
        assert_eq!(answer.unwrap(), b"?");
    });
}

#[test]
fn unspecified_address_advertises_where_it_can_be_reached() {
    tokio::Runner::default().start(|_| async move {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let policy = DialPolicy::Any;
        let found = QuicOptions {
            listen: everywhere,
            policy,
            ..options(1)
        };
        let found = QuicNetwork::bind(found).await.unwrap();
        let addrs = found.local_addr().addrs().to_vec();
        assert!(!addrs.is_empty());
        assert!(
            addrs
                .iter()
                .all(|addr| !addr.ip().is_unspecified() && addr.port() != 0)
        );
        found.close().await;

        let named = SocketAddr::from(([192, 0, 2, 1], 0));
        let given = QuicOptions {
            listen: everywhere,
            policy,
            advertise: vec![named],
            ..options(1)
        };
        let given = QuicNetwork::bind(given).await.unwrap();
        let addr = given.local_addr().addrs()[0];
        assert_eq!(addr.ip(), named.ip());
        assert_ne!(addr.port(), 0);
        given.close().await;
    });
}

#[test]
fn peers_listening_everywhere_reach_each_other_by_their_tickets() {
    tokio::Runner::default().start(|context| async move {
        let everywhere = |key| QuicOptions {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            policy: DialPolicy::Any,
            ..options(key)
        };
        let a = QuicNetwork::bind(everywhere(1)).await.unwrap();
        let b = QuicNetwork::bind(everywhere(2)).await.unwrap();
        let (_to_a, _to_b) = (echo(&context, &a, ECHO), echo(&context, &b, ECHO));
        for (from, to) in [(&a, &b), (&b, &a)] {
            let peer: PeerAddr = to.local_addr().to_string().parse().unwrap();
            let answer = request(from, &peer, ECHO, b"?", LIMIT, LONG).await;
            assert_eq!(answer.unwrap(), b"?");
        }
        a.close().await;
        b.close().await;
    });
}

#[test]
fn loopback_only_refuses_to_dial_or_listen_elsewhere() {
    run(|world| async move {
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 4801));
        let refused = NetError::NotLoopback { addr: elsewhere };
        let peer = PeerAddr::new(world.b.local_addr().id(), vec![elsewhere]).unwrap();
        assert_eq!(world.a.open(&peer, ECHO, LONG).await.unwrap_err(), refused);

        let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let opened = QuicNetwork::bind(QuicOptions {
            listen,
            ..options(3)
        })
        .await;
        assert_eq!(opened.unwrap_err(), NetError::NotLoopback { addr: listen });
    });
}

#[test]
fn addresses_that_lead_nowhere_are_refused_before_dialling() {
    run(|world| async move {
        let id = world.b.local_addr().id();
        let unusable = NetError::BadAddress(AddressError::NoUsableAddress);
        for addrs in [Vec::new(), vec![LOOPBACK]] {
            let peer = PeerAddr::new(id, addrs).unwrap();
            assert_eq!(world.a.open(&peer, ECHO, LONG).await.unwrap_err(), unusable);
        }
        // 2 is not the y coordinate of a point.
        let mut bytes = [0; 32];
        bytes[0] = 2;
        let no_key = PeerAddr::new(PeerId::new(bytes), world.b.local_addr().addrs().to_vec());
        let refused = world
            .a
            .open(&no_key.unwrap(), ECHO, LONG)
            .await
            .unwrap_err();
        assert_eq!(refused, NetError::BadAddress(AddressError::NotAPublicKey));
    });
}

#[test]
fn busy_port_is_named() {
    run(|world| async move {
        let listen = world.b.local_addr().addrs()[0];
        let opened = QuicNetwork::bind(QuicOptions {
            listen,
            ..options(3)
        })
        .await;
        assert_eq!(opened.unwrap_err(), NetError::AddressInUse { addr: listen });
    });
}

#[test]
fn peer_without_the_key_is_not_taken_for_the_one_dialled() {
    run(|world| async move {
        let _server = echo(&world.context, &world.b, ECHO);
        let other = bind(3).await.unwrap();
        let id = other.local_addr().id();
        other.close().await;
        let impostor = PeerAddr::new(id, world.b.local_addr().addrs().to_vec()).unwrap();
        let refused = world.a.open(&impostor, ECHO, LONG).await.unwrap_err();
        assert_eq!(refused, NetError::WrongPeer { peer: id });
    });
}

#[test]
fn nobody_at_the_address_passes_the_deadline() {
    run(|world| async move {
        let silent = UdpSocket::bind(LOOPBACK).unwrap();
        let addrs = vec![silent.local_addr().unwrap()];
        let peer = PeerAddr::new(world.b.local_addr().id(), addrs).unwrap();
        let refused = world.a.open(&peer, ECHO, SHORT).await.unwrap_err();
        assert!(
            matches!(refused, NetError::DeadlinePassed { .. }),
            "{refused}"
        );
    });
}

#[test]
fn garbage_sent_to_the_port_does_not_hurt() {
    run(|world| async move {
        let _server = echo(&world.context, &world.b, ECHO);
        let peer = world.b.local_addr();
        let vandal = UdpSocket::bind(LOOPBACK).unwrap();
        for length in (0..1400_usize).step_by(7) {
            // Long and short headers, versions known and unknown, and none of it a packet.
            let garbage: Vec<u8> = (0..length)
                .map(|at| {
                    (at * 31 + length * 17).to_le_bytes()[0]
                        | if length % 2 == 0 { 0xc0 } else { 0 }
                })
                .collect();
            vandal.send_to(&garbage, peer.addrs()[0]).unwrap();
        }
        let answer = request(&world.a, &peer, ECHO, b"?", LIMIT, LONG).await;
        assert_eq!(answer.unwrap(), b"?");
    });
}

/// Binds to an address that its last owner is about to release.
async fn rebind(context: &tokio::Context, key: u8, listen: SocketAddr) -> QuicNetwork {
    for _ in 0..250 {
        let opened = QuicNetwork::bind(QuicOptions {
            listen,
            ..options(key)
        });
        match opened.await {
            Ok(network) => return network,
            Err(NetError::AddressInUse { .. }) => context.sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the address is never released");
}

#[test]
fn restarted_peer_is_dialled_anew() {
    run(|world| async move {
        let World { context, a, .. } = world;
        let stopping = bind(4).await.unwrap();
        let peer = stopping.local_addr();
        let server = echo(&context, &stopping, ECHO);
        let answer = request(&a, &peer, ECHO, b"1", LIMIT, LONG).await;
        assert_eq!(answer.unwrap(), b"1");
        stopping.close().await;
        server.await.unwrap();
        drop(stopping);

        let again = rebind(&context, 4, peer.addrs()[0]).await;
        let _server = echo(&context, &again, ECHO);
        let answer = request(&a, &peer, ECHO, b"2", LIMIT, LONG).await;
        assert_eq!(answer.unwrap(), b"2");
        again.close().await;
    });
}

#[test]
fn crashed_and_restarted_peer_is_dialled_anew_within_the_deadline() {
    run(|world| async move {
        let World { context, a, .. } = world;
        let crashing = bind(4).await.unwrap();
        let peer = crashing.local_addr();
        let incoming = crashing.accept(ECHO, 1).unwrap();
        drop(a.open(&peer, ECHO, LONG).await.unwrap());
        // No close: the other end is not told.
        drop((incoming, crashing));

        let again = rebind(&context, 4, peer.addrs()[0]).await;
        let _server = echo(&context, &again, ECHO);
        let deadline = Duration::from_secs(4);
        let answer = request(&a, &peer, ECHO, b"2", LIMIT, deadline).await;
        assert_eq!(answer.unwrap(), b"2");
        again.close().await;
    });
}
