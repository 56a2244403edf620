use crate::{
    Global,
    connection::{send, with_connection},
    describe::Names,
    failure::{Exit, code},
    main_job::{self, Purchase, Telling},
    output,
};
use fairweir_services::text::{Deduplicate, Normalise, Operations, Redact};
use fairweir_types::{
    Action, Amount, Millis,
    digest::ParseDigestError,
    order::{OrderId, SlotId},
    tx,
};
use serde_json::json;
use std::{io::Read as _, path::PathBuf};

const AFTER_HELP: &str = "\
Try:
  fairweir order --input 'a text'       buy, and wait for output and receipt
  fairweir order cancel ORDER           take an order back that no worker has yet
  fairweir order top-up ORDER 5         add 5 coins to an order of anybody, or to each lane of a session of yours
  fairweir order challenge ORDER        dispute a verdict: five other verifiers decide";

/// Buy a text job, or change an order: post the order, watch it, get output and receipt.
///
/// The text is normalised, freed of duplicates and of obvious personal data, and counted. Verifiers re-execute the work before
/// the worker is paid; the receipt proves it to anybody.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub(crate) struct Order {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    purchase: Purchasing,
}

/// What can be done with an order that is open.
#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Take back an order of yours of which no slot is matched; escrow and deposit come back.
    Cancel(Which),
    /// Add coins to an open order; what it does not need comes back when it closes.
    ///
    /// Of a session of yours each lane that serves may then cost so much more: its worker needs the stake for it, and a reserve for fees
    /// and checks is locked on top.
    TopUp {
        #[command(flatten)]
        which: Which,
        /// How many coins.
        amount: Amount,
        /// Only this lane of a session, by its number from 0.
        #[arg(long)]
        lane: Option<u16>,
    },
    /// Close a session of yours: its workers claim what they served, and the rest of the escrow comes back.
    ///
    /// A session is an order of open rounds; `fairweir --json events` shows its lanes (lane_opened). Requests under way end where they
    /// are paid to. It closes by itself when its time is over.
    Close(Which),
    /// Dispute the verdict on an order of yours, or have a batch of a session checked, while its challenge window is open.
    ///
    /// Five verifiers that did not judge it before decide. A deposit (`fairweir config params`, challenge_deposit) is
    /// held until then; if the verdict stands it pays their checks, else it comes back with the price.
    ///
    /// Of a batch that may hold dear requests the deposit is more: seven checks of the dearest.
    ///
    /// Of a batch of which no request was drawn for a check (`fairweir --json events`, nothing_drawn) say which one its verifiers are to check: with
    /// --at, an offset into what the batch costs. The gateway tells both where it tells that a receipt is not settled yet.
    Challenge {
        #[command(flatten)]
        which: Which,
        /// The slot, for orders of several.
        #[arg(long, default_value_t = 0)]
        slot: u16,
        /// Of a batch of which nothing was drawn: the coins that its requests before the one to check cost together.
        #[arg(long, value_name = "COINS")]
        at: Option<Amount>,
    },
}

/// The ledger's word for a lane that takes requests.
const SERVING: &str = "serving";

/// What tops up an order: itself, or each lane of a session.
fn top_ups(
    global: &Global,
    order: OrderId,
    (amount, lane): (Amount, Option<u16>),
) -> Result<Vec<Action>, Exit> {
    let report = with_connection(global, |connection| async move {
        Ok(connection.client.order(order).await?)
    })?;
    let lanes: Vec<SlotId> = report
        .slots
        .iter()
        .filter(|slot| slot.phase.as_str() == SERVING)
        .map(|slot| slot.slot_id)
        .filter(|slot_id| lane.is_none_or(|lane| lane == slot_id.slot))
        .collect();
    match (lanes.is_empty(), lane) {
        (true, Some(lane)) => Err(Exit::message(
            code::FAILED,
            format!("order {order} has no lane {lane} that serves"),
        )),
        (true, None) => Ok(vec![Action::TopUp(tx::TopUp { order, amount })]),
        (false, _) => Ok(lanes
            .into_iter()
            .map(|lane| Action::TopUpLane(tx::TopUpLane { lane, amount }))
            .collect()),
    }
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The order's id: 64 hexadecimal digits, as shown when it was posted and by `fairweir --json events`.
    #[arg(value_parser = order_id)]
    order: OrderId,
    /// The name of the key that signs.
    #[arg(long, default_value = "buyer")]
    key: String,
}

fn order_id(text: &str) -> Result<OrderId, ParseDigestError> {
    text.parse().map(OrderId)
}

impl Change {
    fn run(&self, global: &Global) -> Result<(), Exit> {
        let (which, actions, done) = match self {
            Self::Cancel(which) => {
                let order = which.order;
                let action = Action::CancelOrder(tx::CancelOrder { order });
                (which, vec![action], "cancelled".to_owned())
            }
            Self::TopUp {
                which,
                amount,
                lane,
            } => {
                let actions = top_ups(global, which.order, (*amount, *lane))?;
                (which, actions, format!("topped up by {amount} coins"))
            }
            Self::Close(which) => {
                let order = which.order;
                let action = Action::CloseSession(tx::CloseSession { order });
                (which, vec![action], "closing".to_owned())
            }
            Self::Challenge { which, slot, at } => {
                let (order, slot) = (which.order, *slot);
                let slot_id = SlotId { order, slot };
                let action = Action::Challenge(tx::Challenge { slot_id, at: *at });
                (which, vec![action], "challenged".to_owned())
            }
        };
        for action in actions {
            Self::send(global, which, (action, &done))?;
        }
        Ok(())
    }

    fn send(global: &Global, which: &Which, (action, done): (Action, &str)) -> Result<(), Exit> {
        let included = send(global, &which.key, action)?;
        if global.json {
            output::json(&json!({
                "order": which.order.to_string(), "done": done,
                "tx": included.outcome.tx.to_string(), "height": included.height.get(),
            }));
        } else {
            output::line(format!(
                "order {} is {done} in block {}",
                which.order, included.height
            ));
        }
        Ok(())
    }
}

/// How to buy.
#[derive(Debug, clap::Args)]
struct Purchasing {
    #[command(flatten)]
    input: Input,
    /// The highest price, in coins per million bytes of input or output.
    #[arg(long, default_value = "10", value_name = "COINS")]
    price_max: Amount,
    /// Seconds within which a worker must be found; else the order is refunded.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    match_within: u64,
    /// The name of the key that pays.
    #[arg(long, default_value = "buyer")]
    key: String,
    /// Where the receipt file goes.
    #[arg(long, default_value = "receipt.fwr", value_name = "FILE")]
    receipt: PathBuf,
    /// Leave the form of the text as it is.
    #[arg(long)]
    keep_form: bool,
    /// Keep duplicate lines and paragraphs.
    #[arg(long)]
    keep_duplicates: bool,
    /// Keep email addresses, telephone, account and card numbers and IP addresses.
    #[arg(long)]
    keep_personal_data: bool,
}

/// The text to work on.
#[derive(Debug, clap::Args)]
pub(crate) struct Input {
    /// The text itself.
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) input: Option<String>,
    /// A file with the text; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

impl Input {
    /// The text, if the command line gives one.
    pub(crate) fn given(&self) -> Result<Option<String>, Exit> {
        let Some(path) = &self.file else {
            return Ok(self.input.clone());
        };
        let mut bytes = Vec::new();
        if path.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut bytes)?;
        } else {
            bytes = std::fs::read(path).map_err(|error| {
                Exit::message(code::MACHINE, format!("{}: {error}", path.display()))
            })?;
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Exit::message(code::FAILED, "the text is not UTF-8"))
    }

    /// The text, asked for if need be.
    pub(crate) fn text(&self) -> Result<String, Exit> {
        if let Some(text) = self.given()? {
            return Ok(text);
        }
        output::progress("Type a text and end it with Enter:");
        let mut text = String::new();
        std::io::stdin().read_line(&mut text)?;
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        if text.is_empty() {
            return Err(Exit::message(
                code::FAILED,
                "there is no text: give one with --input or --file",
            ));
        }
        Ok(text)
    }
}

impl Order {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        match self.change {
            Some(change) => change.run(global),
            None => self.purchase.run(global),
        }
    }
}

impl Purchasing {
    fn run(self, global: &Global) -> Result<(), Exit> {
        let text = self.input.text()?;
        let keys = global.keystore()?;
        let names = Names::of(&keys);
        let operations = Operations {
            normalise: if self.keep_form {
                Normalise::Nothing
            } else {
                Normalise::Nfc
            },
            deduplicate: if self.keep_duplicates {
                Deduplicate::Nothing
            } else {
                Deduplicate::ParagraphsAndLines
            },
            redact: if self.keep_personal_data {
                Redact::Nothing
            } else {
                Redact::PersonalData
            },
        };
        let match_within = Millis(self.match_within.saturating_mul(1_000));
        let purchase = Purchase {
            receipt: Some(self.receipt.clone()),
            ..Purchase::text(&text, operations, self.price_max, match_within)?
        };
        let trusted = global.data_dir()?.genesis().ok();
        let bought = with_connection(global, |connection| async move {
            let sender = connection.sender(&keys, &self.key).await?;
            // The folder's own genesis is the one to trust; without it the node's word is taken.
            let genesis = match trusted {
                Some(genesis) => genesis,
                None => connection.client.genesis().await?,
            };
            let telling = Telling {
                names: &names,
                quiet: global.json,
                answer_only: false,
            };
            main_job::buy(&sender, &genesis, purchase, &telling).await
        })?;
        let output = main_job::text_output(&bought)?;
        if global.json {
            let mut report = bought.report;
            report["output"] = json!(output.text());
            output::json_pretty(&report);
        } else {
            output::line("");
            output::line(output.to_string());
        }
        Ok(())
    }
}
