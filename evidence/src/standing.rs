//! What a run's records and its journal's lock say of whether it is over.

use std::fmt;

use openrtc_core::word::Phase;
use openrtc_core::worker::Worker;
use openrtc_records::LockState;
use serde::{Deserialize, Serialize};

/// What is known of a run's end: what its part of a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It wrote its exit entry, after which nothing follows.
    Exited,
    /// It has drained, and still holds its lock.
    Parked,
    /// It holds its lock.
    Running,
    /// It ended without an exit entry: its lock is free, or another run has had it since.
    Died,
    /// It had drained when it was last heard of, and no longer holds its lock. Whether it served again in between is
    /// not known.
    DrainedAndGone,
    /// It wrote no exit entry, and its lock cannot be seen: it may be up.
    OutOfSight,
}

impl Standing {
    /// What the last state of a run and its lock say.
    #[must_use]
    pub fn of(worker: &Worker, lock: LockState) -> Self {
        let drained = worker.phase() == Phase::Drained;
        match (worker.outcome(), drained, lock) {
            (Some(_), _, _) => Self::Exited,
            (None, true, LockState::Held) => Self::Parked,
            (None, true, LockState::Free | LockState::Unseen) => Self::DrainedAndGone,
            (None, false, LockState::Held) => Self::Running,
            (None, false, LockState::Free) => Self::Died,
            (None, false, LockState::Unseen) => Self::OutOfSight,
        }
    }

    /// Whether the process is there, as far as can be told.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Parked)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exited => "left, and said so",
            Self::Parked => "has drained and is parked",
            Self::Running => "is still running",
            Self::Died => "ended without a word: killed, crashed, or its node was lost",
            Self::DrainedAndGone => "had drained, and ended without a word after that",
            Self::OutOfSight => "wrote no exit, and whether it runs cannot be seen from here",
        })
    }
}

#[cfg(test)]
mod tests {
    use openrtc_core::id::Actor;
    use openrtc_core::machine::Machine;
    use openrtc_core::time::Instant;
    use openrtc_core::worker::{Cause, Command, DrainOrder, Leave, Limits, Terms};

    use super::*;

    #[test]
    fn only_an_exit_entry_says_so_whatever_the_lock_does() {
        let limits = Limits { leave: Leave::Parked, ..Limits::default() };
        let mut worker = Worker::new(limits).expect("valid");
        let order =
            DrainOrder { cause: Cause::Api, actor: const { Actor::from_static("alice") }, terms: Terms::PATIENT };
        let mut told = Vec::new();
        let mut look = |worker: &Worker| {
            told.push([LockState::Held, LockState::Free, LockState::Unseen].map(|lock| Standing::of(worker, lock)));
        };
        let enact = |worker: &mut Worker, command| worker.step(Instant::EPOCH, command).expect("legal");
        enact(&mut worker, Command::Serve);
        look(&worker);
        enact(&mut worker, Command::BeginDrain(order));
        look(&worker);
        enact(&mut worker, Command::Wake);
        look(&worker);
        enact(&mut worker, Command::Leave);
        enact(&mut worker, Command::Wake);
        look(&worker);
        assert_eq!(
            told,
            [
                [Standing::Running, Standing::Died, Standing::OutOfSight],
                [Standing::Running, Standing::Died, Standing::OutOfSight],
                [Standing::Parked, Standing::DrainedAndGone, Standing::DrainedAndGone],
                [Standing::Exited; 3],
            ]
        );
    }
}
