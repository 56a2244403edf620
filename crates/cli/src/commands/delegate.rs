use super::account::resolve;
use crate::{Global, connection::with_connection, door, failure::Exit, output};
use fairweir_gateway::json;
use fairweir_types::{Action, Amount, tx};
use serde_json::json as value;

const AFTER_HELP: &str = "\
Try:
  fairweir delegate grant gateway --cap 100           the key 'gateway' may open sessions for 100 coins of yours
  fairweir delegate list                              who may, and what is left
  fairweir delegate revoke gateway                    no new sessions; those that are open go on until they close
  fairweir gateway --owner buyer                      a gateway that spends what it was granted";

/// Let other keys open sessions that your account pays for, within a cap and a time.
///
/// A gateway's key lies on a machine that clients talk to. A grant lets it spend at most the cap, on sessions alone: it cannot
/// transfer anything, and what a session does not use goes back to you and is free for the next (so is what you add to such a
/// session yourself). The delegate's own account pays its transactions' fees: send it a coin with 'fairweir transfer'.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Delegate {
    /// Grant a delegate its cap, or replace what it was granted.
    Grant {
        /// Who may: an address (fw1…) or the name of one of your keys.
        delegate: String,
        /// The most coins that its sessions may take.
        #[arg(long, value_name = "COINS")]
        cap: Amount,
        /// Days for which it may.
        #[arg(long, default_value_t = 30, value_name = "NUMBER")]
        days: u16,
        /// The name of the key that pays.
        #[arg(long, default_value = "buyer", value_name = "NAME")]
        owner: String,
    },
    /// Show the delegates of an account.
    List {
        /// Whose: an address or the name of one of your keys.
        #[arg(default_value = "buyer")]
        owner: String,
    },
    /// Take a grant back.
    Revoke {
        /// Whose: an address or the name of one of your keys.
        delegate: String,
        /// The name of the key that paid.
        #[arg(long, default_value = "buyer", value_name = "NAME")]
        owner: String,
    },
}

impl Delegate {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::Grant {
                delegate,
                cap,
                days,
                owner,
            } => {
                let delegate = resolve(global, &delegate)?;
                let action = Action::GrantDelegate(tx::GrantDelegate {
                    delegate,
                    cap,
                    until: door::in_days(days),
                });
                send(global, &owner, action)?;
                if global.json {
                    output::json(
                        &value!({"delegate": delegate.to_string(), "cap": cap.to_string(), "days": days}),
                    );
                } else {
                    output::line(format!(
                        "{delegate} may open sessions for {cap} coins of {owner} in the next {days} days"
                    ));
                }
                Ok(())
            }
            Self::List { owner } => list(global, &owner),
            Self::Revoke { delegate, owner } => {
                let delegate = resolve(global, &delegate)?;
                send(
                    global,
                    &owner,
                    Action::RevokeDelegate(tx::RevokeDelegate { delegate }),
                )?;
                if global.json {
                    output::json(&value!({"revoked": delegate.to_string()}));
                } else {
                    output::line(format!("{delegate} opens no more sessions for {owner}"));
                }
                Ok(())
            }
        }
    }
}

fn send(global: &Global, owner: &str, action: Action) -> Result<(), Exit> {
    let keys = global.keystore()?;
    with_connection(global, |connection| async move {
        connection.sender(&keys, owner).await?.send(action).await?;
        Ok(())
    })
}

fn list(global: &Global, owner: &str) -> Result<(), Exit> {
    let address = resolve(global, owner)?;
    let account = with_connection(global, |connection| async move {
        Ok(connection.client.account(address).await?)
    })?;
    if global.json {
        for delegate in &account.delegates {
            output::json(&json::delegate(delegate));
        }
        return Ok(());
    }
    if account.delegates.iter().next().is_none() {
        output::progress(format!("{owner} has no delegates"));
    }
    for delegate in &account.delegates {
        output::line(format!(
            "{}  {} of {} coins left, {}",
            delegate.delegate,
            delegate.left,
            delegate.cap,
            door::time_left(delegate.until)
        ));
    }
    Ok(())
}
