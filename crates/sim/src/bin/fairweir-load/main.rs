//! Load for a running node, and the check that nothing acknowledged was lost.
//!
//! `run` sends transfers and writes down each that the node acknowledged; `check` asks for every one of them again; `replay`
//! executes every block again from genesis and compares what the headers commit to; `spam` does what nobody should.
#![expect(clippy::print_stdout, reason = "a tool of the command line")]

mod spam;

use clap::{Parser, Subcommand};
use commonware_codec::Encode as _;
use fairweir_chain::{light::LightClient, root_of};
use fairweir_client::{ClientError, NodeClient, Sender};
use fairweir_ledger::{
    BlockContext, MemoryState, apply_block, genesis_writes, invariants, referee::NoReferee,
    upgrades::Plans,
};
use fairweir_net::{
    Network as _, PeerAddr,
    quic::{DialPolicy, QuicNetwork, QuicOptions},
};
use fairweir_node::{DataDir, Keystore, Passphrase, network::names, random_seed};
use fairweir_types::{
    Action, Amount, Digest, Height, Nonce, SecretKey, SignedTx, Transaction, VerifiedTx,
    digest::Domain, handover::Handover, tx,
};
use futures::{StreamExt as _, future::join_all};
use std::{
    error::Error,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// Load for a running node, and the check that nothing acknowledged was lost.
#[derive(Debug, Parser)]
struct Load {
    /// The node's data folder.
    #[arg(long)]
    data: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Send transfers until the time is up or the node is gone.
    Run {
        /// Where acknowledged transactions are written.
        #[arg(long)]
        log: PathBuf,
        /// Seconds.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Accounts that send at the same time.
        #[arg(long, default_value_t = 8)]
        senders: u32,
        /// Go on when the node refuses or is not reached, until the time is up.
        #[arg(long)]
        patient: bool,
    },
    /// Send so many transfers as fast as the network takes them; says how many became final in a second, and how long each took.
    Flood {
        /// How many.
        #[arg(long, default_value_t = 100_000)]
        count: usize,
        /// Accounts that send at the same time.
        #[arg(long, default_value_t = 64)]
        senders: u32,
        /// Transfers of one account on their way at a time.
        #[arg(long, default_value_t = 32)]
        window: usize,
        /// Folders of further nodes of the network, among which the senders are spread.
        #[arg(long)]
        also: Vec<PathBuf>,
    },
    /// Throw at the node whatever it must refuse, and hold whatever it gives; says as JSON how often each attempt ended how.
    Spam {
        /// Seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Identities, each with an account and connections of its own.
        #[arg(long, default_value_t = 16)]
        peers: u32,
    },
    /// Ask for every acknowledged transaction again; fails if one is missing or in another block.
    Check {
        /// What `run` wrote.
        #[arg(long)]
        log: PathBuf,
        /// Lines to skip, checked before.
        #[arg(long, default_value_t = 0)]
        skip: usize,
    },
    /// Execute every block again from genesis; fails if a root differs.
    Replay {
        /// The height of a block whose digest is printed last, to compare with other nodes'.
        #[arg(long)]
        at: Option<u64>,
    },
    /// Median milliseconds from submitting a lone transaction to its finality, over so many.
    Latency {
        /// How many.
        #[arg(long, default_value_t = 100)]
        count: usize,
    },
}

fn main() -> Result<(), Failure> {
    let load = Load::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let client = connect(&load.data).await?;
        let network = client.network().clone();
        let result = match load.what {
            What::Run {
                log,
                seconds,
                senders,
                patient,
            } => run(&load.data, &client, &log, seconds, (senders, patient)).await,
            What::Flood {
                count,
                senders,
                window,
                also,
            } => flood(&load.data, &client, &also, (count, senders, window)).await,
            What::Spam { seconds, peers } => {
                spam::spam(&load.data, &client, (seconds, peers)).await
            }
            What::Check { log, skip } => check(&client, &log, skip).await,
            What::Replay { at } => replay(&client, at.map(Height)).await,
            What::Latency { count } => latency(&load.data, &client, count).await,
        };
        network.close().await;
        result
    })
}

async fn connect(data: &Path) -> Result<NodeClient<QuicNetwork>, Failure> {
    let address: PeerAddr = std::fs::read_to_string(data.join("node.address"))?
        .trim()
        .parse()?;
    let is_local = address.addrs().iter().all(|addr| addr.ip().is_loopback());
    let (from, policy) = if is_local {
        (Ipv4Addr::LOCALHOST, DialPolicy::LoopbackOnly)
    } else {
        (Ipv4Addr::UNSPECIFIED, DialPolicy::Any)
    };
    let options = QuicOptions {
        secret_key: *random_seed()?,
        listen: SocketAddr::from((from, 0)),
        policy,
        advertise: Vec::new(),
    };
    let client = NodeClient::new(QuicNetwork::bind(options).await?, address);
    // A node answers before its chain has a first block.
    let until = Instant::now() + Duration::from_secs(30);
    while let Err(error) = client.status().await {
        if !error.is_retryable() || Instant::now() > until {
            return Err(error.into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(client)
}

/// The account of a sender: always the same, so that load goes on where it stopped.
fn account(number: u32) -> Result<SecretKey, Failure> {
    let seed = Digest::of(Domain::KeyDerivation, &[b"load", &number.to_be_bytes()]).0;
    Ok(SecretKey::from_seed(seed)?)
}

async fn fund(
    data: &Path,
    client: &NodeClient<QuicNetwork>,
    accounts: Range<u32>,
) -> Result<(), Failure> {
    let data = DataDir::open(data)?;
    // As the command line does: the environment's, else the one that lies beside a development network's keys.
    let passphrase = match std::env::var("FAIRWEIR_PASSPHRASE") {
        Ok(given) => Passphrase::new(given),
        Err(_) => Passphrase::of_dev(&data)?,
    };
    let keys = Keystore::open(&data, &passphrase)?;
    let chain_id = client.status().await?.header.chain_id;
    let buyer = Sender::new(client.clone(), chain_id, keys.account(names::BUYER)?);
    let wanted = Amount::from_coins(100).unwrap_or(Amount::MAX);
    for number in accounts {
        let to = account(number)?.address();
        if client.account(to).await?.balance < Amount::from_coins(10).unwrap_or(Amount::MAX) {
            buyer
                .send(Action::Transfer(tx::Transfer { to, amount: wanted }))
                .await?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, Failure> {
    if !text.is_ascii() {
        return Err("the log is damaged".into());
    }
    let pairs = (0..text.len())
        .step_by(2)
        .map(|start| text.get(start..start + 2).unwrap_or_default());
    Ok(pairs
        .map(|pair| u8::from_str_radix(pair, 16))
        .collect::<Result<_, _>>()?)
}

async fn run(
    data: &Path,
    client: &NodeClient<QuicNetwork>,
    log: &Path,
    seconds: u64,
    (senders, patient): (u32, bool),
) -> Result<(), Failure> {
    fund(data, client, 0..senders).await?;
    let log = Arc::new(Mutex::new(
        OpenOptions::new().create(true).append(true).open(log)?,
    ));
    let until = Instant::now() + Duration::from_secs(seconds);
    let sending = (0..senders).map(|number| {
        send(
            client,
            Arc::clone(&log),
            (number, senders),
            (until, patient),
        )
    });
    let sent = join_all(sending).await;
    let acknowledged: u64 = sent.iter().map(|(acknowledged, _)| acknowledged).sum();
    println!("{acknowledged} transactions acknowledged");
    for refusal in sent.iter().filter_map(|(_, refusal)| refusal.as_ref()) {
        println!("{refusal}");
    }
    Ok(())
}

/// Sends one transfer after the other until the time is up, or, unless it is patient, one is refused or the node is gone. Says how many were
/// acknowledged, and what was said last to one that was not. One that is only outdated is built anew: what an earlier load sent may be included after its account was asked for.
async fn send(
    client: &NodeClient<QuicNetwork>,
    log: Arc<Mutex<File>>,
    (number, senders): (u32, u32),
    (until, patient): (Instant, bool),
) -> (u64, Option<String>) {
    let (mut acknowledged, mut refusal) = (0, None);
    while Instant::now() < until {
        match send_one(client, &log, number, senders).await {
            Ok(()) => acknowledged += 1,
            Err(error) => {
                refusal = Some(error.to_string());
                if !patient && !is_outdated(&error) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    (acknowledged, refusal)
}

fn is_outdated(error: &Failure) -> bool {
    let error = error.downcast_ref::<ClientError>();
    error.is_some_and(ClientError::is_outdated)
}

async fn send_one(
    client: &NodeClient<QuicNetwork>,
    log: &Mutex<File>,
    number: u32,
    senders: u32,
) -> Result<(), Failure> {
    let tx = transfer(client, number, (number + 1) % senders.max(2)).await?;
    let included = client.submit(&tx).await?;
    let line = format!("{} {}\n", included.height, hex(&tx.encode()));
    log.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .write_all(line.as_bytes())?;
    Ok(())
}

async fn transfer(
    client: &NodeClient<QuicNetwork>,
    from: u32,
    to: u32,
) -> Result<SignedTx, Failure> {
    let key = account(from)?;
    let report = client.account(key.address()).await?;
    let header = client.status().await?.header;
    let transfer = tx::Transfer {
        to: account(to)?.address(),
        amount: Amount::from_base_units(1).unwrap_or(Amount::ZERO),
    };
    let transaction = Transaction {
        chain_id: header.chain_id,
        sender: key.account_key(),
        nonce: report.nonce,
        fee: report.fee_min,
        expiry: Height(header.height.get() + 10_000),
        action: Action::Transfer(transfer),
    };
    Ok(transaction.sign(&key))
}

/// Sends `count` transfers of `senders` accounts, so many of each on their way at a time.
async fn flood(
    data: &Path,
    client: &NodeClient<QuicNetwork>,
    also: &[PathBuf],
    (count, senders, window): (usize, u32, usize),
) -> Result<(), Failure> {
    fund(data, client, 0..senders).await?;
    let mut clients = vec![client.clone()];
    for data in also {
        clients.push(connect(data).await?);
    }
    let each = count.div_ceil(usize::try_from(senders)?);
    let mut ready = Vec::new();
    for number in 0..senders {
        ready.push(transfers(client, number, (number + 1) % senders.max(2), each).await?);
    }
    println!("{} transfers signed", each * ready.len());
    let begun = Instant::now();
    let mut sending = JoinSet::new();
    for (txs, client) in ready.into_iter().zip(clients.iter().cycle()) {
        let client = client.clone();
        sending.spawn(async move {
            let submissions = txs.into_iter().map(|tx| submit_timed(client.clone(), tx));
            let times = futures::stream::iter(submissions).buffer_unordered(window);
            times.collect::<Vec<Result<Duration, Failure>>>().await
        });
    }
    let mut times = Vec::new();
    while let Some(sent) = sending.join_next().await {
        for time in sent? {
            times.push(time?);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{} transfers final in {seconds:.1} s; from submission to finality p50 {:.0} ms, p95 {:.0} ms",
        times.len(),
        at(50),
        at(95)
    );
    #[expect(clippy::cast_precision_loss, reason = "a count below 2^52")]
    let rate = times.len() as f64 / seconds;
    println!("{rate:.0} {:.0}", at(50));
    for client in clients.into_iter().skip(1) {
        client.network().close().await;
    }
    Ok(())
}

/// Submits until the network takes it, and says how long that and finality took.
async fn submit_timed(client: NodeClient<QuicNetwork>, tx: SignedTx) -> Result<Duration, Failure> {
    let begun = Instant::now();
    loop {
        match client.submit(&tx).await {
            Ok(_) => return Ok(begun.elapsed()),
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// So many signed transfers of one account, with the nonces that are next.
async fn transfers(
    client: &NodeClient<QuicNetwork>,
    from: u32,
    to: u32,
    count: usize,
) -> Result<Vec<SignedTx>, Failure> {
    let first = transfer(client, from, to).await?;
    let key = account(from)?;
    Ok((0..u64::try_from(count)?)
        .map(|number| {
            let mut transaction = first.transaction.clone();
            transaction.nonce = Nonce(first.transaction.nonce.get() + number);
            transaction.expiry = Height(transaction.expiry.get() + 80_000);
            transaction.sign(&key)
        })
        .collect())
}

async fn check(client: &NodeClient<QuicNetwork>, log: &Path, skip: usize) -> Result<(), Failure> {
    let mut checked = 0;
    for line in BufReader::new(File::open(log)?).lines().skip(skip) {
        let line = line?;
        let (height, tx) = line.split_once(' ').ok_or("the log is damaged")?;
        let tx = SignedTx::decode_bounded(&unhex(tx)?)?;
        let included = client
            .submit(&tx)
            .await
            .map_err(|error| format!("acknowledged in block {height}, now lost: {error}"))?;
        if included.height.to_string() != height {
            return Err(format!(
                "acknowledged in block {height}, now in block {}",
                included.height
            )
            .into());
        }
        checked += 1;
    }
    println!("{checked} acknowledged transactions are there");
    Ok(())
}

async fn replay(client: &NodeClient<QuicNetwork>, at: Option<Height>) -> Result<(), Failure> {
    let genesis = client.genesis().await?;
    let mut light = LightClient::new(&genesis)?;
    let mut state = MemoryState::default();
    state.apply(&genesis_writes(&genesis)?);
    let tip = client.status().await?.header.height;
    // Block 1 follows the genesis block, which its certificate binds to the genesis' validators.
    let (mut parent, mut asked) = (None, None);
    for height in (1..=tip.get()).map(Height) {
        let block = client.body(height).await?;
        let header = &block.header;
        if parent.is_some_and(|parent| header.parent != parent) || header.height != height {
            return Err(
                format!("block {height} does not follow block {}", height.get() - 1).into(),
            );
        }
        let digest = header.digest();
        parent = Some(digest);
        if at == Some(height) {
            asked = Some(digest);
        }
        let proof = client.block(height).await?;
        light.verify_through(
            header,
            proof.descendants.as_slice(),
            proof.certificate.as_slice(),
        )?;
        let txs: Vec<VerifiedTx> = block
            .transactions
            .iter()
            .cloned()
            .map(SignedTx::verify)
            .collect::<Result<_, _>>()?;
        let context = BlockContext {
            chain_id: header.chain_id.clone(),
            height,
            time: header.time,
            beacon: header.beacon,
            proposer: header.proposer,
            plans: Plans::default(),
        };
        let outcome = apply_block(&state, &context, &NoReferee, &txs)?;
        state.apply(&outcome.writes);
        let roots = [
            (
                "transactions",
                root_of(block.transactions.as_slice()),
                header.transactions_root,
            ),
            ("outcomes", root_of(&outcome.outcomes), header.outcomes_root),
            ("events", root_of(&outcome.events), header.events_root),
        ];
        if let Some((what, ..)) = roots
            .iter()
            .find(|(_, computed, stated)| computed != stated)
        {
            return Err(format!("the {what} of block {height} recompute to another root").into());
        }
        if height == light.foot_of(header.epoch.saturating_add(1)) {
            let handover = Handover::of(header.clone(), proof.certificate, &outcome.events);
            light.hand_over(&handover.ok_or("the last block of an epoch began none")?)?;
        }
    }
    invariants::check(&state)?;
    let supply = invariants::supply(&state)?;
    if client.status().await?.header.height == tip && client.status().await?.supply != supply {
        return Err("the replayed money is not the node's".into());
    }
    println!(
        "{tip} blocks recomputed from genesis: every certificate, transactions, outcomes and events root holds"
    );
    if let Some(height) = at {
        println!(
            "{}",
            asked.ok_or_else(|| format!("there is no block {height}"))?
        );
    }
    Ok(())
}

async fn latency(
    data: &Path,
    client: &NodeClient<QuicNetwork>,
    count: usize,
) -> Result<(), Failure> {
    fund(data, client, 0..2).await?;
    let mut times = Vec::new();
    for _ in 0..count {
        let tx = transfer(client, 0, 1).await?;
        let begun = Instant::now();
        client.submit(&tx).await?;
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |share: usize| {
        times
            .get(times.len().saturating_sub(1) * share / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "lone transaction, submitted over QUIC until final: p50 {:.1} ms, p95 {:.1} ms",
        at(50).as_secs_f64() * 1e3,
        at(95).as_secs_f64() * 1e3
    );
    println!("{:.1}", at(50).as_secs_f64() * 1e3);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{BoundedText, node_api::Refusal};

    #[test]
    fn what_another_load_overtook_ends_nobody() {
        let refused = |code| -> Failure {
            let reason = BoundedText::truncating("");
            let code = BoundedText::truncating(code);
            ClientError::Refused(Refusal { code, reason }).into()
        };
        assert!(is_outdated(&refused("nonce_too_low")));
        assert!(!is_outdated(&refused("insufficient_balance")));
        assert!(!is_outdated(&ClientError::StreamEnded.into()));
        assert!(!is_outdated(&"the log is damaged".into()));
    }
}
