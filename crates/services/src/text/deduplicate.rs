use super::{order::Deduplicate, output::Removed};
use std::collections::BTreeSet;

/// Removes what equals something earlier, byte by byte; what stays keeps its order.
pub(super) fn deduplicate(text: String, what: Deduplicate) -> (String, Removed) {
    let mut removed = Removed::default();
    let text = match what {
        Deduplicate::Nothing => text,
        Deduplicate::Lines => lines(&text, &mut removed),
        Deduplicate::Paragraphs => paragraphs(&text, &mut removed),
        Deduplicate::ParagraphsAndLines => {
            let text = paragraphs(&text, &mut removed);
            lines(&text, &mut removed)
        }
    };
    (text, removed)
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

fn lines(text: &str, removed: &mut Removed) -> String {
    let mut seen = BTreeSet::new();
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.strip_suffix('\n').unwrap_or(line);
        if is_blank(content) || seen.insert(content) {
            kept.push_str(line);
        } else {
            removed.lines += 1;
        }
    }
    kept
}

/// A paragraph takes the blank lines after it along, so that no hole stays where it was.
fn paragraphs(text: &str, removed: &mut Removed) -> String {
    let mut seen = BTreeSet::new();
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let body = prefix(rest, |line| !is_blank(line));
        let (paragraph, after) = rest.split_at(body);
        let (gap, next) = after.split_at(prefix(after, is_blank));
        if paragraph.is_empty() || seen.insert(paragraph.trim_end_matches('\n')) {
            kept.push_str(paragraph);
            kept.push_str(gap);
        } else {
            removed.paragraphs += 1;
        }
        rest = next;
    }
    kept
}

/// Bytes of the lines at the beginning for which `holds`.
fn prefix(text: &str, holds: impl Fn(&str) -> bool) -> usize {
    text.split_inclusive('\n')
        .take_while(|line| holds(line))
        .map(str::len)
        .sum()
}
