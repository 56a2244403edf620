//! A stranger takes whatever a node has to give and does not give it back: it begins questions and does not end them, follows the chain four
//! hundred times, and has transactions wait for nonces that never come. A buyer comes after it and is served.

use super::settled;
use crate::{
    Plan, World,
    plan::{buyer_name, key},
    play,
};
use commonware_codec::Encode as _;
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use fairweir_client::{NodeClient, protocol::NODE};
use fairweir_net::{FrameStream as _, Network as _};
use fairweir_types::{
    Action, Address, Amount, Height, Nonce, SignedTx, Transaction,
    node_api::{Follow, NodeRequest},
    tx::Transfer,
};
use std::time::Duration;

/// Accounts whose transactions wait, and how many of each do: as many as the pool takes.
const ACCOUNTS: usize = 2;
const WAITING: u64 = 255;
const FOLLOWERS: usize = 400;
/// So few that the simulated network, which bounds all streams of a peer together, has room for others.
const HALF_OPEN: usize = 40;
const LONG: Duration = Duration::from_secs(20);

/// A transfer with a nonce.
fn transfer(number: usize, nonce: u64, chain: &World) -> SignedTx {
    let key = key(&buyer_name(number));
    let transaction = Transaction {
        chain_id: chain.chain().genesis().chain_id.clone(),
        sender: key.account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(1_000_000).expect("a small fee"),
        expiry: Height(10_000),
        action: Action::Transfer(Transfer {
            to: Address::default(),
            amount: Amount::ZERO,
        }),
    };
    transaction.sign(&key)
}

pub(super) fn run(seed: u64) {
    let mut plan = Plan::honest(seed);
    plan.buyers = 1 + ACCOUNTS;
    play(seed, |context| async move {
        let world = World::boot(&context, &plan).await;
        let waiting = world.join("stranger-1");
        let stranger = world.join("stranger-2");
        let node = world.node_addr();
        for number in 2..2 + ACCOUNTS {
            for nonce in 1..=WAITING {
                let tx = transfer(number, nonce, &world);
                let client = NodeClient::new(waiting.clone(), node.clone());
                // The first one never comes, so these wait.
                context
                    .child("waiting")
                    .spawn(move |_| async move { client.submit(&tx).await });
            }
        }
        let mut held = Vec::new();
        let follow = NodeRequest::Follow(Follow { from: Height(1) }).encode();
        for number in 0..FOLLOWERS + HALF_OPEN {
            // As many as the transport lets it have.
            let Ok(mut stream) = stranger.open(&node, NODE, LONG).await else {
                continue;
            };
            if number < FOLLOWERS {
                stream
                    .send(&follow, LONG)
                    .await
                    .expect("the node takes questions");
            }
            held.push(stream);
        }
        context.sleep(Duration::from_secs(1)).await;
        let buyer = world.buyer(1);
        let bought = buyer.buy(world.context(), &super::text(seed, 0, 5)).await;
        settled(&bought.expect("the order comes to an end"));
        drop(held);
        world.end().await;
    });
}
