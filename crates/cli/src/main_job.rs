//! The main job: buy one text job, watch it, get output and receipt, and check everything.

use crate::{
    describe::{self, Names},
    failure::{Exit, code},
    json, output,
};
use commonware_codec::Encode as _;
use fairweir_client::{
    ClientError, Sender,
    orders::{self, Posted, SlotEnd},
    verify,
};
use fairweir_net::{PeerAddr, quic::QuicNetwork};
use fairweir_services::{
    Registry, StopAt,
    text::{Deduplicate, Normalise, Operations, Redact, TextOutput, TextSpec},
};
use fairweir_types::{
    Address, Amount, BoundedBytes, Digest, Event, Genesis, Millis, decode,
    limits::SPEC_INLINE_BYTES_MAX,
    node_api::Delivery,
    order::{
        Demand, KindId, OrderHeader, PriceVector, Privacy, Requirements, Rounds, SlotId, SlotRole,
        Urgency,
    },
    proof::ReceiptProof,
    receipt,
};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

/// What to buy.
pub(crate) struct Purchase {
    /// The text.
    pub(crate) text: String,
    /// What is done to it.
    pub(crate) operations: Operations,
    /// The highest price, in coins per million bytes of input or output.
    pub(crate) price_max: Amount,
    /// Milliseconds within which a worker must be found.
    pub(crate) match_within: Millis,
    /// Where the receipt file goes.
    pub(crate) receipt: Option<PathBuf>,
}

/// Everything that is done to a text by default.
pub(crate) const EVERYTHING: Operations = Operations {
    normalise: Normalise::Nfc,
    deduplicate: Deduplicate::ParagraphsAndLines,
    redact: Redact::PersonalData,
};

/// What a purchase came to.
pub(crate) struct Bought {
    /// The output.
    pub(crate) output: TextOutput,
    /// The purchase for programs.
    pub(crate) report: Value,
}

/// How a purchase is told.
pub(crate) struct Telling<'a> {
    pub(crate) names: &'a Names,
    pub(crate) quiet: bool,
}

impl Telling<'_> {
    fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            output::line(text);
        }
    }
}

/// How often the worker is asked for its output before giving up, and how long to wait in between.
const FETCH_ATTEMPTS: u32 = 40;
const FETCH_PAUSE: Duration = Duration::from_millis(50);

fn header(
    spec: &[u8],
    demand: Demand,
    purchase: &Purchase,
    kind: KindId,
) -> Result<OrderHeader, Exit> {
    let spec_inline = if spec.len() <= SPEC_INLINE_BYTES_MAX {
        Some(BoundedBytes::new(spec.to_vec()).map_err(|error| Exit::new(code::REFUSED, error))?)
    } else {
        None
    };
    let price = purchase.price_max;
    Ok(OrderHeader {
        kind,
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
        requirements: Requirements::default(),
        privacy: Privacy::Public,
    })
}

/// Buys a text job and tells what happens. Every step is checked; the first that does not hold is the error.
pub(crate) async fn buy(
    sender: &Sender<QuicNetwork>,
    genesis: &Genesis,
    purchase: Purchase,
    telling: &Telling<'_>,
) -> Result<Bought, Exit> {
    let client = sender.client();
    let registry = Registry::standard();
    let service = registry
        .named("text")
        .ok_or_else(|| Exit::message(code::FAILED, "no service named text"))?;
    let spec = TextSpec::new(purchase.text.clone(), purchase.operations)
        .map_err(|error| Exit::new(code::REFUSED, error))?
        .encode()
        .to_vec();
    let demand = service
        .demand(&spec)
        .map_err(|error| Exit::new(code::REFUSED, error))?;
    let header = header(&spec, demand, &purchase, service.id())?;
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
        "1. Order     a text of {} bytes; the work may cost {quote} coins at most",
        purchase.text.len()
    ));
    let posted = orders::post(sender, header).await?;
    telling.say(format!("             its id is {}", posted.order));
    let (end, delivery) = watch(sender, posted, service.id(), telling).await?;
    let settlement = match end {
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
    let output = check_output(&delivery, &settlement.settled.trace)?;
    let proof = orders::prove(client, &settlement, &delivery, spec).await?;
    let file = proof.to_file();
    let (_, words) = verify::verify(genesis, &file)?;
    recompute(&proof, &registry)?;
    let cost = before
        .checked_sub(client.account(buyer).await?.balance)
        .unwrap_or(Amount::ZERO);
    tell_end(telling, &settlement.settled, &words, cost);
    if let Some(path) = &purchase.receipt {
        std::fs::write(path, &file).map_err(|error| {
            Exit::message(code::MACHINE, format!("{}: {error}", path.display()))
        })?;
        telling.say(format!(
            "   The receipt is in {0}; check it with: fairweir verify {0} --recompute",
            path.display()
        ));
    }
    let report = report(
        posted,
        &settlement.settled,
        &output,
        cost,
        purchase.receipt.as_ref(),
    );
    Ok(Bought { output, report })
}

fn report(
    posted: Posted,
    settled: &fairweir_types::event::Settled,
    output: &TextOutput,
    cost: Amount,
    receipt: Option<&PathBuf>,
) -> Value {
    json!({
        "order": posted.order.to_string(),
        "settled": json::event(&Event::Settled(fairweir_types::Boxed::new(settled.clone()))),
        "cost": cost.to_string(),
        "output": output.text(),
        "receipt": receipt.map(|path| path.display().to_string()),
    })
}

async fn watch(
    sender: &Sender<QuicNetwork>,
    posted: Posted,
    kind: KindId,
    telling: &Telling<'_>,
) -> Result<(SlotEnd, Option<Delivery>), Exit> {
    let client = sender.client();
    let slot_id = SlotId {
        order: posted.order,
        slot: 0,
    };
    let mut events = client.follow(posted.height).await?;
    let mut delivery = None;
    let mut end = None;
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
                Event::Matched(matched) => tell_match(telling, matched),
                Event::ReceiptSubmitted(submitted) => {
                    let fetched = fetch(sender, kind, submitted.worker, slot_id).await?;
                    telling.say(format!(
                        "   Output    {} bytes from {}",
                        fetched.output.as_slice().len(),
                        telling.names.show(submitted.worker)
                    ));
                    delivery = Some(fetched);
                }
                Event::OrderClosed(_) => {
                    return end.map(|end| (end, delivery)).ok_or_else(|| {
                        Exit::message(code::DOES_NOT_HOLD, "the order closed without an end")
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
        | Event::WorkerReplaced(_) => Some("            "),
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
    let endpoint: PeerAddr = orders::endpoint(client, kind, worker)
        .await?
        .ok_or_else(|| {
            Exit::message(
                code::UNREACHABLE,
                "the worker has no offer with a valid endpoint any more",
            )
        })?;
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
fn check_output(delivery: &Delivery, settled_trace: &Digest) -> Result<TextOutput, Exit> {
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
    decode(delivery.output.as_slice()).map_err(|error| {
        Exit::new(code::DOES_NOT_HOLD, error).context(
            "the output is no output of the text service: was the order refused by the worker?",
        )
    })
}

/// Runs a receipt's work again on this machine and compares, bit for bit.
pub(crate) fn recompute(proof: &ReceiptProof, registry: &Registry) -> Result<(), Exit> {
    let receipt = &proof.receipt.receipt;
    let service = registry.get(receipt.kind).ok_or_else(|| {
        Exit::message(
            code::DOES_NOT_HOLD,
            format!("this program cannot run kind {}", receipt.kind),
        )
    })?;
    let stop = match &proof.disclosure.stopped {
        Some(stopped) if stopped.is_allowed(receipt, proof.settled.buyer) => StopAt::at(stopped.at),
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
    cost: Amount,
) {
    telling.say(format!(
        "6. Proof     signed, settled{}, recomputed by {} verifiers and here{} ({})",
        if words.sampled { ", sampled" } else { "" },
        words.recomputed_by,
        if words.disputed { ", disputed" } else { "" },
        describe::randomness(words.randomness)
    ));
    telling.say(format!("   Cost      {cost} coins in all: {} for the work, the rest for checks, settlement and transaction fees", settled.paid.amount));
}
