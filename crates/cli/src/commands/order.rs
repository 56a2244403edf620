use crate::{
    Global,
    connection::with_connection,
    describe::Names,
    failure::{Exit, code},
    main_job::{self, Purchase, Telling},
    output,
};
use fairweir_services::text::{Deduplicate, Normalise, Operations, Redact};
use fairweir_types::{Amount, Millis};
use std::{io::Read as _, path::PathBuf};

/// Buy a text job: post the order, watch it, get output and receipt.
///
/// The text is normalised, freed of duplicates and of obvious personal data, and counted. Verifiers re-execute the work before
/// the worker is paid; the receipt proves it to anybody.
#[derive(Debug, clap::Args)]
pub(crate) struct Order {
    #[command(flatten)]
    input: Input,
    /// The highest price, in coins per million bytes of input or output.
    #[arg(long, default_value = "10", value_name = "COINS")]
    price_max: Amount,
    /// Seconds within which a worker must be found; else the order is refunded.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    match_within: u64,
    /// The name of the key that pays.
    #[arg(long, default_value = "buyer")]
    key: String,
    /// Where the receipt file goes.
    #[arg(long, default_value = "receipt.fwr", value_name = "FILE")]
    receipt: PathBuf,
    /// Leave the form of the text as it is.
    #[arg(long)]
    keep_form: bool,
    /// Keep duplicate lines and paragraphs.
    #[arg(long)]
    keep_duplicates: bool,
    /// Keep email addresses, telephone, account and card numbers and IP addresses.
    #[arg(long)]
    keep_personal_data: bool,
}

/// The text to work on.
#[derive(Debug, clap::Args)]
pub(crate) struct Input {
    /// The text itself.
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) input: Option<String>,
    /// A file with the text; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

impl Input {
    /// The text, if the command line gives one.
    pub(crate) fn given(&self) -> Result<Option<String>, Exit> {
        let Some(path) = &self.file else {
            return Ok(self.input.clone());
        };
        let mut bytes = Vec::new();
        if path.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut bytes)?;
        } else {
            bytes = std::fs::read(path).map_err(|error| {
                Exit::message(code::MACHINE, format!("{}: {error}", path.display()))
            })?;
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Exit::message(code::FAILED, "the text is not UTF-8"))
    }

    /// The text, asked for if need be.
    pub(crate) fn text(&self) -> Result<String, Exit> {
        if let Some(text) = self.given()? {
            return Ok(text);
        }
        output::progress("Type a text and end it with Enter:");
        let mut text = String::new();
        std::io::stdin().read_line(&mut text)?;
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        if text.is_empty() {
            return Err(Exit::message(
                code::FAILED,
                "there is no text: give one with --input or --file",
            ));
        }
        Ok(text)
    }
}

impl Order {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let text = self.input.text()?;
        let keys = global.keystore()?;
        let names = Names::of(&keys);
        let operations = Operations {
            normalise: if self.keep_form {
                Normalise::Nothing
            } else {
                Normalise::Nfc
            },
            deduplicate: if self.keep_duplicates {
                Deduplicate::Nothing
            } else {
                Deduplicate::ParagraphsAndLines
            },
            redact: if self.keep_personal_data {
                Redact::Nothing
            } else {
                Redact::PersonalData
            },
        };
        let purchase = Purchase {
            text,
            operations,
            price_max: self.price_max,
            match_within: Millis(self.match_within.saturating_mul(1_000)),
            receipt: Some(self.receipt.clone()),
        };
        let trusted = global.data_dir()?.genesis().ok();
        let bought = with_connection(global, |connection| async move {
            let sender = connection.sender(&keys, &self.key).await?;
            // The folder's own genesis is the one to trust; without it the node's word is taken.
            let genesis = match trusted {
                Some(genesis) => genesis,
                None => connection.client.genesis().await?,
            };
            let telling = Telling {
                names: &names,
                quiet: global.json,
            };
            main_job::buy(&sender, &genesis, purchase, &telling).await
        })?;
        if global.json {
            output::json_pretty(&bought.report);
        } else {
            output::line("");
            output::line(bought.output.to_string());
        }
        Ok(())
    }
}
