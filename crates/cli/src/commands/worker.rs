use crate::{
    Global,
    commands::model,
    connection::{Connection, bind_for, send, with_connection},
    ending::wait_for_end,
    failure::{Exit, code},
    models, output,
};
use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, tokio as runtime};
use fairweir_client::{NodeClient, Sender};
use fairweir_net::{Network as _, PeerAddr, quic::QuicNetwork};
use fairweir_node::{
    DataDir, Keystore, NodeBlobs, NodeChain, OutputStore, Passphrase, Ticket, random_seed,
    roles::{
        self,
        worker::{self, Equipment, WorkerOptions},
    },
};
use fairweir_services::{
    Registry,
    inference::{ModelStore, Models, NoModels},
    pipeline::Identity,
    session::ClerkOptions,
};
use fairweir_types::{Action, Amount, Digest, Genesis, SecretKey, digest::Domain, tx};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};
use zeroize::Zeroizing;

/// Run a worker, or let another machine join as one.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Worker {
    /// Make a ticket with which another machine joins: the node's address and a new account with a first stake.
    Invite {
        /// Coins for the new account; most of it becomes its stake.
        #[arg(long, default_value = "2000", value_name = "COINS")]
        coins: Amount,
        /// The name of the key that pays.
        #[arg(long, default_value = "buyer")]
        from: String,
    },
    /// Join a network with a ticket, and work until Ctrl-C. The ticket's key is kept in the data folder.
    Join {
        /// The ticket, one word that begins with fwjoin1. Treat it like money.
        ticket: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Change what a worker offers.
    #[command(subcommand)]
    Offer(OfferChange),
    /// Work with a key of this folder until Ctrl-C.
    Run {
        /// The name of the key.
        #[arg(long, default_value = "worker")]
        key: String,
        #[command(flatten)]
        terms: Terms,
    },
}

/// What can be done with an offer.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum OfferChange {
    /// Take an offer off the list: no new work is matched to it.
    ///
    /// Work that is open goes on at its terms; the deposit comes back with the last of it. A worker that is started
    /// again offers again.
    Withdraw {
        /// The kind of service that is no longer offered.
        #[arg(default_value = "text")]
        kind: String,
        /// The name of the worker's key.
        #[arg(long, default_value = "worker")]
        key: String,
    },
}

fn change_offer(global: &Global, change: &OfferChange) -> Result<(), Exit> {
    let OfferChange::Withdraw { kind, key } = change;
    let none: Arc<dyn Models> = Arc::new(NoModels);
    let registry = Registry::with_models(&none);
    let service = registry.named(kind).ok_or_else(|| {
        let names: Vec<_> = registry.iter().map(|service| service.name()).collect();
        let names = names.join(", ");
        Exit::message(
            code::FAILED,
            format!("no kind of service is called {kind}; there are: {names}"),
        )
    })?;
    let action = Action::WithdrawOffer(tx::WithdrawOffer { kind: service.id() });
    let included = send(global, key, action)?;
    if global.json {
        output::json(&json!({
            "kind": kind, "done": "withdrawn",
            "tx": included.outcome.tx.to_string(), "height": included.height.get(),
        }));
    } else {
        output::line(format!(
            "the offer for {kind} is withdrawn in block {}",
            included.height
        ));
    }
    Ok(())
}

/// On which terms the worker works.
#[derive(Debug, clap::Args)]
pub(crate) struct Terms {
    /// The price, in coins per million bytes of input and of output.
    #[arg(long, default_value = "1", value_name = "COINS")]
    price: Amount,
    /// Slots that may be open at once.
    #[arg(long, default_value_t = 16)]
    capacity: u16,
    /// Coins to bond; they answer for the work.
    #[arg(long, default_value = "1000", value_name = "COINS")]
    stake: Amount,
    /// Do not verify others' work.
    #[arg(long)]
    no_verify: bool,
    /// A model to fetch from the network before the work begins, by name or id; `all` for every one. May be given more than once.
    #[arg(long = "model", value_name = "NAME")]
    fetch: Vec<String>,
    /// Do not serve this machine's models to others of the network.
    #[arg(long)]
    no_share: bool,
    /// Where buyers reach this worker; by default any free port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Answer questions of standard input too, by the engine of this process without the network, and print how long that took.
    #[arg(long, hide = true, value_name = "MODEL")]
    time: Option<String>,
}

impl Worker {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::Invite { coins, from } => invite(global, coins, &from),
            Self::Offer(change) => change_offer(global, &change),
            Self::Join { ticket, terms } => join(global, &ticket, &terms),
            Self::Run { key, terms } => {
                let keys = global.keystore()?;
                let node = global.node_address()?;
                work(
                    global,
                    node,
                    Zeroizing::new(*keys.seed(&key)?),
                    None,
                    &terms,
                )
            }
        }
    }
}

fn invite(global: &Global, coins: Amount, from: &str) -> Result<(), Exit> {
    let keys = global.keystore()?;
    let node = global.node_address()?;
    let genesis = global.data_dir()?.genesis()?.digest();
    let seed = random_seed()?;
    let guest = SecretKey::from_seed(*seed)
        .map_err(|error| Exit::new(code::FAILED, error))?
        .address();
    let transfer = Action::Transfer(tx::Transfer {
        to: guest,
        amount: coins,
    });
    with_connection(global, |connection: Connection| async move {
        Ok(connection.sender(&keys, from).await?.send(transfer).await?)
    })?;
    let ticket = Ticket {
        node,
        genesis,
        seed,
    }
    .to_secret_text();
    if global.json {
        output::json(
            &json!({"ticket": ticket, "account": guest.to_string(), "coins": coins.to_string()}),
        );
    } else {
        output::progress(format!(
            "{coins} coins are in {guest}. On the other machine run: fairweir worker join TICKET, with this ticket (treat it like money):"
        ));
        output::line(ticket);
    }
    Ok(())
}

fn join(global: &Global, ticket: &str, terms: &Terms) -> Result<(), Exit> {
    let ticket: Ticket = ticket
        .parse()
        .map_err(|error| Exit::new(code::FAILED, error))?;
    let data = global.data_dir()?;
    keep_key(global, &data, &ticket)?;
    work(
        global,
        ticket.node.clone(),
        ticket.seed.clone(),
        Some(ticket),
        terms,
    )
}

/// Keeps the ticket's key in the folder, so that the worker's money is not lost with the ticket.
fn keep_key(global: &Global, data: &DataDir, ticket: &Ticket) -> Result<(), Exit> {
    let passphrase = match global.passphrase_given()? {
        Some(given) => given,
        // Nobody can be asked on a machine that runs unattended; the key then lies beside a random passphrase of its own.
        None => Passphrase::of_dev(data)?,
    };
    let mut keys = if Keystore::exists(data)? {
        Keystore::open(data, &passphrase)?
    } else {
        Keystore::empty()
    };
    if keys.contains("worker") {
        if keys.seed("worker")? != &*ticket.seed {
            return Err(Exit::message(
                code::MACHINE,
                format!(
                    "{} has another worker's key already: choose another folder with --data",
                    data.path().display()
                ),
            ));
        }
        return Ok(());
    }
    keys.insert("worker", ticket.seed.clone())?;
    Ok(keys.save(data, &passphrase)?)
}

/// The transport's key of a worker: always the same, so that a worker which starts again is where its offers say.
fn transport_key(seed: &[u8; 32]) -> [u8; 32] {
    Digest::of(Domain::KeyDerivation, &[b"transport", seed]).0
}

fn work(
    global: &Global,
    node: PeerAddr,
    seed: Zeroizing<[u8; 32]>,
    ticket: Option<Ticket>,
    terms: &Terms,
) -> Result<(), Exit> {
    let data = global.data_dir()?;
    let engines = models::engines(global)?;
    let outputs = OutputStore::at(&data.join("outputs"))?;
    let sessions = OutputStore::at(&data.join("sessions"))?;
    let storage = data.join("worker");
    let runner = runtime::Runner::new(runtime::Config::new().with_storage_directory(storage));
    runner.start(|context| async move {
        let network = bind_for(&node, terms.listen, Some(transport_key(&seed))).await?;
        let client = NodeClient::new(network.clone(), node);
        let genesis = client.genesis().await?;
        check_genesis(global, &genesis, ticket.as_ref())?;
        let key = SecretKey::from_seed(*seed).map_err(|error| Exit::new(code::FAILED, error))?;
        let sender = Sender::new(client.clone(), genesis.chain_id.clone(), key.clone());
        Box::pin(models::fetch::for_worker(
            global,
            &network,
            client.node(),
            &terms.fetch,
        ))
        .await?;
        if let Some(model) = &terms.time {
            model::time_beside(&engines, model)?;
        }
        let registry = Arc::new(models::registry(&engines)?);
        let mut options = WorkerOptions {
            price: terms.price,
            capacity: terms.capacity,
            stake: terms.stake,
            verifies: !terms.no_verify,
            ..WorkerOptions::default()
        };
        models::offer(&engines, &mut options)?;
        let incoming =
            worker::open_desk(&network).map_err(|error| Exit::new(code::MACHINE, error))?;
        if !terms.no_share {
            serve_models(&context, &network, engines.store())?;
        }
        let from = roles::resume_from(&client, key.address()).await?;
        let terms = (&options, &*seed);
        let endpoint = network.local_addr();
        let standing = worker::register(&sender, &endpoint, &registry, terms).await?;
        for why in &standing.others {
            output::progress(format!("not offered: {why}"));
        }
        let (keeper, known) = (sender.clone(), Arc::clone(&registry));
        tell_ready(global, &genesis, &key, &options);
        let equipment = Equipment {
            identity: Identity { key, seed: *seed },
            chain: NodeChain::new(sender),
            blobs: Arc::new(NodeBlobs::new(client)),
            registry,
            concurrency: options.concurrency,
            from,
            outputs: Some(Arc::new(outputs)),
            sessions: Some(Arc::new(sessions)),
            clerk: ClerkOptions::default(),
        };
        // On the threads on which the transport runs: the first thread, which waits below, would have to hand each part of an answer over to them.
        let verifies = options.verifies;
        let mut working = context
            .child("worker")
            .spawn(move |context| async move { worker::run(&context, equipment, incoming, verifies).await });
        let ended = tokio::select! {
            ended = wait_for_end() => ended,
            _ = &mut working => {
                Err(Exit::message(code::UNREACHABLE, "the network of this worker was closed"))
            }
            // Offers what becomes active, for as long as the worker runs.
            () = worker::keep_registered(&context, &keeper, &endpoint, (&*known, standing), terms) => Ok(()),
        };
        working.abort();
        network.close().await;
        ended
    })
}

/// Serves the models of a machine, if it has any.
pub(crate) fn serve_models(
    context: &runtime::Context,
    network: &QuicNetwork,
    store: &ModelStore,
) -> Result<(), Exit> {
    let library = models::library(store)?;
    if library.is_empty() {
        return Ok(());
    }
    fairweir_node::models::serve(context, network, library)
        .map_err(|error| Exit::new(code::MACHINE, error))
}

/// The ticket says which network it is for; without one the folder's own genesis is compared, if there is any.
fn check_genesis(global: &Global, genesis: &Genesis, ticket: Option<&Ticket>) -> Result<(), Exit> {
    let expected = match ticket {
        Some(ticket) => Some(ticket.genesis),
        None => global
            .data_dir()?
            .genesis()
            .ok()
            .map(|genesis| genesis.digest()),
    };
    match expected {
        Some(expected) if expected != genesis.digest() => Err(Exit::message(
            code::DOES_NOT_HOLD,
            format!(
                "the node is of another network: its genesis is {}, expected {expected}",
                genesis.digest()
            ),
        )),
        _ => {
            let data = global.data_dir()?;
            if data.genesis().is_err() {
                data.write_genesis(genesis)?;
            }
            Ok(())
        }
    }
}

fn tell_ready(global: &Global, genesis: &Genesis, key: &SecretKey, options: &WorkerOptions) {
    if global.json {
        output::json(&json!({
            "ready": true, "chain_id": genesis.chain_id.as_str(), "worker": key.address().to_string(), "price": options.price.to_string(),
        }));
    } else {
        output::line(format!(
            "{} works on {} at {} coins per million bytes; Ctrl-C stops it",
            key.address(),
            genesis.chain_id,
            options.price
        ));
    }
}
