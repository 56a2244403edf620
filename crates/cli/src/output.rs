//! Printing: text for people, JSON for programs.

use serde_json::Value;
use std::io::Write as _;

/// Prints a line to standard output. A closed pipe (`fairweir events | head`) ends the program quietly.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", text.as_ref())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Prints a part of a line to standard output, at once; without control characters, which could take over the terminal.
pub(crate) fn part(text: &str) {
    let is_printed = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
    let text: String = text.chars().filter(is_printed).collect();
    let mut out = std::io::stdout().lock();
    if write!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a JSON value on one line.
pub(crate) fn json(value: &Value) {
    line(value.to_string());
}

/// Prints a JSON value over several lines.
pub(crate) fn json_pretty(value: &Value) {
    line(serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string()));
}

/// Says something about progress, on standard error, so that output can be piped.
#[expect(clippy::print_stderr, reason = "progress belongs on standard error")]
pub(crate) fn progress(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// A spinner on standard error, for what takes more than a second; silent when nobody looks.
pub(crate) fn spinner(what: &str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new_spinner();
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}
