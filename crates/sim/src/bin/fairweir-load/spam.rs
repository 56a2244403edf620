//! What a stranger may throw at a node: every way to hold what it has, and everything that it must refuse, all at once from many identities.

use super::{Failure, account, connect, fund};
use commonware_codec::Encode as _;
use fairweir_client::{
    ClientError, NodeClient,
    protocol::{MESSAGE_BYTES_MAX, NODE},
};
use fairweir_net::{FrameStream as _, NetError, Network as _, quic::QuicNetwork};
use fairweir_node::random_seed;
use fairweir_types::{
    Action, Address, Amount, BoundedBytes, ChainId, Digest, Height, Nonce, SecretKey, SignedTx,
    Transaction, decode,
    limits::BLOB_BYTES_MAX,
    node_api::{
        AskBody, AskGenesis, AskProof, AskStatus, Follow, GetBlob, NodeReply, NodeRequest, PutBlob,
        Submit,
    },
    tx,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// The account with whose transactions most is tried, and behind it those of the identities: not those that other load comes from.
const RICH: u32 = 1_000;
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between one attempt and the next of the same stream.
const PAUSE: Duration = Duration::from_millis(500);
/// What must never be.
const INCLUDED: &str = "included";
/// A time in which little is sent.
const MOMENT: Duration = Duration::from_millis(2);
/// A fee that is enough for a transfer.
const FEE: u64 = 10_000_000;
/// Streams of each kind that an identity holds at a time.
const HELD: usize = 24;
/// Transactions of each account that wait for a nonce that never comes.
const WAITING: u64 = 255;

/// What is thrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Abuse {
    /// Bytes without a meaning.
    Noise,
    /// A question that ends too early.
    CutShort,
    /// More bytes than any message has.
    TooLong,
    /// A transaction under another one's signature.
    Forged,
    /// One for another chain.
    OtherChain,
    /// One of an account without money.
    Poor,
    /// One whose nonce was used.
    UsedNonce,
    /// One whose nonce is far ahead.
    FarNonce,
    /// One that pays nothing.
    NoFee,
    /// One whose time is over.
    Expired,
    /// One that is in a block already.
    Again,
    /// How the node is.
    Status,
    /// All of the genesis.
    Genesis,
    /// A proof of what is not there.
    Proof,
    /// A whole block.
    Block,
    /// A blob as large as it may be.
    Blob,
    /// Streams on which no question comes.
    Silent,
    /// Followers that do not read.
    Follower,
    /// Large questions that are cut in the middle.
    Half,
    /// Blobs that are asked for and not taken.
    Untaken,
    /// Transactions that wait for a nonce that never comes.
    Waiting,
}

/// One after the other.
const ATTEMPTS: [Abuse; 16] = [
    Abuse::Noise,
    Abuse::CutShort,
    Abuse::TooLong,
    Abuse::Forged,
    Abuse::OtherChain,
    Abuse::Poor,
    Abuse::UsedNonce,
    Abuse::FarNonce,
    Abuse::NoFee,
    Abuse::Expired,
    Abuse::Again,
    Abuse::Status,
    Abuse::Genesis,
    Abuse::Proof,
    Abuse::Block,
    Abuse::Blob,
];
/// Many at a time, all the while.
const HOLDS: [Abuse; 4] = [Abuse::Silent, Abuse::Follower, Abuse::Half, Abuse::Untaken];

/// How often each attempt ended how.
type Ends = Arc<Mutex<BTreeMap<(Abuse, String), u64>>>;

/// What every identity knows.
#[derive(Clone, Debug)]
struct Target {
    chain_id: ChainId,
    /// A transfer that is in a block.
    included: SignedTx,
    /// That block.
    in_block: Height,
    /// Its sender's next nonce.
    next: Nonce,
    /// A blob as large as it may be.
    blob: Digest,
}

/// Throws everything at a node for so long, from so many identities; prints as JSON how often each ended how.
pub(super) async fn spam(
    data: &Path,
    client: &NodeClient<QuicNetwork>,
    (seconds, peers): (u64, u32),
) -> Result<(), Failure> {
    fund(data, client, RICH..RICH + 1 + peers).await?;
    let target = target(client).await?;
    println!("{peers} identities begin");
    let ends = Ends::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut throwing = JoinSet::new();
    for number in RICH + 1..=RICH + peers {
        let (data, target, ends) = (data.to_owned(), target.clone(), Arc::clone(&ends));
        throwing.spawn(async move {
            // The node may have no room for another connection: that is an end, too.
            match connect(&data).await {
                Ok(client) => throw(&client, &target, (number, until), &ends).await,
                Err(_) => {
                    note(&ends, Abuse::Silent, "no connection");
                    Ok(())
                }
            }
        });
    }
    while let Some(thrown) = throwing.join_next().await {
        thrown??;
    }
    let ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    let mut told: BTreeMap<String, BTreeMap<&str, u64>> = BTreeMap::new();
    for ((abuse, end), count) in ends.iter() {
        *told
            .entry(format!("{abuse:?}"))
            .or_default()
            .entry(end)
            .or_default() += count;
    }
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

async fn target(client: &NodeClient<QuicNetwork>) -> Result<Target, Failure> {
    let status = client.status().await?;
    let included = super::transfer(client, RICH, RICH + 1).await?;
    let in_block = client.submit(&included).await?.height;
    let next = client.account(account(RICH)?.address()).await?.nonce;
    let blob = client.put_blob(vec![0; BLOB_BYTES_MAX]).await?;
    Ok(Target {
        chain_id: status.header.chain_id,
        included,
        in_block,
        next,
        blob,
    })
}

fn note(ends: &Ends, abuse: Abuse, end: &str) {
    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    *ends.entry((abuse, end.to_owned())).or_default() += 1;
}

/// All of it at once, from one identity.
async fn throw(
    client: &NodeClient<QuicNetwork>,
    target: &Target,
    (number, until): (u32, Instant),
    ends: &Ends,
) -> Result<(), Failure> {
    let mut holding = JoinSet::new();
    let key = account(number)?;
    for nonce in 1..=WAITING {
        let (client, ends) = (client.clone(), Arc::clone(ends));
        let tx = transfer(target, &key, nonce).sign(&key);
        holding.spawn(async move {
            // The node lets go of some for others, who come again at once.
            while Instant::now() < until {
                let end = match client.submit(&tx).await {
                    Ok(_) => INCLUDED.to_owned(),
                    Err(ClientError::Refused(refusal)) => refusal.code.to_string(),
                    Err(ClientError::Net(error)) => lost(&error),
                    Err(error) => error.to_string(),
                };
                note(&ends, Abuse::Waiting, &end);
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    for abuse in HOLDS {
        for _ in 0..HELD {
            let (client, blob, ends) = (client.clone(), target.blob, Arc::clone(ends));
            holding.spawn(async move {
                while Instant::now() < until {
                    let end = hold(&client, (abuse, blob), until).await;
                    note(
                        &ends,
                        abuse,
                        &end.map_or_else(|error| lost(&error), |()| "held".to_owned()),
                    );
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }
    while Instant::now() < until {
        for abuse in ATTEMPTS {
            let end = attempt(client, target, abuse, number).await?;
            note(ends, abuse, &end);
        }
    }
    while holding.join_next().await.is_some() {}
    client.network().close().await;
    Ok(())
}

/// One attempt, and how it ended.
async fn attempt(
    client: &NodeClient<QuicNetwork>,
    target: &Target,
    abuse: Abuse,
    number: u32,
) -> Result<String, Failure> {
    let frame = match abuse {
        Abuse::Noise => vec![0xA5; 1_000],
        Abuse::CutShort => {
            let whole = submission(&target.included)?;
            whole[..whole.len() / 2].to_vec()
        }
        Abuse::TooLong => vec![0; MESSAGE_BYTES_MAX + 1],
        Abuse::Blob => {
            // Each is another one.
            let mut bytes = random_seed()?.to_vec();
            bytes.resize(BLOB_BYTES_MAX, 0);
            let bytes = BoundedBytes::new(bytes)?;
            NodeRequest::PutBlob(PutBlob { bytes }).encode().to_vec()
        }
        Abuse::Status => NodeRequest::Status(AskStatus {}).encode().to_vec(),
        Abuse::Genesis => NodeRequest::Genesis(AskGenesis {}).encode().to_vec(),
        Abuse::Proof => {
            let key = BoundedBytes::new(random_seed()?.to_vec())?;
            NodeRequest::Proof(AskProof { key }).encode().to_vec()
        }
        Abuse::Block => body(target.in_block),
        _ => submission(&broken(target, abuse, number)?)?,
    };
    let asked = fairweir_net::request(
        client.network(),
        client.node(),
        NODE,
        &frame,
        MESSAGE_BYTES_MAX,
        PATIENCE,
    );
    let end = match asked.await.map(|answer| decode(&answer)) {
        Err(error) => return Ok(lost(&error)),
        Ok(Err(_)) => "an answer without a meaning",
        Ok(Ok(NodeReply::Refused(refusal))) => return Ok(refusal.code.to_string()),
        Ok(Ok(NodeReply::Included(included)))
            if abuse == Abuse::Again && included.height == target.in_block =>
        {
            "the outcome that it had"
        }
        Ok(Ok(NodeReply::Included(_))) => INCLUDED,
        Ok(Ok(_)) => "answered",
    };
    Ok(end.to_owned())
}

/// How a stream ended that was to give an answer.
fn lost(error: &NetError) -> String {
    let end = match error {
        NetError::DeadlinePassed { .. } => "no answer in time",
        NetError::Busy { .. } => "no stream",
        _ => "the stream was closed",
    };
    end.to_owned()
}

/// A transfer of nearly nothing.
fn transfer(target: &Target, key: &SecretKey, nonce: u64) -> Transaction {
    Transaction {
        chain_id: target.chain_id.clone(),
        sender: key.account_key(),
        nonce: Nonce(nonce),
        fee: Amount::from_base_units(FEE).unwrap_or(Amount::MAX),
        expiry: Height(target.in_block.get() + 10_000),
        action: Action::Transfer(tx::Transfer {
            to: Address::default(),
            amount: Amount::from_base_units(1).unwrap_or(Amount::MAX),
        }),
    }
}

/// A transaction that must not get into a block, or not again.
fn broken(target: &Target, abuse: Abuse, number: u32) -> Result<SignedTx, Failure> {
    // Nobody funded it.
    let poor = account(1_000_000 + number)?;
    let rich = account(RICH)?;
    let next = target.next.get();
    let (key, mut transaction) = match abuse {
        Abuse::Again => return Ok(target.included.clone()),
        Abuse::Poor => (&poor, transfer(target, &poor, 0)),
        Abuse::UsedNonce => (&rich, transfer(target, &rich, 0)),
        Abuse::FarNonce => (&rich, transfer(target, &rich, next + 100_000)),
        _ => (&rich, transfer(target, &rich, next)),
    };
    match abuse {
        Abuse::OtherChain => transaction.chain_id = ChainId::new("another-chain")?,
        Abuse::NoFee => transaction.fee = Amount::ZERO,
        Abuse::Expired => transaction.expiry = Height(1),
        _ => {}
    }
    let signer = if abuse == Abuse::Forged { &poor } else { key };
    Ok(transaction.sign(signer))
}

fn submission(tx: &SignedTx) -> Result<Vec<u8>, Failure> {
    let tx = BoundedBytes::new(tx.encode().to_vec())?;
    Ok(NodeRequest::Submit(Submit { tx }).encode().to_vec())
}

fn body(height: Height) -> Vec<u8> {
    NodeRequest::Body(AskBody { height }).encode().to_vec()
}

/// Takes a stream and does not give it back for a while; an error if it was not there any more then.
async fn hold(
    client: &NodeClient<QuicNetwork>,
    (abuse, blob): (Abuse, Digest),
    until: Instant,
) -> Result<(), NetError> {
    let mut stream = client.network().open(client.node(), NODE, PATIENCE).await?;
    match abuse {
        Abuse::Follower => {
            let follow = NodeRequest::Follow(Follow { from: Height(1) });
            stream.send(&follow.encode(), PATIENCE).await?;
        }
        Abuse::Half => {
            // More than the windows take at once, so that the deadline cuts it.
            let cut = stream.send(&vec![0; MESSAGE_BYTES_MAX], MOMENT).await;
            if !matches!(cut, Err(NetError::DeadlinePassed { .. })) {
                return cut;
            }
        }
        Abuse::Untaken => {
            let get = NodeRequest::GetBlob(GetBlob { digest: blob });
            stream.send(&get.encode(), PATIENCE).await?;
        }
        _ => {}
    }
    tokio::time::sleep(PATIENCE.min(until.saturating_duration_since(Instant::now()))).await;
    match stream.recv(MESSAGE_BYTES_MAX, MOMENT).await {
        Ok(_) | Err(NetError::DeadlinePassed { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
