use crate::{
    Global,
    connection::with_connection,
    failure::{Exit, code},
    output,
};
use fairweir_gateway::json;
use fairweir_types::node_api::Status as Report;

/// Show what the network is doing, and that all money is accounted for.
///
/// Ends with code 5 if the supply is not conserved.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {}

impl Status {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        let status = with_connection(global, |connection| async move {
            Ok(connection.client.status().await?)
        })?;
        if global.json {
            output::json_pretty(&json::status(&status));
        } else {
            for line in lines(&status) {
                output::line(line);
            }
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
    ]
}
