//! What a run ends in, and begins from: what the output of an answer must be made of.

use super::{
    RefereeError,
    decide::tokens_of,
    tree::{Opened, Section},
};
use crate::trace::Trace;

/// The two ends of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The tokens of the prompt.
    pub prompt: Vec<u32>,
    /// The tokens that were chosen, the one that ended the answer included.
    pub chosen: Vec<u32>,
    /// The trace over all rows.
    pub trace: [u8; 32],
}

/// The ends of a run, from the values in its last places: of its prompt, and of its last row the choice and the trace. `origin` is what a trace
/// begins from, which is also what it ends in where there are no rows.
///
/// Whether the values follow from others is not asked: that is what a game about a cell is for.
///
/// # Errors
/// [`RefereeError::NotShown`], [`RefereeError::Size`] where these are no such values.
pub fn ends(opened: &Opened<'_>, origin: &[u8]) -> Result<Ends, RefereeError> {
    let tokens = |section, index| {
        let bytes = opened.value(section, index)?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(4) {
            return Err(RefereeError::Size);
        }
        Ok(tokens_of(bytes))
    };
    let prompt = tokens(Section::Prompt, 0)?;
    let Some(last) = opened.last(Section::Rows)? else {
        return Ok(Ends {
            prompt,
            chosen: Vec::new(),
            trace: Trace::start(origin).finish(),
        });
    };
    let trace = opened.value(Section::Rows, last)?;
    let trace = trace.try_into().map_err(|_| RefereeError::Size)?;
    let before = last.checked_sub(1).ok_or(RefereeError::Size)?;
    Ok(Ends {
        prompt,
        chosen: tokens(Section::Rows, before)?,
        trace,
    })
}
