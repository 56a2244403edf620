use crate::{Global, connection::with_connection, failure::Exit, output};
use fairweir_types::{Action, Amount, tx};
use serde_json::json;

/// Bond or unbond stake.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Stake {
    /// Move coins from the balance to the stake, where they answer for your work.
    Bond(Change),
    /// Start moving coins back; they stay slashable until the unbonding delay is over.
    Unbond(Change),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    /// How many coins.
    amount: Amount,
    /// The name of the key whose stake it is.
    #[arg(long, default_value = "buyer")]
    key: String,
}

impl Stake {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        let (change, action, done) = match self {
            Self::Bond(change) => (
                change,
                Action::Bond(tx::Bond {
                    amount: change.amount,
                }),
                "bonded",
            ),
            Self::Unbond(change) => (
                change,
                Action::Unbond(tx::Unbond {
                    amount: change.amount,
                }),
                "unbonding",
            ),
        };
        let keys = global.keystore()?;
        let (included, account) = with_connection(global, |connection| async move {
            let sender = connection.sender(&keys, &change.key).await?;
            let included = sender.send(action).await?;
            Ok((
                included,
                connection.client.account(sender.key().address()).await?,
            ))
        })?;
        if global.json {
            output::json(&json!({
                "tx": included.outcome.tx.to_string(), "height": included.height.get(),
                "bonded": account.bonded.to_string(), "unbonding": account.unbonding.to_string(),
            }));
        } else {
            output::line(format!(
                "{} coins {done} in block {}; {} are bonded now",
                change.amount, included.height, account.bonded
            ));
        }
        Ok(())
    }
}
