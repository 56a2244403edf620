//! Canonical encodings for the specs and outputs of kinds.

use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, Write};
use core::fmt;
use fairweir_types::LengthError;

/// At most `MAX` bytes of any UTF-8 text, control characters included: for what people hand in, not for messages.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Passage<const MAX: usize>(String);

impl<const MAX: usize> Passage<MAX> {
    /// Takes the text if it is short enough.
    ///
    /// # Errors
    /// [`LengthError`].
    pub fn new(text: String) -> Result<Self, LengthError> {
        if text.len() > MAX {
            return Err(LengthError {
                what: "text",
                max: MAX,
                found: text.len(),
            });
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<const MAX: usize> fmt::Debug for Passage<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of text", self.0.len())
    }
}

impl<const MAX: usize> Write for Passage<MAX> {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.0.as_bytes().write(buf);
    }
}

impl<const MAX: usize> EncodeSize for Passage<MAX> {
    fn encode_size(&self) -> usize {
        self.0.as_bytes().encode_size()
    }
}

impl<const MAX: usize> Read for Passage<MAX> {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let len = usize::read_cfg(buf, &RangeCfg::new(0..=MAX))?;
        if bytes::Buf::remaining(buf) < len {
            return Err(Error::EndOfBuffer);
        }
        let mut bytes = vec![0; len];
        bytes::Buf::copy_to_slice(buf, &mut bytes);
        String::from_utf8(bytes)
            .map(Self)
            .map_err(|_| Error::Invalid("Passage", "not UTF-8"))
    }
}

/// Implements the canonical encoding for a struct: its fields in the order given here.
macro_rules! record {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                $(commonware_codec::Write::write(&self.$field, buf);)+
            }
        }
        impl commonware_codec::EncodeSize for $name {
            fn encode_size(&self) -> usize {
                0 $(+ commonware_codec::EncodeSize::encode_size(&self.$field))+
            }
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(
                buf: &mut impl commonware_codec::Buf,
                (): &(),
            ) -> Result<Self, commonware_codec::Error> {
                $(let $field = commonware_codec::ReadExt::read(buf)?;)+
                Ok(Self { $($field),+ })
            }
        }
    };
}

/// Implements the canonical one-byte encoding for an enum without payloads.
macro_rules! tag {
    ($name:ident { $($tag:literal => $variant:ident),+ $(,)? }) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                let tag: u8 = match self { $(Self::$variant => $tag,)+ };
                commonware_codec::Write::write(&tag, buf);
            }
        }
        impl commonware_codec::FixedSize for $name {
            const SIZE: usize = 1;
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(
                buf: &mut impl commonware_codec::Buf,
                (): &(),
            ) -> Result<Self, commonware_codec::Error> {
                let tag: u8 = commonware_codec::ReadExt::read(buf)?;
                match tag {
                    $($tag => Ok(Self::$variant),)+
                    other => Err(commonware_codec::Error::InvalidEnum(other)),
                }
            }
        }
    };
}

#[cfg(feature = "inference")]
/// Implements the canonical encoding for an enum whose variants each hold one value.
macro_rules! choice {
    ($name:ident { $($tag:literal => $variant:ident($payload:ty)),+ $(,)? }) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                match self {
                    $(Self::$variant(value) => {
                        bytes::BufMut::put_u8(buf, $tag);
                        commonware_codec::Write::write(value, buf);
                    })+
                }
            }
        }
        impl commonware_codec::EncodeSize for $name {
            fn encode_size(&self) -> usize {
                1 + match self {
                    $(Self::$variant(value) => commonware_codec::EncodeSize::encode_size(value),)+
                }
            }
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(
                buf: &mut impl commonware_codec::Buf,
                (): &(),
            ) -> Result<Self, commonware_codec::Error> {
                let tag: u8 = commonware_codec::ReadExt::read(buf)?;
                match tag {
                    $($tag => Ok(Self::$variant(<$payload as commonware_codec::ReadExt>::read(buf)?)),)+
                    other => Err(commonware_codec::Error::InvalidEnum(other)),
                }
            }
        }
    };
}

/// Implements the canonical encoding for a struct around one value.
#[cfg(feature = "inference")]
macro_rules! newtype {
    ($name:ident($inner:ty)) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                commonware_codec::Write::write(&self.0, buf);
            }
        }
        impl commonware_codec::EncodeSize for $name {
            fn encode_size(&self) -> usize {
                commonware_codec::EncodeSize::encode_size(&self.0)
            }
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(
                buf: &mut impl commonware_codec::Buf,
                (): &(),
            ) -> Result<Self, commonware_codec::Error> {
                Ok(Self(<$inner as commonware_codec::ReadExt>::read(buf)?))
            }
        }
    };
}

#[cfg(feature = "inference")]
pub(crate) use {choice, newtype};
pub(crate) use {record, tag};
