use super::account::resolve;
use crate::{Global, connection::with_connection, failure::Exit, output};
use fairweir_types::{Action, Amount, tx};
use serde_json::json;

/// Send money to another account.
#[derive(Debug, clap::Args)]
pub(crate) struct Transfer {
    /// To whom: an address (fw1…), the name of one of your keys, or `treasury` for what proposals spend.
    to: String,
    /// How many coins, such as 12.5.
    amount: Amount,
    /// The name of the key that pays.
    #[arg(long, default_value = "buyer")]
    from: String,
}

impl Transfer {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        let to = resolve(global, &self.to)?;
        let keys = global.keystore()?;
        let action = Action::Transfer(tx::Transfer {
            to,
            amount: self.amount,
        });
        let included = with_connection(global, |connection| async move {
            Ok(connection
                .sender(&keys, &self.from)
                .await?
                .send(action)
                .await?)
        })?;
        if global.json {
            output::json(&json!({
                "tx": included.outcome.tx.to_string(), "height": included.height.get(), "to": to.to_string(), "amount": self.amount.to_string(),
            }));
        } else {
            output::line(format!(
                "{} coins sent to {to}, final in block {}",
                self.amount, included.height
            ));
        }
        Ok(())
    }
}
