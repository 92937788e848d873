//! The ring: where the two events of the hot path wait for the recorder, each in the slot its number names.
//!
//! ```text
//!           read = 6                    a slot, one cache line:
//!              │                        ┌───────┬──────┬──────────────────────────┐
//!   ┌────┬────┬┴───┬────┬────┬────┐     │ stamp │ what │ call id, or call number  │
//!   │ 6✓ │ 7✓ │ 8… │ 9✓ │ 4· │ 5· │     └───────┴──────┴──────────────────────────┘
//!   └────┴────┴────┴────┴────┴────┘     8 words of 64 bits
//! ```
//!
//! The writer of number `n` may write once everything up to `n - slots` was read; it stamps the slot with `n` when it
//! is done. The reader goes in order and stops at the first slot without its stamp (8 here, whose writer was
//! interrupted): such a writer delays what is read, never another writer.

use openrtc_core::id::{CallId, CallNo, Seq};
use openrtc_core::worker::{Class, EndReason, Event};

use crate::engine::sync::{AtomicU64, Ordering, Padded, Site};

/// An event of the hot path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hot {
    Admitted { id: CallId, class: Class },
    Ended { call: CallNo, reason: EndReason },
}

impl From<Hot> for Event {
    fn from(hot: Hot) -> Self {
        match hot {
            Hot::Admitted { id, class } => Self::CallAdmitted { id, class },
            Hot::Ended { call, reason } => Self::CallEnded { call, reason },
        }
    }
}

#[derive(Debug)]
pub(super) struct Ring {
    slots: Box<[Slot]>,
    mask: u64,
    /// The last number read. Only the reader moves it.
    read: Padded<AtomicU64>,
}

#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    stamp: AtomicU64,
    what: AtomicU64,
    words: [AtomicU64; 6],
}

const ADMITTED: u8 = 1;
const ENDED: u8 = 2;

impl Ring {
    /// A ring of `slots`, a power of two, for the numbers after `read`.
    pub(super) fn new(slots: usize, read: Seq) -> Self {
        assert!(slots.is_power_of_two(), "a ring has a power of two of slots, not {slots}");
        let slot = || Slot { stamp: AtomicU64::new(0), what: AtomicU64::new(0), words: Default::default() };
        let mask = slots as u64 - 1;
        let slots = (0..slots).map(|_| slot()).collect();
        Self { slots, mask, read: Padded(AtomicU64::new(read.get())) }
    }

    /// Publishes an event under the number its writer has claimed. `Err` when the slot still holds an unread event.
    pub(super) fn write(&self, seq: Seq, event: Hot) -> Result<Published, Full> {
        let ahead = seq.get() - self.read.0.load(Ordering::Acquire);
        if ahead > self.mask + 1 {
            return Err(Full);
        }
        let slot = self.slot(seq);
        match event {
            Hot::Admitted { id, class } => {
                slot.what.store(u64::from_le_bytes([ADMITTED, class.0, 0, 0, 0, 0, 0, 0]), Ordering::Relaxed);
                for (word, value) in slot.words.iter().zip(id.to_words()) {
                    word.store(value, Ordering::Relaxed);
                }
            }
            Hot::Ended { call, reason } => {
                slot.what.store(u64::from_le_bytes([ENDED, reason as u8, 0, 0, 0, 0, 0, 0]), Ordering::Relaxed);
                slot.words[0].store(call.get(), Ordering::Relaxed);
            }
        }
        slot.stamp.store(seq.get(), Site::Stamp.ordering());
        Ok(Published { half_full: ahead == self.mask.div_ceil(2) })
    }

    /// The event of this number, if it was published here. Only the reader asks, in order.
    pub(super) fn read(&self, seq: Seq) -> Option<Event> {
        let slot = self.slot(seq);
        if slot.stamp.load(Ordering::Acquire) != seq.get() {
            return None;
        }
        let [what, detail, ..] = slot.what.load(Ordering::Relaxed).to_le_bytes();
        if what == ADMITTED {
            let words = [0, 1, 2, 3, 4, 5].map(|word: usize| slot.words[word].load(Ordering::Relaxed));
            let id = CallId::from_words(words).expect("an id was written");
            return Some(Event::CallAdmitted { id, class: Class(detail) });
        }
        let call = CallNo::new(slot.words[0].load(Ordering::Relaxed));
        Some(Event::CallEnded { call, reason: EndReason::ALL[usize::from(detail)] })
    }

    /// Frees the slots of every number up to `seq`, which the reader has read here or elsewhere.
    pub(super) fn free(&self, seq: Seq) {
        if self.read.0.load(Ordering::Relaxed) != seq.get() {
            self.read.0.store(seq.get(), Ordering::Release);
        }
    }

    /// The last number read.
    pub(super) fn freed(&self) -> Seq {
        Seq::new(self.read.0.load(Ordering::Acquire))
    }

    fn slot(&self, seq: Seq) -> &Slot {
        #[expect(clippy::cast_possible_truncation, reason = "below the number of slots")]
        &self.slots[(seq.get() & self.mask) as usize]
    }
}

/// An event is in the ring.
pub(super) struct Published {
    /// Whether this one made it half full.
    pub(super) half_full: bool,
}

/// The reader lags by a whole ring.
#[derive(Debug)]
pub(super) struct Full;
