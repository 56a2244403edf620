//! Chat templates: how a model's file says that messages become one text.

mod guard;

use super::ModelError;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Value, context,
    machinery::{
        CodeGenerator, Instructions, Token, Vm, WhitespaceConfig, make_string_output, parse,
        tokenize,
    },
    syntax::SyntaxConfig,
};
use std::collections::BTreeMap;

/// Bytes of a template. The longest of published models have about ten thousand.
const SOURCE_BYTES_MAX: usize = 64 * 1_024;
/// Instructions that one rendering may take, guards included: a loop over a thousand messages needs about a hundred thousand.
const FUEL: u64 = 5_000_000;
/// Words and signs between two braces: an expression's depth is a depth of the stack of who compiles it.
const TOKENS_MAX: usize = 512;
/// A name that is put between the factors of a product, and is 1.
const ONE: &str = "__one__";
/// Calls within calls in a template.
const RECURSION_MAX: usize = 32;
const NAME: &str = "chat";

/// A chat template.
#[derive(Debug)]
pub struct Template {
    /// Compiled for each rendering, which takes less time than the rendering: what is compiled borrows its source.
    source: String,
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

/// What templates may call.
fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_global(ONE, 1);
    guard::install(&mut environment);
    environment
}

// As Hugging Face's transformers render templates.
const fn blanks() -> WhitespaceConfig {
    WhitespaceConfig {
        keep_trailing_newline: false,
        lstrip_blocks: true,
        trim_blocks: true,
    }
}

/// The template with products that are computed when it runs, under guard: the compiler computes those of constants itself, and
/// `'x' * 10**8` would take memory before any guard looks.
fn unfold(source: &str) -> Result<String, Error> {
    let mut unfolded = String::with_capacity(source.len());
    let (mut done, mut tokens) = (0, 0);
    for token in tokenize(source, false, SyntaxConfig, blanks()) {
        let (token, span) = token?;
        tokens = match token {
            Token::VariableStart | Token::BlockStart => 0,
            _ => tokens + 1,
        };
        if tokens > TOKENS_MAX {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "an expression is too long",
            ));
        }
        if matches!(token, Token::Mul) {
            let end = usize::try_from(span.end_offset).unwrap_or(usize::MAX);
            unfolded.push_str(source.get(done..end).unwrap_or_default());
            unfolded.push_str(ONE);
            unfolded.push('*');
            done = end;
        }
    }
    unfolded.push_str(source.get(done..).unwrap_or_default());
    Ok(unfolded)
}

/// The instructions of a template, with guards.
fn compile(source: &str) -> Result<Instructions<'_>, Error> {
    let tree = parse(source, NAME, SyntaxConfig, blanks())?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&tree);
    let (instructions, _) = generator.finish();
    guard::weave(&instructions)
}

impl Template {
    /// Reads a template; `start` and `end` are the texts of the start and end tokens, which templates write.
    ///
    /// # Errors
    /// [`ModelError::Template`].
    pub fn new(source: &str, start: &str, end: &str) -> Result<Self, ModelError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(ModelError::Template("it is longer than 64 KiB".to_owned()));
        }
        let source = unfold(source).map_err(|error| unusable(&error))?;
        compile(&source).map_err(|error| unusable(&error))?;
        Ok(Self {
            source,
            start: start.to_owned(),
            end: end.to_owned(),
        })
    }

    /// The prompt of a conversation, up to where the assistant's answer begins; at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`ModelError::Template`] when the template refuses the messages, runs too long, or makes or writes too much.
    pub fn render(
        &self,
        messages: &serde_json::Value,
        tools: Option<&serde_json::Value>,
        bytes_max: usize,
    ) -> Result<String, ModelError> {
        let context = context! {
            messages => messages,
            tools => tools,
            add_generation_prompt => true,
            bos_token => self.start,
            eos_token => self.end,
        };
        let text = self.run(context).map_err(|error| unusable(&error))?;
        if text.len() > bytes_max {
            return Err(ModelError::Template(
                "the rendered prompt is too long".to_owned(),
            ));
        }
        Ok(text)
    }

    fn run(&self, context: Value) -> Result<String, Error> {
        let instructions = compile(&self.source)?;
        let environment = environment();
        let blocks = BTreeMap::new();
        let mut text = String::new();
        let mut out = make_string_output(&mut text);
        Vm::new(&environment).eval(&instructions, context, &blocks, &mut out, AutoEscape::None)?;
        drop(out);
        Ok(text)
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
            (
                "{{ 2 * 3 * 'x' }}{{ [1] * 2 }}{{ 1.5 * 2 }}",
                Some("xxxxxx[1, 1]3.0"),
            ),
            ("{% for %}", None),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", None),
            (
                "{% macro f(a, b='!') %}{{ a }}{{ b }}{% endmacro %}{{ f('x') }}{{ f(a='y', b=1) }}",
                Some("x!y1"),
            ),
            (
                "{% for m in messages if m.role == 'user' %}{{ loop.index }}{% else %}-{% endfor %}",
                Some("1"),
            ),
            (
                "{% set n = namespace(a=1) %}{% for i in range(3) %}{% set n.a = n.a + i %}{% endfor %}{{ n.a }}",
                Some("4"),
            ),
            (
                "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ 1 < 2 < 3 }}",
                Some("1True"),
            ),
            (
                "{{ ['a', 'b'] | join('-') }}{{ 'abc'[1:] }}{{ messages[0]['role'] }}{{ 'us' in messages[0].role }}",
                Some("a-bbcuserTrue"),
            ),
            (
                "{{ {'a': [1, 2]} | tojson }}{{ x is defined }}{{ x | default('d') }}{{ 'a' ~ 1 }}",
                Some("{\"a\":[1,2]}Falseda1"),
            ),
            (
                "{% set x %}a{{ 1 + 1 }}{% endset %}{{ x * 2 }}",
                Some("a2a2"),
            ),
            (
                "{% set n = namespace(a=[]) %}{% for c in 'ab' %}{% set n.a = n.a + [c] %}{% endfor %}{{ n.a[1] }}",
                Some("b"),
            ),
        ];
        for (source, expected) in table {
            assert_eq!(render(source).ok().as_deref(), expected, "{source}");
        }
    }

    /// Each would take memory or time without bound if guards were missing: at most a second each is far more than any takes.
    #[test]
    fn costly_templates_are_refused() {
        let doubling = |set: &str| {
            format!(
                "{{% set n = namespace(a='xy') %}}{{% for i in range(99) %}}{{% set n.a = {set} %}}{{% endfor %}}"
            )
        };
        let nesting = |set: &str| {
            format!(
                "{{% set n = namespace(a=[1]) %}}{{% for i in range(99999) %}}{{% set n.a = {set} %}}{{% endfor %}}"
            )
        };
        let table = [
            doubling("n.a ~ n.a"),
            doubling("n.a + n.a"),
            doubling("n.a.replace('y', 'yy') * 2"),
            doubling("[n.a, n.a] | join"),
            doubling("[n.a, n.a]"),
            doubling("{'k': [n.a, n.a]}"),
            doubling("(n.a | list) + (n.a | list)"),
            nesting("[n.a]"),
            nesting("n.a | reverse"),
            nesting("n.a[0:]"),
            nesting("dict(n.a, k=1) if i else {}"),
            nesting("n.a + [1]"),
            "{% set n = namespace() %}{% set n.n = n %}{{ n }}".to_owned(),
            "{% set n = namespace() %}{% set n.n = [n] %}{{ n }}".to_owned(),
            "{% set n = namespace() %}{% macro f() %}{{ n }}{% endmacro %}{% set n.f = f %}".to_owned(),
            "{{ ('x' * 99999999) | length }}".to_owned(),
            "{{ ([1] * 999999999999) | join }}".to_owned(),
            "{{ (['x' * 99999] * 99999) | join | length }}".to_owned(),
            "{{ 'a' | indent(999999999) | length }}".to_owned(),
            "{{ ['a'] | map('indent', 999999999) | list | length }}".to_owned(),
            "{{ [[1]] | tojson(indent=999999999) | length }}".to_owned(),
            "{{ '%999999999d' | format(1) | length }}".to_owned(),
            "{{ '{:999999999}'.format(1) | length }}".to_owned(),
            "{{ 'abc'.count('') }}".to_owned(),
            "{% set x %}{% for i in range(99999) %}{{ 'x' * 999 }}{% endfor %}{% endset %}".to_owned(),
            format!("{{% set x %}}{{% for i in range(99999) %}}{}{{% endfor %}}{{% endset %}}", "x".repeat(9_999)),
            "{% macro f(s) %}{{ s }}{{ s }}{% endmacro %}{% set n = namespace(a='x') %}{% for i in range(99) %}{% set n.a = f(n.a) %}{% endfor %}".to_owned(),
            "{% set s = 'x' * 999999 %}{% for i in range(99999) %}{% if s == s ~ 'y' %}{% endif %}{% endfor %}".to_owned(),
            "{% set s = 'x' * 999999 %}{% for i in range(99999) %}{{ s[999998] }}{% endfor %}".to_owned(),
            "{{ dict(*[1]) }}".to_owned(),
            "{% block a %}{% endblock %}".to_owned(),
            format!("{{{{ a{} }}}}", " + a".repeat(9_999)),
            format!("{{{{ a{} }}}}", " | f".repeat(9_999)),
            format!("{{{{ {}1 }}}}", "-".repeat(9_999)),
            "{{ ('x' * 9999 * 9999) | length }}".to_owned(),
            "{% include 'chat' %}".to_owned(),
        ];
        for source in table {
            let begun = std::time::Instant::now();
            assert!(render(&source).is_err(), "{source}");
            let taken = begun.elapsed();
            assert!(taken.as_secs() < 10, "{source} took {taken:?}");
        }
    }
}
