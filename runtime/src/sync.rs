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
