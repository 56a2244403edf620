//! Cursors: the number of a row, as sixteen hexadecimal digits that nobody should read anything into.

use super::failure::Failure;

/// What a cursor looks like: the first digit keeps it within a signed number.
pub(crate) const PATTERN: &str = "^[0-7][0-9a-f]{15}$";

pub(crate) fn write(seq: i64) -> String {
    format!("{seq:016x}")
}

pub(crate) fn read(text: &str) -> Result<i64, Failure> {
    let is_form = text.len() == 16
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    is_form
        .then(|| i64::from_str_radix(text, 16).ok())
        .flatten()
        .ok_or_else(|| Failure::malformed("cursor", "is what `next` or `cursor` of an answer said"))
}
