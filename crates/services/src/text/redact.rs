//! Finds obvious personal data with scanners written by hand: one look at each position, each look bounded.
//!
//! Conservative where a number could be anything: a card must pass Luhn's check, an IBAN its country's length and
//! ISO 7064 mod 97-10, a telephone number must be international (`+…`). What is found is replaced by a label.

use super::output::Redacted;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Passes over a text at most: a label can uncover a neighbour, such as an address that ended in a card number.
const PASSES_MAX: usize = 8;
/// Characters of the part of an email address before the `@` (RFC 5321).
const LOCAL_MAX: usize = 64;
/// Characters of a domain (RFC 1035).
const DOMAIN_MAX: usize = 253;
/// Digits of a payment card number (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Digits of an international telephone number: at most 15 (E.164); fewer than 8 could be anything.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// Bytes of the longest IPv6 address in text.
const IPV6_BYTES_MAX: usize = 45;
/// Bytes of the shortest IPv6 address that is taken for one, so that a label is at most one and a half times as long.
const IPV6_BYTES_MIN: usize = 4;

/// Lengths of IBANs by country (SWIFT IBAN registry).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Email,
    Phone,
    Iban,
    Card,
    Ipv4,
    Ipv6,
}

impl Label {
    const fn text(self) -> &'static str {
        match self {
            Self::Email => "[EMAIL]",
            Self::Phone => "[PHONE]",
            Self::Iban => "[IBAN]",
            Self::Card => "[CARD]",
            Self::Ipv4 => "[IPV4]",
            Self::Ipv6 => "[IPV6]",
        }
    }

    const fn count(self, redacted: &mut Redacted) {
        let count = match self {
            Self::Email => &mut redacted.emails,
            Self::Phone => &mut redacted.phones,
            Self::Iban => &mut redacted.ibans,
            Self::Card => &mut redacted.cards,
            Self::Ipv4 => &mut redacted.ipv4,
            Self::Ipv6 => &mut redacted.ipv6,
        };
        *count += 1;
    }
}

type Find = (Range<usize>, Label);

/// Replaces personal data by labels, until nothing more is found.
pub(super) fn redact(text: &str) -> (String, Redacted) {
    let mut redacted = Redacted::default();
    let mut text = text.to_owned();
    for _ in 0..PASSES_MAX {
        let finds = find(&text);
        if finds.is_empty() {
            break;
        }
        text = replace(&text, &finds, &mut redacted);
    }
    (text, redacted)
}

fn replace(text: &str, finds: &[Find], redacted: &mut Redacted) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut from = 0;
    for (range, label) in finds {
        replaced.push_str(&text[from..range.start]);
        replaced.push_str(label.text());
        label.count(redacted);
        from = range.end;
    }
    replaced.push_str(&text[from..]);
    replaced
}

/// Everything in the text that is to be replaced, in order and apart.
fn find(text: &str) -> Vec<Find> {
    let mut finds = Vec::new();
    let mut from = 0;
    for email in emails(text) {
        numbers(text, from..email.start, &mut finds);
        from = email.end;
        finds.push((email, Label::Email));
    }
    numbers(text, from..text.len(), &mut finds);
    finds
}

fn emails(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let floor = found.last().map_or(0, |last| last.end);
        if floor > at {
            continue;
        }
        let Some(start) = local_start(&text[floor..at]) else {
            continue;
        };
        if let Some(length) = domain_length(&text[at + 1..]) {
            found.push(floor + start..at + 1 + length);
        }
    }
    found
}

/// Where the local part at the end of `before` begins.
fn local_start(before: &str) -> Option<usize> {
    if before.ends_with('.') {
        return None;
    }
    let is_local = |character: char| character.is_alphanumeric() || "._%+-".contains(character);
    let length: usize = before
        .chars()
        .rev()
        .take(LOCAL_MAX + 1)
        .take_while(|character| is_local(*character))
        .map(char::len_utf8)
        .sum();
    let part = &before[before.len() - length..];
    let trimmed = part.trim_start_matches(|character: char| !character.is_alphanumeric());
    let fits = !trimmed.is_empty() && trimmed.chars().count() <= LOCAL_MAX;
    fits.then(|| before.len() - trimmed.len())
}

/// Bytes of the domain at the beginning of `after`: labels and a top level of two letters or more.
fn domain_length(after: &str) -> Option<usize> {
    let length: usize = after
        .chars()
        .take(DOMAIN_MAX)
        .take_while(|character| character.is_alphanumeric() || matches!(character, '.' | '-'))
        .map(char::len_utf8)
        .sum();
    let run = after[..length].trim_end_matches(['.', '-']);
    let domain = run.split_once("..").map_or(run, |(domain, _)| domain);
    let (host, top) = domain.rsplit_once('.')?;
    let is_top = top.chars().count() >= 2
        && (top.chars().all(char::is_alphabetic) || top.starts_with("xn--"));
    let is_host = host
        .split('.')
        .all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    (is_top && is_host).then_some(domain.len())
}

/// Whether a word or number could begin at `at`.
fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn ends(text: &str, at: usize) -> bool {
    !text[at..].chars().next().is_some_and(is_word)
}

/// Finds everything but email addresses within a range of the text.
fn numbers(text: &str, range: Range<usize>, finds: &mut Vec<Find>) {
    let bytes = text.as_bytes();
    let mut at = range.start;
    while at < range.end {
        let byte = bytes[at];
        let is_candidate = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b':');
        let previous = if is_candidate { before(text, at) } else { None };
        if is_candidate && !previous.is_some_and(is_word) {
            let window = &text[at..range.end];
            let find = number(window, previous, |length| ends(text, at + length));
            if let Some((length, label)) = find {
                finds.push((at..at + length, label));
                at += length;
                continue;
            }
        }
        // Labels and numbers are ASCII: the bytes inside other characters are no candidates.
        at += 1;
    }
}

/// The number at the beginning of `window`, and its length. `ends` says whether nothing continues it.
fn number(
    window: &str,
    previous: Option<char>,
    ends: impl Fn(usize) -> bool,
) -> Option<(usize, Label)> {
    let after_dot = matches!(previous, Some('.'));
    let bytes = window.as_bytes();
    let first = *bytes.first()?;
    if first == b'+' {
        let is_start = previous != Some('+');
        return is_start
            .then(|| phone(&bytes[1..], |length| ends(length + 1)))
            .flatten()
            .map(|length| (length + 1, Label::Phone));
    }
    let found = |length: Option<usize>, label| {
        length
            .filter(|length| ends(*length))
            .map(|length| (length, label))
    };
    if first.is_ascii_uppercase() {
        let iban = found(iban(bytes), Label::Iban);
        if iban.is_some() {
            return iban;
        }
    }
    if first.is_ascii_digit() {
        let card = card(bytes, &ends).map(|length| (length, Label::Card));
        if card.is_some() {
            return card;
        }
        if !after_dot {
            let ipv4 = found(ipv4(window), Label::Ipv4);
            if ipv4.is_some() {
                return ipv4;
            }
        }
    }
    if after_dot || previous == Some(':') {
        return None;
    }
    found(ipv6(window), Label::Ipv6)
}

/// Digits in groups, and after how many bytes each group of them ends; at most `digits_max` digits.
struct Groups {
    digits: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

/// Reads groups of digits apart by at most `gap_max` separators.
fn groups(bytes: &[u8], separators: &[u8], gap_max: usize, digits_max: usize) -> Groups {
    let mut found = Groups {
        digits: Vec::new(),
        ends: Vec::new(),
    };
    let mut gap = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if byte.is_ascii_digit() {
            if found.digits.len() == digits_max {
                break;
            }
            gap = 0;
            found.digits.push(byte - b'0');
            if !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                found.ends.push((found.digits.len(), at + 1));
            }
        } else if separators.contains(byte) && gap < gap_max && !found.digits.is_empty() {
            gap += 1;
        } else {
            break;
        }
    }
    found
}

fn card(bytes: &[u8], ends: impl Fn(usize) -> bool) -> Option<usize> {
    // Issuers of payment cards have numbers that begin with 2 to 6.
    if !matches!(bytes.first(), Some(b'2'..=b'6')) {
        return None;
    }
    let groups = groups(bytes, b" -", 1, *CARD_DIGITS.end());
    groups
        .ends
        .iter()
        .rev()
        .find(|(count, end)| {
            CARD_DIGITS.contains(count) && ends(*end) && is_luhn(&groups.digits[..*count])
        })
        .map(|(_, end)| *end)
}

/// Luhn's check (ISO/IEC 7812-1, annex B).
fn is_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(*digit) * if place % 2 == 1 { 2 } else { 1 };
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

fn phone(bytes: &[u8], ends: impl Fn(usize) -> bool) -> Option<usize> {
    if !matches!(bytes.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let groups = groups(bytes, b" -./()", 2, *PHONE_DIGITS.end());
    groups
        .ends
        .iter()
        .rev()
        .find(|(count, end)| PHONE_DIGITS.contains(count) && ends(*end))
        .map(|(_, end)| *end)
}

fn iban(bytes: &[u8]) -> Option<usize> {
    let country = bytes.get(..2)?;
    let (_, length) = IBAN_LENGTHS
        .iter()
        .find(|(known, _)| known.as_slice() == country)?;
    let mut characters = Vec::with_capacity(*length);
    let mut at = 0;
    while characters.len() < *length {
        let byte = *bytes.get(at)?;
        let is_gap = byte == b' '
            && characters.len().is_multiple_of(4)
            && bytes.get(at.checked_sub(1)?) != Some(&b' ');
        if byte.is_ascii_uppercase() || byte.is_ascii_digit() {
            characters.push(byte);
        } else if !is_gap {
            return None;
        }
        at += 1;
    }
    let is_checked = characters[2].is_ascii_digit() && characters[3].is_ascii_digit();
    (is_checked && is_mod_97(&characters)).then_some(at)
}

/// The check of ISO 13616: the first four characters moved to the end, letters as 10 to 35, is 1 modulo 97.
fn is_mod_97(characters: &[u8]) -> bool {
    let (head, body) = characters.split_at(4);
    let remainder = body.iter().chain(head).fold(0u32, |remainder, byte| {
        if byte.is_ascii_digit() {
            (remainder * 10 + u32::from(byte - b'0')) % 97
        } else {
            (remainder * 100 + u32::from(byte - b'A') + 10) % 97
        }
    });
    remainder == 1
}

/// The run of accepted bytes at the beginning, if it is not longer than `max`.
fn run(window: &str, max: usize, accepts: impl Fn(u8) -> bool) -> Option<&str> {
    let length = window
        .bytes()
        .take(max + 1)
        .take_while(|byte| accepts(*byte))
        .count();
    if length > max {
        return None;
    }
    window.get(..length)
}

fn ipv4(window: &str) -> Option<usize> {
    // One more byte for a full stop after the address.
    let run = run(window, 16, |byte| byte.is_ascii_digit() || byte == b'.')?;
    let address = run.strip_suffix('.').unwrap_or(run);
    address.parse::<Ipv4Addr>().ok().map(|_| address.len())
}

fn ipv6(window: &str) -> Option<usize> {
    let accepts = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let run = run(window, IPV6_BYTES_MAX + 1, accepts)?;
    let shorter = run.strip_suffix(['.', ':']).unwrap_or(run);
    [run, shorter]
        .into_iter()
        .find(|address| {
            address.len() >= IPV6_BYTES_MIN
                && address.bytes().any(|byte| byte.is_ascii_digit())
                && address.parse::<Ipv6Addr>().is_ok()
        })
        .map(str::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_personal_is_found_and_what_is_not_is_left() {
        let table = [
            // Email addresses.
            ("mail bob@example.org.", "mail [EMAIL]."),
            ("<a.b+c@sub.example.co.uk>", "<[EMAIL]>"),
            ("mailto:x_1@y.de,z@w.fr", "mailto:[EMAIL],[EMAIL]"),
            ("jörg@bücher.example", "[EMAIL]"),
            (
                "bob@localhost, @handle, a@b, a@b.c, x.@y.de",
                "bob@localhost, @handle, a@b, a@b.c, x.@y.de",
            ),
            ("a@b..de", "a@b..de"),
            // Telephone numbers.
            ("call +49 (0)30 123456-78 now", "call [PHONE] now"),
            ("+14155552671", "[PHONE]"),
            (
                "1+14155552671, +0123456789, 030 123456, 2+2",
                "1+14155552671, +0123456789, 030 123456, 2+2",
            ),
            ("+123456789012345678", "+123456789012345678"),
            // IBANs.
            ("DE89370400440532013000", "[IBAN]"),
            ("to GB82 WEST 1234 5698 7654 32!", "to [IBAN]!"),
            ("DE89370400440532013001", "DE89370400440532013001"),
            ("XX89370400440532013000", "XX89370400440532013000"),
            ("ADE89370400440532013000", "ADE89370400440532013000"),
            // Cards.
            ("4111 1111 1111 1111", "[CARD]"),
            ("4111-1111-1111-1111 2024", "[CARD] 2024"),
            ("1234 4111111111111111", "1234 [CARD]"),
            ("4111111111111112", "4111111111111112"),
            ("0000000000000000", "0000000000000000"),
            ("x4111111111111111", "x4111111111111111"),
            ("41111111111111111111", "41111111111111111111"),
            // Addresses of machines.
            ("at 192.0.2.17.", "at [IPV4]."),
            (
                "1.2.3.4.5 256.1.1.1 01.2.3.4 v1.2.3",
                "1.2.3.4.5 256.1.1.1 01.2.3.4 v1.2.3",
            ),
            ("2001:db8::1, fe80::1%eth0", "[IPV6], [IPV6]%eth0"),
            (
                "::1 :: 12:34:56 std::vec dead::beef",
                "::1 :: 12:34:56 std::vec dead::beef",
            ),
            ("::ffff:192.0.2.1", "[IPV6]"),
            // A label uncovers its neighbour.
            ("bob@x.com-4111111111111111", "[EMAIL]-[CARD]"),
        ];
        for (text, expected) in table {
            assert_eq!(redact(text).0, expected, "{text}");
        }
    }

    #[test]
    fn each_kind_is_counted() {
        let (_, redacted) = redact(
            "a@b.de +14155552671 DE89370400440532013000 4111111111111111 1.2.3.4 2001:db8::1 c@d.fr",
        );
        let expected = Redacted {
            emails: 2,
            phones: 1,
            ibans: 1,
            cards: 1,
            ipv4: 1,
            ipv6: 1,
        };
        assert_eq!(redacted, expected);
        assert_eq!(redacted.total(), 7);
    }
}
