use crate::{Global, connection::with_connection, failure::Exit, output};
use fairweir_ledger::params::PARAMS;
use fairweir_node::Config as Settings;
use serde_json::json;
use std::collections::BTreeMap;

/// Show or write the settings.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Config {
    /// Show the settings in force.
    Show,
    /// Write the settings in force to the data folder's file, to edit.
    Write,
    /// Show every governed value of the ledger: unit, range, default and why.
    Params {
        /// Ask the node, and show what each value is now: a genesis may set it, and a proposal may have changed it.
        #[arg(long)]
        current: bool,
    },
}

impl Config {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        match self {
            Self::Show => {
                let settings = Settings::load(&global.data_dir()?)?;
                if global.json {
                    output::json_pretty(&json!({
                        "listen": settings.listen.to_string(),
                        "advertise": settings.advertise.iter().map(ToString::to_string).collect::<Vec<_>>(),
                        "heartbeat_ms": settings.heartbeat_ms,
                        "blob_bytes_max": settings.blob_bytes_max,
                        "peer_listen": settings.peer_listen.to_string(),
                        "retain_blocks": settings.retain_blocks,
                        "monitor": settings.monitor,
                        "follow": settings.follow,
                        "peers": settings.peers,
                    }));
                } else {
                    output::line(settings.to_toml());
                }
            }
            Self::Write => {
                let data = global.data_dir()?;
                Settings::load(&data)?.save(&data)?;
                output::line(data.join("fairweir.toml").display().to_string());
            }
            Self::Params { current } => {
                let current = if *current {
                    now(global)?
                } else {
                    BTreeMap::new()
                };
                params(global, &current);
            }
        }
        Ok(())
    }
}

/// What each value is on the node's chain, by number.
fn now(global: &Global) -> Result<BTreeMap<u16, u64>, Exit> {
    let governed = with_connection(global, |connection| async move {
        Ok(connection.client.governance().await?)
    })?;
    let values = governed.params.iter();
    Ok(values.map(|param| (param.param, param.value)).collect())
}

fn params(global: &Global, current: &BTreeMap<u16, u64>) {
    if global.json {
        let params: Vec<_> = PARAMS
            .iter()
            .map(|param| {
                json!({
                    "number": param.number, "name": param.name, "unit": param.unit,
                    "min": param.min, "default": param.default, "max": param.max, "source": param.source,
                    "current": current.get(&param.number),
                })
            })
            .collect();
        output::json_pretty(&params.into());
        return;
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["name", "unit", "range", "default", "now", "why"]);
    for param in PARAMS {
        table.add_row([
            param.name.to_owned(),
            param.unit.to_owned(),
            format!("{} to {}", param.min, param.max),
            param.default.to_string(),
            current
                .get(&param.number)
                .map_or_else(|| "?".to_owned(), u64::to_string),
            param.source.to_owned(),
        ]);
    }
    output::line(table.to_string());
}
