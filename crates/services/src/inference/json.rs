//! Which bytes may follow in a JSON object (RFC 8259): keeps answers in JSON mode well formed, byte by byte.

/// Objects and arrays within each other.
const DEPTH_MAX: u32 = 64;
/// Blanks in a row: a model must not fill its answer with them.
const BLANKS_MAX: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    /// After `-`.
    Sign,
    /// After a leading `0`.
    Zero,
    /// Within the whole part.
    Whole,
    /// After the point.
    Point,
    /// Within the fraction.
    Fraction,
    /// After `e`.
    Mark,
    /// After the sign of the exponent.
    PowerSign,
    /// Within the exponent.
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the object.
    Start,
    /// Where a value must come.
    Value,
    /// After `[`: a value or `]`.
    FirstItem,
    /// After `{`: a key or `}`.
    FirstKey,
    /// After a comma in an object.
    Key,
    /// After a key.
    Colon,
    /// After a value.
    AfterValue,
    /// In a string; continuation bytes of a character still to come.
    String { is_key: bool, rest: u8 },
    /// After a backslash.
    Escape { is_key: bool },
    /// In `\uXXXX`: digits still to come.
    Unicode { is_key: bool, rest: u8 },
    /// In a number.
    Number(Digits),
    /// In `true`, `false` or `null`: what is still to come.
    Literal(&'static [u8]),
    /// After the object.
    End,
}

/// How far a JSON object is. Small and without memory of its own, because it is tried with every token of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonObject {
    /// A bit for each open container, the innermost lowest: 1 for an object.
    stack: u64,
    depth: u32,
    place: Place,
    blanks: u8,
}

impl Default for JsonObject {
    fn default() -> Self {
        Self {
            stack: 0,
            depth: 0,
            place: Place::Start,
            blanks: 0,
        }
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl JsonObject {
    /// Whether the object is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.place == Place::End
    }

    /// Takes the bytes if they can follow; else says no, and the state is to be dropped.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.step(*byte))
    }

    /// Whether the bytes can follow.
    #[must_use]
    pub fn admits(&self, bytes: &[u8]) -> bool {
        let mut copy = *self;
        !bytes.is_empty() && copy.take(bytes)
    }

    fn step(&mut self, byte: u8) -> bool {
        let is_inside = matches!(
            self.place,
            Place::String { .. }
                | Place::Escape { .. }
                | Place::Unicode { .. }
                | Place::Literal(_)
                | Place::Number(_)
        );
        if !is_inside && is_blank(byte) {
            self.blanks += 1;
            return self.blanks <= BLANKS_MAX && self.place != Place::End;
        }
        self.blanks = 0;
        match self.place {
            Place::Start => byte == b'{' && self.open(Container::Object),
            Place::Value => self.value(byte),
            Place::FirstItem if byte == b']' => self.close(Container::Array),
            Place::FirstItem => self.value(byte),
            Place::FirstKey if byte == b'}' => self.close(Container::Object),
            Place::FirstKey | Place::Key => {
                byte == b'"'
                    && self.at(Place::String {
                        is_key: true,
                        rest: 0,
                    })
            }
            Place::Colon => byte == b':' && self.at(Place::Value),
            Place::AfterValue => self.after_value(byte),
            Place::String { is_key, rest } => self.string(byte, is_key, rest),
            Place::Escape { is_key } => match byte {
                b'u' => self.at(Place::Unicode { is_key, rest: 4 }),
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                    self.at(Place::String { is_key, rest: 0 })
                }
                _ => false,
            },
            Place::Unicode { is_key, rest } => {
                let next = match rest {
                    1 => Place::String { is_key, rest: 0 },
                    _ => Place::Unicode {
                        is_key,
                        rest: rest - 1,
                    },
                };
                byte.is_ascii_hexdigit() && self.at(next)
            }
            Place::Number(digits) => self.number(byte, digits),
            Place::Literal(rest) => match rest {
                [last] if *last == byte => self.at(Place::AfterValue),
                [first, more @ ..] if *first == byte => self.at(Place::Literal(more)),
                _ => false,
            },
            Place::End => false,
        }
    }

    fn at(&mut self, place: Place) -> bool {
        self.place = place;
        true
    }

    fn open(&mut self, container: Container) -> bool {
        if self.depth >= DEPTH_MAX {
            return false;
        }
        self.depth += 1;
        self.stack = (self.stack << 1) | u64::from(container == Container::Object);
        self.at(match container {
            Container::Object => Place::FirstKey,
            Container::Array => Place::FirstItem,
        })
    }

    const fn innermost(&self) -> Option<Container> {
        match (self.depth, self.stack & 1) {
            (0, _) => None,
            (_, 1) => Some(Container::Object),
            _ => Some(Container::Array),
        }
    }

    fn close(&mut self, container: Container) -> bool {
        if self.innermost() != Some(container) {
            return false;
        }
        self.depth -= 1;
        self.stack >>= 1;
        self.at(if self.depth == 0 {
            Place::End
        } else {
            Place::AfterValue
        })
    }

    fn value(&mut self, byte: u8) -> bool {
        match byte {
            b'{' => self.open(Container::Object),
            b'[' => self.open(Container::Array),
            b'"' => self.at(Place::String {
                is_key: false,
                rest: 0,
            }),
            b'-' => self.at(Place::Number(Digits::Sign)),
            b'0' => self.at(Place::Number(Digits::Zero)),
            b'1'..=b'9' => self.at(Place::Number(Digits::Whole)),
            b't' => self.at(Place::Literal(b"rue")),
            b'f' => self.at(Place::Literal(b"alse")),
            b'n' => self.at(Place::Literal(b"ull")),
            _ => false,
        }
    }

    fn after_value(&mut self, byte: u8) -> bool {
        match (byte, self.innermost()) {
            (b',', Some(Container::Object)) => self.at(Place::Key),
            (b',', Some(Container::Array)) => self.at(Place::Value),
            (b'}', _) => self.close(Container::Object),
            (b']', _) => self.close(Container::Array),
            _ => false,
        }
    }

    fn string(&mut self, byte: u8, is_key: bool, rest: u8) -> bool {
        let inside = |rest| Place::String { is_key, rest };
        if rest > 0 {
            return matches!(byte, 0x80..=0xBF) && self.at(inside(rest - 1));
        }
        match byte {
            b'"' if is_key => self.at(Place::Colon),
            b'"' => self.at(Place::AfterValue),
            b'\\' => self.at(Place::Escape { is_key }),
            0x20..=0x7F => true,
            0xC2..=0xDF => self.at(inside(1)),
            0xE0..=0xEF => self.at(inside(2)),
            0xF0..=0xF4 => self.at(inside(3)),
            _ => false,
        }
    }

    fn number(&mut self, byte: u8, digits: Digits) -> bool {
        use Digits::{Fraction, Mark, Point, Power, PowerSign, Sign, Whole, Zero};
        let next = match (digits, byte) {
            (Sign, b'0') => Some(Zero),
            (Sign, b'1'..=b'9') | (Whole, b'0'..=b'9') => Some(Whole),
            (Zero | Whole, b'.') => Some(Point),
            (Point | Fraction, b'0'..=b'9') => Some(Fraction),
            (Zero | Whole | Fraction, b'e' | b'E') => Some(Mark),
            (Mark, b'+' | b'-') => Some(PowerSign),
            (Mark | PowerSign | Power, b'0'..=b'9') => Some(Power),
            _ => None,
        };
        if let Some(next) = next {
            return self.at(Place::Number(next));
        }
        let may_end = matches!(digits, Zero | Whole | Fraction | Power);
        may_end && self.at(Place::AfterValue) && self.step(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn well_formed_objects_are_taken_and_others_are_not() {
        let table = [
            (r#"{}"#, true, true),
            (
                r#" { "a" : [ 1, -0.5e+7, true, null, "ü\n\u00e9" ], "b": {} }"#,
                true,
                true,
            ),
            (r#"{"a":1"#, true, false),
            (r#"{"a":01}"#, false, false),
            (r#"{"a":1,}"#, false, false),
            (r#"{"a" 1}"#, false, false),
            (r#"[1]"#, false, false),
            (r#"{"a":tru}"#, false, false),
            (r#"{"a":1}x"#, false, false),
            ("{\"a\":\"\n\"}", false, false),
            ("{         }", false, false),
        ];
        for (text, taken, complete) in table {
            let mut object = JsonObject::default();
            assert_eq!(object.take(text.as_bytes()), taken, "{text}");
            if taken {
                assert_eq!(object.is_complete(), complete, "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_to_the_end_parses(bytes in proptest::collection::vec(proptest::sample::select(b"{}[]\",:\\0123.eE+-truefalsn \n\xc3\xa9".to_vec()), 0..64)) {
            let mut object = JsonObject::default();
            if object.take(&bytes) && object.is_complete() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
            }
        }
    }
}
