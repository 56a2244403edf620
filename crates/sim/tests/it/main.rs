//! The network on one thread: one file per story.

mod adversaries;
mod copying_verifier;
mod crashes;
mod cut_worker;
mod determinism;
mod economics;
mod edited_token;
mod faults;
mod forged_trace;
mod honest_day;
mod inference_day;
mod inflated_units;
mod lossy;
mod lying_verifier;
mod older_promises;
mod other_seed;
mod other_template;
mod sessions;
mod silent_verifier;
mod skipped_layer;
mod squatters;
mod three_bit_weights;
mod withheld_opening;
mod withheld_receipt;
mod wrong_output;

/// Tells a story with a seed of its own.
fn tell(name: &str, seed: u64) {
    let scenario = fairweir_sim::scenarios::named(name).expect("there is a story of this name");
    (scenario.run)(seed);
}
