//! The stories that hold for every seed. Each panics where it does not.

mod honest_day;

/// A story that can be told with any seed.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Tells it.
    pub run: fn(seed: u64),
}

/// Every story.
pub const ALL: &[Scenario] = &[Scenario {
    name: "honest-day",
    run: honest_day::run,
}];

/// The story with a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// A text of so many lines that no other seed or number gives.
fn text(seed: u64, number: usize, lines: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for line in 0..lines {
        let written = writeln!(
            text,
            "Line {line} of text {number} in world {seed}: write to ada{line}@example.org."
        );
        written.expect("a string takes every text");
    }
    text
}
