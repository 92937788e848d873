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

use openrtc_core::id::{CallNo, Seq};
use openrtc_core::worker::{Class, EndReason};

use crate::engine::sync::{AtomicU64, Ordering, Padded, Site};

/// An event of the hot path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hot<'a> {
    /// A call was admitted; its id has at most [`Ring::ID_MAX`] bytes.
    Admitted {
        id: &'a str,
        class: Class,
    },
    Ended {
        call: CallNo,
        reason: EndReason,
    },
}

/// The words that a slot holds an id in.
const WORDS: usize = 6;

/// An event as a slot held it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Read {
    Admitted { id: Inline, class: Class },
    Ended { call: CallNo, reason: EndReason },
}

/// A short id, out of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inline {
    bytes: [u8; WORDS * 8],
    len: u8,
}

impl Inline {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("an id was written")
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
    words: [AtomicU64; WORDS],
}

const ADMITTED: u8 = 1;
const ENDED: u8 = 2;

impl Ring {
    /// The longest id that a slot holds, in bytes. Longer ones take the way under the lock.
    pub(super) const ID_MAX: usize = WORDS * 8;

    /// A ring of `slots`, a power of two, for the numbers after `read`.
    pub(super) fn new(slots: usize, read: Seq) -> Self {
        assert!(slots.is_power_of_two(), "a ring has a power of two of slots, not {slots}");
        let slot = || Slot { stamp: AtomicU64::new(0), what: AtomicU64::new(0), words: Default::default() };
        let mask = slots as u64 - 1;
        let slots = (0..slots).map(|_| slot()).collect();
        Self { slots, mask, read: Padded(AtomicU64::new(read.get())) }
    }

    /// Publishes an event under the number its writer has claimed. `Err` when the slot still holds an unread event.
    pub(super) fn write(&self, seq: Seq, event: Hot<'_>) -> Result<Published, Full> {
        let ahead = seq.get() - self.read.0.load(Ordering::Acquire);
        if ahead > self.mask + 1 {
            return Err(Full);
        }
        let slot = self.slot(seq);
        match event {
            Hot::Admitted { id, class } => {
                let (words, len) = pack(id.as_bytes());
                let what = u64::from_le_bytes([ADMITTED, class.index(), len, 0, 0, 0, 0, 0]);
                slot.what.store(what, Ordering::Relaxed);
                for (word, value) in slot.words.iter().zip(words) {
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
    pub(super) fn read(&self, seq: Seq) -> Option<Read> {
        let slot = self.slot(seq);
        if slot.stamp.load(Ordering::Acquire) != seq.get() {
            return None;
        }
        let [what, detail, len, ..] = slot.what.load(Ordering::Relaxed).to_le_bytes();
        if what == ADMITTED {
            let mut bytes = [0; WORDS * 8];
            for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(&slot.words) {
                *chunk = word.load(Ordering::Relaxed).to_le_bytes();
            }
            let class = Class::new(detail).expect("a class was written");
            return Some(Read::Admitted { id: Inline { bytes, len }, class });
        }
        let call = CallNo::new(slot.words[0].load(Ordering::Relaxed));
        Some(Read::Ended { call, reason: EndReason::ALL[usize::from(detail)] })
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
#[derive(Clone, Copy)]
pub(super) struct Published {
    /// Whether this one made it half full.
    pub(super) half_full: bool,
}

/// The reader lags by a whole ring.
#[derive(Debug)]
pub(super) struct Full;

/// An id of at most [`Ring::ID_MAX`] bytes as machine words, and its length.
fn pack(id: &[u8]) -> ([u64; WORDS], u8) {
    let mut bytes = [0; WORDS * 8];
    bytes[..id.len()].copy_from_slice(id);
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most ID_MAX")]
    (words, id.len() as u8)
}
