use crate::{
    Global,
    commands::trust::{Trust, read},
    describe,
    failure::{Exit, code},
    models, output,
};
use fairweir_client::verify::{Words, check_final};
use fairweir_gateway::{WorkersSide, check_relay, json};
use fairweir_services::{AnyService, BlobError, Blobs, Discard, Env, Executed, StopAt};
use fairweir_types::{Address, Digest, Genesis, proof::ReceiptProof};
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

/// Check a receipt file offline: no node is asked (but with --seats or --checkpoint) and no gateway is trusted.
///
/// Needs the genesis of the network: from --genesis, else from the data folder. Says in words how far the work was checked:
/// signed (by the worker), settled (in a final block), sampled (verifiers were drawn), recomputed (so many of them re-executed
/// it and agree; with --recompute also this machine), disputed.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The receipt file.
    file: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Run the work again on this machine and compare, bit for bit.
    #[arg(long)]
    recompute: bool,
    /// The response that a gateway gave, JSON or the events of a stream: shows whether it passed on what the worker said.
    #[arg(long, value_name = "FILE", requires = "request")]
    response: Option<PathBuf>,
    /// The request's body, byte for byte as it was sent to the gateway.
    #[arg(long, value_name = "FILE", requires = "response")]
    request: Option<PathBuf>,
    /// Write the output that the receipt carries to a file.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        let proof = fairweir_client::verify::read(&read(&self.file)?)?;
        let (genesis, light) = self.trust.light(global, proof.header.height)?;
        let words = check_final(&light, &proof)?;
        if self.recompute {
            if !proof.has_spec() {
                return Err(Exit::message(
                    code::DOES_NOT_HOLD,
                    "the receipt carries no spec, so the work cannot be recomputed",
                ));
            }
            let (kind, version) = (proof.receipt.receipt.kind, proof.receipt.receipt.version);
            let registry = models::registry(&models::engines(global)?)?;
            let service = registry.get(kind, version).ok_or_else(|| {
                Exit::message(
                    code::DOES_NOT_HOLD,
                    format!("this machine cannot run kind {kind} in version {version}: has it the model, and a program that knows the version? See 'fairweir model list'"),
                )
            })?;
            crate::main_job::recompute(&proof, service)?;
        }
        let gateway = self.check_gateway(&proof)?;
        if let Some(path) = &self.output {
            std::fs::write(path, proof.output.as_slice()).map_err(|error| {
                Exit::message(code::MACHINE, format!("{}: {error}", path.display()))
            })?;
        }
        self.show(global, (&genesis, &proof), words, gateway);
        Ok(())
    }

    /// The gateway that relayed question and answer unchanged, if its response is at hand.
    fn check_gateway(&self, proof: &ReceiptProof) -> Result<Option<Address>, Exit> {
        let (Some(request), Some(response)) = (&self.request, &self.response) else {
            return Ok(None);
        };
        let worker = WorkersSide {
            receipt: &proof.receipt.receipt,
            spec: proof.spec.as_slice(),
            output: proof.output.as_slice(),
        };
        let checked = check_relay(&worker, &read(request)?, &read(response)?);
        let gateway = checked.map_err(|error| {
            let message = format!("{error} ({})", error.code());
            Exit::message(code::DOES_NOT_HOLD, message)
        })?;
        if !proof.settlement.is_of_buyer(gateway) {
            return Err(Exit::message(
                code::DOES_NOT_HOLD,
                format!(
                    "{gateway} signed what was relayed, but did not buy it (not_the_buyers_gateway)"
                ),
            ));
        }
        Ok(Some(gateway))
    }

    fn show(
        &self,
        global: &Global,
        (genesis, proof): (&Genesis, &ReceiptProof),
        words: Words,
        gateway: Option<Address>,
    ) {
        let worker = proof.receipt.worker.address();
        if global.json {
            output::json_pretty(&json!({
                "chain_id": genesis.chain_id.as_str(),
                "genesis": genesis.digest().to_string(),
                "order": proof.receipt.receipt.slot_id.order.to_string(),
                "worker": worker.to_string(),
                "paid": proof.settlement.paid().amount.to_string(),
                "height": proof.header.height.get(),
                "signed": words.signed,
                "settled": words.settled,
                "sampled": words.sampled,
                "recomputed_by": words.recomputed_by,
                "recomputed_here": self.recompute,
                "disputed": words.disputed,
                "relayed_by": gateway.map(|gateway| gateway.to_string()),
                "randomness": json::randomness(words.randomness),
            }));
            return;
        }
        let yes_no = |holds: bool| if holds { "yes" } else { "no" };
        output::line(format!("order       {}", proof.receipt.receipt.slot_id));
        output::line(format!(
            "chain       {} (genesis {})",
            genesis.chain_id,
            genesis.digest()
        ));
        output::line(format!("signed      {}, by {worker}", yes_no(words.signed)));
        output::line(format!(
            "settled     {}, in block {}: {} coins paid",
            yes_no(words.settled),
            proof.header.height,
            proof.settlement.paid().amount
        ));
        output::line(format!(
            "sampled     {} ({})",
            yes_no(words.sampled),
            describe::randomness(words.randomness)
        ));
        let here = if self.recompute { ", and here" } else { "" };
        output::line(format!(
            "recomputed  by {} verifiers that agree{here}",
            words.recomputed_by
        ));
        output::line(format!("disputed    {}", yes_no(words.disputed)));
        if let Some(gateway) = gateway {
            output::line(format!(
                "relayed     by {gateway}, question and answer unchanged"
            ));
        }
    }
}

/// Executes a spec on this machine.
pub(crate) fn execute_here(
    service: &Arc<dyn AnyService>,
    spec: &[u8],
    stop: &StopAt,
    hint: &[u8],
) -> Result<Executed, Exit> {
    let blobs = NoBlobs;
    let limits = service
        .demand(spec)
        .map_err(|error| Exit::new(code::DOES_NOT_HOLD, error))?;
    let env = Env::checking(&blobs, &limits, stop, hint);
    let mut outlet = Discard;
    // No world is waited for, so any executor of futures will do.
    let executed = futures::executor::block_on(service.execute(&env, spec, &mut outlet));
    executed.map_err(|error| {
        Exit::new(code::DOES_NOT_HOLD, error).context("the work cannot be executed here")
    })
}

/// Offline there are no blobs: a kind whose spec names some cannot be recomputed from its receipt alone.
#[derive(Debug)]
struct NoBlobs;

impl Blobs for NoBlobs {
    fn get(&self, digest: Digest, _: usize) -> BoxFuture<'_, Result<Vec<u8>, BlobError>> {
        std::future::ready(Err(BlobError::NotFound(digest))).boxed()
    }

    fn put(&self, _: Vec<u8>) -> BoxFuture<'_, Result<Digest, BlobError>> {
        std::future::ready(Err(BlobError::Full)).boxed()
    }
}
