//! From tokens to text: whole characters, up to a stop text.

/// The text of an answer as it grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    text: String,
    /// Bytes of a character that is not complete.
    tail: Vec<u8>,
    /// Bytes of the text that were handed on.
    told: usize,
    stops: Vec<String>,
}

impl Writer {
    pub(super) fn new(stops: Vec<String>) -> Self {
        Self {
            stops,
            ..Self::default()
        }
    }

    /// Adds a token's bytes; says whether a stop text came, and then ends the text before it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        self.tail.extend_from_slice(bytes);
        let before = self.text.len();
        self.take_characters();
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let mut from = before.saturating_sub(longest);
        while !self.text.is_char_boundary(from) {
            from -= 1;
        }
        let recent = self.text.get(from..).unwrap_or_default();
        let found = self
            .stops
            .iter()
            .filter_map(|stop| recent.find(stop.as_str()))
            .min();
        if let Some(at) = found {
            self.text.truncate(from + at);
            self.tail.clear();
        }
        found.is_some()
    }

    /// Moves whole characters from the tail to the text; what can become no character becomes U+FFFD.
    fn take_characters(&mut self) {
        loop {
            match core::str::from_utf8(&self.tail) {
                Ok(text) => {
                    self.text.push_str(text);
                    self.tail.clear();
                    return;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    let head = self.tail.get(..valid).unwrap_or_default();
                    self.text.push_str(&String::from_utf8_lossy(head));
                    let Some(bad) = error.error_len() else {
                        self.tail.drain(..valid);
                        return;
                    };
                    self.text.push(char::REPLACEMENT_CHARACTER);
                    self.tail.drain(..valid + bad);
                }
            }
        }
    }

    /// The text that is new and certain: no part of what may become a stop text.
    pub(super) fn certain(&mut self) -> String {
        let held_for = |stop: &String| {
            (1..stop.len()).rev().find(|len| {
                stop.get(..*len)
                    .is_some_and(|start| self.text.ends_with(start))
            })
        };
        let held = self.stops.iter().filter_map(held_for).max().unwrap_or(0);
        let end = self.text.len().saturating_sub(held).max(self.told);
        self.tell(end)
    }

    /// All the text that is new: the answer ended.
    pub(super) fn rest(&mut self) -> String {
        if !self.tail.is_empty() {
            let tail = core::mem::take(&mut self.tail);
            self.text.push_str(&String::from_utf8_lossy(&tail));
        }
        self.tell(self.text.len())
    }

    fn tell(&mut self, end: usize) -> String {
        let new = self.text.get(self.told..end).unwrap_or_default().to_owned();
        self.told = self.told.max(end);
        new
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stop texts, tokens, what each tells, the whole text.
    type Row<'a> = (&'a [&'a str], &'a [&'a [u8]], &'a [&'a str], &'a str);

    #[test]
    fn characters_and_stop_texts_may_be_cut_anywhere() {
        let table: [Row<'_>; 5] = [
            (&[], &[b"a", b"\xc3", b"\xbc!"], &["a", "", "ü!"], "aü!"),
            (&[], &[b"a\xff", b"b"], &["a\u{fffd}", "b"], "a\u{fffd}b"),
            (&["END"], &[b"xE", b"N", b"x"], &["x", "", "ENx"], "xENx"),
            (&["END"], &[b"xE", b"ND", b"never"], &["x", ""], "x"),
            (&["\n\n", "b"], &[b"a\n", b"cbd"], &["a", "\nc"], "a\nc"),
        ];
        for (stops, tokens, told, whole) in table {
            let mut writer = Writer::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
            let mut parts = Vec::new();
            for token in tokens {
                let is_end = writer.push(token);
                parts.push(if is_end {
                    writer.rest()
                } else {
                    writer.certain()
                });
                if is_end {
                    break;
                }
            }
            assert_eq!(parts, told);
            assert_eq!(parts.concat() + &writer.rest(), whole);
            assert_eq!(writer.into_text(), whole);
        }
    }
}
