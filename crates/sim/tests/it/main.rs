//! The network on one thread: one file per story.

mod honest_day;

/// Tells a story with a seed of its own.
fn tell(name: &str, seed: u64) {
    let scenario = fairweir_sim::scenarios::named(name).expect("there is a story of this name");
    (scenario.run)(seed);
}
