//! Field-by-field codecs, written once.
//!
//! `record!` and `choice!` implement the canonical encoding: a record is its fields in order of
//! declaration; a choice is one tag byte and then its payload. They generate data handling only,
//! never control flow of the network.

use commonware_codec::{Buf, Copying, Decode, EncodeSize, Error, Read, ReadExt, Write};

/// Decodes a whole value from bytes: bounded by its type, and refusing left-over bytes.
///
/// # Errors
/// The codec's error.
pub fn decode<T: Read<Cfg = ()>>(bytes: &[u8]) -> Result<T, Error> {
    T::decode_cfg(Copying(bytes), &())
}

/// A value on the heap, so that an enum is not as large as its largest variant; encoded as the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boxed<T>(Box<T>);

impl<T> Boxed<T> {
    /// Puts a value on the heap.
    pub fn new(value: T) -> Self {
        Self(Box::new(value))
    }
}

impl<T> core::ops::Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Write> Write for Boxed<T> {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.0.write(buf);
    }
}

impl<T: EncodeSize> EncodeSize for Boxed<T> {
    fn encode_size(&self) -> usize {
        self.0.encode_size()
    }
}

impl<T: Read<Cfg = ()>> Read for Boxed<T> {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        T::read(buf).map(Self::new)
    }
}

/// Implements the canonical encoding for a struct: its fields in the order given here.
macro_rules! record {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                $(commonware_codec::Write::write(&self.$field, buf);)*
                let _ = buf;
            }
        }
        impl commonware_codec::EncodeSize for $name {
            #[allow(clippy::arithmetic_side_effects, clippy::allow_attributes, reason = "a sum of sizes of values in memory; not every record has two fields")]
            fn encode_size(&self) -> usize {
                0 $(+ commonware_codec::EncodeSize::encode_size(&self.$field))*
            }
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(buf: &mut impl commonware_codec::Buf, _: &()) -> Result<Self, commonware_codec::Error> {
                $(let $field = commonware_codec::ReadExt::read(buf)?;)*
                let _ = buf;
                Ok(Self { $($field),* })
            }
        }
    };
}

/// Implements the canonical encoding for a struct of one unnamed field: that of the field.
macro_rules! newtype {
    ($name:ident($inner:ty)) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                commonware_codec::Write::write(&self.0, buf);
            }
        }
        impl commonware_codec::FixedSize for $name {
            const SIZE: usize = <$inner as commonware_codec::FixedSize>::SIZE;
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(
                buf: &mut impl commonware_codec::Buf,
                _: &(),
            ) -> Result<Self, commonware_codec::Error> {
                Ok(Self(<$inner as commonware_codec::ReadExt>::read(buf)?))
            }
        }
    };
}

/// Implements the canonical encoding for an enum whose variants each hold one value.
macro_rules! choice {
    ($name:ident { $($tag:literal => $variant:ident($payload:ty)),* $(,)? }) => {
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                match self {
                    $(Self::$variant(value) => {
                        bytes::BufMut::put_u8(buf, $tag);
                        commonware_codec::Write::write(value, buf);
                    })*
                }
            }
        }
        impl commonware_codec::EncodeSize for $name {
            #[expect(clippy::arithmetic_side_effects, reason = "a sum of sizes of values in memory")]
            fn encode_size(&self) -> usize {
                1 + match self {
                    $(Self::$variant(value) => commonware_codec::EncodeSize::encode_size(value),)*
                }
            }
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(buf: &mut impl commonware_codec::Buf, _: &()) -> Result<Self, commonware_codec::Error> {
                let tag: u8 = commonware_codec::ReadExt::read(buf)?;
                match tag {
                    $($tag => Ok(Self::$variant(<$payload as commonware_codec::ReadExt>::read(buf)?)),)*
                    other => Err(commonware_codec::Error::InvalidEnum(other)),
                }
            }
        }
    };
}

/// Implements the canonical one-byte encoding for an enum without payloads.
macro_rules! tag {
    ($name:ident { $($tag:literal => $variant:ident),* $(,)? }) => {
        impl $name {
            /// The tag byte of the canonical encoding.
            #[must_use]
            pub const fn tag(self) -> u8 {
                match self { $(Self::$variant => $tag,)* }
            }
            /// The variant with this tag byte.
            #[must_use]
            pub const fn from_tag(tag: u8) -> Option<Self> {
                match tag { $($tag => Some(Self::$variant),)* _ => None }
            }
        }
        impl commonware_codec::Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                bytes::BufMut::put_u8(buf, self.tag());
            }
        }
        impl commonware_codec::FixedSize for $name {
            const SIZE: usize = 1;
        }
        impl commonware_codec::Read for $name {
            type Cfg = ();
            fn read_cfg(buf: &mut impl commonware_codec::Buf, _: &()) -> Result<Self, commonware_codec::Error> {
                let tag: u8 = commonware_codec::ReadExt::read(buf)?;
                Self::from_tag(tag).ok_or(commonware_codec::Error::InvalidEnum(tag))
            }
        }
    };
}

pub(crate) use {choice, newtype, record, tag};
