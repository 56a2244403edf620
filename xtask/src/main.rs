//! Tools of the project: `cargo xtask tidy`. Only the standard library.

mod tidy;

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a tool of the command line")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("tidy"), None) => {
            let problems = tidy::run();
            for problem in &problems {
                eprintln!("tidy: {problem}");
            }
            if problems.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        _ => {
            eprintln!("usage: cargo xtask tidy");
            ExitCode::from(2)
        }
    }
}
