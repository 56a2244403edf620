//! The stories that hold for every seed. Each panics where it does not.

mod copying_verifier;
mod crashes;
mod cut_worker;
mod determinism;
mod edited_token;
mod forged_trace;
mod forged_verdict;
mod honest_day;
mod inference_day;
mod inflated_units;
mod lossy;
mod lying_verifier;
mod older_promises;
mod other_seed;
mod other_template;
mod retired_kind;
mod session_appeal;
mod session_challenge;
mod session_cheat;
mod session_day;
mod session_top_up;
mod silent_verifier;
mod skipped_layer;
mod squatters;
mod three_bit_weights;
mod withheld_opening;
mod withheld_receipt;
mod wrong_output;

use crate::Purchase;
use fairweir_client::orders::SlotEnd;
use fairweir_services::{
    Passage,
    inference::{
        chat::{ChatSpec, Conversation, Micro, Parameters, Prompt},
        testing::TINY_CHAT,
    },
};
use fairweir_types::{
    Digest,
    digest::Domain,
    event::{Refunded, Settled},
};

/// A story that can be told with any seed.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Tells it.
    pub run: fn(seed: u64),
}

/// Every story.
pub const ALL: &[Scenario] = &[
    story("honest-day", honest_day::run),
    story("wrong-output", wrong_output::run),
    story("inflated-units", inflated_units::run),
    story("inference-day", inference_day::run),
    story("edited-token", edited_token::run),
    story("skipped-layer", skipped_layer::run),
    story("three-bit-weights", three_bit_weights::run),
    story("other-template", other_template::run),
    story("other-seed", other_seed::run),
    story("withheld-opening", withheld_opening::run),
    story("withheld-receipt", withheld_receipt::run),
    story("lying-verifier", lying_verifier::run),
    story("silent-verifier", silent_verifier::run),
    story("copying-verifier", copying_verifier::run),
    story("session-day", session_day::run),
    story("session-top-up", session_top_up::run),
    story("retired-kind", retired_kind::run),
    story("older-promises", older_promises::run),
    story("session-wrong-output", session_cheat::wrong_output),
    story("session-inflated-claim", session_cheat::inflated_claim),
    story("session-withheld-leaves", session_cheat::withheld_leaves),
    story("session-challenge-in-vain", session_challenge::in_vain),
    story("session-challenged", session_challenge::wrong_output),
    story("session-forged-verdicts", session_appeal::against_worker),
    story("session-copied-runs", session_appeal::copied),
    story("session-bribed-verifiers", session_appeal::against_buyer),
    story("forged-trace", forged_trace::run),
    story("forged-verdict", forged_verdict::alone),
    story("forged-verdicts", forged_verdict::together),
    story("copied-runs", forged_verdict::copied),
    story("decoy", forged_verdict::decoy),
    story("lossy", lossy::run),
    story("cut-worker", cut_worker::run),
    story("squatters", squatters::run),
    story("crashes", crashes::run),
    story("determinism", determinism::run),
];

const fn story(name: &'static str, run: fn(seed: u64)) -> Scenario {
    Scenario { name, run }
}

/// The story with a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// A text of so many lines that no other seed or number gives.
pub(crate) fn text(seed: u64, number: usize, lines: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for line in 0..lines {
        let written = writeln!(
            text,
            "Line {line} of text {number} in world {seed}: write to ada{line}@example.org."
        );
        written.expect("a string takes every text");
    }
    text
}

/// A question to the tiny model that no other seed or number gives: every third one greedy, of 8 to 40 tokens.
pub(crate) fn question(seed: u64, number: usize) -> ChatSpec {
    let draw = Digest::of(
        Domain::Draw,
        &[&seed.to_be_bytes(), &number.to_be_bytes(), b"question"],
    );
    let tokens = 8 + u32::try_from(number * 5 % 33).unwrap_or_default();
    let parameters = Parameters {
        temperature: Micro(if number % 3 == 2 { 0 } else { 800_000 }),
        ..Parameters::greedy(tokens)
    };
    let messages =
        format!(r#"[{{"role":"user","content":"Question {number} in world {seed}: what then?"}}]"#);
    let conversation = Conversation {
        messages: Passage::new(messages).expect("it is short"),
        tools: Passage::default(),
    };
    let prompt = Prompt::Messages(conversation);
    ChatSpec::new(TINY_CHAT, prompt, parameters, draw.0).expect("a seed has 32 bytes")
}

/// A question whose answer may be longer than a buyer's credit.
pub(crate) fn long_question(seed: u64) -> ChatSpec {
    let short = question(seed, 0);
    let parameters = Parameters {
        tokens_max: 200,
        ..short.parameters().clone()
    };
    let prompt = short.prompt().clone();
    ChatSpec::new(TINY_CHAT, prompt, parameters, short.seed()).expect("a seed has 32 bytes")
}

fn settled(purchase: &Purchase) -> &Settled {
    match &purchase.end {
        SlotEnd::Settled(settlement) => &settlement.settled,
        SlotEnd::Refunded(refunded) => panic!("settled, not {refunded:?}"),
    }
}

fn refunded(purchase: &Purchase) -> &Refunded {
    match &purchase.end {
        SlotEnd::Refunded(refunded) => refunded,
        SlotEnd::Settled(settlement) => panic!("refunded, not {settlement:?}"),
    }
}
