//! Integers with a meaning: two bare `u64` side by side would be a bug.

use crate::{bounded::LengthError, limits::CHAIN_ID_BYTES_MAX};
use commonware_codec::{Buf, EncodeSize, Error, FixedSize, Read, ReadExt, Write};
use core::fmt;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// `self + other`, or `None` on overflow.
            #[must_use]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// `self − other`, or `None` below zero.
            #[must_use]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(rest) => Some(Self(rest)),
                    None => None,
                }
            }

            /// The next one, or `None` at the end of the range.
            #[must_use]
            pub const fn next(self) -> Option<Self> {
                self.checked_add(Self(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Write for $name {
            fn write(&self, buf: &mut impl bytes::BufMut) {
                self.0.write(buf);
            }
        }

        impl FixedSize for $name {
            const SIZE: usize = 8;
        }

        impl Read for $name {
            type Cfg = ();

            fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
                Ok(Self(u64::read(buf)?))
            }
        }
    };
}

quantity! {
    /// The number of a block: genesis is 0.
    Height
}
quantity! {
    /// Milliseconds: a duration, or a time since the Unix epoch where the field says so.
    Millis
}
quantity! {
    /// The number of transactions an account has sent.
    Nonce
}
quantity! {
    /// Metered work in the integer unit of a service kind.
    Units
}
quantity! {
    /// A number of bytes.
    ByteCount
}
quantity! {
    /// Basis points: ten thousandths.
    Bps
}
quantity! {
    /// The number of a proposal; the first is 1.
    ProposalId
}

impl Bps {
    /// The whole: 10,000 basis points.
    pub const WHOLE: u64 = 10_000;
}

/// The name of a chain: 1 to 48 bytes of `a-z`, `0-9` and `-`, the last of which tell its genesis ([`crate::Genesis::tagged`]).
///
/// A chain whose keys `fairweir up` made begins with `dev-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(String);

impl ChainId {
    /// What the id of a development chain begins with.
    pub const DEV_PREFIX: &'static str = "dev-";

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`LengthError`] when the name is empty, too long or has other characters.
    pub fn new(name: &str) -> Result<Self, LengthError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > CHAIN_ID_BYTES_MAX || !name.bytes().all(allowed) {
            return Err(LengthError {
                what: "chain id",
                max: CHAIN_ID_BYTES_MAX,
                found: name.len(),
            });
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a development chain, whose keys deserve no trust.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        self.0.starts_with(Self::DEV_PREFIX)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Write for ChainId {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.0.as_bytes().write(buf);
    }
}

impl EncodeSize for ChainId {
    fn encode_size(&self) -> usize {
        self.0.as_bytes().encode_size()
    }
}

impl Read for ChainId {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let bytes = crate::BoundedBytes::<CHAIN_ID_BYTES_MAX>::read(buf)?;
        let name = core::str::from_utf8(bytes.as_slice())
            .map_err(|_| Error::Invalid("ChainId", "not text"))?;
        Self::new(name).map_err(|_| Error::Invalid("ChainId", "not 1 to 48 of a-z, 0-9 and -"))
    }
}
