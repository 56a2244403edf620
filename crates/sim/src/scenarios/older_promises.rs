//! An account comes back with a program that knows less, and then with one that knows nothing: what it promised and cannot keep is taken back
//! on the ledger, so that nobody is matched to it or draws it for that.

use crate::{
    Plan, World,
    plan::{key, seed_of},
    play,
    world::tiny_registry,
};
use fairweir_client::{NodeClient, Sender};
use fairweir_net::Network;
use fairweir_node::{
    network::names,
    roles::worker::{self, WorkerOptions},
};
use fairweir_services::{
    Kind as _, Registry,
    inference::{chat::Chat, embedding::Embedding},
    text::Text,
};
use fairweir_types::{Event, order::KindId};

/// The kinds that a client's account offers.
async fn offers<N: Network>(sender: &Sender<N>) -> Vec<KindId> {
    let mut found = Vec::new();
    for kind in [Text::ID, Chat::ID, Embedding::ID] {
        let offer = sender.client().offer_of(sender.key().address(), kind).await;
        if offer.expect("the node answers").is_some() {
            found.push(kind);
        }
    }
    found
}

/// The kinds that the account is enrolled for, if it is in the pool.
async fn enrolled<N: Network>(sender: &Sender<N>) -> Option<Vec<KindId>> {
    let account = sender.client().account(sender.key().address()).await;
    let account = account.expect("the node answers");
    let kinds = account.verifies?.enrolment.kinds;
    Some(kinds.iter().map(|known| known.kind).collect())
}

pub(super) fn run(seed: u64) {
    let mut plan = Plan::honest(seed);
    plan.workers.truncate(1);
    plan.verifiers.clear();
    play(seed, |context| async move {
        let world = World::boot_node(&context, &plan).await;
        let name = names::worker(1);
        let client = NodeClient::new(world.join(&name), world.node_addr());
        let chain_id = plan.genesis().chain_id;
        let sender = Sender::new(client, chain_id, key(&name));
        let endpoint = sender.client().network().local_addr();
        let seed = seed_of(&name);
        let before = sender.client().account(sender.key().address()).await;
        let before = before.expect("the node answers").balance;
        let everything = tiny_registry(None);
        // What a program knows, whether it verifies, what its account offers then, and what it is enrolled for.
        type Life = (Registry, bool, &'static [KindId], Option<&'static [KindId]>);
        let lives: [Life; 5] = [
            (
                everything.clone(),
                true,
                &[Text::ID, Chat::ID, Embedding::ID],
                Some(&[Text::ID, Chat::ID, Embedding::ID]),
            ),
            // A program without chat.
            (
                everything.clone().without(Chat::ID),
                true,
                &[Text::ID, Embedding::ID],
                Some(&[Text::ID, Embedding::ID]),
            ),
            // One that does not verify any more.
            (
                everything.without(Chat::ID),
                false,
                &[Text::ID, Embedding::ID],
                None,
            ),
            // One that knows nothing, enrolled before by one that knows a single kind.
            (Registry::standard(), true, &[Text::ID], Some(&[Text::ID])),
            (Registry::default(), true, &[], None),
        ];
        for (registry, verifies, offered, verified) in lives {
            let options = WorkerOptions {
                verifies,
                ..WorkerOptions::default()
            };
            let terms = (&options, &seed);
            let registered = worker::register(&sender, &endpoint, &registry, terms).await;
            registered.expect("what is promised follows the program");
            assert_eq!(offers(&sender).await, offered);
            assert_eq!(enrolled(&sender).await.as_deref(), verified);
        }
        let after = sender.client().account(sender.key().address()).await;
        let after = after.expect("the node answers");
        let story = world.end().await;
        let left = story.events();
        let left = left.filter(|event| matches!(event, Event::VerifierLeft(_)));
        assert_eq!(left.count(), 2, "it left twice");
        // Deposits came back.
        let whole = after.balance.checked_add(after.bonded);
        let gone = whole.and_then(|whole| before.checked_sub(whole));
        let fees = story.fees[&sender.key().address()];
        assert_eq!(
            gone.expect("nothing was earned"),
            fees,
            "only fees are gone"
        );
    });
}
