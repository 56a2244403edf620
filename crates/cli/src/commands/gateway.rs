use crate::{
    Global,
    commands::{account::resolve, keys::open_or_begin},
    connection::{Connection, with_connection},
    door::{self, Door, OwnKey},
    ending::wait_for_end,
    failure::{Exit, code},
    models, output,
};
use fairweir_gateway::Payment;
use fairweir_node::Keystore;
use fairweir_types::Amount;
use serde_json::json;
use std::net::SocketAddr;

const AFTER_HELP: &str = "\
For yourself:
  fairweir gateway --local --owner NAME --cap 100  makes its account and an API key, prints URL and key

For others:
  fairweir keys new gateway                 an account for the gateway, never the owner's
  fairweir apikey create my-app             a key for a program; shown once
  fairweir gateway --owner buyer --cap 100  serve, with at most 100 coins of 'buyer' to spend
  curl http://127.0.0.1:8080/v1/models -H 'Authorization: Bearer fw-…'";

/// Serve OpenAI's API: any client of it talks to the models of the network.
///
/// On your own machine (--local) this needs no trust in any gateway: requests go straight to workers, and what they claim has receipts. Who
/// uses another's gateway can check what it relayed (fairweir verify --request --response), but not keep it from reading.
/// The gateway signs with a key of its own. It spends what is on that key's account, or, with --owner, up to a cap of another's.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Gateway {
    /// Serve this machine alone: listens on loopback only, and makes the gateway's account and an API key if there are none.
    #[arg(long)]
    local: bool,
    /// Where it listens.
    #[arg(long, default_value = door::LISTEN, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Whose coins it spends, by a grant: an address (fw1…) or the name of one of your keys.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "per_request_orders")]
    owner: Option<String>,
    /// Grant the gateway so many coins of the owner first, unless such a grant holds; needs the owner's key. What was spent is renewed with
    /// 'fairweir delegate grant'.
    #[arg(long, value_name = "COINS", requires = "owner")]
    cap: Option<Amount>,
    /// The highest price, in coins per million tokens.
    #[arg(long, default_value = "100", value_name = "COINS")]
    price_max: Amount,
    /// Pay for each request by an order of its own instead of by vouchers in sessions: slower, and every one is checked.
    #[arg(long)]
    per_request_orders: bool,
    /// Keep receipts, which hold questions and answers, in memory alone: they are gone when the gateway ends. Those of before are deleted.
    #[arg(long)]
    forget_receipts: bool,
    /// Requests at the same time.
    #[arg(long, default_value_t = 256, value_name = "NUMBER")]
    concurrent_max: usize,
}

impl Gateway {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        if self.local && !self.listen.ip().to_canonical().is_loopback() {
            return Err(Exit::message(
                code::MACHINE,
                format!(
                    "--local serves this machine alone, and {} is reached by others: leave out --listen, or --local",
                    self.listen
                ),
            ));
        }
        let data = global.data_dir()?;
        let keys = self.keys(global)?;
        let own_key = if self.local {
            Some(OwnKey::LOCAL.secret(&data)?)
        } else {
            None
        };
        let store = models::store(global)?;
        let api_keys = door::api_keys(&data)?;
        let records = door::records(&data, !self.forget_receipts)?;
        let owner = self.owner.as_deref();
        let owner = owner.map(|owner| resolve(global, owner)).transpose()?;
        with_connection(global, |connection: Connection| async move {
            let sender = connection.sender(&keys, door::KEY).await?;
            if let (Some(name), Some(cap)) = (&self.owner, self.cap) {
                door::grant(&connection, &keys, (name, cap)).await?;
            }
            let me = sender.key().address();
            match owner {
                Some(owner) => door::check_grant(&connection, owner, me).await?,
                None => door::check_coins(&connection, me).await?,
            }
            let listener = door::listen(self.listen, false).await?;
            let address = listener.local_addr()?;
            tell(global, address, own_key.as_deref());
            let door = Door {
                sender,
                store,
                keys: api_keys,
                price_max: self.price_max,
                concurrent_max: self.concurrent_max,
                payment: if self.per_request_orders {
                    Payment::Orders
                } else {
                    Payment::Sessions
                },
                owner,
                records,
            };
            let shutdown = async {
                let _ = wait_for_end().await;
            };
            door::open(door, listener, shutdown).await
        })
    }

    /// The keys of the folder, with the gateway's.
    fn keys(&self, global: &Global) -> Result<Keystore, Exit> {
        if !self.local {
            let keys = global.keystore()?;
            if !keys.contains(door::KEY) {
                return Err(Exit::message(
                    code::MACHINE,
                    "the gateway has no account: make one with 'fairweir keys new gateway', or say --local if it is for this machine alone",
                ));
            }
            return Ok(keys);
        }
        let (mut keys, passphrase) = open_or_begin(global)?;
        if !keys.contains(door::KEY) {
            let address = keys.generate(door::KEY)?.address();
            keys.save(&global.data_dir()?, &passphrase)?;
            output::progress(format!("made an account for the gateway: {address}"));
        }
        Ok(keys)
    }
}

/// Says where it serves, and with which key if it is its own user's.
fn tell(global: &Global, address: SocketAddr, own_key: Option<&str>) {
    let url = format!("http://{address}/v1");
    if global.json {
        let mut ready = json!({"ready": true, "url": url});
        if let Some(key) = own_key {
            ready["api_key"] = key.into();
        }
        return output::json(&ready);
    }
    output::line(format!("OpenAI's API is at {url}; Ctrl-C stops it"));
    if let Some(key) = own_key {
        output::line(format!("  OPENAI_BASE_URL={url} OPENAI_API_KEY={key}"));
    }
}
