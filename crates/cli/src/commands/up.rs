mod invite;

use crate::{
    Global,
    commands::{chat, doctor, model, order::Input, status},
    connection::{Connection, TICKET_FILE, listen_failure},
    describe::Names,
    door::{self, Door},
    ending::wait_for_end,
    failure::{Exit, code},
    local_node::{self, LocalNode},
    main_job::{self, Purchase, Telling},
    models, output, rules,
};
use commonware_runtime::{Runner as _, Spawner as _, Supervisor as _, tokio as runtime};
use fairweir_chain::ChainHandle;
use fairweir_client::{NodeClient, Sender};
use fairweir_gateway::Payment;
use fairweir_net::{
    Network as _, PeerAddr,
    quic::{DialPolicy, QuicNetwork, QuicOptions},
};
use fairweir_node::{
    Config, DataDir, Keystore, NodeBlobs, NodeChain, OutputStore,
    network::{self, Founded, names},
    roles::{
        self, verifier,
        worker::{self, Equipment, WorkerOptions},
    },
    transport_seed,
};
use fairweir_services::{
    Registry,
    inference::{Engines, Models, share::Library},
    pipeline::Identity,
    session::ClerkOptions,
};
use fairweir_types::{Amount, ChainId, Height, Millis, Rounding};
use serde_json::json;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// What the network does in front of you.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Job {
    /// A model answers your question.
    #[default]
    Chat,
    /// Your text is cleaned up and counted: needs no model.
    Text,
}

/// Run a whole network on this machine, and do one job on it in front of you.
///
/// One validator (or more), three workers and five verifiers, each with its own random key, talk over the real transport on loopback. The
/// job: your question is posted as an order, matched, answered by a language model, recomputed by verifiers bit for bit, settled and
/// proven. The first time, the models are brought (about 180 MB). Then the network stays up, with a door for OpenAI's clients;
/// Ctrl-C stops it, and starting again continues the same chain.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    input: Input,
    /// What it does in front of you.
    #[arg(long, value_enum, default_value_t)]
    job: Job,
    /// Run without language models: text jobs alone. Nothing is brought.
    #[arg(long)]
    no_models: bool,
    /// Leave after the job, with code 0 only if every step held.
    #[arg(long)]
    once: bool,
    /// Do no job, just run the network.
    #[arg(long, conflicts_with = "once")]
    no_job: bool,
    /// Where OpenAI's clients are served; another port is taken if it is busy.
    #[arg(long, default_value = door::LISTEN, value_name = "ADDRESS:PORT")]
    gateway: SocketAddr,
    /// Where the node listens. A development network must stay on loopback.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Validators of a new network, each with its own store, which agree on blocks over TCP on loopback; 1 to 7.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = validators)]
    validators: usize,
    /// Name the chain yourself: not a development chain, so its keys need your passphrase, and other machines may join.
    #[arg(long, value_name = "NAME")]
    chain_id: Option<String>,
    /// Answer questions of standard input too, by the engine of this process without the network, and print how long that took.
    #[arg(long, hide = true, value_name = "MODEL")]
    time: Option<String>,
}

/// Prices of the three workers, in hundredths of a coin per million bytes: the cheapest is matched, and the others learn why not.
const PRICES: [u64; network::WORKERS] = [110, 100, 120];
/// The text of the job when nobody gives one and nobody can be asked.
const EXAMPLE: &str = "A weir shares a river's water fairly.\nA weir shares a river's water fairly.\nWrite to ada@example.org or +44 20 7946 0958.";
/// The question of the job, likewise.
const QUESTION: &str = "Why do rivers need weirs?";
/// The model that the lines to try ask.
const MODEL: &str = models::KNOWN[0].name;
/// Coins on the account of a new network's gateway.
const GATEWAY_COINS: u64 = 10_000;
/// How long the network may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

impl Job {
    const fn asks(self) -> &'static str {
        match self {
            Self::Chat => {
                "Type a question for the model and end it with Enter (just Enter takes an example):"
            }
            Self::Text => {
                "Type a text for the network to work on and end it with Enter (just Enter takes an example):"
            }
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Chat => QUESTION,
            Self::Text => EXAMPLE,
        }
    }
}

/// Reads how many validators there shall be.
fn validators(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=network::VALIDATORS_MAX).contains(count))
        .ok_or_else(|| format!("a number from 1 to {}", network::VALIDATORS_MAX))
}

/// A network in one process, as far as commands need it.
pub(crate) struct Running {
    pub(crate) address: PeerAddr,
    pub(crate) keys: Keystore,
    pub(crate) founded: Founded,
    networks: Vec<QuicNetwork>,
    tasks: Vec<fairweir_chain::ChainTask>,
    chain: ChainHandle,
    /// Where its workers keep outputs.
    outputs: PathBuf,
    /// The models of its workers and verifiers, each in memory once.
    pub(crate) engines: Arc<Engines>,
    /// The same as others may fetch them.
    library: Arc<Library>,
}

impl Up {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        doctor::check_clock()?;
        let path = global.data_path();
        doctor::check_disk(&path)?;
        let data = DataDir::open(&path)?;
        let _lock = data.lock()?;
        let mut config = Config::load(&data)?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        let chain_id = self.chain_id(&data)?;
        local_node::check_address(&chain_id, config.listen)?;
        let passphrase = local_node::passphrase(global, &data, &chain_id)?;
        let text = if self.no_job {
            None
        } else {
            Some(self.text(global)?)
        };
        let mut founded =
            network::open_or_found(&data, chain_id, &passphrase, (&config, self.validators))
                .map_err(|error| Exit::new(code::MACHINE, error))?;
        if !founded.keys.contains(door::KEY) {
            founded.keys.generate(door::KEY)?;
            founded.keys.save(&data, &passphrase)?;
        }
        let engines = if self.no_models {
            models::none(&data)?
        } else {
            models::engines(global)?
        };
        if !self.no_models {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(models::bring(global, engines.store()))?;
        }
        if let Some(model) = &self.time {
            model::time_beside(&engines, model)?;
        }
        let storage = data.join("chain");
        let runner = runtime::Runner::new(runtime::Config::new().with_storage_directory(storage));
        runner.start(|context| async move {
            self.live(global, context, (&data, &config), (founded, engines), text)
                .await
        })
    }

    fn chain_id(&self, data: &DataDir) -> Result<ChainId, Exit> {
        let asked = self.chain_id.as_deref().map(ChainId::new).transpose();
        let asked = asked.map_err(|_| {
            Exit::message(code::FAILED, "a chain's name is 1 to 31 of a-z, 0-9 and -")
        })?;
        match (data.genesis(), asked) {
            (Ok(genesis), Some(asked))
                if ![genesis.chain_id.as_str(), genesis.name()].contains(&asked.as_str()) =>
            {
                Err(Exit::message(
                    code::MACHINE,
                    format!(
                        "{} holds {}, not {asked}: choose another folder with --data",
                        data.path().display(),
                        genesis.chain_id
                    ),
                ))
            }
            (Ok(genesis), _) => Ok(genesis.chain_id),
            (Err(_), Some(asked)) => Ok(asked),
            (Err(_), None) => {
                network::dev_chain_id().map_err(|error| Exit::new(code::MACHINE, error))
            }
        }
    }

    fn text(&self, global: &Global) -> Result<String, Exit> {
        use std::io::IsTerminal as _;
        match self.input.given()? {
            Some(text) => Ok(text),
            None if std::io::stdin().is_terminal() && !global.json => {
                output::progress(self.job.asks());
                let mut text = String::new();
                std::io::stdin().read_line(&mut text)?;
                let text = text.trim_end_matches(['\n', '\r']);
                Ok(if text.is_empty() {
                    self.job.example()
                } else {
                    text
                }
                .to_owned())
            }
            None => Ok(self.job.example().to_owned()),
        }
    }

    async fn live(
        self,
        global: &Global,
        context: runtime::Context,
        (data, config): (&DataDir, &Config),
        (founded, engines): (Founded, Arc<Engines>),
        text: Option<String>,
    ) -> Result<(), Exit> {
        let begun = Instant::now();
        let running = start(global, context, (data, config), founded, engines).await?;
        let result = self.serve(global, data, &running, text, begun).await;
        if !global.json {
            output::progress("stopping");
        }
        running.stop().await;
        // Whoever asks for a node must not find the address of one that stopped.
        std::fs::remove_file(data.join(TICKET_FILE))?;
        result
    }

    async fn serve(
        &self,
        global: &Global,
        data: &DataDir,
        running: &Running,
        text: Option<String>,
        begun: Instant,
    ) -> Result<(), Exit> {
        let connection = Connection::open(running.address.clone()).await?;
        let status = connection.client.status().await?;
        if !global.json {
            output::line(format!(
                "{} is up after {:.1} s: chain {}, block {}, {} validator(s), {} workers with {} offers, {} verifiers",
                if running.founded.is_new {
                    "A new network"
                } else {
                    "The network"
                },
                begun.elapsed().as_secs_f32(),
                status.header.chain_id,
                status.header.height,
                status.validators,
                network::WORKERS,
                status.offers,
                status.verifiers,
            ));
        }
        let job = tokio::select! {
            done = self.job(global, data, running, &connection, text) => done,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        let result = if self.once || job.is_err() {
            job
        } else {
            tokio::select! {
                stayed = self.stay(global, data, running, &connection) => stayed,
                stop = running.chain.wait_stopped() => Err(rules::stopped(data, &stop)),
            }
        };
        connection.network.close().await;
        result
    }

    /// Keeps the network up, with its door for OpenAI's clients, until it is told to stop.
    async fn stay(
        &self,
        global: &Global,
        data: &DataDir,
        running: &Running,
        connection: &Connection,
    ) -> Result<(), Exit> {
        let is_dev = running.founded.genesis.chain_id.is_dev();
        let store = running.engines.store().clone();
        let has_models = !store.list().map_err(models::exit)?.is_empty();
        if !is_dev || !has_models {
            if !global.json {
                invite::invite(global, running, None);
            }
            return wait_for_end().await;
        }
        let coins = Amount::from_coins(GATEWAY_COINS).unwrap_or(Amount::MAX);
        door::grant(connection, &running.keys, (names::BUYER, coins)).await?;
        let secret = door::OwnKey::DEV.secret(data)?;
        let listener = door::listen(self.gateway, true).await?;
        let address = listener.local_addr()?;
        let door = Door {
            sender: connection.sender(&running.keys, door::KEY).await?,
            store,
            keys: door::api_keys(data)?,
            price_max: Amount::from_coins(100).unwrap_or(Amount::MAX),
            concurrent_max: 256,
            payment: Payment::default(),
            owner: Some(running.keys.account(names::BUYER)?.address()),
            records: door::records(data, true)?,
        };
        if global.json {
            output::json(&json!({"url": format!("http://{address}/v1"), "api_key": secret}));
        } else {
            invite::invite(global, running, Some((address, &secret)));
        }
        let shutdown = async {
            let _ = wait_for_end().await;
        };
        door::open(door, listener, shutdown).await
    }

    async fn job(
        &self,
        global: &Global,
        data: &DataDir,
        running: &Running,
        connection: &Connection,
        text: Option<String>,
    ) -> Result<(), Exit> {
        let Some(text) = text else { return Ok(()) };
        let names = Names::of(&running.keys);
        let sender = connection.sender(&running.keys, names::BUYER).await?;
        let receipt: PathBuf = data.join("receipt.fwr");
        let telling = Telling {
            names: &names,
            quiet: global.json,
            answer_only: false,
        };
        let purchase = self.purchase(running, &text, receipt)?;
        let mut bought =
            main_job::buy(&sender, &running.founded.genesis, purchase, &telling).await?;
        let words = match self.job {
            Job::Chat => {
                let answer = chat::answer(&bought)?;
                bought.report["output"] = json!(answer.text.as_str());
                bought.report["tokens"] = json!(answer.tokens.len());
                format!("   Speed     {}", chat::pace(&bought, &answer))
            }
            Job::Text => {
                let output = main_job::text_output(&bought)?;
                bought.report["output"] = json!(output.text());
                format!("\n{output}")
            }
        };
        let status = connection.client.status().await?;
        if global.json {
            output::json_pretty(
                &json!({"job": bought.report, "status": fairweir_gateway::json::status(&status)}),
            );
        } else {
            output::line(words);
            output::line("");
            for line in status::lines(&status) {
                output::line(line);
            }
        }
        if status.supply.is_conserved() {
            Ok(())
        } else {
            Err(Exit::message(
                code::DOES_NOT_HOLD,
                "the supply is NOT conserved: keep the folder for examination",
            ))
        }
    }
}

impl Up {
    fn purchase(&self, running: &Running, text: &str, receipt: PathBuf) -> Result<Purchase, Exit> {
        match self.job {
            Job::Chat => {
                if self.no_models {
                    return Err(Exit::message(
                        code::FAILED,
                        "without models there is no chat: say --job text, or leave --no-models away",
                    ));
                }
                let (model, _) = models::choose(running.engines.store(), None, true)?;
                let shared: Arc<dyn Models> = Arc::<Engines>::clone(&running.engines);
                let messages = [json!({"role": "user", "content": text})];
                let store = running.engines.store();
                chat::Asking::standard(receipt).purchase(model, &messages, (store, &shared))
            }
            Job::Text => Ok(Purchase {
                receipt: Some(receipt),
                ..Purchase::text(
                    text,
                    main_job::EVERYTHING,
                    Amount::from_coins(10).unwrap_or(Amount::MAX),
                    Millis(30_000),
                )?
            }),
        }
    }
}

/// Binds a role's network beside the node's address, on any free port.
async fn bind_role(seed: &[u8; 32], host: IpAddr, policy: DialPolicy) -> Result<QuicNetwork, Exit> {
    let options = QuicOptions {
        secret_key: transport_seed(seed),
        listen: SocketAddr::new(host, 0),
        policy,
        advertise: Vec::new(),
    };
    QuicNetwork::bind(options)
        .await
        .map_err(|error| listen_failure(&error))
}

/// Starts the validator and, for a network in one process, its workers and verifiers.
pub(crate) async fn start(
    global: &Global,
    context: runtime::Context,
    (data, config): (&DataDir, &Config),
    founded: Founded,
    engines: Arc<Engines>,
) -> Result<Running, Exit> {
    let progress = (!global.json).then(|| output::spinner("starting the network"));
    let policy = local_node::policy(&founded.genesis.chain_id);
    let keys = founded.keys.clone();
    let LocalNode {
        network,
        chain,
        tasks,
    } = local_node::start(&context, data, config, &keys, &founded.genesis).await?;
    let address = network.local_addr();
    let library = models::library(engines.store())?;
    fairweir_node::models::serve(&context, &network, Arc::clone(&library))
        .map_err(|error| Exit::new(code::MACHINE, error))?;
    let mut running = Running {
        address,
        keys,
        founded,
        networks: vec![network],
        tasks,
        chain,
        outputs: data.join("outputs"),
        engines,
        library,
    };
    let started = start_roles(&context, &mut running, config.listen.ip(), policy);
    tokio::time::timeout(READY_WITHIN, started)
        .await
        .map_err(|_| {
            Exit::message(
                code::MACHINE,
                "the network was not ready within a minute: is the machine overloaded?",
            )
        })??;
    data.write(TICKET_FILE, running.address.to_string().as_bytes())?;
    if let Some(progress) = progress {
        progress.finish_and_clear();
    }
    Ok(running)
}

async fn start_roles(
    context: &runtime::Context,
    running: &mut Running,
    host: IpAddr,
    policy: DialPolicy,
) -> Result<(), Exit> {
    let registry = Arc::new(models::registry(&running.engines)?);
    load(&running.engines)?;
    // The tip's block must exist before anybody can ask for the status.
    running
        .chain
        .wait_height(Height(1))
        .await
        .map_err(|error| Exit::new(code::MACHINE, error))?;
    for number in 1..=network::WORKERS {
        let price = Amount::from_base_units(PRICES[number - 1] * Amount::COIN_BASE_UNITS / 100)
            .unwrap_or(Amount::MAX);
        let mut options = WorkerOptions {
            price,
            ..WorkerOptions::default()
        };
        models::offer(&running.engines, &mut options)?;
        for terms in options.kinds.values_mut() {
            terms.price = terms.price.and_then(|tokens| {
                tokens
                    .checked_mul_ratio(PRICES[number - 1], 100, Rounding::Up)
                    .ok()
            });
        }
        start_worker(
            context,
            running,
            &names::worker(number),
            (host, policy),
            &registry,
            options,
        )
        .await?;
    }
    for number in 1..=network::VERIFIERS {
        start_verifier(
            context,
            running,
            &names::verifier(number),
            (host, policy),
            &registry,
        )
        .await?;
    }
    Ok(())
}

/// Loads every model before anybody waits for one.
fn load(engines: &Engines) -> Result<(), Exit> {
    for (id, info) in engines.store().list().map_err(models::exit)? {
        let loaded = if info.is_chat() {
            engines.chat(id).map(drop)
        } else {
            engines.embedding(id).map(drop)
        };
        loaded.map_err(models::exit)?;
    }
    Ok(())
}

/// A role's way to the node, over a network of its own.
async fn equip(
    running: &mut Running,
    name: &str,
    (host, policy): (IpAddr, DialPolicy),
    registry: &Arc<Registry>,
) -> Result<
    (
        Sender<QuicNetwork>,
        Equipment<NodeChain<QuicNetwork>>,
        QuicNetwork,
    ),
    Exit,
> {
    let seed = *running.keys.seed(name)?;
    let key = running.keys.account(name)?;
    let network = bind_role(&seed, host, policy).await?;
    running.networks.push(network.clone());
    let client = NodeClient::new(network.clone(), running.address.clone());
    let sender = Sender::new(
        client.clone(),
        running.founded.genesis.chain_id.clone(),
        key.clone(),
    );
    let from = roles::resume_from(&client, key.address()).await?;
    let equipment = Equipment {
        identity: Identity { key, seed },
        chain: NodeChain::new(sender.clone()),
        blobs: Arc::new(NodeBlobs::new(client)),
        registry: Arc::clone(registry),
        concurrency: WorkerOptions::default().concurrency,
        from,
        outputs: None,
        sessions: None,
        clerk: ClerkOptions::default(),
    };
    Ok((sender, equipment, network))
}

async fn start_worker(
    context: &runtime::Context,
    running: &mut Running,
    name: &str,
    place: (IpAddr, DialPolicy),
    registry: &Arc<Registry>,
    options: WorkerOptions,
) -> Result<(), Exit> {
    let (sender, mut equipment, network) = equip(running, name, place, registry).await?;
    equipment.outputs = Some(Arc::new(OutputStore::at(&running.outputs.join(name))?));
    let sessions = running.outputs.with_file_name("sessions").join(name);
    equipment.sessions = Some(Arc::new(OutputStore::at(&sessions)?));
    let incoming = worker::open_desk(&network).map_err(|error| Exit::new(code::MACHINE, error))?;
    fairweir_node::models::serve(context, &network, Arc::clone(&running.library))
        .map_err(|error| Exit::new(code::MACHINE, error))?;
    let endpoint = network.local_addr();
    let seed = equipment.identity.seed;
    let standing = worker::register(&sender, &endpoint, registry, (&options, &seed)).await?;
    let registry = Arc::clone(registry);
    context.child("worker").spawn(move |context| async move {
        let runs = worker::run(&context, equipment, incoming, options.verifies);
        let terms = (&options, &seed);
        let keeps =
            worker::keep_registered(&context, &sender, &endpoint, (&*registry, standing), terms);
        futures::future::select(pin!(runs), pin!(keeps)).await;
    });
    Ok(())
}

async fn start_verifier(
    context: &runtime::Context,
    running: &mut Running,
    name: &str,
    place: (IpAddr, DialPolicy),
    registry: &Arc<Registry>,
) -> Result<(), Exit> {
    let (sender, equipment, _) = equip(running, name, place, registry).await?;
    let stake = Amount::from_coins(network::ROLE_STAKE_COINS).unwrap_or(Amount::MAX);
    let seed = equipment.identity.seed;
    let standing = verifier::register(&sender, registry, stake, (None, &seed)).await?;
    let registry = Arc::clone(registry);
    context.child("verifier").spawn(move |context| async move {
        let runs = verifier::run(&context, equipment);
        let terms = (None, &seed);
        let keeps = verifier::keep_enrolled(&context, &sender, (&*registry, standing), terms);
        futures::future::select(pin!(runs), pin!(keeps)).await;
    });
    Ok(())
}

impl Running {
    /// Closes every network and stops the chain; what was acknowledged is on disk already. What workers keep of requests is, once their tasks have ended.
    pub(crate) async fn stop(self) {
        let closing = self.networks.iter().map(fairweir_net::Network::close);
        futures::future::join_all(closing).await;
        for task in self.tasks {
            task.stop();
        }
    }
}
