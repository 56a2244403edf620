use super::{RESULT_BYTES_MAX, order::Normalise};
use crate::contract::ExecuteError;
use unicode_normalization::UnicodeNormalization;

/// Brings a text into a normal form: code points, line ends, white space before line ends, runs of blank lines.
///
/// Doing it twice changes nothing more.
///
/// # Errors
/// [`ExecuteError::OutputTooLarge`] if the form is longer than any output may be.
pub(super) fn normalise(text: &str, form: Normalise) -> Result<String, ExecuteError> {
    let composed = match form {
        Normalise::Nothing => return Ok(text.to_owned()),
        Normalise::Nfc => collect(text.nfc())?,
        Normalise::Nfkc => collect(text.nfkc())?,
    };
    Ok(collapse_blank_lines(&trim_line_ends(&composed)))
}

/// Takes code points until there are more than any output may have: the compatible form of a hostile text is large.
fn collect(characters: impl Iterator<Item = char>) -> Result<String, ExecuteError> {
    let mut text = String::new();
    for character in characters {
        text.push(character);
        if text.len() > RESULT_BYTES_MAX {
            return Err(ExecuteError::OutputTooLarge {
                max: RESULT_BYTES_MAX,
                found: text.len(),
            });
        }
    }
    Ok(text)
}

fn trim_line_ends(text: &str) -> String {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut trimmed = String::with_capacity(unix.len());
    for (number, line) in unix.split('\n').enumerate() {
        if number > 0 {
            trimmed.push('\n');
        }
        trimmed.push_str(line.trim_end());
    }
    trimmed
}

/// Leaves one of several empty lines in a row. A final line end stays.
pub(super) fn collapse_blank_lines(text: &str) -> String {
    let (body, end) = match text.strip_suffix('\n') {
        Some(body) => (body, "\n"),
        None => (text, ""),
    };
    let mut kept = String::with_capacity(text.len());
    let mut after_blank = false;
    for (number, line) in body.split('\n').enumerate() {
        if line.is_empty() && after_blank {
            continue;
        }
        if number > 0 {
            kept.push('\n');
        }
        kept.push_str(line);
        after_blank = line.is_empty();
    }
    kept.push_str(end);
    kept
}
