//! Chat templates: how a model's file says that messages become one text.

use super::ModelError;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use std::io::{self, Write};

/// Bytes of a template. The longest of published models have about ten thousand.
const SOURCE_BYTES_MAX: usize = 64 * 1_024;
/// Instructions that one rendering may take: a loop over a thousand messages needs about fifty thousand.
const FUEL: u64 = 2_000_000;
/// Calls within calls in a template.
const RECURSION_MAX: usize = 32;
const NAME: &str = "chat";

/// A compiled chat template.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    start: String,
    end: String,
}

fn unusable(error: &Error) -> ModelError {
    ModelError::Template(error.to_string())
}

/// Templates refuse what their model cannot take by this function.
fn raise_exception(reason: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason))
}

/// A writer that refuses more than its limit.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max {
            return Err(io::Error::other("the rendered prompt is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Template {
    /// Compiles a template; `start` and `end` are the texts of the start and end tokens, which templates write.
    ///
    /// # Errors
    /// [`ModelError::Template`].
    pub fn new(source: &str, start: &str, end: &str) -> Result<Self, ModelError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ModelError::Template("it is longer than 64 KiB".to_owned()));
        }
        let mut environment = Environment::new();
        // As Hugging Face's transformers render templates.
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_MAX);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| unusable(&error))?;
        Ok(Self {
            environment,
            start: start.to_owned(),
            end: end.to_owned(),
        })
    }

    /// The prompt of a conversation, up to where the assistant's answer begins; at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`ModelError::Template`] when the template refuses the messages, runs too long or writes too much.
    pub fn render(
        &self,
        messages: &serde_json::Value,
        tools: Option<&serde_json::Value>,
        bytes_max: usize,
    ) -> Result<String, ModelError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| unusable(&error))?;
        let mut out = Bounded {
            bytes: Vec::new(),
            max: bytes_max,
        };
        let context = context! {
            messages => messages,
            tools => tools,
            add_generation_prompt => true,
            bos_token => self.start,
            eos_token => self.end,
        };
        template
            .render_captured_to(context, &mut out)
            .map_err(|error| unusable(&error))?;
        String::from_utf8(out.bytes).map_err(|error| ModelError::Template(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str) -> Result<String, ModelError> {
        let messages = json!([{ "role": "user", "content": " Hi " }]);
        Template::new(source, "<s>", "</s>")?.render(&messages, None, 100)
    }

    #[test]
    fn templates_render_or_are_refused() {
        let table = [
            (
                "{{ bos_token }}{{ messages[0].content.strip() }}{{ eos_token }}",
                Some("<s>Hi</s>"),
            ),
            (
                "{% for m in messages %}\n{{ m['role'] }}\n{% endfor %}",
                Some("user\n"),
            ),
            ("{% if add_generation_prompt %}A:{% endif %}", Some("A:")),
            ("{{ raise_exception('no system role') }}", None),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
                None,
            ),
            ("{{ 'x' * 101 }}", None),
            ("{% for %}", None),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", None),
        ];
        for (source, expected) in table {
            assert_eq!(render(source).ok().as_deref(), expected, "{source}");
        }
    }
}
