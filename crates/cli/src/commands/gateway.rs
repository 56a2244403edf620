use crate::{
    Global,
    commands::up::wait_for_end,
    connection::{Connection, with_connection},
    door::{self, Door},
    failure::{Exit, code},
    models, output,
};
use fairweir_gateway::Payment;
use fairweir_types::Amount;
use serde_json::json;
use std::net::SocketAddr;

const AFTER_HELP: &str = "\
Try:
  fairweir keys new gateway                 an account for the gateway, never the owner's
  fairweir apikey create my-app             a key for a program; shown once
  fairweir gateway --fund 100               serve, with at most 100 coins to spend
  curl http://127.0.0.1:8080/v1/models -H 'Authorization: Bearer fw-…'";

/// Serve OpenAI's API: any client of it talks to the models of the network.
///
/// On your own machine this needs no trust in anybody: requests go straight to workers, and every answer has a receipt. The
/// gateway buys with an account of its own, so the most that it can spend is what is on it.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Gateway {
    /// Where it listens.
    #[arg(long, default_value = door::LISTEN, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Fill the gateway's account up to so many coins first.
    #[arg(long, value_name = "COINS")]
    fund: Option<Amount>,
    /// The name of the key that fills it up.
    #[arg(long, default_value = "buyer", value_name = "NAME")]
    owner: String,
    /// The highest price, in coins per million tokens.
    #[arg(long, default_value = "100", value_name = "COINS")]
    price_max: Amount,
    /// Pay for each request by an order of its own instead of by vouchers in sessions: slower, and every one is checked.
    #[arg(long)]
    per_request_orders: bool,
    /// Requests at the same time.
    #[arg(long, default_value_t = 256, value_name = "NUMBER")]
    concurrent_max: usize,
}

impl Gateway {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let data = global.data_dir()?;
        let keys = global.keystore()?;
        if !keys.contains(door::KEY) {
            return Err(Exit::message(
                code::MACHINE,
                "the gateway has no account: make one with 'fairweir keys new gateway', and send it coins or say --fund",
            ));
        }
        let store = models::store(global)?;
        let api_keys = door::api_keys(&data)?;
        let sessions = door::sessions(&data)?;
        with_connection(global, |connection: Connection| async move {
            if let Some(coins) = self.fund {
                door::fund(&connection, &keys, (&self.owner, coins)).await?;
            }
            let sender = connection.sender(&keys, door::KEY).await?;
            let listener = door::listen(self.listen, false).await?;
            let address = listener.local_addr()?;
            if global.json {
                output::json(&json!({"ready": true, "url": format!("http://{address}/v1")}));
            } else {
                output::line(format!(
                    "OpenAI's API is at http://{address}/v1; Ctrl-C stops it"
                ));
            }
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
                sessions,
            };
            let shutdown = async {
                let _ = wait_for_end().await;
            };
            door::open(door, listener, shutdown).await
        })
    }
}
