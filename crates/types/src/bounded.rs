//! Lists, bytes and texts that cannot be longer than their type says.

use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt, Write};
use core::fmt;
use thiserror::Error as ThisError;

/// Something is longer than its limit, or holds what it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("{what} must be well-formed and at most {max} long, found length {found}")]
pub struct LengthError {
    /// What is too long.
    pub what: &'static str,
    /// The limit.
    pub max: usize,
    /// The length found.
    pub found: usize,
}

/// At most `MAX` values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundedVec<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for BoundedVec<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> BoundedVec<T, MAX> {
    /// Takes the values if they are not too many.
    ///
    /// # Errors
    /// [`LengthError`].
    pub fn new(values: Vec<T>) -> Result<Self, LengthError> {
        if values.len() > MAX {
            return Err(LengthError {
                what: "list",
                max: MAX,
                found: values.len(),
            });
        }
        Ok(Self(values))
    }

    /// Takes the first `MAX` values and drops the rest; for reports, never for rules.
    #[must_use]
    pub fn truncating(values: impl IntoIterator<Item = T>) -> Self {
        Self(values.into_iter().take(MAX).collect())
    }

    /// Adds a value if there is room.
    ///
    /// # Errors
    /// [`LengthError`].
    pub fn push(&mut self, value: T) -> Result<(), LengthError> {
        if self.0.len() >= MAX {
            return Err(LengthError {
                what: "list",
                max: MAX,
                found: self.0.len(),
            });
        }
        self.0.push(value);
        Ok(())
    }

    /// The values.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The values, to change in place.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    /// The values, in order.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values, owned.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a BoundedVec<T, MAX> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Write, const MAX: usize> Write for BoundedVec<T, MAX> {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.0.len().write(buf);
        for value in &self.0 {
            value.write(buf);
        }
    }
}

impl<T: EncodeSize, const MAX: usize> EncodeSize for BoundedVec<T, MAX> {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a sum of sizes of values in memory"
    )]
    fn encode_size(&self) -> usize {
        self.0.len().encode_size() + self.0.iter().map(EncodeSize::encode_size).sum::<usize>()
    }
}

impl<T: Read<Cfg = ()>, const MAX: usize> Read for BoundedVec<T, MAX> {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let len = usize::read_cfg(buf, &RangeCfg::new(0..=MAX))?;
        // A hostile length is at most MAX, but a value may be large: grow as values arrive.
        let mut values = Vec::new();
        for _ in 0..len {
            values.push(T::read(buf)?);
        }
        Ok(Self(values))
    }
}

/// At most `MAX` bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundedBytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> BoundedBytes<MAX> {
    /// Takes the bytes if they are not too many.
    ///
    /// # Errors
    /// [`LengthError`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, LengthError> {
        if bytes.len() > MAX {
            return Err(LengthError {
                what: "bytes",
                max: MAX,
                found: bytes.len(),
            });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> fmt::Debug for BoundedBytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<const MAX: usize> Write for BoundedBytes<MAX> {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.0.as_slice().write(buf);
    }
}

impl<const MAX: usize> EncodeSize for BoundedBytes<MAX> {
    fn encode_size(&self) -> usize {
        self.0.as_slice().encode_size()
    }
}

impl<const MAX: usize> Read for BoundedBytes<MAX> {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let len = usize::read_cfg(buf, &RangeCfg::new(0..=MAX))?;
        if bytes::Buf::remaining(buf) < len {
            return Err(Error::EndOfBuffer);
        }
        let mut bytes = vec![0; len];
        bytes::Buf::copy_to_slice(buf, &mut bytes);
        Ok(Self(bytes))
    }
}

/// At most `MAX` bytes of text without control characters.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundedText<const MAX: usize>(String);

impl<const MAX: usize> BoundedText<MAX> {
    /// Takes the text if it is short enough and has no control characters, which could forge a terminal's output.
    ///
    /// # Errors
    /// [`LengthError`].
    pub fn new(text: &str) -> Result<Self, LengthError> {
        if text.len() > MAX || text.chars().any(char::is_control) {
            return Err(LengthError {
                what: "text",
                max: MAX,
                found: text.len(),
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// Takes as much of the text as fits, without control characters; for reports, never for rules.
    #[must_use]
    pub fn truncating(text: &str) -> Self {
        let mut kept = String::new();
        for character in text.chars().filter(|character| !character.is_control()) {
            if kept.len().saturating_add(character.len_utf8()) > MAX {
                break;
            }
            kept.push(character);
        }
        Self(kept)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for BoundedText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for BoundedText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> Write for BoundedText<MAX> {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.0.as_bytes().write(buf);
    }
}

impl<const MAX: usize> EncodeSize for BoundedText<MAX> {
    fn encode_size(&self) -> usize {
        self.0.as_bytes().encode_size()
    }
}

impl<const MAX: usize> Read for BoundedText<MAX> {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let bytes = BoundedBytes::<MAX>::read(buf)?.into_vec();
        let text =
            String::from_utf8(bytes).map_err(|_| Error::Invalid("BoundedText", "not UTF-8"))?;
        Self::new(&text).map_err(|_| Error::Invalid("BoundedText", "control characters"))
    }
}
