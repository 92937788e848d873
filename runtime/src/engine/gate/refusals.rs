//! Refusals, and the exit that they are counted before.
//!
//! **Whoever leaves has told everybody no.** A worker that is about to exit first has its listeners close
//! ([`Listening`](crate::Listening)), and no way back from then on. Its last count of declined calls closes the
//! counters that it takes: a refusal that comes after it finds that out, and is none ([`Refusal::Closed`] of an exited
//! worker). So every refusal that a caller was told is in an entry before the exit.

use openrtc_core::id::Seq;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{Command, Decline, Rejection};

use super::Gate;
use super::recorder::Recorder;
use crate::engine::closing::CLOSING;
use crate::engine::sync::Ordering;

/// Declined calls become one entry per reason and second, so that a dispatcher that keeps asking cannot fill the
/// journal.
pub(super) const COUNT_EVERY: Span = Span::from_secs(1);

/// Set in a count of declined calls by the one who counts it before the exit. What is added to it later is in no entry.
const COUNTED: u64 = 1 << 63;

impl Gate {
    /// Counts a refusal. Returns what to tell the caller: that the worker has left, if it was counted for the last
    /// time.
    // Inlined: whoever refuses knows why, and so where it is counted.
    #[inline]
    pub(crate) fn refuse(&self, refusal: Refusal) -> Refusal {
        let declined = &self.declined.0[decline(refusal) as usize];
        match declined.fetch_add(1, Ordering::Relaxed) {
            // The first since the last count has the control loop set the time of the next.
            0 => self.nudge(),
            1..COUNTED => {}
            COUNTED.. => return self.refuse_late(refusal),
        }
        refusal
    }

    /// A refusal after the last count. Either the worker has left, or it is about to and may yet have to stay: the lock
    /// tells.
    // Not inlined: a refusal then needs no room for the lock on its stack.
    #[cold]
    #[inline(never)]
    fn refuse_late(&self, refusal: Refusal) -> Refusal {
        let recorder = self.recorder();
        if recorder.live(&self.word.0).phase() == Phase::Exited {
            return Refusal::Closed(Phase::Exited);
        }
        self.declined.0[decline(refusal) as usize].fetch_add(1, Ordering::Relaxed);
        drop(recorder);
        self.nudge();
        refusal
    }

    /// Puts the declined calls into entries, if there are any. After the exit there is no entry left to put them into.
    pub(super) fn count_declines(&self, recorder: &mut Recorder, at: Instant) -> bool {
        let mut counted = false;
        recorder.count_at = None;
        for reason in Decline::ALL {
            let count = self.declined.0[reason as usize].swap(0, Ordering::Relaxed);
            counted |= recorder.order(&self.word.0, at, Command::CountDeclines { reason, count }).is_ok();
            recorder.fold(&self.ring, at);
        }
        counted
    }

    /// Counts the declined calls for the last time, and has the worker leave.
    pub(super) fn exit(&self, recorder: &mut Recorder, at: Instant, command: Command) -> Result<Seq, Rejection> {
        for reason in Decline::ALL {
            let count = self.declined.0[reason as usize].swap(COUNTED, Ordering::Relaxed);
            if count > 0 {
                // Refused only by a worker that has left, and this one has not.
                let _ = recorder.order(&self.word.0, at, Command::CountDeclines { reason, count });
                recorder.fold(&self.ring, at);
            }
        }
        let left = recorder.order(&self.word.0, at, command);
        if recorder.live(&self.word.0).phase() != Phase::Exited {
            // A call has just ended: how it did is waited for, or the worker has drained instead of being forced. Who
            // was refused meanwhile waits for the lock to be counted.
            for count in &self.declined.0 {
                count.store(0, Ordering::Relaxed);
            }
        }
        left
    }

    /// Whether everybody has been told no who can be. The first time, that tells the listeners to close; from then on
    /// the drain cannot be taken back, or the worker would serve without them.
    pub(super) fn has_closed(&self, recorder: &mut Recorder, at: Instant) -> bool {
        if !self.door.is_held() {
            return true;
        }
        let _ = recorder.order(&self.word.0, at, Command::Leave);
        recorder.fold(&self.ring, at);
        self.door.close();
        at >= *recorder.closing_since.get_or_insert(at) + CLOSING
    }

    /// Keeps the worker from leaving until the listener has closed, which is told when: see [`Gate::closing`].
    pub(crate) fn hold(&self) {
        self.door.hold();
    }

    /// Gives a [`hold`](Gate::hold) back.
    pub(crate) fn let_go(&self) {
        if self.door.let_go() {
            self.nudge();
        }
    }

    /// Resolves when the listeners are to close: the worker is about to leave.
    pub(crate) async fn closing(&self) {
        self.door.closing().await;
    }
}

/// What a refusal is counted as.
#[must_use]
pub const fn decline(refusal: Refusal) -> Decline {
    match refusal {
        Refusal::Closed(Phase::Starting | Phase::Standby) => Decline::NotServing,
        Refusal::Closed(Phase::Serving | Phase::Draining | Phase::Drained | Phase::Exited) => Decline::Draining,
        Refusal::Full | Refusal::Exhausted => Decline::Full,
        Refusal::Invalid => Decline::Invalid,
        Refusal::Duplicate => Decline::Duplicate,
    }
}
