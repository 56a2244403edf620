//! The parameter sheet: `docs/economics.md` is made of this, and a test fails when a figure or an inequality is not as the page says.

use crate::adversaries::{self, APART_MAX, COMPARED_FROM, ROUNDING};
use core::fmt::Write as _;
use fairweir_client::fee;
use fairweir_ledger::{
    params::{self, PARAMS, Params},
    sessions::lane_exposure,
};
use fairweir_services::session::CREDIT_CHUNK;
use fairweir_types::{
    Amount, Genesis, SecretKey,
    limits::{BATCH_REQUESTS_MAX, BATCH_SAMPLES_MAX, BATCHES_OPEN_MAX},
    node_api::ORDINARY_TX_BYTES,
    order::{OrderId, SlotId},
    receipt::{Salt, Tier},
    tx::{Action, CommitVerdict, RevealLink, RevealVerdict},
};

const COIN: f64 = 1e9;
/// The lane of the examples: what one request may cost, and the cap, in coins. About what a thousand tokens cost at 20 coins a million.
const REQUEST: f64 = 0.02;
const CAP: f64 = 2.5;
/// Requests, or batches, that the tables are for.
const COUNTS: [u32; 8] = [1, 5, 10, 25, 50, 100, 250, 1_000];
/// Shares of the verifiers' stake, in per cent, that colluders may hold.
const SHARES: [u32; 5] = [5, 10, 20, 33, 50];

/// A sheet of the governed values.
#[derive(Clone, Debug)]
pub struct Sheet {
    params: Params,
    values: Vec<(&'static str, u64)>,
}

/// One inequality: the left side is at least the right one.
#[derive(Clone, Debug)]
pub struct Inequality {
    /// What it says.
    pub says: &'static str,
    /// Why it must hold.
    pub why: &'static str,
    /// The unit of both sides.
    pub unit: &'static str,
    /// The side that is at least the other.
    pub left: f64,
    /// The other.
    pub right: f64,
}

impl Inequality {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.left >= self.right
    }
}

impl Sheet {
    /// The sheet of a genesis.
    #[must_use]
    pub fn of(genesis: &Genesis) -> Self {
        let params = params::of_genesis(genesis);
        Self {
            values: params.values(),
            params,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "governed values are below 2^53")]
    fn get(&self, name: &str) -> f64 {
        let found = self.values.iter().find(|(known, _)| *known == name);
        found.expect("the ledger has the parameter").1 as f64
    }

    fn share(&self, name: &str) -> f64 {
        self.get(name) / 10_000.0
    }

    fn coins(&self, name: &str) -> f64 {
        self.get(name) / COIN
    }

    /// The probability that at least one of n requests of one batch, all wrong, is drawn: the expected number n·p is drawn, its fraction
    /// by lot (`ledger/src/sessions/sample.rs`).
    #[must_use]
    pub fn found_in_one_batch(&self, n: u32) -> f64 {
        (f64::from(n) * self.share("sampling_bps")).min(1.0)
    }

    /// The same when each request is a batch of its own: 1 − (1 − p)^n.
    #[must_use]
    pub fn found_apart(&self, n: u32) -> f64 {
        1.0 - (1.0 - self.share("sampling_bps")).powf(f64::from(n))
    }

    /// The stake, in coins, that a lane sets aside: (g/p + c)/s, as the ledger reckons it.
    ///
    /// # Panics
    /// If the amounts are out of range.
    #[must_use]
    pub fn lane_stake(&self, request: f64, cap: f64) -> f64 {
        let found = lane_exposure(&self.params, amount(request), amount(cap));
        coins(found.expect("a lane of a few coins"))
    }

    /// What a worker loses in the mean that does no work for n requests of one batch and stakes just enough:
    /// P·(s·S + T) − (1 − P)·T with T = n·g, in coins. Negative would be a gain.
    #[must_use]
    pub fn loss_of_cheating(&self, n: u32, request: f64, cap: f64) -> f64 {
        let slash = self.lane_stake(request, cap) * self.share("slash_share_bps");
        let (found, total) = (self.found_in_one_batch(n), f64::from(n) * request);
        found * (slash + total) - (1.0 - found) * total
    }

    /// What a worker loses in the mean that claims one request twice in a batch of nothing else, in coins: two leaves are found with
    /// 2·p, and then it is paid for neither, where it would have been paid for one.
    #[must_use]
    pub fn loss_of_repeating(&self, request: f64, cap: f64) -> f64 {
        let slash = self.lane_stake(request, cap) * self.share("slash_share_bps");
        let found = self.found_in_one_batch(2);
        found * (slash + 3.0 * request) - (1.0 - found) * request
    }

    /// The least loss of cheating over all n that a cap allows.
    fn least_loss(&self) -> f64 {
        let counts = (1..=BATCH_REQUESTS_MAX).take_while(|n| f64::from(*n) * REQUEST <= CAP);
        let losses = counts.map(|n| self.loss_of_cheating(n, REQUEST, CAP));
        losses.fold(f64::INFINITY, f64::min)
    }

    /// The fees of a verdict's two transactions, in coins.
    fn verdict_fees(&self) -> f64 {
        verdict().iter().map(|action| self.fee(action)).sum()
    }

    /// What a client pays for a transaction, in coins.
    fn fee(&self, action: &Action) -> f64 {
        coins(fee(self.params.fee_min(ORDINARY_TX_BYTES), action))
    }

    /// The fee of the transaction that reveals a link, in coins.
    fn link_fees(&self) -> f64 {
        self.fee(&link())
    }

    /// The probability that colluders with this share of a large pool fill the first draw alone.
    #[must_use]
    pub fn captures_first(&self, share: f64) -> f64 {
        share.powf(self.get("first_draw"))
    }

    /// The share of verifiers' stake that may take a worker's word for its trace while forging n requests of a lane loses in the mean, for every n that its
    /// cap allows. It is checked with P(n); both of a first draw must have been told, or a dispute decides, whose five listen alike or not at all.
    #[must_use]
    pub fn listens_max(&self, do_five_listen: bool) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if self.does_forging_lose(middle, do_five_listen) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    fn does_forging_lose(&self, listens: f64, do_five_listen: bool) -> bool {
        let slash = self.lane_stake(REQUEST, CAP) * self.share("slash_share_bps");
        let told = self.captures_first(listens);
        let (wrong, right) = if do_five_listen {
            let wrong = self.captures_dispute(listens);
            (wrong, self.captures_dispute(1.0 - listens))
        } else {
            (0.0, 1.0)
        };
        let mut counts = (1..=BATCH_REQUESTS_MAX).take_while(|n| f64::from(*n) * REQUEST <= CAP);
        counts.all(|n| {
            let (checked, total) = (self.found_in_one_batch(n), f64::from(n) * REQUEST);
            let found = checked * (1.0 - told) * right;
            // Where neither has a quorum the price goes back, and nothing is slashed.
            let paid = 1.0 - checked + checked * (told + (1.0 - told) * wrong);
            found * (slash + total) >= paid * total
        })
    }

    /// The probability that they have a quorum of a dispute.
    #[must_use]
    pub fn captures_dispute(&self, share: f64) -> f64 {
        let (drawn, quorum) = (self.get("dispute_draw"), self.get("dispute_quorum"));
        let mut chosen = 0.0;
        let mut sum = 0.0;
        while chosen <= drawn {
            if chosen >= quorum {
                sum += binomial(drawn, chosen)
                    * share.powf(chosen)
                    * (1.0 - share).powf(drawn - chosen);
            }
            chosen += 1.0;
        }
        sum
    }

    /// All inequalities.
    #[must_use]
    pub fn inequalities(&self) -> Vec<Inequality> {
        let mut all = self.of_stake();
        all.extend(self.of_time());
        all.extend(self.of_fees());
        all
    }

    fn of_stake(&self) -> Vec<Inequality> {
        let p = self.share("sampling_bps");
        let s = self.share("slash_share_bps");
        let stake = self.lane_stake(REQUEST, CAP);
        vec![
            Inequality {
                says: "s·S·p ≥ g + p·c",
                why: "a found cheat in a lane costs more than all that was not found brought (rule 5, ADR 0008)",
                unit: "coins",
                left: s * stake * p,
                right: REQUEST + p * CAP,
            },
            Inequality {
                says: "least over n of P(n)·(s·S + n·g) − (1 − P(n))·n·g ≥ p·c",
                why: "for every number of requests that the cap allows cheating loses in the mean, by at least p·c for each",
                unit: "coins",
                left: self.least_loss(),
                right: p * CAP,
            },
            Inequality {
                says: "share of verifiers' stake that may take a worker's word ≥ 1/4",
                why: "forging in a lane loses in the mean although some of those who are drawn, for disputes too, commit to what they are told (rule 4, ADR 0012)",
                unit: "of verifiers' stake",
                left: self.listens_max(true),
                right: 0.25,
            },
            Inequality {
                says: "cost of a lie at the least stake ≥ what 100 checks of the example's request earn",
                why: "where one in a hundred pieces of work that are told is planted, missing one costs a verifier more than it earned since the last one (rule 4, ADR 0012)",
                unit: "coins",
                left: self.coins("verifier_stake_min") * self.share("wrong_verdict_bps"),
                right: 100.0 * REQUEST * self.share("check_fee_bps"),
            },
            Inequality {
                says: "P·(s·S + 3·g) − (1 − P)·g ≥ p·c with P = 2·p",
                why: "a request that is claimed twice in a batch of its own, where a sample falls most rarely: any sample shows all numbers (rule 2)",
                unit: "coins",
                left: self.loss_of_repeating(REQUEST, CAP),
                right: p * CAP,
            },
            Inequality {
                says: "exposure of an order ≥ its quote",
                why: "every order is checked (p = 1), so covering the held price is enough; it is covered twice (rule 5)",
                unit: "of the quote",
                left: self.share("exposure_bps"),
                right: 1.0,
            },
            Inequality {
                says: "20 % ≥ reporter's share",
                why: "reporting is no business of its own (rule 5)",
                unit: "of the slash",
                left: 0.2,
                right: self.share("reporter_share_bps"),
            },
            Inequality {
                says: "burned of a third of the seats that votes twice ≥ what orders may hold",
                why: "half of its stake but for the reporter's part, who may be itself; value secured costs less than what secures it (rule 12)",
                unit: "of what the third costs",
                left: self.share("double_vote_bps") * (1.0 - self.share("reporter_share_bps")),
                right: self.share("secured_share_bps"),
            },
            Inequality {
                says: "cost of a lie ≥ cost of silence",
                why: "a verifier that is unsure keeps silent",
                unit: "of the stake",
                left: self.share("wrong_verdict_bps"),
                right: self.share("missing_verdict_bps"),
            },
            Inequality {
                says: "cost of silence at the least stake ≥ 100 checks of the example's request",
                why: "guessing, copying and idling earn less than they risk (rule 4)",
                unit: "coins",
                left: self.coins("verifier_stake_min") * self.share("missing_verdict_bps"),
                right: 100.0 * REQUEST * self.share("check_fee_bps"),
            },
        ]
    }

    #[expect(clippy::cast_precision_loss, reason = "windows are below 2^53")]
    fn of_time(&self) -> Vec<Inequality> {
        vec![
            Inequality {
                says: "unbonding ≥ all windows after a draw, a dispute and the challenge together",
                why: "stake outlives what it answers for (rule 5)",
                unit: "ms",
                left: self.get("unbonding_delay"),
                right: self.params.windows_together().get() as f64,
            },
            Inequality {
                says: "blocks of a window ≥ 2f + 2 with f = 1",
                why: "no proposer alone runs a window out (rule 2)",
                unit: "blocks",
                left: self.get("window_blocks_min"),
                right: 4.0,
            },
            Inequality {
                says: "blocks until a draw ≥ 2",
                why: "what is drawn for is final before its beacon is known (rule 1)",
                unit: "blocks",
                left: self.get("draw_delay"),
                right: 2.0,
            },
            Inequality {
                says: "2 · quorum ≥ dispute + 1",
                why: "two traces cannot both win (rule 7)",
                unit: "verifiers",
                left: 2.0 * self.get("dispute_quorum"),
                right: self.get("dispute_draw") + 1.0,
            },
        ]
    }

    fn of_fees(&self) -> Vec<Inequality> {
        vec![
            Inequality {
                says: "least check fee ≥ fees of a commitment and a reveal",
                why: "an honest verifier never pays for checking (rule 10)",
                unit: "coins",
                left: self.coins("check_fee_min"),
                right: self.verdict_fees(),
            },
            Inequality {
                says: "link fee ≥ fee of its transaction",
                why: "a verifier is paid for the link that it is asked for, also when nothing is drawn (rule 10)",
                unit: "coins",
                left: self.coins("link_fee"),
                right: self.link_fees(),
            },
            Inequality {
                says: "challenge deposit ≥ five checks of the example's request",
                why: "the loser of a challenge pays it (rule 10)",
                unit: "coins",
                left: self.coins("challenge_deposit"),
                right: self.get("dispute_draw") * REQUEST * self.share("check_fee_bps"),
            },
            Inequality {
                says: "burned share of a trade with oneself ≥ what emission returns",
                why: "wash trading loses money; no emission is built, so the right side is nothing (rule 9)",
                unit: "of the quote",
                left: self.share("settlement_fee_bps"),
                right: 0.0,
            },
            Inequality {
                says: "deposit of a stored byte ≥ a byte's fee",
                why: "filling the state locks at least what filling blocks costs (rule 10)",
                unit: "base units",
                left: self.get("deposit_per_byte"),
                right: self.get("fee_per_byte"),
            },
        ]
    }
}

fn binomial(n: f64, k: f64) -> f64 {
    let (mut result, mut step) = (1.0, 1.0);
    while step <= k {
        result *= (n - k + step) / step;
        step += 1.0;
    }
    result
}

fn amount(coins: f64) -> Amount {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the examples are a few coins"
    )]
    Amount::from_base_units((coins * COIN).round() as u64).expect("below the cap")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "amounts of the examples are below 2^53"
)]
fn coins(amount: Amount) -> f64 {
    amount.base_units() as f64 / COIN
}

/// What transactions of the examples are about.
fn example_slot() -> SlotId {
    let key = SecretKey::from_seed([7; 32]).expect("every seed is a key");
    SlotId {
        order: OrderId::of(
            &fairweir_types::ChainId::new("dev-economics").expect("a chain's name"),
            key.address(),
            fairweir_types::Nonce::default(),
        ),
        slot: 0,
    }
}

/// What a verifier reveals a link with.
fn link() -> Action {
    Action::RevealLink(RevealLink {
        slot_id: example_slot(),
        link: fairweir_types::Digest::ZERO,
    })
}

/// What a verifier commits and reveals with.
fn verdict() -> [Action; 2] {
    let slot_id = example_slot();
    let commit = Action::CommitVerdict(CommitVerdict {
        slot_id,
        tier: Tier::First,
        commitment: fairweir_types::Digest::ZERO,
    });
    let reveal = Action::RevealVerdict(RevealVerdict {
        slot_id,
        tier: Tier::First,
        nonce: Salt::default(),
        trace: fairweir_types::Digest::ZERO,
        samples: fairweir_types::session::SampleTraces::default(),
    });
    [commit, reveal]
}

/// The page.
#[must_use]
pub fn page(sheet: &Sheet) -> String {
    let mut page = String::from(
        "# Economics\n\nMade of `crates/sim/src/economics.rs` and the ledger's parameters; a test fails when this page is stale\n(`FAIRWEIR_WRITE_REFERENCE=1 cargo test -p fairweir-sim --test it economics` writes it anew). What the adversaries of the table at the end\nreally lose is measured by [session-adversaries](../promises/session-adversaries) and kept in [benchmarks.md](benchmarks.md).\n",
    );
    parameters(&mut page);
    let told = detection(&mut page, sheet)
        .and_then(|()| inequalities(&mut page, sheet))
        .and_then(|()| capture(&mut page, sheet))
        .and_then(|()| adversaries_of(&mut page));
    told.expect("a string takes every text");
    page
}

fn parameters(page: &mut String) {
    const SHOWN: [&str; 25] = [
        "sampling_bps",
        "slash_share_bps",
        "exposure_bps",
        "worker_stake_min",
        "verifier_stake_min",
        "wrong_verdict_bps",
        "missing_verdict_bps",
        "reporter_share_bps",
        "late_penalty_bps",
        "late_penalty_min",
        "first_draw",
        "dispute_draw",
        "dispute_quorum",
        "check_fee_bps",
        "check_fee_min",
        "link_fee",
        "settlement_fee_bps",
        "settlement_fee_min",
        "challenge_deposit",
        "challenge_window",
        "close_window",
        "unbonding_delay",
        "window_blocks_min",
        "double_vote_bps",
        "secured_share_bps",
    ];
    page.push_str("\n## Parameters\n\nThe defaults that decide what honesty earns and cheating costs; all are in [parameters.md](reference/parameters.md).\n\n| name | default | unit |\n| --- | --- | --- |\n");
    for name in SHOWN {
        let spec = PARAMS.iter().find(|spec| spec.name == name);
        let spec = spec.expect("the ledger has the parameter");
        page.push_str(&format!(
            "| `{name}` | {} | {} |\n",
            spec.default, spec.unit
        ));
    }
    page.push_str(&format!(
        "| credit chunk | {} | output units that a voucher runs ahead; one whole request for work that comes at once |\n| batches open at a time | {BATCHES_OPEN_MAX} | batches of a lane |\n| samples of a batch | {BATCH_SAMPLES_MAX} | leaves at most; so a batch has at most samples ÷ rate requests |\n",
        CREDIT_CHUNK.get(),
    ));
}

fn detection(page: &mut String, sheet: &Sheet) -> core::fmt::Result {
    writeln!(
        page,
        "\n## Detection\n\nWith the sampling rate p a batch of n requests has n·p samples, the fraction by lot and each drawn by value: one of n wrong requests is\nfound with min(1, n·p). Spread over batches of one, it is 1 − (1 − p)^n. The loss is that of a worker that does no work at all for n requests\nof {REQUEST} coins in a lane whose cap is what they cost together, with the least stake that the ledger takes for it, (g/p + c)/s:\nP·(s·S + n·g) − (1 − P)·n·g.\n\n| n | found, one batch | found, batches of one | stake, coins | mean loss, coins | loss ÷ gain if not found |\n| --- | --- | --- | --- | --- | --- |"
    )?;
    for n in COUNTS {
        let total = f64::from(n) * REQUEST;
        let loss = sheet.loss_of_cheating(n, REQUEST, total);
        writeln!(
            page,
            "| {n} | {:.4} | {:.4} | {:.1} | {loss:.4} | {:.2} |",
            sheet.found_in_one_batch(n),
            sheet.found_apart(n),
            sheet.lane_stake(REQUEST, total),
            loss / total,
        )?;
    }
    Ok(())
}

fn inequalities(page: &mut String, sheet: &Sheet) -> core::fmt::Result {
    writeln!(
        page,
        "\n## Inequalities\n\nThe left side must be at least the right one. Examples are for a request of g = {REQUEST} coins in a lane of c = {CAP} coins.\n\n| inequality | left | right | unit | holds | why |\n| --- | --- | --- | --- | --- | --- |"
    )?;
    for found in sheet.inequalities() {
        let holds = if found.holds() { "yes" } else { "**no**" };
        writeln!(
            page,
            "| {} | {} | {} | {} | {holds} | {} |",
            found.says,
            figure(found.left),
            figure(found.right),
            found.unit,
            found.why
        )?;
    }
    let quote = sheet.coins("challenge_deposit")
        / (sheet.get("dispute_draw") * sheet.share("check_fee_bps"));
    let lie = sheet.coins("verifier_stake_min") * sheet.share("wrong_verdict_bps")
        / (100.0 * sheet.share("check_fee_bps"));
    let silent = sheet.coins("verifier_stake_min") * sheet.share("missing_verdict_bps")
        / sheet.share("check_fee_bps");
    writeln!(
        page,
        "\nThree of them depend on the size of an order. The deposit of a challenge covers its five checks up to a quote of {} coins; beyond that\nthe verifiers of a lost challenge are paid in part. Silence costs a verifier with the least stake more than one check up to a quote of {} coins, a lie more\nthan a hundred up to {}.",
        figure(quote),
        figure(silent),
        figure(lie),
    )
}

fn figure(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = if value.abs() >= 1_000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.7}")
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn capture(page: &mut String, sheet: &Sheet) -> core::fmt::Result {
    writeln!(
        page,
        "\n## Capture\n\nDraws are by stake from a large pool. With a share x of it, colluding verifiers fill a first draw alone with x^{:.0}, and so pass a wrong\nresult unseen; and have a quorum of a dispute with the upper tail of a binomial distribution.\n\n| share of the stake | first draw | dispute |\n| --- | --- | --- |",
        sheet.get("first_draw")
    )?;
    for share in SHARES {
        let x = f64::from(share) / 100.0;
        writeln!(
            page,
            "| {share} % | {:.5} | {:.5} |",
            sheet.captures_first(x),
            sheet.captures_dispute(x)
        )?;
    }
    writeln!(
        page,
        "\nWho commits to what the worker tells it counts among them. A worker that forges in a lane of {CAP} coins, in requests of {REQUEST}, loses in the\nmean while less than {:.0} % of verifiers' stake takes its word; while less than {:.0} % does, if the five of a dispute compute (ADR 0012).",
        100.0 * sheet.listens_max(true),
        100.0 * sheet.listens_max(false)
    )
}

fn adversaries_of(page: &mut String) -> core::fmt::Result {
    writeln!(
        page,
        "\n## Adversaries\n\n`cargo run --release -p fairweir-sim -- adversaries --seeds 1000` tells the story of each; `crates/sim/src/adversaries/mod.rs` defines loss,\nreference and what counts as taken from honest participants.\n\nThe expected loss is reckoned for each story from the parameters, the prices and the demands of that story, by the formula of its row, and the\nfees that the ledger charged are added: the adversary's, less those of its twin where it is measured against one. It is compared with the\nmeasured loss story by story. Where the formula is *exact* the mean of the differences is at most {APART_MAX:.2} standard errors (99.9 %) and {ROUNDING} coins\nof rounding from zero; where it is a *bound* the mean is no more than that below it. From {COMPARED_FROM} stories on a behaviour holds only if it agrees,\nif the whole 95 % interval of its loss is above zero, and if nobody honest lost anything. Two things honest workers may lose. What they\nhand over ahead of their pay: a worker stops at the chunk that it was not paid for, so no story may leave more unpaid than one chunk of its request at the\nlane's prices. And in a lane whose cap is one request's what is kept for checks is too little for a batch that is sampled: the worker pays the rest, at\nmost these checks. `overdrawing-buyer` has such a lane: what it asks beyond the cap is refused before any work is done, whatever its vouchers say.\nWhat the planter of `listening-verifier` is slashed for wrong traces is not counted: it lies knowingly (ADR 0012).\n\nQ is the quote of the order, S a worker's stake and s the share of it that is slashed, T what the requests of a lane cost, P how likely one of\nthem is sampled, V a verifier's stake and x the share that it loses, w that of a wrong verdict.\n\n| behaviour | rules | against | expected loss | which is |\n| --- | --- | --- | --- | --- |"
    )?;
    for row in adversaries::ALL {
        let against = match row.reference {
            adversaries::Reference::Aside => "standing aside: all that it is paid is gain",
            adversaries::Reference::Twin => "an honest twin of the same seed",
        };
        let kind = match row.expects {
            adversaries::Expects::Exactly => "exact",
            adversaries::Expects::AtLeast => "a bound",
        };
        writeln!(
            page,
            "| {} | {} | {against} | {} | {kind} |",
            row.name, row.rules, row.formula
        )?;
    }
    Ok(())
}
