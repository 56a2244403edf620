use super::{Twist, model_file::with_text};

/// What it writes in place of the model's own template, which is longer.
const TEMPLATE: &str =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";

/// A worker that turns conversations into prompts by a shorter template than the model's own: fewer tokens to compute.
#[derive(Clone, Copy, Debug)]
pub struct OtherTemplate;

impl Twist for OtherTemplate {
    fn model_file(&self, file: &[u8]) -> Option<Vec<u8>> {
        with_text(file, "tokenizer.chat_template", |own| {
            // A comment fills it up to the length of the old one.
            let filling = own.len().checked_sub(TEMPLATE.len() + "{##}".len())?;
            Some(format!("{TEMPLATE}{{#{}#}}", " ".repeat(filling)))
        })
    }
}
