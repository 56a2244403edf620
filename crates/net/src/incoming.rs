//! Bounded queues of incoming streams, one per protocol.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use commonware_utils::channel::mpsc;

use crate::{ACCEPT_CAPACITY_MAX, NetError, PeerId, Protocol};

/// The incoming streams of one protocol, in order of arrival. Dropping it gives the protocol back.
pub struct Incoming<S> {
    streams: mpsc::Receiver<(PeerId, S)>,
}

impl<S: Send> Incoming<S> {
    /// The next stream and who opened it, or `None` once the network is closed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(PeerId, S)> {
        self.streams.recv().await
    }
}

impl<S> fmt::Debug for Incoming<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Incoming")
            .field("waiting", &self.streams.len())
            .finish()
    }
}

/// A place in a queue, held while the opener is told that its stream is accepted.
pub(crate) type Permit<S> = mpsc::OwnedPermit<(PeerId, S)>;

type Queues<S> = BTreeMap<Protocol, mpsc::Sender<(PeerId, S)>>;

/// Why a stream finds no queue to wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownProtocol,
    Busy,
}

/// Who takes the incoming streams of which protocol.
pub(crate) struct Registry<S> {
    /// `None` once closed.
    queues: Mutex<Option<Queues<S>>>,
}

impl<S> Registry<S> {
    pub(crate) fn new() -> Self {
        Self {
            queues: Mutex::new(Some(BTreeMap::new())),
        }
    }

    pub(crate) fn register(
        &self,
        protocol: Protocol,
        capacity: usize,
    ) -> Result<Incoming<S>, NetError> {
        if !(1..=ACCEPT_CAPACITY_MAX).contains(&capacity) {
            return Err(NetError::BadCapacity {
                max: ACCEPT_CAPACITY_MAX,
                found: capacity,
            });
        }
        let mut queues = self.lock();
        let queues = queues.as_mut().ok_or(NetError::Closed)?;
        if queues
            .get(&protocol)
            .is_some_and(|queue| !queue.is_closed())
        {
            return Err(NetError::ProtocolTaken { protocol });
        }
        let (sender, streams) = mpsc::channel(capacity);
        queues.insert(protocol, sender);
        Ok(Incoming { streams })
    }

    pub(crate) fn reserve(&self, protocol: Protocol) -> Result<Permit<S>, Refusal> {
        let queue = self
            .lock()
            .as_ref()
            .and_then(|queues| queues.get(&protocol).cloned())
            .ok_or(Refusal::UnknownProtocol)?;
        queue.try_reserve_owned().map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Busy,
            mpsc::error::TrySendError::Closed(_) => Refusal::UnknownProtocol,
        })
    }

    /// Ends every [`Incoming`] once it has given out what it holds.
    pub(crate) fn close(&self) {
        let queues = self.lock().take();
        // Outside the lock: a queue may hold the last handle of a stream, whose drop takes locks of its own.
        drop(queues);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Queues<S>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    const PROTOCOL: Protocol = Protocol::new(1);

    #[test]
    fn places_are_counted_from_the_reservation_on() {
        let registry = Registry::<u8>::new();
        let _incoming = registry.register(PROTOCOL, 2).unwrap();
        let first = registry.reserve(PROTOCOL).unwrap();
        let second = registry.reserve(PROTOCOL).unwrap();
        assert_eq!(registry.reserve(PROTOCOL).unwrap_err(), Refusal::Busy);
        drop(second);
        first.send((PeerId::new([0; 32]), 0));
        assert!(registry.reserve(PROTOCOL).is_ok());
    }

    #[test]
    fn a_protocol_is_taken_once_and_given_back_on_drop() {
        let registry = Registry::<u8>::new();
        let incoming = registry.register(PROTOCOL, 1).unwrap();
        let taken = NetError::ProtocolTaken { protocol: PROTOCOL };
        assert_eq!(registry.register(PROTOCOL, 1).unwrap_err(), taken);
        drop(incoming);
        assert_eq!(
            registry.reserve(PROTOCOL).unwrap_err(),
            Refusal::UnknownProtocol
        );
        assert!(registry.register(PROTOCOL, 1).is_ok());
    }

    #[test]
    fn capacity_outside_its_range_is_refused() {
        let registry = Registry::<u8>::new();
        for found in [0, ACCEPT_CAPACITY_MAX + 1] {
            let max = ACCEPT_CAPACITY_MAX;
            assert_eq!(
                registry.register(PROTOCOL, found).unwrap_err(),
                NetError::BadCapacity { max, found }
            );
        }
    }

    #[test]
    fn nothing_registers_after_close() {
        let registry = Registry::<u8>::new();
        registry.close();
        assert!(registry.is_closed());
        assert_eq!(
            registry.register(PROTOCOL, 1).unwrap_err(),
            NetError::Closed
        );
    }
}
