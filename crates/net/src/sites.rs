//! Places that each holder gets so many of: identities cost nothing, addresses do.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

/// Where connections come from: an address of version 4, or the network of one of version 6, which has more than anybody could count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site(IpAddr);

impl Site {
    /// Nowhere for this machine.
    #[must_use]
    pub fn of(addr: SocketAddr) -> Option<Self> {
        let ip = addr.ip().to_canonical();
        if ip.is_loopback() {
            return None;
        }
        Some(Self(match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }))
    }
}

/// How many places each has. Clones share them.
#[derive(Clone, Debug)]
pub struct Counts<K>(Arc<Mutex<BTreeMap<K, usize>>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Ord> Counts<K> {
    /// Counts one more, unless there are `max`.
    #[must_use]
    pub fn take(&self, of: K, max: usize) -> Option<Counted<K>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(of).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Counted {
            counts: Arc::clone(&self.0),
            of,
        })
    }
}

impl Counts<Site> {
    /// A place for what comes from there, unless its site has `max`; what comes from this machine is not counted.
    #[must_use]
    pub fn admit(&self, site: Option<Site>, max: usize) -> Option<Place> {
        match site {
            Some(site) => self.take(site, max).map(Place::Counted),
            None => Some(Place::Own),
        }
    }
}

/// A place for a connection, until dropped.
#[derive(Debug)]
pub enum Place {
    /// One of those that its site has.
    Counted(Counted<Site>),
    /// This machine's own, which is not counted.
    Own,
}

/// One place, counted until dropped.
#[derive(Debug)]
pub struct Counted<K: Copy + Ord> {
    counts: Arc<Mutex<BTreeMap<K, usize>>>,
    of: K,
}

impl<K: Copy + Ord> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn site(addr: &str) -> Option<Site> {
        Site::of(addr.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_network_are_one_site() {
        assert_eq!(site("127.0.0.1:7"), None);
        assert_eq!(site("[::1]:7"), None);
        assert_eq!(site("[::ffff:127.0.0.1]:7"), None);
        assert_eq!(site("10.0.0.1:7"), site("10.0.0.1:8"));
        assert_eq!(site("10.0.0.1:7"), site("[::ffff:10.0.0.1]:7"));
        assert_ne!(site("10.0.0.1:7"), site("10.0.0.2:7"));
        assert_eq!(site("[2001:db8:1:2::3]:7"), site("[2001:db8:1:2:9::4]:7"));
        assert_ne!(site("[2001:db8:1:2::3]:7"), site("[2001:db8:1:3::3]:7"));
    }

    #[test]
    fn a_site_has_so_many_places_and_each_comes_back() {
        let counts = Counts::default();
        let held: Vec<_> = (0..3).map(|_| counts.take(1, 3).unwrap()).collect();
        assert!(counts.take(1, 3).is_none());
        let _other = counts.take(2, 3).unwrap();
        drop(held);
        assert!(counts.take(1, 3).is_some());
        assert_eq!(
            counts.0.lock().unwrap().len(),
            1,
            "who has none is forgotten"
        );
    }
}
