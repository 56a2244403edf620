use crate::{
    Global,
    connection::with_connection,
    failure::{Exit, code},
};
use fairweir_chain::light::{LightClient, LightError};
use fairweir_client::learn_seats;
use fairweir_types::{
    Genesis, Height, decode,
    file::Filed as _,
    handover::{Checkpoint, Handovers},
};
use std::path::{Path, PathBuf};

/// Whom a check trusts: the genesis, or a block since; and how it comes to know the validators of later blocks.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Trust {
    /// The genesis file; by default the one in the data folder.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Ask the node for the blocks that handed the seats over since the genesis, and check each of them. Needed for blocks since other validators
    /// than the genesis's have the seats.
    #[arg(long, conflicts_with = "handovers")]
    seats: bool,
    /// The same without a node: a file of these blocks, as `fairweir validator handovers` writes it.
    #[arg(long, value_name = "FILE")]
    handovers: Option<PathBuf>,
    /// Begin at a block that you trust, not at the genesis: HEIGHT:DIGEST, as `fairweir validator handovers` prints it on a machine that you trust. Validators of
    /// long ago could sign another history; they cannot sign one with this block.
    #[arg(long, value_name = "HEIGHT:DIGEST")]
    checkpoint: Option<Checkpoint>,
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Exit> {
    std::fs::read(path)
        .map_err(|error| Exit::message(code::MACHINE, format!("{}: {error}", path.display())))
}

/// A light client's refusal, with its code.
pub(crate) fn refused(error: &LightError) -> Exit {
    Exit::message(code::DOES_NOT_HOLD, format!("{error} ({})", error.code()))
}

/// The genesis in a file, or in the data folder.
pub(crate) fn genesis(global: &Global, file: Option<&Path>) -> Result<Genesis, Exit> {
    match file {
        Some(path) => decode(&read(path)?).map_err(|error| {
            Exit::new(code::DOES_NOT_HOLD, error).context("the genesis file is damaged")
        }),
        None => Ok(global.data_dir()?.genesis()?),
    }
}

impl Trust {
    /// The genesis, and who had the seats up to a block, as far as the options let it be known.
    pub(crate) fn light(
        &self,
        global: &Global,
        height: Height,
    ) -> Result<(Genesis, LightClient), Exit> {
        let genesis = genesis(global, self.genesis.as_deref())?;
        let mut light = LightClient::new(&genesis).map_err(|error| refused(&error))?;
        if let Some(path) = &self.handovers {
            let does_not_hold = |message| Exit::message(code::DOES_NOT_HOLD, message);
            let file = Handovers::from_file(&read(path)?)
                .map_err(|error| does_not_hold(format!("{error} ({})", error.code())))?;
            if file.genesis != genesis.digest() {
                let message = "the file of handovers is of another genesis (other_chain)";
                return Err(does_not_hold(message.to_owned()));
            }
            let taken = fairweir_client::take_over(&mut light, self.checkpoint, &file);
            taken.map_err(|error| refused(&error))?;
            return Ok((genesis, light));
        }
        if !self.seats && self.checkpoint.is_none() {
            return Ok((genesis, light));
        }
        let checkpoint = self.checkpoint;
        let light = with_connection(global, |connection| async move {
            let learned = learn_seats(&connection.client, (&mut light, checkpoint), height).await;
            learned.map_err(|error| Exit::new(code::DOES_NOT_HOLD, error))?;
            Ok(light)
        })?;
        Ok((genesis, light))
    }
}
