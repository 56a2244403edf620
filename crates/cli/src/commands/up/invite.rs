//! What can be done with a network that stays up.

use super::{MODEL, Running};
use crate::{Global, output};
use std::net::SocketAddr;

/// Says how the network is used from another terminal.
pub(super) fn invite(global: &Global, running: &Running, door: Option<(SocketAddr, &str)>) {
    if let Some((address, secret)) = door {
        output::line("");
        output::line("Any client of OpenAI's API works:");
        output::line(format!(
            "  curl http://{address}/v1/chat/completions -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' -d '{{\"model\": \"{MODEL}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'"
        ));
        output::line(format!(
            "  python3 -c \"from openai import OpenAI; print(OpenAI(base_url='http://{address}/v1', api_key='{secret}').chat.completions.create(model='{MODEL}', messages=[{{'role': 'user', 'content': 'Hello'}}]).choices[0].message.content)\""
        ));
    }
    let program = std::env::current_exe()
        .map_or_else(|_| "fairweir".to_owned(), |path| path.display().to_string());
    let data = global
        .data
        .as_ref()
        .map_or_else(String::new, |path| format!(" --data {}", path.display()));
    output::line("");
    output::line(format!(
        "The network stays up at {}. From another terminal:",
        running
            .address
            .addrs()
            .first()
            .map_or_else(String::new, ToString::to_string)
    ));
    for (command, what) in [
        ("chat 'another question'", "ask once more"),
        ("chat", "a conversation"),
        ("order --input 'some text'", "buy a text job"),
        ("status", "who is there, and is all money accounted for"),
        ("events --follow", "everything that happens"),
        (
            "verify receipt.fwr --recompute",
            "check a receipt without trusting anybody",
        ),
        ("account worker-2", "what a worker earned"),
    ] {
        output::line(format!("  {program}{data} {command:<34} {what}"));
    }
    output::line("Ctrl-C stops it; starting again continues the same chain.");
}
