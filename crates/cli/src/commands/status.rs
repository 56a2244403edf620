use super::services;
use crate::{
    Global,
    connection::with_connection,
    failure::{Exit, code},
    output, rules,
};
use fairweir_gateway::json;
use fairweir_types::node_api::{AuditReport, SecuredReport, Status as Report};

/// Show what the network is doing, that all money is accounted for, and what secures it.
///
/// `secured` is what buyers have locked in orders, and how much more may be: a governed share of the stake behind the cheapest third of the seats,
/// which would be lost by whoever votes twice with it. It holds once seats were given by stake.
///
/// `services` are the kinds of work that are active, with their versions; `fairweir services` has the whole catalogue.
///
/// `audit` is what the ledger found of itself: its sums are checked after every block, and its whole state is read again and again. If one does not hold, withdrawals are halted
/// until a proposal lets them go on; it says so, and since which block.
///
/// `rules` says whether other rules are to begin, with which block, and whether the node's program has their plan: without it the node stops before that block.
///
/// Ends with code 5 if the supply is not conserved.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        let (status, catalogue) = with_connection(global, |connection| async move {
            let client = &connection.client;
            Ok((client.status().await?, client.services().await?))
        })?;
        if global.json {
            let mut shown = json::status(&status);
            shown["services"] = json::catalogue(&catalogue)["services"].take();
            output::json_pretty(&shown);
        } else {
            for line in lines(&status) {
                output::line(line);
            }
            output::line(services::summary(&catalogue));
        }
        if status.supply.is_conserved() {
            Ok(())
        } else {
            Err(Exit::message(
                code::DOES_NOT_HOLD,
                "the supply is NOT conserved: stop the node and keep its folder for examination",
            ))
        }
    }
}

/// The status in words.
pub(crate) fn lines(status: &Report) -> Vec<String> {
    let supply = &status.supply;
    vec![
        format!(
            "chain      {} at block {}",
            status.header.chain_id, status.header.height
        ),
        format!("state      root {}", status.header.state_root),
        format!(
            "network    {} validator(s), {} offers, {} verifiers, {} open orders, {} transactions waiting",
            status.validators, status.offers, status.verifiers, status.open_orders, status.mempool
        ),
        format!(
            "money      {} in balances + {} bonded + {} unbonding + {} in escrow",
            supply.balances, supply.bonded, supply.unbonding, supply.escrow
        ),
        format!(
            "supply     {} at genesis + {} minted − {} burned: {}",
            supply.genesis,
            supply.minted,
            supply.burned,
            if supply.is_conserved() {
                "conserved"
            } else {
                "NOT CONSERVED"
            }
        ),
        secured(&status.secured),
        audit(&status.audit),
        rules::line(&status.rules, status.header.height),
    ]
}

/// What buyers have locked, and what secures it.
fn secured(secured: &SecuredReport) -> String {
    let locked = secured.locked;
    match (secured.third, secured.room()) {
        (Some(third), Some(room)) => format!(
            "secured    {locked} locked in orders, {room} more may be: a third of the seats costs {third}, orders may hold {} basis points of it",
            secured.share
        ),
        _ => format!(
            "secured    {locked} locked in orders, not bounded: seats are not given by stake, so a third of them costs nothing; this chain is trusted for who its genesis names"
        ),
    }
}

/// What the ledger found of itself.
fn audit(audit: &AuditReport) -> String {
    match (&audit.halt, audit.broken) {
        (Some(halt), _) => format!(
            "audit      WITHDRAWALS ARE HALTED since block {}: the invariant {} does not hold; work, votes and proposals go on, `fairweir proposal submit resume` lifts it",
            halt.halted, halt.invariant
        ),
        (None, Some(broken)) => format!(
            "audit      the invariant {broken} does not hold, as was known when a vote let withdrawals go on; the whole state was read {} time(s), last at block {}",
            audit.readings, audit.ended
        ),
        (None, None) => format!(
            "audit      the ledger's sums hold; the whole state was read {} time(s), last at block {}",
            audit.readings, audit.ended
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairweir_types::{Amount, Bps, Height, invariant::Invariant, node_api::Halt};

    #[test]
    fn what_is_secured_is_said_in_words() {
        let coins = |coins: &str| coins.parse::<Amount>().expect("an amount");
        let mut report = SecuredReport {
            locked: coins("70"),
            share: Bps(3_333),
            ..SecuredReport::default()
        };
        assert!(
            super::secured(&report)
                .contains("70 locked in orders, not bounded: seats are not given by stake")
        );
        report.third = Some(coins("240"));
        report.limit = Some(coins("79.992"));
        assert_eq!(
            super::secured(&report),
            "secured    70 locked in orders, 9.992 more may be: a third of the seats costs 240, orders may hold 3333 basis points of it"
        );
        // A new epoch may secure less than is locked.
        report.limit = Some(coins("60"));
        assert!(super::secured(&report).contains("70 locked in orders, 0 more may be"));
    }

    #[test]
    fn a_halt_is_said_in_words() {
        let mut report = AuditReport {
            readings: 7,
            ended: Height(70),
            ..AuditReport::default()
        };
        assert!(super::audit(&report).contains("the ledger's sums hold"));
        report.broken = Some(Invariant::Supply);
        let said = super::audit(&report);
        assert!(said.contains("the invariant supply does not hold, as was known"));
        report.halt = Some(Halt {
            invariant: Invariant::Supply,
            halted: Height(71),
        });
        let said = super::audit(&report);
        assert!(said.contains("HALTED since block 71: the invariant supply does not hold"));
    }
}
