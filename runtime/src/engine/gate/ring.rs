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

    /// Publishes that a call was admitted.
    pub(super) fn write_admission(&self, seq: Seq, id: &str, class: Class) -> Result<Published, NoRoom> {
        if id.len() > Self::ID_MAX {
            return Err(NoRoom);
        }
        self.write(seq, |slot| {
            #[expect(clippy::cast_possible_truncation, reason = "at most ID_MAX")]
            let what = u64::from_le_bytes([ADMITTED, class.index(), id.len() as u8, 0, 0, 0, 0, 0]);
            slot.what.store(what, Ordering::Relaxed);
            let mut rest = id.as_bytes();
            for word in &slot.words {
                let Some((whole, after)) = rest.split_first_chunk() else {
                    if !rest.is_empty() {
                        word.store(last_word(id.as_bytes(), rest), Ordering::Relaxed);
                    }
                    break;
                };
                word.store(u64::from_le_bytes(*whole), Ordering::Relaxed);
                rest = after;
            }
        })
    }

    /// Publishes that a call has ended.
    pub(super) fn write_end(&self, seq: Seq, call: CallNo, reason: EndReason) -> Result<Published, NoRoom> {
        self.write(seq, |slot| {
            slot.what.store(u64::from_le_bytes([ENDED, reason as u8, 0, 0, 0, 0, 0, 0]), Ordering::Relaxed);
            slot.words[0].store(call.get(), Ordering::Relaxed);
        })
    }

    /// Publishes what `fill` writes under the number its writer has claimed, unless the slot holds an unread event.
    fn write(&self, seq: Seq, fill: impl FnOnce(&Slot)) -> Result<Published, NoRoom> {
        let ahead = seq.get() - self.read.0.load(Ordering::Acquire);
        if ahead > self.mask + 1 {
            return Err(NoRoom);
        }
        let slot = self.slot(seq);
        fill(slot);
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

/// The reader lags by a whole ring, or the id is longer than [`Ring::ID_MAX`].
#[derive(Debug)]
pub(super) struct NoRoom;

/// The one to seven bytes in which an id ends, behind its whole words, as a word whose upper bytes are zero.
fn last_word(id: &[u8], rest: &[u8]) -> u64 {
    match id.last_chunk() {
        // The id's last eight bytes in one load, without those of the word before.
        Some(bytes) => u64::from_le_bytes(*bytes) >> (u64::BITS as usize - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}
