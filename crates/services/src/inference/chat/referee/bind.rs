//! Which run is whose: what a trace was made of is shown, and what it was made of must be what the run ends in.

use super::{Nodes, Parts, ShownError, bag_of};
use crate::{
    codec::record,
    contract::Kind as _,
    inference::chat::{Chat, ChatOutput, ChatSpec, Finish},
    service::{Executed, check_demand, trace_for},
};
use fairweir_exact::referee::{Ends, ends, tree::Opened};
use fairweir_types::{
    BoundedBytes, Digest, Receipt, decode,
    limits::EXHIBIT_BYTES_MAX,
    order::{Demand, UnitVector},
    receipt::trace,
};

/// What binds a run to a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What was asked.
    pub spec: BoundedBytes<EXHIBIT_BYTES_MAX>,
    /// The encoded output, of which the trace was made.
    pub output: BoundedBytes<EXHIBIT_BYTES_MAX>,
    /// Nodes above the values.
    pub nodes: Nodes,
    /// The values that the run begins and ends with.
    pub values: Parts,
}
record!(Bound {
    spec,
    output,
    nodes,
    values
});

/// What a side stands for.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The digest of the spec.
    pub spec: &'a Digest,
    /// What the order allows at most.
    pub demand: &'a Demand,
    /// The worker's receipt.
    pub receipt: &'a Receipt,
    /// The trace that it voted for, or defends.
    pub trace: &'a Digest,
    /// Its run; zero for a refusal.
    pub run: &'a Digest,
}

/// Whether a run is the one that a trace was made of. Nothing is computed again: an output whose computation, tokens and units are the run's ends
/// has the run's trace, whatever its text is.
///
/// # Errors
/// [`ShownError`] if it is not.
pub fn bind(standing: &Standing<'_>, bound: &[u8]) -> Result<(), ShownError> {
    let (right, units) = if *standing.run == Digest::ZERO {
        if !bound.is_empty() {
            return Err(ShownError::Malformed);
        }
        let refusal = Executed::refusal();
        (refusal.trace(standing.spec), refusal.units)
    } else {
        of_run(standing, bound)?
    };
    if trace_for(standing.receipt, &right, &units) == *standing.trace {
        Ok(())
    } else {
        Err(ShownError::OtherTrace)
    }
}

/// The trace of an output that is made of a run's ends, and its units.
fn of_run(standing: &Standing<'_>, bound: &[u8]) -> Result<(Digest, UnitVector), ShownError> {
    let bound: Bound = decode(bound).map_err(|_| ShownError::Malformed)?;
    let (asked, output) = (bound.spec.as_slice(), bound.output.as_slice());
    if Digest::of_blob(asked) != *standing.spec {
        return Err(ShownError::OtherSpec);
    }
    let spec: ChatSpec = decode(asked).map_err(|_| ShownError::Refused)?;
    let needed = check_demand(standing.demand, asked.len(), || Chat::demand(&spec));
    let needed = needed.map_err(|_| ShownError::Refused)?;
    let length = u64::try_from(output.len()).unwrap_or(u64::MAX);
    if length > needed.bytes_out_max.get() {
        return Err(ShownError::Refused);
    }
    let bag = bag_of(&bound.nodes, bound.values);
    let ends = ends(&Opened::new(standing.run.0, &bag), asked)?;
    let told: ChatOutput = decode(output).map_err(|_| ShownError::Malformed)?;
    if !is_of(&told, &ends, &spec) {
        return Err(ShownError::OtherOutput);
    }
    let units = spec.units(ends.prompt.len(), told.tokens.as_slice());
    let right = trace(standing.spec, &Digest::of_blob(output), &units);
    Ok((right, units))
}

/// Whether an output says what a run ends in. Its text, and the probabilities told, rest on more than the run.
fn is_of(told: &ChatOutput, ends: &Ends, spec: &ChatSpec) -> bool {
    let (tokens, chosen) = (told.tokens.as_slice(), ends.chosen.as_slice());
    let parameters = spec.parameters();
    let is_full = u32::try_from(chosen.len()).is_ok_and(|count| count == parameters.tokens_max);
    let is_ended_by_a_token = match chosen.strip_prefix(tokens) {
        Some([]) => false,
        Some([_]) => true,
        _ => return false,
    };
    let finish_fits = match told.finish {
        Finish::Stop => true,
        Finish::Length => is_full && !is_ended_by_a_token,
        Finish::Stopped => !is_ended_by_a_token,
    };
    let told_each = if parameters.logprobs.is_some() {
        tokens.len()
    } else {
        0
    };
    finish_fits
        && told.computation.0 == ends.trace
        && usize::try_from(told.prompt_tokens).is_ok_and(|count| count == ends.prompt.len())
        && told.likelihoods.len() == told_each
}
