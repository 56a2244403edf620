use crate::{
    Global, door,
    failure::{Exit, code},
    output,
};
use fairweir_gateway::{ApiKey, KeyLimits};
use fairweir_types::Amount;
use serde_json::{Value, json};

const AFTER_HELP: &str = "\
Try:
  fairweir apikey create my-app                        a key without limits of its own
  fairweir apikey create trial --spend-max 5 --per-minute 20
  fairweir apikey list                                 what each has spent
  fairweir apikey revoke trial                         a gateway that runs knows within a second";

/// Make, list and revoke the keys of a gateway's clients.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = AFTER_HELP)]
pub(crate) enum Apikey {
    /// Make a key. Its secret is shown once; only its hash is kept.
    Create {
        /// What it is for.
        name: String,
        /// Coins that it may spend in all.
        #[arg(long, value_name = "COINS")]
        spend_max: Option<Amount>,
        /// Requests in a minute.
        #[arg(long, value_name = "NUMBER")]
        per_minute: Option<u32>,
        /// Requests at the same time.
        #[arg(long, value_name = "NUMBER")]
        concurrent_max: Option<u32>,
    },
    /// Show the keys, without their secrets.
    List,
    /// Take a key back, by its id or name.
    Revoke {
        /// Which.
        key: String,
    },
}

fn report(key: &ApiKey) -> Value {
    json!({
        "id": key.id, "name": key.name, "created": key.created, "spent": key.spent.to_string(),
        "spend_max": key.spend_max.map(|amount| amount.to_string()), "requests_per_minute": key.requests_per_minute,
        "concurrent_max": key.concurrent_max, "revoked": key.revoked,
    })
}

impl Apikey {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let keys = door::api_keys(&global.data_dir()?)?;
        let failed = |error: fairweir_gateway::KeysError| Exit::new(code::MACHINE, error);
        match self {
            Self::Create {
                name,
                spend_max,
                per_minute,
                concurrent_max,
            } => {
                let mut limits = KeyLimits {
                    spend_max,
                    requests_per_minute: per_minute,
                    ..KeyLimits::default()
                };
                if let Some(most) = concurrent_max {
                    limits.concurrent_max = most;
                }
                let (key, secret) = keys.create(&name, limits).map_err(failed)?;
                if global.json {
                    let mut report = report(&key);
                    report["secret"] = json!(secret);
                    output::json(&report);
                } else {
                    output::progress(format!(
                        "{} ({name}): keep the secret, it is shown once",
                        key.id
                    ));
                    output::line(secret);
                }
            }
            Self::List => {
                for key in keys.list() {
                    if global.json {
                        output::json(&report(&key));
                        continue;
                    }
                    let limit = key
                        .spend_max
                        .map_or_else(String::new, |most| format!(" of {most}"));
                    output::line(format!(
                        "{}  {:<20} spent {}{limit} coins{}",
                        key.id,
                        key.name,
                        key.spent,
                        if key.revoked { ", revoked" } else { "" }
                    ));
                }
            }
            Self::Revoke { key } => {
                keys.revoke(&key).map_err(failed)?;
                if global.json {
                    output::json(&json!({"revoked": key}));
                } else {
                    output::line(format!("{key} is revoked"));
                }
            }
        }
        Ok(())
    }
}
