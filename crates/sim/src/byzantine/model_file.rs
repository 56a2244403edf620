//! Changes to a model's file that leave every length in it as it was, so that it loads like the true one.

use fairweir_exact::{gguf::File, linear::WeightKind};
use std::ops::Range;

/// Where a part of the file stands in it.
fn place(file: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let from = (part.as_ptr() as usize).checked_sub(file.as_ptr() as usize)?;
    let to = from.checked_add(part.len())?;
    (to <= file.len()).then_some(from..to)
}

/// A copy of the file in which the weights of these tensors are changed, with their kind; `None` if nothing changes.
pub(super) fn with_weights(
    file: &[u8],
    is_meant: impl Fn(&str) -> bool,
    change: impl Fn(WeightKind, &mut [u8]),
) -> Option<Vec<u8>> {
    let parsed = File::parse(file).ok()?;
    let mut copy = file.to_vec();
    for name in parsed.tensor_names().filter(|name| is_meant(name)) {
        let tensor = parsed.tensor(name)?;
        change(tensor.kind, copy.get_mut(place(file, tensor.bytes)?)?);
    }
    (copy != file).then_some(copy)
}

/// A copy of the file with a text changed to one of as many bytes.
pub(super) fn with_text(
    file: &[u8],
    key: &str,
    change: impl Fn(&str) -> Option<String>,
) -> Option<Vec<u8>> {
    let parsed = File::parse(file).ok()?;
    let text = parsed.text(key)?;
    let other = change(text).filter(|other| other.len() == text.len() && other != text)?;
    let mut copy = file.to_vec();
    let at = place(file, text.as_bytes())?;
    copy.get_mut(at)?.copy_from_slice(other.as_bytes());
    Some(copy)
}
