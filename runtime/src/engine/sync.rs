//! What the gate shares between threads, in one place: the standard library's in production, loom's under
//! `--cfg openrtc_loom`, where every interleaving is tried. (Plain `--cfg loom` would also reach tokio and axum, which
//! do not build under it as dependencies.)

#[cfg(openrtc_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
#[cfg(not(openrtc_loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The orderings on which an argument in the gate rests. Under loom a test may weaken one and see its model fail.
#[cfg_attr(not(openrtc_loom), expect(unreachable_pub, reason = "public for loom's tests"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A ring slot's stamp, stored after the event it vouches for.
    Stamp,
    /// The control loop's addition of nothing, between its flag and its sleep.
    Sleep,
    /// The addition that ends a call, after all that its handler did.
    HangUp,
}

#[cfg(not(openrtc_loom))]
impl Site {
    pub(crate) const fn ordering(self) -> Ordering {
        match self {
            Self::Stamp => Ordering::Release,
            Self::Sleep | Self::HangUp => Ordering::AcqRel,
        }
    }
}

#[cfg(openrtc_loom)]
std::thread_local! {
    static WEAKENED: std::cell::Cell<Option<Site>> = const { std::cell::Cell::new(None) };
}

#[cfg(openrtc_loom)]
impl Site {
    pub(crate) fn ordering(self) -> Ordering {
        match self {
            _ if WEAKENED.get() == Some(self) => Ordering::Relaxed,
            Self::Stamp => Ordering::Release,
            Self::Sleep | Self::HangUp => Ordering::AcqRel,
        }
    }

    /// Weakens this ordering for every model that this thread runs from now on.
    pub fn weaken(self) {
        WEAKENED.set(Some(self));
    }
}

/// A value on cache lines of its own: two, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// Wakes the one who waits; rung while nobody waits, it wakes the next who does.
#[derive(Debug)]
pub(crate) struct Bell(#[cfg(not(openrtc_loom))] tokio::sync::Notify, #[cfg(openrtc_loom)] loom::sync::Notify);

#[cfg(not(openrtc_loom))]
impl Bell {
    pub(crate) fn new() -> Self {
        Self(tokio::sync::Notify::new())
    }

    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }

    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}

#[cfg(openrtc_loom)]
impl Bell {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Notify::new())
    }

    pub(crate) fn ring(&self) {
        self.0.notify();
    }

    /// Blocks the thread: loom has no executor of its own.
    pub(crate) async fn rung(&self) {
        self.0.wait();
    }
}
