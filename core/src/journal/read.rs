//! A segment's records, one after the other.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{FORMAT, Journaled, MAGIC, Opening, PAYLOAD_MAX, Torn, TornFault, format_1, frame, kind};
use crate::codec::{self, Reader};
use crate::id::CallNo;
use crate::machine::Entry;

/// One record of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a, M: Journaled> {
    /// The first of a segment.
    Opened(Box<Opening<M>>),
    /// The id of a call that the opening holds.
    Called {
        /// The call.
        call: CallNo,
        /// Its id. Whoever makes a [`CallId`](crate::id::CallId) of it checks it.
        id: &'a str,
    },
    /// What became true.
    Entry {
        /// The entry.
        entry: Entry<M::Event>,
        /// The id of the call that it begins; empty if it begins none, or one whose id is not known.
        id: &'a str,
    },
    /// A record of a kind that this build does not know: a newer one wrote it.
    Newer {
        /// Its kind.
        kind: u8,
    },
}

/// The format of a segment, by its first bytes.
pub fn format(bytes: &[u8]) -> Result<u8, TornFault> {
    if bytes.starts_with(&format_1::MAGIC) {
        return Ok(format_1::FORMAT);
    }
    match bytes.strip_prefix(&MAGIC) {
        // Format 1 is told by a letter, so that no other byte passes for it.
        Some([never @ ..=format_1::FORMAT, ..]) => Err(TornFault::Format(*never)),
        Some([format, ..]) => Ok(*format),
        Some([]) => Err(TornFault::Short),
        None if MAGIC.starts_with(bytes) => Err(TornFault::Short),
        None => Err(TornFault::NotASegment),
    }
}

/// The records of one segment of the current format, in order; ends at the first that is not whole.
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

    /// The next record; `None` at the end, and after the first that is not whole.
    #[expect(clippy::should_implement_trait, reason = "whose records they are is said at each call")]
    #[inline]
    pub fn next<M: Journaled>(&mut self) -> Option<Result<Record<'a, M>, Torn>> {
        if self.torn || (self.offset > 0 && self.offset == self.bytes.len()) {
            return None;
        }
        Some(self.record().map_err(|fault| {
            self.torn = true;
            Torn { offset: self.offset, lost: self.bytes.len() - self.offset, fault }
        }))
    }

    #[inline]
    fn record<M: Journaled>(&mut self) -> Result<Record<'a, M>, TornFault> {
        if self.offset == 0 {
            self.offset = match format(self.bytes)? {
                FORMAT => MAGIC.len() + 1,
                other => return Err(TornFault::Format(other)),
            };
        }
        let (kind, payload) = frame::read(&self.bytes[self.offset..])?;
        let record = read(kind, payload)?;
        self.offset += frame::HEAD + payload.len();
        Ok(record)
    }
}

#[inline]
fn read<M: Journaled>(kind: u8, payload: &[u8]) -> Result<Record<'_, M>, TornFault> {
    if kind == M::ENTRY {
        return read_entry(payload).ok_or(TornFault::Newer);
    }
    if kind == kind::CALL_ID {
        return read_id(payload).map(|(call, id)| Record::Called { call, id }).ok_or(TornFault::Newer);
    }
    if kind == M::OPENING {
        let opening = codec::decode::<_, PAYLOAD_MAX>(payload);
        return opening.map(|opening| Record::Opened(Box::new(opening))).map_err(|_| TornFault::Newer);
    }
    match kind {
        kind::WORKER_OPENING
        | kind::WORKER_ENTRY
        | kind::FLEET_OPENING
        | kind::FLEET_ENTRY
        | kind::LEDGER_OPENING
        | kind::LEDGER_CALL => Err(TornFault::Misplaced),
        kind => Ok(Record::Newer { kind }),
    }
}

#[inline]
fn read_entry<M: Journaled>(payload: &[u8]) -> Option<Record<'_, M>> {
    let quick = M::read_quickly(payload);
    let (entry, rest) = quick.or_else(|| codec::decode_first::<_, PAYLOAD_MAX>(payload).ok())?;
    if rest.is_empty() {
        return Some(Record::Entry { entry, id: "" });
    }
    let id = core::str::from_utf8(rest).ok()?;
    M::begins_call(&entry.event).then_some(Record::Entry { entry, id })
}

/// An open call and its id.
#[inline]
pub(super) fn read_id(payload: &[u8]) -> Option<(CallNo, &str)> {
    let mut reader = Reader::new(payload);
    let call = CallNo::new(reader.number()?);
    Some((call, core::str::from_utf8(reader.rest()).ok()?))
}

/// Whose segment this is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A worker's.
    Worker,
    /// A fleet's.
    Fleet,
    /// Of a build that knows more than this one.
    Newer,
}

/// How many bytes from its beginning [`head`] needs to tell whose a segment is.
pub const HEAD_LEN: usize = MAGIC.len() + 1 + frame::HEAD;

/// Whose segment this is, by its first [`HEAD_LEN`] bytes or fewer.
pub fn head(bytes: &[u8]) -> Result<Head, TornFault> {
    match format(bytes)? {
        format_1::FORMAT => Ok(Head::Worker),
        FORMAT => match frame::kind(&bytes[MAGIC.len() + 1..])? {
            kind::WORKER_OPENING => Ok(Head::Worker),
            kind::FLEET_OPENING => Ok(Head::Fleet),
            _ => Ok(Head::Newer),
        },
        _ => Ok(Head::Newer),
    }
}

/// Every whole record of a segment, for tests and tools that want them all.
#[must_use]
pub fn all<M: Journaled>(bytes: &[u8]) -> (Vec<Record<'_, M>>, Option<Torn>) {
    let (mut records, mut found) = (Records::new(bytes), Vec::new());
    while let Some(next) = records.next() {
        match next {
            Ok(record) => found.push(record),
            Err(torn) => return (found, Some(torn)),
        }
    }
    (found, None)
}
