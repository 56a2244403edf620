use crate::{
    Global,
    commands::chat::models_here,
    connection::{Connection, with_connection},
    describe::Names,
    failure::{Exit, code},
    main_job::{self, Purchase, Telling},
    models, output,
};
use commonware_codec::Encode as _;
use fairweir_services::{
    Registry,
    inference::embedding::{EmbeddingOutput, EmbeddingSpec},
};
use fairweir_types::{Amount, Millis, decode};
use serde_json::json;
use std::{io::Read as _, path::PathBuf, sync::Arc};

/// Turn texts into vectors.
///
/// Texts with like meanings get vectors that point alike. Printed as one JSON array per text and line. Verifiers recompute every
/// bit before the worker is paid.
#[derive(Debug, clap::Args)]
pub(crate) struct Embed {
    /// The texts; without any, each line of standard input is one.
    texts: Vec<String>,
    /// The model's name or id; by default the first of this sort that this machine knows.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The highest price, in coins per million tokens.
    #[arg(long, default_value = "100", value_name = "COINS")]
    price_max: Amount,
    /// The name of the key that pays.
    #[arg(long, default_value = "buyer", value_name = "NAME")]
    key: String,
    /// Where the receipt file goes.
    #[arg(long, default_value = "receipt.fwr", value_name = "FILE")]
    receipt: PathBuf,
    /// Compute the vectors again on this machine and compare, bit for bit.
    #[arg(long)]
    recompute: bool,
}

impl Embed {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let texts = if self.texts.is_empty() {
            let mut all = String::new();
            std::io::stdin().read_to_string(&mut all)?;
            all.lines().map(str::to_owned).collect()
        } else {
            self.texts
        };
        let refused =
            |error: &dyn core::fmt::Display| Exit::message(code::REFUSED, error.to_string());
        let keys = global.keystore()?;
        let (model, _) = models::choose(&models::store(global)?, self.model.as_deref(), false)?;
        let spec = EmbeddingSpec::new(model, texts).map_err(|error| refused(&error))?;
        let registry = Registry::with_models(&models_here(global, self.recompute)?);
        let service = registry
            .named("embedding")
            .ok_or_else(|| refused(&"no service named embedding"))?;
        let purchase = Purchase {
            service: Arc::clone(service),
            what: format!("{} texts", spec.len()),
            spec: spec.encode().to_vec(),
            capabilities: vec![model.capability()],
            price_max: self.price_max,
            match_within: Millis(30_000),
            receipt: Some(self.receipt.clone()),
            live: false,
            recompute: self.recompute,
        };
        let bought = with_connection(global, |connection: Connection| async move {
            let sender = connection.sender(&keys, &self.key).await?;
            let names = Names::of(&keys);
            let telling = Telling {
                names: &names,
                quiet: global.json,
                answer_only: true,
            };
            let genesis = connection.client.genesis().await?;
            main_job::buy(&sender, &genesis, purchase, &telling).await
        })?;
        let output: EmbeddingOutput = decode(&bought.output).map_err(|error| {
            Exit::new(code::DOES_NOT_HOLD, error)
                .context("the output is no output of the embedding service")
        })?;
        let vectors: Vec<_> = output.numbers().collect();
        if global.json {
            output::json(
                &json!({"vectors": vectors, "tokens": output.tokens, "purchase": bought.report}),
            );
            return Ok(());
        }
        for vector in vectors {
            output::line(json!(vector).to_string());
        }
        output::progress(format!(
            "[{} tokens; {} coins; receipt in {}]",
            output.tokens,
            bought
                .report
                .get("cost")
                .and_then(|cost| cost.as_str())
                .unwrap_or("?"),
            self.receipt.display()
        ));
        Ok(())
    }
}
