//! A small market at default parameters: workers, verifiers and buyers with their real code around one ledger.

use super::{
    LedgerChain, Patron, Seat,
    books::{Books, CookedShelf},
};
use crate::{
    Part, Plan,
    byzantine::{Role, Twist, TwistedChain, twisted_registry},
    plan::{buyer_name, key, seed_of},
    world::{Context, peer, tiny_registry},
};
use commonware_runtime::{Clock as _, Handle, Spawner as _, Supervisor as _};
use core::time::Duration;
use fairweir_net::{
    Network as _,
    memory::{Hub, MemoryNetwork},
};
use fairweir_node::{
    network::names,
    roles::{
        verifier,
        worker::{self, Equipment},
    },
};
use fairweir_services::{
    Blobs, ChainClient, Registry,
    inference::{Models, NoModels},
    pipeline::{Identity, Shelf},
    session::{self, ClerkOptions},
    testing::MemoryBlobs,
};
use fairweir_types::{
    Action, Address, Amount, BoundedBytes, BoundedVec, Boxed, ByteCount, Digest, Height, Millis,
    Units,
    catalogue::{KnownKind, Versions},
    order::{Demand, KindId, Offer, PriceVector, Privacy, UnitVector},
    tx::{Bond, EnrolVerifier, RegisterOffer},
};
use futures::future::join_all;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// Executions that one machine runs at the same time.
const CONCURRENCY: usize = 2;
/// Orders of a worker that may be open at once.
const CAPACITY: u16 = 32;
/// Links of a verifier's hash chain: more than a story has batches.
const LINKS: u32 = 64;
/// How often somebody who waits for the end of all orders looks again.
const POLL: Duration = Duration::from_secs(30);
/// How long news take to everybody.
const HEARD_WITHIN: Duration = Duration::from_millis(50);
/// How long a story may take: three challenge windows.
const POLLS_MAX: usize = 360;

/// The largest demand that a worker takes.
const DEMAND_MAX: Demand = Demand {
    units: UnitVector {
        input: UNITS_MAX,
        cached_input: UNITS_MAX,
        output: UNITS_MAX,
        time: UNITS_MAX,
    },
    bytes_in: BYTES_MAX,
    bytes_out_max: BYTES_MAX,
    memory_max: ByteCount(1 << 30),
    execution_max: Millis(600_000),
};
const UNITS_MAX: Units = Units(1 << 24);
const BYTES_MAX: ByteCount = ByteCount(1 << 24);

/// A participant that differs from its honest role: its name, and how.
pub(super) type Cheats = BTreeMap<String, Arc<dyn Twist>>;

/// The market.
pub(super) struct Town {
    pub(super) context: Context,
    pub(super) chain: LedgerChain,
    pub(super) hub: Hub<Context>,
    plan: Plan,
    kind: KindId,
    cheats: Cheats,
    blobs: MemoryBlobs,
    buyers: Registry,
    tasks: Mutex<BTreeMap<String, Handle<()>>>,
    books: BTreeMap<String, Books>,
    networks: BTreeMap<String, MemoryNetwork<Context>>,
    wealth: BTreeMap<Address, Amount>,
    fees: BTreeMap<Address, Amount>,
}

impl fmt::Debug for Town {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Town")
            .field("plan", &self.plan)
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl Town {
    /// Boots a market for one kind of work; returns when everybody is registered.
    pub(super) async fn boot(context: &Context, plan: &Plan, kind: KindId, cheats: Cheats) -> Self {
        let (chain, rings) = LedgerChain::new(plan.genesis(), plan.seed);
        let running = chain.clone();
        context
            .child("chain")
            .spawn(move |clock| async move { running.run(&clock, rings).await });
        let models: Arc<dyn Models> = Arc::new(NoModels);
        let mut town = Self {
            context: context.child("town"),
            hub: Hub::new(context.child("net"), plan.seed),
            chain,
            plan: plan.clone(),
            kind,
            cheats,
            blobs: MemoryBlobs::default(),
            buyers: Registry::with_models(&models),
            tasks: Mutex::default(),
            books: BTreeMap::new(),
            networks: BTreeMap::new(),
            wealth: BTreeMap::new(),
            fees: BTreeMap::new(),
        };
        let parts: Vec<_> = plan.parts().collect();
        let workers = parts.iter().filter(|(_, role, _)| *role == Role::Worker);
        let names = workers.map(|(name, ..)| name.clone());
        for name in names.chain((1..=plan.buyers).map(buyer_name)) {
            let network = town.hub.join(peer(&name)).expect("everybody joins once");
            town.books.insert(name.clone(), Books::default());
            town.networks.insert(name, network);
        }
        let registering = parts
            .iter()
            .map(|(name, role, part)| town.register(name, *role, part));
        join_all(registering).await;
        for (name, role, _) in &parts {
            town.start(name, *role);
        }
        let people = town.people();
        town.wealth = people
            .iter()
            .map(|who| (*who, town.chain.wealth(*who)))
            .collect();
        town.fees = people
            .iter()
            .map(|who| (*who, town.chain.fees(*who)))
            .collect();
        town
    }

    /// Everybody's account.
    pub(super) fn people(&self) -> Vec<Address> {
        let buyers = (1..=self.plan.buyers).map(buyer_name);
        let names = self.plan.parts().map(|(name, ..)| name).chain(buyers);
        names.map(|name| key(&name).address()).collect()
    }

    /// What an account had when the story began, and the fees that it had paid.
    pub(super) fn before(&self, account: Address) -> (Amount, Amount) {
        (self.wealth[&account], self.fees[&account])
    }

    /// Leaves a blob where everybody finds it.
    pub(super) fn leave(&self, blob: &[u8]) {
        let _ = self.blobs.keep(blob.to_vec());
    }

    /// Takes a blob away from everybody.
    pub(super) fn take_away(&self, blob: &[u8]) {
        self.blobs.forget(&Digest::of_blob(blob));
    }

    pub(super) fn seat(&self, name: &str) -> Seat {
        self.chain.seat(key(name))
    }

    async fn register(&self, name: &str, role: Role, part: &Part) {
        let seat = self.seat(name);
        seat.done(Action::Bond(Bond { amount: part.stake })).await;
        let owner = seat.address();
        if role == Role::Worker {
            let offer = self.offer(name, part, owner);
            seat.done(Action::RegisterOffer(Boxed::new(RegisterOffer { offer })))
                .await;
        } else {
            let kinds = BoundedVec::truncating([KnownKind {
                kind: self.kind,
                versions: Versions::only(1),
            }]);
            let enrol = EnrolVerifier {
                owner,
                kinds,
                seal_key: session::seal_key(&seed_of(name)),
                hash_chain: session::hash_chain(&seed_of(name), seat.chain(), 0, LINKS),
            };
            seat.done(Action::EnrolVerifier(enrol)).await;
        }
    }

    fn offer(&self, name: &str, part: &Part, owner: Address) -> Offer {
        let endpoint = self.networks[name].local_addr().to_bytes();
        Offer {
            kind: self.kind,
            versions: Versions::only(1),
            digest: Digest::ZERO,
            prices: PriceVector {
                input: part.price,
                cached_input: Amount::ZERO,
                output: part.price,
                time: Amount::ZERO,
            },
            capacity: CAPACITY,
            collateral: part.stake,
            demand_max: DEMAND_MAX,
            level: 0,
            capabilities: BoundedVec::default(),
            region: None,
            privacy_max: Privacy::Public,
            owner,
            endpoint: BoundedBytes::new(endpoint).expect("an address is short"),
        }
    }

    fn start(&self, name: &str, role: Role) {
        let twist = self.cheats.get(name).cloned();
        let honest = tiny_registry(None);
        let seat = self.seat(name);
        let task = match twist {
            None => self.run(name, role, (seat, honest)),
            Some(twist) => {
                let own = tiny_registry(Some(twist.as_ref()));
                let registry = twisted_registry(&honest, &own, &twist);
                self.run(name, role, (TwistedChain::new(seat, twist), registry))
            }
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.insert(name.to_owned(), task);
    }

    fn run<C: ChainClient + Clone>(
        &self,
        name: &str,
        role: Role,
        (chain, registry): (C, Registry),
    ) -> Handle<()> {
        let blobs: Arc<dyn Blobs> = Arc::new(self.blobs.clone());
        let books = self.books.get(name).cloned();
        let equipment = Equipment {
            identity: Identity {
                key: key(name),
                seed: seed_of(name),
            },
            chain,
            blobs,
            registry: Arc::new(registry),
            concurrency: CONCURRENCY,
            from: Height::ZERO,
            outputs: None,
            sessions: books.map(|books| -> Arc<dyn Shelf> { Arc::new(CookedShelf(books)) }),
            clerk: ClerkOptions::default(),
        };
        let context = self.context.child("role");
        if role == Role::Verifier {
            return context
                .spawn(move |clock| async move { verifier::run(&clock, equipment).await });
        }
        let network = &self.networks[name];
        let incoming = worker::open_desk(network).expect("a desk opens once in a life");
        context.spawn(move |clock| async move {
            worker::run(&clock, equipment, incoming, false).await;
        })
    }

    /// A worker's process ends and begins again with what it makes of its books.
    pub(super) async fn restart(&self, name: &str, cook: impl FnOnce(&mut Books)) {
        let task = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.remove(name).expect("it runs")
        };
        task.abort();
        // Its desk closes when its task is dropped.
        self.context.sleep(Duration::from_millis(10)).await;
        cook(&mut self.books[name].clone());
        self.start(name, Role::Worker);
    }

    /// A buyer by number, from 1.
    pub(super) fn patron(&self, number: usize) -> Patron {
        let name = buyer_name(number);
        let network = self.networks[&name].clone();
        Patron::new(self.seat(&name), network, self.buyers.clone())
    }

    /// Waits until everybody heard of the newest block.
    pub(super) async fn heard(&self) {
        self.context.sleep(HEARD_WITHIN).await;
    }

    /// Waits until no order is open.
    pub(super) async fn settle(&self) {
        for _ in 0..POLLS_MAX {
            if self.chain.open_orders() == 0 {
                return;
            }
            self.context.sleep(POLL).await;
        }
        panic!("orders are open after all windows");
    }

    /// The account of a worker.
    pub(super) fn worker(number: usize) -> Address {
        key(&names::worker(number)).address()
    }

    /// The account of a verifier.
    pub(super) fn verifier(number: usize) -> Address {
        key(&names::verifier(number)).address()
    }

    /// The account of a buyer.
    pub(super) fn buyer(number: usize) -> Address {
        key(&buyer_name(number)).address()
    }
}
