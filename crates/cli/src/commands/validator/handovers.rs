use crate::{
    Global,
    commands::trust::{genesis, refused},
    connection::with_connection,
    failure::{Exit, code},
    output,
};
use fairweir_chain::light::LightClient;
use fairweir_client::{handover_at, learn_seats};
use fairweir_types::{
    BoundedVec, Height,
    file::Filed as _,
    handover::{Checkpoint, Handovers},
};
use serde_json::json;
use std::{fs, path::PathBuf};

/// Where to write, and from where on.
#[derive(Debug, clap::Args)]
pub(crate) struct Write {
    /// The file to write.
    file: PathBuf,
    /// The genesis file; by default the one in the data folder.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Begin at a block that you trust, not at the genesis.
    #[arg(long, value_name = "HEIGHT:DIGEST")]
    checkpoint: Option<Checkpoint>,
}

impl Write {
    /// Asks the node for them, believes it nothing, and says which block may be a checkpoint.
    pub(super) fn run(self, global: &Global) -> Result<(), Exit> {
        let genesis = genesis(global, self.genesis.as_deref())?;
        let mut light = LightClient::new(&genesis).map_err(|error| refused(&error))?;
        let from = self.checkpoint;
        let (handovers, newest, since) = with_connection(global, |connection| async move {
            let client = &connection.client;
            let tip = client.status().await?.header.height;
            let next = Height(tip.get().saturating_add(1));
            let does_not_hold = |error| Exit::new(code::DOES_NOT_HOLD, error);
            let learned = learn_seats(client, (&mut light, from), next).await;
            let learned = learned.map_err(does_not_hold)?;
            let foot = light.foot_of(light.epoch_of(next));
            let (newest, since) = if foot == Height::ZERO {
                (None, 0)
            } else {
                let newest = handover_at(client, foot).await.map_err(does_not_hold)?;
                // Also when the seats did not change hands with it, this says that it is final.
                if from != Some(newest.checkpoint()) {
                    light.hand_over(&newest).map_err(|error| refused(&error))?;
                }
                (Some(newest.checkpoint()), newest.began.since)
            };
            Ok((learned, newest, since))
        })?;
        let count = handovers.len();
        let handovers = BoundedVec::new(handovers).map_err(|error| {
            let message = format!("{error}: name a newer --checkpoint");
            Exit::message(code::DOES_NOT_HOLD, message)
        })?;
        let file = Handovers {
            genesis: genesis.digest(),
            handovers,
        };
        fs::write(&self.file, file.to_file()).map_err(|error| {
            Exit::message(code::MACHINE, format!("{}: {error}", self.file.display()))
        })?;
        if global.json {
            output::json_pretty(&json!({
                "chain_id": genesis.chain_id.as_str(), "handovers": count, "since": since,
                "checkpoint": newest.map(|newest| newest.to_string()),
            }));
            return Ok(());
        }
        output::line(format!(
            "{count} handovers, each checked, are in {}; the validators of today have the seats since epoch {since}",
            self.file.display(),
        ));
        match newest {
            Some(newest) => output::line(format!(
                "checkpoint {newest}: who trusts this machine may begin there (--checkpoint)"
            )),
            None => output::progress(
                "no epoch has ended yet: the genesis is all that anybody needs to trust",
            ),
        }
        Ok(())
    }
}
