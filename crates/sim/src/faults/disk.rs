//! Disks that take their time: what is written becomes durable later than asked, and is lost in a crash until then.

use commonware_runtime::{
    Blob, BlobVersion, Clock, Error, Handle, IoBufs, IoBufsMut, Metrics, Name, ReadOptions,
    Spawner, Storage, Supervisor, WriteOptions, deterministic,
    signal::Signal,
    telemetry::metrics::{Metric, Registered},
};
use core::{convert::Infallible, fmt, future::Future, ops::RangeInclusive};
use governor::clock::{Clock as GovernorClock, ReasonablyRealtime};
use rand_core::{TryCryptoRng, TryRng};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// Time between two looks at whether a file is still being written.
const LOOK: Duration = Duration::from_millis(5);

/// A validator's disk, which outlives the validator's crashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Milliseconds until a write is durable.
    slow_ms: AtomicU64,
    /// Writes that waited.
    waited: AtomicU64,
    /// Writes that nobody need wait for, and that are not done.
    writing: AtomicU64,
}

/// One of those, until it is done or the validator has crashed.
struct Writing(Disk);

impl Writing {
    fn begin(disk: &Disk) -> Self {
        disk.0.writing.fetch_add(1, Ordering::Relaxed);
        Self(disk.clone())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.0.writing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Disk {
    /// Becomes slower by so many milliseconds.
    pub(super) fn slow_down(&self, by_ms: u64) {
        self.0.slow_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Is quicker again by so many.
    pub(super) fn speed_up(&self, by_ms: u64) {
        let quicker = |slow: u64| Some(slow.saturating_sub(by_ms));
        // Never refused.
        let _ = (self.0.slow_ms).fetch_update(Ordering::Relaxed, Ordering::Relaxed, quicker);
    }

    /// Takes no time.
    pub(super) fn mend(&self) {
        self.0.slow_ms.store(0, Ordering::Relaxed);
    }

    fn is_writing(&self) -> bool {
        self.0.writing.load(Ordering::Relaxed) > 0
    }

    /// How often somebody waited for it.
    pub(super) fn waited(&self) -> u64 {
        self.0.waited.load(Ordering::Relaxed)
    }

    /// The time that it takes now; none if it takes none.
    fn takes(&self) -> Option<Duration> {
        let slow_ms = self.0.slow_ms.load(Ordering::Relaxed);
        (slow_ms > 0).then(|| {
            self.0.waited.fetch_add(1, Ordering::Relaxed);
            Duration::from_millis(slow_ms)
        })
    }
}

/// A machine with such a disk; all else is the runtime's.
pub(super) struct Machine {
    inner: deterministic::Context,
    disk: Disk,
}

impl Machine {
    pub(super) const fn new(inner: deterministic::Context, disk: Disk) -> Self {
        Self { inner, disk }
    }
}

impl Supervisor for Machine {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self::new(self.inner.child(label), self.disk.clone())
    }

    fn with_attribute(self, key: &'static str, value: impl fmt::Display) -> Self {
        Self::new(self.inner.with_attribute(key, value), self.disk)
    }
}

impl Clock for Machine {
    fn current(&self) -> SystemTime {
        self.inner.current()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(duration)
    }

    fn sleep_until(
        &self,
        deadline: SystemTime,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep_until(deadline)
    }
}

impl GovernorClock for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.current()
    }
}

impl ReasonablyRealtime for Machine {}

impl Metrics for Machine {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(
        &self,
        name: N,
        help: H,
        metric: M,
    ) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl TryRng for Machine {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for Machine {}

impl Spawner for Machine {
    fn shared(self, blocking: bool) -> Self {
        Self::new(self.inner.shared(blocking), self.disk)
    }

    fn dedicated(self) -> Self {
        Self::new(self.inner.dedicated(), self.disk)
    }

    fn spawn<F, Fut, T>(self, task: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let disk = self.disk;
        self.inner.spawn(move |inner| task(Self::new(inner, disk)))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> Signal {
        self.inner.stopped()
    }
}

impl Storage for Machine {
    type Blob = File;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(File, u64, BlobVersion), Error> {
        let opened = loop {
            match self
                .inner
                .open_versioned(partition, name, versions.clone())
                .await
            {
                // A write goes on though nobody waits for it: whoever opens the file again does.
                Err(Error::BlobAlreadyOpen(..)) if self.disk.is_writing() => {
                    self.inner.sleep(LOOK).await;
                }
                opened => break opened,
            }
        };
        let (blob, length, version) = opened?;
        let file = File {
            blob: Arc::new(blob),
            clock: Arc::new(self.inner.child("disk")),
            disk: self.disk.clone(),
        };
        Ok((file, length, version))
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.inner.remove(partition, name).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.inner.scan(partition).await
    }
}

/// A file on such a disk.
pub(super) struct File {
    blob: Arc<<deterministic::Context as Storage>::Blob>,
    clock: Arc<deterministic::Context>,
    disk: Disk,
}

impl Blob for File {
    async fn read_at_buf(
        &self,
        offset: u64,
        length: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        self.blob.read_at_buf(offset, length, bufs, options).await
    }

    async fn read_at(
        &self,
        offset: u64,
        length: usize,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        self.blob.read_at(offset, length, options).await
    }

    async fn write_at(
        &self,
        offset: u64,
        bufs: impl Into<IoBufs> + Send,
        options: WriteOptions,
    ) -> Result<(), Error> {
        let is_synced = options.contains(WriteOptions::SYNC);
        let Some(wait) = is_synced.then(|| self.disk.takes()).flatten() else {
            return self.blob.write_at(offset, bufs, options).await;
        };
        let unsynced = options.without(WriteOptions::SYNC);
        self.blob.write_at(offset, bufs, unsynced).await?;
        self.clock.sleep(wait).await;
        self.blob.sync().await
    }

    async fn resize(&self, length: u64) -> Result<(), Error> {
        self.blob.resize(length).await
    }

    async fn sync(&self) -> Result<(), Error> {
        if let Some(wait) = self.disk.takes() {
            self.clock.sleep(wait).await;
        }
        self.blob.sync().await
    }

    async fn start_sync(&self) -> Handle<()> {
        let Some(wait) = self.disk.takes() else {
            return self.blob.start_sync().await;
        };
        let (blob, writing) = (Arc::clone(&self.blob), Writing::begin(&self.disk));
        // Goes on if nobody waits for it, and ends with the validator.
        let syncing = self.clock.child("sync").spawn(move |clock| async move {
            clock.sleep(wait).await;
            let synced = blob.sync().await;
            drop((blob, writing));
            synced
        });
        Handle::from_future(async move { syncing.await? })
    }
}
