//! The main job: buy one text job, watch it, get output and receipt, and check everything.

use crate::{
    describe::{self, Names},
    failure::{Exit, code},
    output,
};
use commonware_codec::Encode as _;
use fairweir_client::{
    ClientError, NodeClient, Sender,
    orders::{self, OutputItem, OutputStream, Posted, SlotEnd},
    verify,
};
use fairweir_gateway::json;
use fairweir_net::{Network, PeerAddr, quic::QuicNetwork};
use fairweir_services::{
    AnyService, Served as _, StopAt,
    inference::chat::ChatChunk,
    text::{Deduplicate, Normalise, Operations, Redact, Text, TextOutput, TextSpec},
};
use fairweir_types::{
    Address, Amount, BoundedBytes, BoundedVec, Digest, Event, Genesis, Millis, decode,
    file::Filed as _,
    limits::SPEC_INLINE_BYTES_MAX,
    node_api::Delivery,
    order::{
        Demand, KindId, Name, OrderHeader, PriceVector, Privacy, Requirements, Rounds, SlotId,
        SlotRole, Urgency,
    },
    proof::ReceiptProof,
    receipt,
};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// What to buy.
pub(crate) struct Purchase {
    /// The kind, with what it takes to run it here again.
    pub(crate) service: Arc<dyn AnyService>,
    /// The encoded spec.
    pub(crate) spec: Vec<u8>,
    /// What it is, in words.
    pub(crate) what: String,
    /// What a worker must offer.
    pub(crate) capabilities: Vec<Name>,
    /// The highest price, in coins per million units of input or output.
    pub(crate) price_max: Amount,
    /// Milliseconds within which a worker must be found.
    pub(crate) match_within: Millis,
    /// Where the receipt file goes.
    pub(crate) receipt: Option<PathBuf>,
    /// Whether the output is told as it comes; else it is fetched when it is there.
    pub(crate) live: bool,
    /// Whether this machine does the work again and compares.
    pub(crate) recompute: bool,
}

impl Purchase {
    /// A text job.
    pub(crate) fn text(
        text: &str,
        operations: Operations,
        price_max: Amount,
        match_within: Millis,
    ) -> Result<Self, Exit> {
        let spec = TextSpec::new(text.to_owned(), operations)
            .map_err(|error| Exit::new(code::REFUSED, error))?;
        Ok(Self {
            service: Text::service(),
            spec: spec.encode().to_vec(),
            what: format!("a text of {} bytes", text.len()),
            capabilities: Vec::new(),
            price_max,
            match_within,
            receipt: None,
            live: false,
            recompute: true,
        })
    }
}

/// Everything that is done to a text by default.
pub(crate) const EVERYTHING: Operations = Operations {
    normalise: Normalise::Nfc,
    deduplicate: Deduplicate::ParagraphsAndLines,
    redact: Redact::PersonalData,
};

/// What a purchase came to.
pub(crate) struct Bought {
    /// The encoded output.
    pub(crate) output: Vec<u8>,
    /// The purchase for programs.
    pub(crate) report: Value,
    /// How fast the output came, for those that were told as they came.
    pub(crate) pace: Option<Pace>,
}

/// How fast an output came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From the match to the first part.
    pub(crate) first: Duration,
    /// From the first part to the last.
    pub(crate) rest: Duration,
}

/// The output of a text job.
pub(crate) fn text_output(bought: &Bought) -> Result<TextOutput, Exit> {
    decode(&bought.output).map_err(|error| {
        Exit::new(code::DOES_NOT_HOLD, error).context("the output is no output of the text service")
    })
}

/// How a purchase is told.
pub(crate) struct Telling<'a> {
    pub(crate) names: &'a Names,
    pub(crate) quiet: bool,
    /// Only the answer, not the steps.
    pub(crate) answer_only: bool,
}

impl Telling<'_> {
    fn say(&self, text: impl AsRef<str>) {
        if !self.quiet && !self.answer_only {
            output::line(text);
        }
    }
}

/// How often the worker is asked for its output before giving up, and how long to wait in between.
const FETCH_ATTEMPTS: u32 = 40;
const FETCH_PAUSE: Duration = Duration::from_millis(50);

fn header(demand: Demand, purchase: &Purchase) -> Result<OrderHeader, Exit> {
    let spec = purchase.spec.as_slice();
    let spec_inline = if spec.len() <= SPEC_INLINE_BYTES_MAX {
        Some(BoundedBytes::new(spec.to_vec()).map_err(|error| Exit::new(code::REFUSED, error))?)
    } else {
        None
    };
    let price = purchase.price_max;
    Ok(OrderHeader {
        kind: purchase.service.id(),
        version: purchase.service.version(),
        spec_digest: Digest::of_blob(spec),
        spec_inline,
        demand,
        slots: 1,
        role: SlotRole::Worker,
        rounds: Rounds::Fixed(1),
        price_max: PriceVector {
            input: price,
            cached_input: Amount::ZERO,
            output: price,
            time: Amount::ZERO,
        },
        urgency: Urgency::Normal,
        match_within: purchase.match_within,
        requirements: Requirements {
            capabilities: BoundedVec::new(purchase.capabilities.clone())
                .map_err(|error| Exit::new(code::REFUSED, error))?,
            ..Requirements::default()
        },
        privacy: Privacy::Public,
    })
}

/// Buys and tells what happens. Every step is checked; the first that does not hold is the error.
pub(crate) async fn buy(
    sender: &Sender<QuicNetwork>,
    genesis: &Genesis,
    purchase: Purchase,
    telling: &Telling<'_>,
) -> Result<Bought, Exit> {
    let client = sender.client();
    let service = &purchase.service;
    let spec = purchase.spec.clone();
    let demand = service
        .demand(&spec)
        .map_err(|error| Exit::new(code::REFUSED, error))?;
    let header = header(demand, &purchase)?;
    if header.spec_inline.is_none() {
        client.put_blob(spec.clone()).await?;
    }
    let buyer = sender.key().address();
    let before = client.account(buyer).await?.balance;
    let quote = header
        .price_max
        .quote(&header.demand.units)
        .map_err(|error| Exit::new(code::REFUSED, error))?;
    telling.say(format!(
        "1. Order     {}; the work may cost {quote} coins at most",
        purchase.what
    ));
    let posted = orders::post(sender, header).await?;
    telling.say(format!("             its id is {}", posted.order));
    let watched = watch(sender, posted, &purchase, telling).await?;
    let delivery = watched.delivery;
    let settlement = match watched.end {
        SlotEnd::Settled(settlement) => settlement,
        SlotEnd::Refunded(refunded) => {
            return Err(Exit::message(
                code::REFUSED,
                format!(
                    "the order was refunded ({}): {}",
                    refunded.amount,
                    describe::refund_reason(refunded.reason)
                ),
            ));
        }
    };
    let delivery = delivery.ok_or_else(|| {
        Exit::message(
            code::DOES_NOT_HOLD,
            "the worker was paid but did not hand over its output",
        )
    })?;
    check_output(&delivery, &settlement.settled.trace)?;
    let proof = orders::prove(client, &settlement, &delivery, spec).await?;
    let file = proof.to_file();
    let (_, words) = verify::verify(genesis, &file)?;
    if purchase.recompute {
        recompute(&proof, service)?;
    }
    let cost = before
        .checked_sub(client.account(buyer).await?.balance)
        .unwrap_or(Amount::ZERO);
    tell_end(
        telling,
        &settlement.settled,
        &words,
        (cost, purchase.recompute),
    );
    if let Some(path) = &purchase.receipt {
        std::fs::write(path, &file).map_err(|error| {
            Exit::message(code::MACHINE, format!("{}: {error}", path.display()))
        })?;
        telling.say(format!(
            "   The receipt is in {0}; check it with: fairweir verify {0} --recompute",
            path.display()
        ));
    }
    let report = json!({
        "order": posted.order.to_string(),
        "settled": json::event(&Event::Settled(fairweir_types::Boxed::new(settlement.settled.clone()))),
        "cost": cost.to_string(),
        "receipt": purchase.receipt.as_ref().map(|path| path.display().to_string()),
    });
    Ok(Bought {
        output: delivery.output.into_vec(),
        report,
        pace: watched.pace,
    })
}

/// How an order went.
struct Watched {
    end: SlotEnd,
    delivery: Option<Delivery>,
    pace: Option<Pace>,
}

async fn watch(
    sender: &Sender<QuicNetwork>,
    posted: Posted,
    purchase: &Purchase,
    telling: &Telling<'_>,
) -> Result<Watched, Exit> {
    let kind = purchase.service.id();
    let client = sender.client();
    let slot_id = SlotId {
        order: posted.order,
        slot: 0,
    };
    let mut events = client.follow(posted.height).await?;
    let mut delivery = None;
    let mut end = None;
    let mut pace = None;
    loop {
        let page = events.next().await?;
        for (index, event) in page
            .events
            .iter()
            .enumerate()
            .filter(|(_, event)| orders::concerns(event, posted.order))
        {
            if let Some(label) = label(event) {
                telling.say(format!("{label} {}", describe::event(telling.names, event)));
            }
            match event {
                Event::Matched(matched) => {
                    tell_match(telling, matched);
                    if purchase.live {
                        let told = tell_live(sender, kind, matched, telling).await?;
                        (delivery, pace) = (told.0, Some(told.1));
                    }
                }
                Event::ReceiptSubmitted(submitted) if delivery.is_none() => {
                    let fetched = fetch(sender, kind, submitted.worker, slot_id).await?;
                    telling.say(format!(
                        "   Output    {} bytes from {}",
                        fetched.output.as_slice().len(),
                        telling.names.show(submitted.worker)
                    ));
                    delivery = Some(fetched);
                }
                Event::OrderClosed(_) => {
                    let end = end.ok_or_else(|| {
                        Exit::message(code::DOES_NOT_HOLD, "the order closed without an end")
                    })?;
                    return Ok(Watched {
                        end,
                        delivery,
                        pace,
                    });
                }
                _ => {}
            }
            if let Some((_, found)) = orders::end_of(&page, index) {
                end = Some(found);
            }
        }
    }
}

/// How long a worker may take for the next part of its output.
const PART_WITHIN: Duration = Duration::from_secs(120);

/// Follows a worker's output as it comes and prints its text; `None` if the worker was replaced before the end.
async fn tell_live(
    sender: &Sender<QuicNetwork>,
    kind: KindId,
    matched: &fairweir_types::event::Matched,
    telling: &Telling<'_>,
) -> Result<(Option<Delivery>, Pace), Exit> {
    let begun = Instant::now();
    let mut pace = Pace {
        first: Duration::ZERO,
        rest: Duration::ZERO,
    };
    let mut output = follow(sender, kind, matched).await?;
    let mut first = None;
    loop {
        match output.next(PART_WITHIN).await {
            Ok(OutputItem::Chunk(bytes)) => {
                let now = Instant::now();
                if first.is_none() {
                    telling.say("   Answer");
                    pace.first = now - begun;
                }
                pace.rest = now - *first.get_or_insert(now);
                if let (Ok(chunk), false) = (decode::<ChatChunk>(&bytes), telling.quiet) {
                    output::part(chunk.text.as_str());
                }
            }
            Ok(OutputItem::Whole(delivery)) => {
                if !telling.quiet {
                    output::line("");
                }
                return Ok((Some(*delivery), pace));
            }
            Err(error) if error.refusal_code() == Some("not_found") => return Ok((None, pace)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens the stream of an output; the worker learns of the match when everybody does, so it may need to be asked again.
async fn follow(
    sender: &Sender<QuicNetwork>,
    kind: KindId,
    matched: &fairweir_types::event::Matched,
) -> Result<OutputStream<<QuicNetwork as Network>::Stream>, Exit> {
    let client = sender.client();
    let endpoint = endpoint(client, kind, matched.worker).await?;
    let mut attempt = 0;
    loop {
        let network = client.network();
        let stream = orders::stream(network, &endpoint, sender.key(), matched.slot_id).await;
        match stream {
            Ok(stream) => return Ok(stream),
            Err(error) if error.is_retryable() && attempt < FETCH_ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(FETCH_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn endpoint(
    client: &NodeClient<QuicNetwork>,
    kind: KindId,
    worker: Address,
) -> Result<PeerAddr, Exit> {
    orders::endpoint(client, kind, worker)
        .await?
        .ok_or_else(|| {
            Exit::message(
                code::UNREACHABLE,
                "the worker has no offer with a valid endpoint any more",
            )
        })
}

fn tell_match(telling: &Telling<'_>, matched: &fairweir_types::event::Matched) {
    telling.say(format!(
        "2. Match     {} at {} coins at most",
        telling.names.show(matched.worker),
        matched.quote
    ));
    for other in &matched.others {
        telling.say(format!(
            "             not {}: {}",
            telling.names.show(other.worker),
            describe::reason(&other.reason)
        ));
    }
}

const fn label(event: &Event) -> Option<&'static str> {
    match event {
        Event::OrderPosted(_) => Some("   Posted   "),
        Event::ReceiptSubmitted(_) => Some("3. Receipt  "),
        Event::VerifiersDrawn(_) => Some("4. Verify   "),
        Event::VerdictRevealed(_)
        | Event::Judged(_)
        | Event::ReceiptOpened(_)
        | Event::Disputed(_)
        | Event::Slashed(_)
        | Event::DisputeUnderstaffed(_)
        | Event::Unmatched(_)
        | Event::WorkerReplaced(_)
        | Event::Appealed(_)
        | Event::AppealDecided(_) => Some("            "),
        Event::Settled(_) => Some("5. Settle   "),
        Event::Refunded(_) => Some("5. Refund   "),
        _ => None,
    }
}

async fn fetch(
    sender: &Sender<QuicNetwork>,
    kind: KindId,
    worker: Address,
    slot_id: SlotId,
) -> Result<Delivery, Exit> {
    let client = sender.client();
    let endpoint = endpoint(client, kind, worker).await?;
    let mut attempt = 0;
    loop {
        match orders::fetch(client.network(), &endpoint, sender.key(), slot_id).await {
            Ok(delivery) => return Ok(delivery),
            Err(error) if error.is_retryable() && attempt < FETCH_ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(FETCH_PAUSE).await;
            }
            Err(error @ ClientError::Net(_)) => {
                return Err(Exit::new(code::UNREACHABLE, error)
                    .context("the worker was not reached for its output"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The output must be the one that the worker committed to and that was settled.
fn check_output(delivery: &Delivery, settled_trace: &Digest) -> Result<(), Exit> {
    let receipt = &delivery.receipt.receipt;
    let trace = receipt::trace(
        &receipt.spec_digest,
        &Digest::of_blob(delivery.output.as_slice()),
        &receipt.units,
    );
    if trace != *settled_trace {
        return Err(Exit::message(
            code::DOES_NOT_HOLD,
            "the output handed over is not the one that was settled",
        ));
    }
    if delivery.output.as_slice().is_empty() {
        return Err(Exit::message(
            code::REFUSED,
            "the worker refused the order, as every worker would: look at its parameters and its length",
        ));
    }
    Ok(())
}

/// Runs a receipt's work again on this machine and compares, bit for bit.
pub(crate) fn recompute(proof: &ReceiptProof, service: &Arc<dyn AnyService>) -> Result<(), Exit> {
    let receipt = &proof.receipt.receipt;
    let stop = match &proof.disclosure.stopped {
        Some(stopped)
            if stopped.is_allowed_to(receipt, |account| proof.settlement.is_of_buyer(account)) =>
        {
            StopAt::at(stopped.at)
        }
        _ => StopAt::default(),
    };
    let hint = proof.disclosure.hint.as_slice();
    let executed =
        crate::commands::verify::execute_here(service, proof.spec.as_slice(), &stop, hint)?;
    if executed.output != proof.output.as_slice() || executed.units != receipt.units {
        return Err(Exit::message(
            code::DOES_NOT_HOLD,
            "recomputed here, the work gives another output or other units",
        ));
    }
    Ok(())
}

fn tell_end(
    telling: &Telling<'_>,
    settled: &fairweir_types::event::Settled,
    words: &verify::Words,
    (cost, is_recomputed): (Amount, bool),
) {
    telling.say(format!(
        "6. Proof     signed, settled{}, recomputed by {} verifiers{}{} ({})",
        if words.sampled { ", sampled" } else { "" },
        words.recomputed_by,
        if is_recomputed { " and here" } else { "" },
        if words.disputed { ", disputed" } else { "" },
        describe::randomness(words.randomness)
    ));
    telling.say(format!("   Cost      {cost} coins in all: {} for the work, the rest for checks, settlement and transaction fees", settled.paid.amount));
}
