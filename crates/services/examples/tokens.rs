//! Token ids as the kind *chat* makes them: `tokens MODEL.gguf` reads texts as JSON, one a line: a text as it is, or an array of messages
//! for the model's template. Prints the ids of each on a line.

#![expect(clippy::print_stdout, reason = "a program of the command line")]

use fairweir_exact::gguf::File;
use fairweir_services::{
    Passage,
    inference::chat::{Conversation, Prompt, PromptReader},
};
use serde_json::Value;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: tokens MODEL.gguf")?;
    let bytes = std::fs::read(path)?;
    let reader = PromptReader::of_gguf(&File::parse(&bytes)?)?;
    for line in std::io::stdin().lines() {
        let prompt = match serde_json::from_str(&line?)? {
            Value::String(text) => Prompt::Text(Passage::new(text)?),
            messages => Prompt::Messages(Conversation {
                messages: Passage::new(messages.to_string())?,
                tools: Passage::default(),
            }),
        };
        let ids = reader.tokens(&prompt)?;
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        println!("{}", ids.join(" "));
    }
    Ok(())
}
