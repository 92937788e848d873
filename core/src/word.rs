//! The admission word: phase, calls in flight and sequence number in one `u64`.
//!
//! ```text
//!   63   61 60                  40 39                                      0
//!  ┌───────┬──────────────────────┬─────────────────────────────────────────┐
//!  │ phase │ calls in flight      │ sequence number of the last entry       │
//!  └───────┴──────────────────────┴─────────────────────────────────────────┘
//! ```
//!
//! Every entry in the journal is one transition of this word, and the word's new sequence number is the entry's place
//! in the journal. The worker machine, the simulator and the runtime's compare-and-swap all move the same word. One
//! move judges a command, orders it against every other command and numbers its entry. So once the word says
//! `Draining`, no admission can slip in, and every earlier admission is counted.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Seq;

/// The phase of a worker's life. Phases are ordered as they follow each other; only a cancelled drain goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not yet able to take calls.
    Starting,
    /// Ready to take calls, and waits to be promoted.
    Standby,
    /// Takes calls.
    Serving,
    /// Takes no more calls; the calls in flight run to their end.
    Draining,
    /// The last call has ended; the drain may still be cancelled unless it was made irrevocable.
    Drained,
    /// Over.
    Exited,
}

impl Phase {
    /// Every phase, in order of life.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Standby, Self::Serving, Self::Draining, Self::Drained, Self::Exited];

    /// The phase as the field writes it: lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Exited => "exited",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why an offer is refused. It is an answer to the dispatcher and nobody's fault. The admission word gives the first
/// three; the runtime adds the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The worker is in a phase that admits nothing.
    Closed(Phase),
    /// As many calls are in flight as the worker may hold.
    Full,
    /// The sequence numbers are used up; only a new incarnation can go on.
    Exhausted,
    /// The offer is none: its call has no usable id, or the program that makes it failed to say.
    Invalid,
    /// The worker has a call with this id already.
    Duplicate,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(phase) => write!(f, "the worker is {phase}: offer the call to another one"),
            Self::Full => f.write_str("the worker is full: offer the call to another one"),
            Self::Exhausted => f.write_str("the worker has used up its sequence numbers: restart it"),
            Self::Invalid => f.write_str("the offer has no usable call id: no worker can take it"),
            Self::Duplicate => f.write_str("the worker has a call with this id already: do not offer it elsewhere"),
        }
    }
}

impl core::error::Error for Refusal {}

/// The packed word. Its transitions are pure; each consumes one sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Word(u64);

const SEQ_BITS: u32 = 40;
const IN_FLIGHT_BITS: u32 = 21;
const PHASE_SHIFT: u32 = SEQ_BITS + IN_FLIGHT_BITS;
const SEQ_MASK: u64 = (1 << SEQ_BITS) - 1;
const IN_FLIGHT_MASK: u64 = (1 << IN_FLIGHT_BITS) - 1;
const ONE_CALL: u64 = 1 << SEQ_BITS;
const ONE_ENTRY: u64 = 1;

impl Word {
    /// The most calls one worker can hold: 2 097 151.
    pub const IN_FLIGHT_MAX: u32 = (1 << IN_FLIGHT_BITS) - 1;

    /// Admissions stop here. What remains up to 2⁴⁰ is enough for every call then in flight to be assigned and ended
    /// and for the drain that follows, so that ending a call never has to ask.
    pub const SEQ_ADMIT_MAX: u64 = SEQ_MASK - (1 << (IN_FLIGHT_BITS + 4));

    /// The last sequence number there is; no entry can follow it.
    pub const SEQ_MAX: u64 = SEQ_MASK;

    /// Added to the word (wrapping) this ends one call: what [`Word::release`] does, as one `fetch_add`.
    pub const RELEASE: u64 = ONE_ENTRY.wrapping_sub(ONE_CALL);

    /// A worker that has just started: no calls, nothing in the journal.
    pub const START: Self = Self(0);

    /// The word as stored in an atomic.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The word as an atomic holds it.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The phase.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self.0 >> PHASE_SHIFT {
            0 => Phase::Starting,
            1 => Phase::Standby,
            2 => Phase::Serving,
            3 => Phase::Draining,
            4 => Phase::Drained,
            _ => Phase::Exited,
        }
    }

    /// Calls reserved or active.
    #[must_use]
    pub const fn in_flight(self) -> u32 {
        ((self.0 >> SEQ_BITS) & IN_FLIGHT_MASK) as u32
    }

    /// The number of the last entry; zero before the first.
    #[must_use]
    pub const fn seq(self) -> Seq {
        Seq::new(self.0 & SEQ_MASK)
    }

    /// Takes one more call, if the worker serves and holds fewer than `capacity`.
    pub const fn admit(self, capacity: u32) -> Result<Self, Refusal> {
        match self.phase() {
            Phase::Serving => {}
            phase @ (Phase::Starting | Phase::Standby | Phase::Draining | Phase::Drained | Phase::Exited) => {
                return Err(Refusal::Closed(phase));
            }
        }
        if self.in_flight() >= capacity {
            return Err(Refusal::Full);
        }
        if self.seq().get() >= Self::SEQ_ADMIT_MAX {
            return Err(Refusal::Exhausted);
        }
        Ok(Self(self.0 + ONE_CALL + ONE_ENTRY))
    }

    /// Takes over a call of an earlier run, in any phase. The caller has checked that there is room.
    #[must_use]
    pub const fn take_over(self) -> Self {
        Self(self.0.wrapping_add(ONE_CALL + ONE_ENTRY))
    }

    /// Ends one call. The caller holds a call in flight, so there is one to end.
    #[must_use]
    pub const fn release(self) -> Self {
        Self(self.0.wrapping_add(Self::RELEASE))
    }

    /// Consumes a sequence number for an entry that changes neither phase nor count. The caller has judged that one is
    /// left.
    #[must_use]
    pub const fn note(self) -> Self {
        Self(self.0.wrapping_add(ONE_ENTRY))
    }

    /// Moves to another phase. The caller has judged that the move is legal and, for [`Phase::Drained`], that no call
    /// is in flight; a compare-and-swap makes that judgement and the move one step.
    #[must_use]
    pub const fn enter(self, phase: Phase) -> Self {
        let phase = (phase as u64) << PHASE_SHIFT;
        Self((self.0 & (ONE_CALL * (IN_FLIGHT_MASK + 1) - 1)) | phase).note()
    }
}

impl Default for Word {
    fn default() -> Self {
        Self::START
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in flight #{}", self.phase(), self.in_flight(), self.seq())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_counts_numbers_and_respects_capacity() {
        let word = Word::START.enter(Phase::Serving);
        let one = word.admit(1).expect("serving and empty");
        assert_eq!((one.phase(), one.in_flight(), one.seq().get()), (Phase::Serving, 1, 2));
        assert_eq!(one.admit(1), Err(Refusal::Full));
        let none = one.release();
        assert_eq!((none.phase(), none.in_flight(), none.seq().get()), (Phase::Serving, 0, 3));
    }

    #[test]
    fn only_serving_admits() {
        for phase in Phase::ALL {
            let admitted = Word::START.enter(phase).admit(1);
            assert_eq!(admitted.is_ok(), phase == Phase::Serving, "{phase}");
        }
    }

    #[test]
    fn phase_moves_keep_the_count() {
        let word = Word::START.enter(Phase::Serving).admit(9).expect("open").enter(Phase::Draining);
        assert_eq!((word.phase(), word.in_flight(), word.seq().get()), (Phase::Draining, 1, 3));
    }

    #[test]
    fn sequence_numbers_run_out_for_admissions_before_they_run_out_for_hang_ups() {
        let late = Word::from_bits(Word::START.enter(Phase::Serving).to_bits() & !SEQ_MASK | Word::SEQ_ADMIT_MAX);
        assert_eq!(late.admit(1), Err(Refusal::Exhausted));
        const { assert!(SEQ_MASK - Word::SEQ_ADMIT_MAX > 3 * Word::IN_FLIGHT_MAX as u64) };
    }
}
