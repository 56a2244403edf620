//! Sums over all records that are zero as long as the invariants hold.

use super::weigh;
use crate::state::State;
use commonware_codec::{Buf, EncodeSize, Error, Read, ReadExt, Write};
use fairweir_types::invariant::Invariant;

/// What a sum is a sum of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What there is, without what is said to be: any other value than was known is wrong.
    Difference,
    /// The same, but less of it is no new fault.
    Shrinking,
    /// Records that are wrong in themselves: only more of them are worse.
    Wrong,
}

macro_rules! sums {
    ($($(#[$doc:meta])* $field:ident: $invariant:ident, $kind:ident;)*) => {
        /// What one record contributes to each sum, or many together. Nothing overflows: each is a sum of some billions of amounts or counts at most, in 128 bits; and were it
        /// to, it would be wrong on all machines alike, and not zero.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Imbalances {
            $($(#[$doc])* pub(crate) $field: i128,)*
        }

        const COUNT: usize = [$(stringify!($field)),*].len();

        /// To which invariant each sum belongs, its kind, and its name.
        const MEANING: [(Invariant, Kind, &str); COUNT] =
            [$((Invariant::$invariant, Kind::$kind, stringify!($field))),*];

        impl Imbalances {
            const fn parts(&self) -> [i128; COUNT] {
                [$(self.$field),*]
            }

            const fn of_parts([$($field),*]: [i128; COUNT]) -> Self {
                Self { $($field),* }
            }

            /// Adds to each sum.
            pub(crate) const fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }

            /// Takes off each sum.
            pub(crate) const fn take(&mut self, other: &Self) {
                $(self.$field = self.$field.saturating_sub(other.$field);)*
            }
        }
    };
}

sums! {
    /// Money in records, without what was there at genesis and minted, and with what was burned.
    money: Supply, Difference;
    /// Records that do not read.
    unreadable: Records, Wrong;
    /// Exposure of stakes, without that of open slots.
    exposure: Exposure, Shrinking;
    /// Exposure of offers, without that of open slots.
    offered: Exposure, Shrinking;
    /// Open slots of offers, without slots that have a worker.
    assigned: Exposure, Shrinking;
    /// Slots, without timers.
    timers: Timers, Shrinking;
    /// Listed offers, without their counter.
    offers: Counters, Shrinking;
    /// Verifiers, without their counter.
    verifiers: Counters, Shrinking;
    /// Orders, without their counter.
    orders: Counters, Shrinking;
    /// Open slots that orders count, without slots.
    slots: Counters, Shrinking;
    /// Roles that stakes count, without listed offers and verifiers.
    roles: Counters, Shrinking;
    /// What stakes weigh in votes, without what governance says is bonded.
    bonded: Governance, Shrinking;
    /// Open proposals, without timers of proposals.
    proposals: Governance, Shrinking;
    /// Proposals that wait for their deposit, without their counter.
    waiting: Governance, Shrinking;
    /// What penalty motions charge, without what stakes are charged.
    charged: Governance, Shrinking;
    /// Shares of candidates that count, without those of delegations.
    shares: Delegations, Shrinking;
    /// Shares of candidates on their way back, without the entries of such.
    leaving: Delegations, Shrinking;
    /// Shares of delegations that moved, without the entries of such.
    moved: Delegations, Shrinking;
    /// What stakes say is delegated, without the shares of delegations.
    delegated: Delegations, Shrinking;
    /// Shares of others behind candidates, without those of their delegations.
    backing: Delegations, Shrinking;
    /// Candidates that stand, without the list of them.
    standing: Delegations, Shrinking;
    /// Pots with more coins than shares, or with fewer though nobody slashed them.
    pots: Delegations, Wrong;
    /// What orders hold, without the value secured.
    secured: Secured, Shrinking;
    /// Orders that hold less than their slots may draw, and lanes less than their reserve. Of a session the order and its lanes are not compared here.
    uncovered: Escrow, Wrong;
    /// Grants of which more is left than was granted.
    overdrawn: Grants, Wrong;
}

impl Imbalances {
    /// What the record under a key contributes; one that does not read, that alone.
    pub(crate) fn of_record(key: &[u8], record: Option<&[u8]>) -> Self {
        let Some(record) = record else {
            return Self::default();
        };
        match weigh(key, record) {
            Ok(weighed) => weighed.sums,
            Err(_) => Self {
                unreadable: 1,
                ..Self::default()
            },
        }
    }

    /// Reads the whole state: behind an upgrade, and in tests.
    pub(crate) fn of_state(state: &dyn State) -> Self {
        let (mut from, to) = crate::keys::everything();
        let mut sums = Self::default();
        while let Some((key, record)) = state.first_in(&from, &to) {
            sums.add(&Self::of_record(&key, Some(&record)));
            from = key;
            from.push(0);
        }
        sums
    }

    /// The first invariant of which a sum is worse than it was known to be.
    pub(crate) fn worse_than(&self, known: &Self) -> Option<Invariant> {
        let sums = self.parts().into_iter().zip(known.parts());
        let mut sums = MEANING.into_iter().zip(sums);
        let is_worse = |kind, found: i128, known: i128| match kind {
            Kind::Difference => found != known && found != 0,
            // What was known may shrink, record by record, as work goes on.
            Kind::Shrinking => {
                found != 0 && (found.signum() != known.signum() || found.abs() > known.abs())
            }
            Kind::Wrong => found > known,
        };
        let worse = sums.find(|((_, kind, _), (found, known))| is_worse(*kind, *found, *known));
        worse.map(|((invariant, _, _), _)| invariant)
    }

    /// The name and the value of the first sum of an invariant that is not zero.
    pub(crate) fn of(&self, invariant: Invariant) -> Option<(&'static str, i128)> {
        let mut sums = MEANING.into_iter().zip(self.parts());
        let broken = sums.find(|((of, _, _), part)| *of == invariant && *part != 0);
        broken.map(|((_, _, name), part)| (name, part))
    }
}

#[cfg(test)]
impl Imbalances {
    /// Whether an invariant has a sum.
    pub(super) fn has(invariant: Invariant) -> bool {
        MEANING.iter().any(|(of, _, _)| *of == invariant)
    }
}

/// Those that are not zero, each behind its number: nearly always none.
impl Write for Imbalances {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        let parts = self.parts();
        let some = (0u8..).zip(parts).filter(|(_, part)| *part != 0);
        u8::try_from(some.clone().count())
            .unwrap_or(u8::MAX)
            .write(buf);
        for (number, part) in some {
            number.write(buf);
            part.to_be_bytes().write(buf);
        }
    }
}

impl EncodeSize for Imbalances {
    fn encode_size(&self) -> usize {
        let some = self.parts().iter().filter(|part| **part != 0).count();
        some.saturating_mul(17).saturating_add(1)
    }
}

impl Read for Imbalances {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        const INVALID: Error = Error::Invalid("Imbalances", "not in the canonical form");
        let mut parts = [0; COUNT];
        let mut next = 0u8;
        for _ in 0..u8::read(buf)? {
            let number = u8::read(buf)?;
            let part = i128::from_be_bytes(<[u8; 16]>::read(buf)?);
            let place = parts.get_mut(usize::from(number)).ok_or(INVALID)?;
            if number < next || part == 0 {
                return Err(INVALID);
            }
            *place = part;
            next = number.saturating_add(1);
        }
        Ok(Self::of_parts(parts))
    }
}
