//! The journal's bytes: how entries lie in a segment, and how a segment is read back.
//!
//! ```text
//!  segment = magic, opening frame, entry frame, entry frame, …
//!  frame   = length u32 LE │ format u8 │ CRC-32C u32 LE │ payload (length bytes)
//! ```
//!
//! The checksum covers length, format and payload. A segment opens with the whole state of the worker, so it can be
//! folded without the ones before it and old ones can be deleted.

mod quick;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::codec;
use crate::id::{CallId, Identity, Incarnation};
use crate::machine::Machine;
use crate::worker::{Entry, Misfit, Worker};

/// What a segment starts with.
pub const MAGIC: [u8; 8] = *b"OpenRTCj";

/// The version of the frames and of what is in them.
pub const FORMAT: u8 = 1;

const HEAD: usize = 9;

/// No frame may claim more: enough for the opening state of a worker with two million calls.
pub const PAYLOAD_MAX: usize = 1 << 28;

/// One frame's content. Variants are stored by position: add new ones at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The first of a segment.
    Opened(Box<Opening>),
    /// Every other.
    Entry(Entry),
}

/// What a segment opens with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Whose journal this is.
    pub identity: Identity,
    /// The run before this one, if its journal was found.
    pub predecessor: Option<Predecessor>,
    /// The worker as the entries before this segment left it.
    pub state: Worker,
}

/// What a worker's journal says of the run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Which run.
    pub incarnation: Incarnation,
    /// Whether it left by itself. If not, its open calls were lost.
    pub exited: bool,
    /// How many calls were open at its end.
    pub open_calls: u32,
}

/// Appends a segment's beginning to `out`.
pub fn write_opening(opening: Opening, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    write_frame(&Record::Opened(Box::new(opening)), out);
}

/// Appends an entry's frame to `out`.
pub fn write_entry(entry: &Entry, out: &mut Vec<u8>) {
    write_frame(&Record::Entry(*entry), out);
}

fn write_frame(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    codec::encode(record, out);
    let (head, payload) = out[start..].split_at_mut(HEAD);
    let len = u32::try_from(payload.len()).expect("a state of at most two million calls fits 32 bits of length");
    head[..4].copy_from_slice(&len.to_le_bytes());
    head[4] = FORMAT;
    let crc = checksum(&head[..5], payload);
    head[5..].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    Checksum::new().then(head).then(payload).get()
}

/// Where a segment stops making sense. Everything before `offset` is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The first byte that is not part of a whole frame.
    pub offset: usize,
    /// Bytes from there to the end.
    pub lost: usize,
    /// What is wrong there.
    pub fault: TornFault,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TornFault {
    /// The file ends inside the frame: an append that a crash cut short.
    Short,
    /// The checksum does not match: bytes were altered.
    Checksum,
    /// The frame is of another format.
    Format(u8),
    /// It claims more bytes than a frame may have.
    Huge(u32),
    /// The checksum matches and the payload still does not decode.
    Malformed,
    /// The file does not start as a segment.
    NotASegment,
    /// An opening where an entry belongs, or the other way round.
    Misplaced,
    /// The opening holds a state no worker can be in.
    Unsound,
    /// The entry cannot follow the ones before it.
    Misfit(Misfit),
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, lost, fault } = self;
        write!(f, "at byte {offset}: ")?;
        match fault {
            TornFault::Short => write!(f, "the frame is cut short (an append that a crash interrupted)")?,
            TornFault::Checksum => write!(f, "the checksum does not match (bytes were altered)")?,
            TornFault::Format(found) => write!(f, "frame format {found}, this build reads format {FORMAT}")?,
            TornFault::Huge(len) => write!(f, "the frame claims {len} bytes, at most {PAYLOAD_MAX} are allowed")?,
            TornFault::Malformed => write!(f, "the frame does not decode (written by another version?)")?,
            TornFault::NotASegment => write!(f, "this is not a journal segment")?,
            TornFault::Misplaced => write!(f, "an opening frame and an entry frame are in each other's place")?,
            TornFault::Unsound => write!(f, "the opening state is not one a worker can be in")?,
            TornFault::Misfit(misfit) => write!(f, "{misfit}")?,
        }
        write!(f, "; {lost} bytes from there on are not used")
    }
}

impl core::error::Error for Torn {}

/// The records of one segment, in order; ends at the first that is not whole.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    offset: usize,
    torn: bool,
}

impl<'a> Records<'a> {
    /// Reads a segment's bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0, torn: false }
    }

    /// How many bytes so far belong to whole frames.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    #[inline]
    fn record(&mut self) -> Result<Record, TornFault> {
        if self.offset == 0 {
            self.offset = match self.bytes.strip_prefix(&MAGIC) {
                Some(_) => MAGIC.len(),
                None if MAGIC.starts_with(self.bytes) => return Err(TornFault::Short),
                None => return Err(TornFault::NotASegment),
            };
        }
        let rest = &self.bytes[self.offset..];
        let (head, rest) = rest.split_first_chunk::<HEAD>().ok_or(TornFault::Short)?;
        let [l0, l1, l2, l3, format, c0, c1, c2, c3] = *head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let size = usize::try_from(len).ok().filter(|size| *size <= PAYLOAD_MAX).ok_or(TornFault::Huge(len))?;
        let payload = rest.get(..size).ok_or(TornFault::Short)?;
        if checksum(&head[..5], payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(TornFault::Checksum);
        }
        if format != FORMAT {
            return Err(TornFault::Format(format));
        }
        let record = match quick::read(payload) {
            Some(entry) => Record::Entry(entry),
            None => codec::decode::<Record, PAYLOAD_MAX>(payload).map_err(|_| TornFault::Malformed)?,
        };
        self.offset += HEAD + size;
        Ok(record)
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Torn>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.torn || (self.offset > 0 && self.offset == self.bytes.len()) {
            return None;
        }
        Some(self.record().map_err(|fault| {
            self.torn = true;
            Torn { offset: self.offset, lost: self.bytes.len() - self.offset, fault }
        }))
    }
}

/// A segment folded as far as it is whole.
#[derive(Clone, Debug)]
pub struct Replay {
    /// What it opened with.
    pub opening: Opening,
    /// The worker after the last whole entry.
    pub state: Worker,
    /// How many entries were folded.
    pub entries: u64,
    /// Bytes that belong to whole frames.
    pub whole: usize,
    /// Where and why reading stopped, if not at the end.
    pub torn: Option<Torn>,
}

impl Replay {
    /// The calls that were open when the journal ends: those a crash there took.
    pub fn open_calls(&self) -> impl Iterator<Item = CallId> {
        self.state.calls().iter().map(|(_, call)| call.id)
    }

    /// What the next run writes of this one.
    #[must_use]
    pub fn as_predecessor(&self) -> Predecessor {
        Predecessor {
            incarnation: self.opening.identity.incarnation,
            exited: self.state.outcome().is_some(),
            open_calls: self.state.word().in_flight(),
        }
    }
}

/// Folds a segment, handing each entry to `each` before it is applied. An error means that not even the opening is
/// whole.
pub fn replay(bytes: &[u8], mut each: impl FnMut(&Worker, &Entry)) -> Result<Replay, Torn> {
    let mut records = Records::new(bytes);
    let torn_at = |offset, fault| Torn { offset, lost: bytes.len() - offset, fault };
    let opening = match records.next() {
        Some(Ok(Record::Opened(opening))) => *opening,
        Some(Ok(Record::Entry(_))) => return Err(torn_at(MAGIC.len(), TornFault::Misplaced)),
        Some(Err(torn)) => return Err(torn),
        None => return Err(torn_at(0, TornFault::Short)),
    };
    if !opening.state.is_sound() {
        return Err(torn_at(MAGIC.len(), TornFault::Unsound));
    }
    let mut state = opening.state.clone();
    let (mut entries, mut torn) = (0, None);
    let mut whole = records.offset();
    while let Some(next) = records.next() {
        let followed = match next {
            Ok(Record::Entry(entry)) => state.follow(&entry, |state| each(state, &entry)).map_err(TornFault::Misfit),
            Ok(Record::Opened(_)) => Err(TornFault::Misplaced),
            Err(found) => Err(found.fault),
        };
        if let Err(fault) = followed {
            torn = Some(torn_at(whole, fault));
            break;
        }
        entries += 1;
        whole = records.offset();
    }
    Ok(Replay { opening, state, entries, whole, torn })
}
