//! Money: [`Amount`] in base units.
//!
//! One coin is [`Amount::COIN_BASE_UNITS`] base units. The type cannot hold more than the supply cap, so the sum of any two
//! amounts fits `u64` and no sum of balances that the ledger keeps can overflow it.

use commonware_codec::{Buf, Error, FixedSize, Read, ReadExt, Write};
use core::{fmt, str::FromStr};
use thiserror::Error as ThisError;

/// How a division of money rounds; named at every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero: for what is paid out.
    Down,
    /// Away from zero: for what is owed.
    Up,
}

/// Why an amount cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum AmountError {
    /// The result would exceed the supply cap.
    #[error("amount exceeds the cap of {} base units", Amount::MAX.base_units())]
    AboveCap,
    /// The result would be negative.
    #[error("amount {have} is less than {need} base units")]
    Insufficient {
        /// What there is, in base units.
        have: u64,
        /// What is needed, in base units.
        need: u64,
    },
    /// A ratio with denominator zero.
    #[error("division of an amount by zero")]
    DivisionByZero,
    /// A text that is no amount.
    #[error("expected a decimal number of coins with at most nine places, such as 12.5")]
    Malformed,
}

mod encapsulated {
    /// An amount of money in base units, between 0 and [`Amount::MAX`].
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Amount(u64);

    impl Amount {
        /// Nothing.
        pub const ZERO: Self = Self(0);
        /// The supply cap: two thousand million coins.
        pub const MAX: Self = Self(2_000_000_000 * 1_000_000_000);

        /// The amount of so many base units, or `None` above the cap.
        #[must_use]
        pub const fn from_base_units(base_units: u64) -> Option<Self> {
            if base_units > Self::MAX.0 {
                None
            } else {
                Some(Self(base_units))
            }
        }

        /// The number of base units.
        #[must_use]
        pub const fn base_units(self) -> u64 {
            self.0
        }
    }
}
pub use encapsulated::Amount;

impl Amount {
    /// Base units in one coin (nine decimal places).
    pub const COIN_BASE_UNITS: u64 = 1_000_000_000;

    /// So many whole coins, or `None` above the cap.
    #[must_use]
    pub const fn from_coins(coins: u64) -> Option<Self> {
        match coins.checked_mul(Self::COIN_BASE_UNITS) {
            Some(base_units) => Self::from_base_units(base_units),
            None => None,
        }
    }

    /// `self + other`.
    ///
    /// # Errors
    /// [`AmountError::AboveCap`].
    pub fn checked_add(self, other: Self) -> Result<Self, AmountError> {
        self.base_units()
            .checked_add(other.base_units())
            .and_then(Self::from_base_units)
            .ok_or(AmountError::AboveCap)
    }

    /// `self − other`.
    ///
    /// # Errors
    /// [`AmountError::Insufficient`].
    pub fn checked_sub(self, other: Self) -> Result<Self, AmountError> {
        self.base_units()
            .checked_sub(other.base_units())
            .and_then(Self::from_base_units)
            .ok_or(AmountError::Insufficient {
                have: self.base_units(),
                need: other.base_units(),
            })
    }

    /// `self × numerator ÷ denominator`, through 128 bits, rounded once as named.
    ///
    /// # Errors
    /// [`AmountError::DivisionByZero`] or [`AmountError::AboveCap`].
    pub fn checked_mul_ratio(
        self,
        numerator: u64,
        denominator: u64,
        rounding: Rounding,
    ) -> Result<Self, AmountError> {
        mul_ratio(self.base_units(), numerator, denominator, rounding)
    }

    /// The sum of all parts.
    ///
    /// # Errors
    /// [`AmountError::AboveCap`].
    pub fn sum(parts: impl IntoIterator<Item = Self>) -> Result<Self, AmountError> {
        parts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// The smaller of the two.
    #[must_use]
    pub fn at_most(self, cap: Self) -> Self {
        self.min(cap)
    }
}

/// `value × numerator ÷ denominator` as an amount, rounded once.
///
/// # Errors
/// [`AmountError::DivisionByZero`] or [`AmountError::AboveCap`].
pub fn mul_ratio(
    value: u64,
    numerator: u64,
    denominator: u64,
    rounding: Rounding,
) -> Result<Amount, AmountError> {
    let product = u128::from(value)
        .checked_mul(u128::from(numerator))
        .ok_or(AmountError::AboveCap)?;
    let denominator = u128::from(denominator);
    let quotient = product
        .checked_div(denominator)
        .ok_or(AmountError::DivisionByZero)?;
    let remainder = product
        .checked_rem(denominator)
        .ok_or(AmountError::DivisionByZero)?;
    let rounded = match rounding {
        Rounding::Up if remainder > 0 => quotient.checked_add(1).ok_or(AmountError::AboveCap)?,
        Rounding::Up | Rounding::Down => quotient,
    };
    u64::try_from(rounded)
        .ok()
        .and_then(Amount::from_base_units)
        .ok_or(AmountError::AboveCap)
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coins = self
            .base_units()
            .checked_div(Self::COIN_BASE_UNITS)
            .unwrap_or(0);
        let rest = self
            .base_units()
            .checked_rem(Self::COIN_BASE_UNITS)
            .unwrap_or(0);
        if rest == 0 {
            return write!(f, "{coins}");
        }
        let places = format!("{rest:09}");
        write!(f, "{coins}.{}", places.trim_end_matches('0'))
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (coins, places) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if coins.is_empty()
            || coins.len() > 10
            || places.len() > 9
            || !digits(coins)
            || !digits(places)
            || text.ends_with('.')
        {
            return Err(AmountError::Malformed);
        }
        let coins: u64 = coins.parse().map_err(|_| AmountError::Malformed)?;
        let rest: u64 = format!("{places:0<9}")
            .parse()
            .map_err(|_| AmountError::Malformed)?;
        coins
            .checked_mul(Self::COIN_BASE_UNITS)
            .and_then(|base_units| base_units.checked_add(rest))
            .and_then(Self::from_base_units)
            .ok_or(AmountError::AboveCap)
    }
}

impl Write for Amount {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.base_units().write(buf);
    }
}

impl FixedSize for Amount {
    const SIZE: usize = 8;
}

impl Read for Amount {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        Self::from_base_units(u64::read(buf)?)
            .ok_or(Error::Invalid("Amount", "above the supply cap"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ratio_rounds_once_and_as_named() {
        for (value, numerator, denominator, down, up) in [
            (10, 1, 3, 3, 4),
            (9, 1, 3, 3, 3),
            (0, 7, 3, 0, 0),
            (1, 1, 2, 0, 1),
            (u64::MAX / 8, 1, 2, u64::MAX / 16, u64::MAX / 16 + 1),
        ] {
            assert_eq!(
                mul_ratio(value, numerator, denominator, Rounding::Down)
                    .unwrap()
                    .base_units(),
                down
            );
            assert_eq!(
                mul_ratio(value, numerator, denominator, Rounding::Up)
                    .unwrap()
                    .base_units(),
                up
            );
        }
        assert_eq!(
            mul_ratio(1, 1, 0, Rounding::Up),
            Err(AmountError::DivisionByZero)
        );
        assert_eq!(
            mul_ratio(u64::MAX, u64::MAX, 1, Rounding::Down),
            Err(AmountError::AboveCap)
        );
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            "-1",
            "1e3",
            "1.0000000001",
            " 1",
            "99999999999",
            "1.2.3",
            "+1",
        ] {
            assert!(text.parse::<Amount>().is_err(), "{text:?} parsed");
        }
        assert_eq!(
            "2000000000.000000001".parse::<Amount>(),
            Err(AmountError::AboveCap)
        );
    }

    proptest! {
        #[test]
        fn a_part_and_the_rest_make_the_whole(base_units in 0..=Amount::MAX.base_units(), bps in 0u64..=10_000) {
            let whole = Amount::from_base_units(base_units).unwrap();
            let part = whole.checked_mul_ratio(bps, 10_000, Rounding::Down).unwrap();
            let rest = whole.checked_sub(part).unwrap();
            prop_assert_eq!(part.checked_add(rest).unwrap(), whole);
        }

        #[test]
        fn an_amount_reads_back_as_it_is_shown(base_units in 0..=Amount::MAX.base_units()) {
            let amount = Amount::from_base_units(base_units).unwrap();
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        }
    }
}
