use crate::{Global, connection::with_connection, failure::Exit, output};
use fairweir_gateway::json;
use fairweir_types::{Address, governance::TREASURY};

/// Show an account: balance, stake, transactions sent, and what it verifies.
#[derive(Debug, clap::Args)]
pub(crate) struct Account {
    /// An address (fw1…), the name of one of your keys, or `treasury` for what proposals spend.
    #[arg(default_value = "buyer")]
    account: String,
}

/// An address, the treasury's, or the address of one of the user's keys.
pub(crate) fn resolve(global: &Global, account: &str) -> Result<Address, Exit> {
    if account == "treasury" {
        return Ok(TREASURY);
    }
    if let Ok(address) = account.parse() {
        return Ok(address);
    }
    Ok(global.keystore()?.account(account)?.address())
}

impl Account {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        let address = resolve(global, &self.account)?;
        let account = with_connection(global, |connection| async move {
            Ok(connection.client.account(address).await?)
        })?;
        if global.json {
            output::json_pretty(&json::account(&account));
            return Ok(());
        }
        output::line(format!("address    {}", account.address));
        output::line(format!("balance    {} coins", account.balance));
        output::line(format!(
            "bonded     {} coins, of which {} cover open work",
            account.bonded, account.exposure
        ));
        output::line(format!("unbonding  {} coins", account.unbonding));
        output::line(format!("sent       {} transactions", account.nonce));
        if let Some(verifies) = &account.verifies {
            let kinds = verifies.enrolment.kinds.iter();
            let kinds: Vec<_> = kinds.map(|known| known.kind.to_string()).collect();
            output::line(format!(
                "verifies   {}; its hash chain does for {} more batches",
                kinds.join(", "),
                verifies.links_left
            ));
        }
        Ok(())
    }
}
