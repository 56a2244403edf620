//! The kind *text*: figures about a text, and the text cleaned up.
//!
//! Steps, each if asked for: normalise (Unicode form, line ends, blank space), remove duplicate paragraphs and lines,
//! replace obvious personal data by labels, count. Counts and digest are of the text *as returned*, so that they check
//! out against it, and so that neither can betray what was redacted.
//!
//! The output is a pure function of the spec on every machine: integers only, no locale, no clock. The tables are those
//! of Unicode 18 (normal forms, scripts) and Unicode 17 (segmentation; letters and white space); [`VERSION`] stands for
//! them and for the rules here. A spec names the version that it is for, so that machines with other tables refuse it
//! in place of disagreeing.
//!
//! Units: input is bytes of the text handed in, output is bytes of the text returned.

mod count;
mod deduplicate;
mod execute;
mod normalise;
mod order;
mod output;
mod redact;
#[cfg(test)]
mod tests;

pub use execute::Engine;
pub use order::{Deduplicate, Normalise, Operations, Redact, TextSpec};
pub use output::{Redacted, Removed, ScriptCount, Statistics, TextOutput, WordCount};

use crate::{
    AnyService, Metered, Recompute, Service,
    contract::{Kind, Served, SpecError},
};
use fairweir_types::order::{Demand, KindId};
use std::sync::Arc;

/// The version of the engine: of its rules and of the Unicode tables that it is built with.
pub const VERSION: u16 = 1;
/// Bytes of text that one order may hand in. Larger texts are several orders.
pub const TEXT_BYTES_MAX: usize = 1_024 * 1_024;
/// Bytes of text that one order may return: three times the input, as much as the normal form C can grow a text, and
/// still one blob.
pub const RESULT_BYTES_MAX: usize = 3 * TEXT_BYTES_MAX;

const _: () = assert!(
    RESULT_BYTES_MAX + output::FIGURES_BYTES_MAX <= fairweir_types::limits::BLOB_BYTES_MAX,
    "an output fits one blob"
);
const _: () = {
    let normal = unicode_normalization::UNICODE_VERSION;
    let segments = unicode_segmentation::UNICODE_VERSION;
    let scripts = unicode_script::UNICODE_VERSION;
    let letters = char::UNICODE_VERSION;
    assert!(
        normal.0 == 18 && segments.0 == 17 && scripts.0 == 18 && letters.0 == 17,
        "other Unicode tables give other outputs: raise VERSION and the docs with them"
    );
};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Kind for Text {
    const ID: KindId = KindId(1);
    const VERSION: u16 = VERSION;
    const NAME: &'static str = "text";
    const SPEC_BYTES_MAX: usize = TEXT_BYTES_MAX + order::OPTIONS_BYTES_MAX;
    type Spec = TextSpec;
    type Output = TextOutput;

    fn demand(spec: &TextSpec) -> Result<Demand, SpecError> {
        order::demand(spec)
    }
}

impl Served for Text {
    fn service() -> Arc<dyn AnyService> {
        Arc::new(Service::<Text, _, _, _>::new(
            Engine,
            Recompute(Engine),
            Metered,
        ))
    }
}
