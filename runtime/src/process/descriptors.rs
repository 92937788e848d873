//! Descriptors: as many as the system gives, checked against the capacity, and a reserve for when they run out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a worker needs for itself: standard streams, event queues, journal, trail, listeners, and their reserves.
const OWN: u64 = 48;

/// How many descriptors the reserves lack.
static LACKING: AtomicUsize = AtomicUsize::new(0);
/// Every reserve there is.
static RESERVES: Mutex<Vec<Weak<Held>>> = Mutex::new(Vec::new());

/// Too few descriptors for the capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFew {
    /// How many are needed.
    pub(crate) needed: u64,
    /// How many there can be.
    pub(crate) limit: u64,
    /// The capacity that they suffice for.
    pub(crate) suffices_for: u64,
}

/// The limit that this process was given, before it was raised.
static GIVEN: OnceLock<Option<u64>> = OnceLock::new();

/// The limit of open descriptors that this process was given; `None` if there is none. It is for its children: one that
/// inherited the raised limit could take minutes to start.
#[must_use]
pub fn descriptors_given() -> Option<u64> {
    *GIVEN.get_or_init(|| getrlimit(Resource::Nofile).current)
}

/// Raises the limit of open descriptors as far as the system allows.
pub fn raise_descriptors() {
    raise();
}

/// The same. Returns the limit; `None` if there is none.
fn raise() -> Option<u64> {
    let _ = descriptors_given();
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

/// Raises the limit, and checks that there is room for `capacity` calls that take `each`.
pub(crate) fn provide(capacity: u32, each: u32) -> Result<(), TooFew> {
    raise().map_or(Ok(()), |limit| check(capacity, each, limit))
}

fn check(capacity: u32, each: u32, limit: u64) -> Result<(), TooFew> {
    let needed = u64::from(capacity) * u64::from(each) + OWN;
    if needed > limit && each > 0 {
        return Err(TooFew { needed, limit, suffices_for: limit.saturating_sub(OWN) / u64::from(each) });
    }
    Ok(())
}

/// Whether descriptors have run out: what a reserve lent is not back yet. Then no new call can be served.
pub(crate) fn run_out() -> bool {
    if LACKING.load(Ordering::Relaxed) == 0 {
        return false;
    }
    for held in &*reserves() {
        if let Some(held) = held.upgrade() {
            held.fill(usize::MAX);
        }
    }
    LACKING.load(Ordering::Relaxed) > 0
}

/// A few descriptors that are held back for the moment when the process has no other left. Then calls are declined.
/// Clones share them.
#[derive(Clone, Debug)]
pub struct Reserve(Arc<Held>);

#[derive(Debug)]
struct Held {
    size: usize,
    spares: Mutex<Vec<OwnedFd>>,
}

impl Reserve {
    /// Holds back `size` descriptors, or as many as there are.
    #[must_use]
    pub fn of(size: usize) -> Self {
        let spares: Vec<_> = (0..size).map_while(|_| spare()).collect();
        // Only now: what was not tried yet does not lack, and a call that comes meanwhile is taken.
        LACKING.fetch_add(size - spares.len(), Ordering::Relaxed);
        let held = Arc::new(Held { size, spares: Mutex::new(spares) });
        let mut reserves = reserves();
        reserves.retain(|held| held.strong_count() > 0);
        reserves.push(Arc::downgrade(&held));
        Self(held)
    }

    /// Takes back as many as there are.
    pub fn fill(&self) {
        self.0.fill(usize::MAX);
    }

    /// Takes back the one that was lent for what is over now, if nobody was faster.
    pub fn take_back(&self) {
        self.0.fill(1);
    }

    /// Gives one to the process, for what failed for want of one; whether there was one.
    pub fn lend(&self) -> bool {
        let mut spares = self.0.spares();
        // Under the lock: whoever fills it meanwhile must not count first.
        let lent = spares.pop().is_some();
        LACKING.fetch_add(usize::from(lent), Ordering::Relaxed);
        lent
    }
}

impl Held {
    fn fill(&self, most: usize) {
        let mut spares = self.spares();
        let missing = self.size - spares.len();
        for _ in 0..missing.min(most) {
            let Some(spare) = spare() else { return };
            spares.push(spare);
            LACKING.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn spares(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let lacking = self.size - self.spares().len();
        LACKING.fetch_sub(lacking, Ordering::Relaxed);
    }
}

fn spare() -> Option<OwnedFd> {
    eventfd(0, EventfdFlags::CLOEXEC).ok()
}

fn reserves() -> MutexGuard<'static, Vec<Weak<Held>>> {
    RESERVES.lock().unwrap_or_else(PoisonError::into_inner)
}
