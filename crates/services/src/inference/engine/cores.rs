//! The cores that engines compute on.

use core::{fmt, str::FromStr};
use std::{collections::BTreeSet, io};
use thiserror::Error;

/// Numbers of cores are less than this: as many as one mask of Linux' C library names.
const CORES_MAX: usize = 1_024;

/// Cores of this machine, by the system's numbers; at least one.
///
/// As text they are numbers and ranges, with commas between: `0-3,8`, as `taskset --cpu-list` takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(BTreeSet<usize>);

/// Why a text names no cores.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CoresError {
    /// A part is neither a number nor a range that ascends.
    #[error("{0:?} is no core and no range of cores: write for example 0-3,8")]
    NotCores(String),
    /// A number is higher than cores have.
    #[error("core {0} is more than a machine has: they are numbered from 0 to {max}", max = CORES_MAX - 1)]
    TooHigh(usize),
}

/// Why engines cannot have the cores that they were given.
#[derive(Debug, Error)]
pub enum ReserveError {
    /// The system lets this process use other cores.
    #[error("of the cores {asked} this process may use {allowed} at most")]
    NotAllowed {
        /// What was asked for.
        asked: Cores,
        /// What the process may use.
        allowed: Cores,
    },
    /// All that is not an engine would have no core.
    #[error("the cores {asked} are all that this process may use: leave one for everything else")]
    NoneLeft {
        /// What was asked for.
        asked: Cores,
    },
    /// The system does not do it.
    #[error("threads cannot be kept to cores here: {0}")]
    System(#[from] io::Error),
}

impl Cores {
    /// How many they are; at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that the calling thread may use.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn allowed() -> io::Result<Self> {
        system::allowed().map(Self)
    }

    /// Keeps the calling thread, and whatever threads it starts from now on, to these.
    ///
    /// # Errors
    /// If the system refuses it, as it does when none of them may be used.
    pub fn keep(&self) -> io::Result<()> {
        system::keep(&self.0)
    }

    /// Keeps the calling thread, and whatever threads it starts from now on, off these, which are left to engines.
    ///
    /// # Errors
    /// [`ReserveError`]; then nothing is changed.
    pub fn reserve(&self) -> Result<(), ReserveError> {
        let allowed = Self::allowed()?;
        if !self.0.is_subset(&allowed.0) {
            let asked = self.clone();
            return Err(ReserveError::NotAllowed { asked, allowed });
        }
        let others: BTreeSet<usize> = allowed.0.difference(&self.0).copied().collect();
        if others.is_empty() {
            let asked = self.clone();
            return Err(ReserveError::NoneLeft { asked });
        }
        Ok(Self(others).keep()?)
    }
}

impl FromStr for Cores {
    type Err = CoresError;

    fn from_str(text: &str) -> Result<Self, CoresError> {
        let mut cores = BTreeSet::new();
        for part in text.split(',') {
            let wrong = || CoresError::NotCores(part.to_owned());
            let number = |digits: &str| match digits.parse() {
                Ok(core) if core < CORES_MAX => Ok(core),
                Ok(core) => Err(CoresError::TooHigh(core)),
                Err(_) => Err(wrong()),
            };
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            cores.extend(first..=last);
        }
        Ok(Self(cores))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for core in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *core => *last = *core,
                _ => ranges.push((*core, *core)),
            }
        }
        for (position, (first, last)) in ranges.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::CORES_MAX;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use std::{collections::BTreeSet, io};

    pub(super) fn allowed() -> io::Result<BTreeSet<usize>> {
        let set = sched_getaffinity(None)?;
        Ok((0..CORES_MAX).filter(|core| set.is_set(*core)).collect())
    }

    pub(super) fn keep(cores: &BTreeSet<usize>) -> io::Result<()> {
        let mut set = CpuSet::new();
        for core in cores {
            set.set(*core);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{collections::BTreeSet, io};

    pub(super) fn allowed() -> io::Result<BTreeSet<usize>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn keep(_: &BTreeSet<usize>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_cores() {
        for (text, count, again) in [
            ("0", 1, "0"),
            ("0-3,8", 5, "0-3,8"),
            ("8,3,2,1,3-3", 4, "1-3,8"),
            ("0,1023", 2, "0,1023"),
        ] {
            let cores: Cores = text.parse().unwrap();
            assert_eq!(cores.count(), count, "{text}");
            assert_eq!(cores.to_string(), again, "{text}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for text in ["", ",", "0,", "a", "-1", "1-", "3-2", "0-1-2", "0x1", " 1"] {
            let error = text.parse::<Cores>().unwrap_err();
            assert!(matches!(error, CoresError::NotCores(_)), "{text}: {error}");
        }
        for text in ["1024", "0-1024", "0-18446744073709551615"] {
            let error = text.parse::<Cores>().unwrap_err();
            assert!(matches!(error, CoresError::TooHigh(_)), "{text}: {error}");
        }
    }

    #[cfg(target_os = "linux")]
    mod on_linux {
        use super::*;

        /// What a thread of its own finds, so that the test's own may go on anywhere.
        fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
            std::thread::Builder::new()
                .spawn(work)
                .unwrap()
                .join()
                .unwrap()
        }

        #[test]
        fn a_thread_that_is_kept_to_a_core_and_its_threads_stay_there() {
            let allowed = Cores::allowed().unwrap();
            let last = Cores(allowed.0.last().copied().into_iter().collect());
            let kept = last.clone();
            let found = apart(move || {
                kept.keep().unwrap();
                (
                    Cores::allowed().unwrap(),
                    apart(|| Cores::allowed().unwrap()),
                )
            });
            assert_eq!(found, (last.clone(), last));
            assert_eq!(Cores::allowed().unwrap(), allowed);
        }

        #[test]
        fn what_is_reserved_leaves_the_others() {
            apart(|| {
                let allowed = Cores::allowed().unwrap();
                let first = Cores(allowed.0.first().copied().into_iter().collect());
                if allowed.count() == 1 {
                    assert!(matches!(
                        first.reserve(),
                        Err(ReserveError::NoneLeft { .. })
                    ));
                    return;
                }
                first.reserve().unwrap();
                let others = Cores::allowed().unwrap();
                assert_eq!(others.count(), allowed.count() - 1);
                assert!(others.0.is_disjoint(&first.0));
                // An engine's thread takes back what was left to it.
                first.keep().unwrap();
                assert_eq!(Cores::allowed().unwrap(), first);
            });
        }

        #[test]
        fn what_cannot_be_reserved_changes_nothing() {
            apart(|| {
                let allowed = Cores::allowed().unwrap();
                let all = allowed.reserve().unwrap_err();
                assert!(matches!(all, ReserveError::NoneLeft { .. }), "{all}");
                let far: Cores = "1023".parse().unwrap();
                let error = far.reserve().unwrap_err();
                assert!(matches!(error, ReserveError::NotAllowed { .. }), "{error}");
                assert_eq!(Cores::allowed().unwrap(), allowed);
            });
        }
    }
}
