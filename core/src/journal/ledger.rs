//! The ledger of a run's calls: what is kept of segments that had to make room.
//!
//! ```text
//!  ledger = "OpenRTC" format, opening frame, id frame, …, call frame, call frame, …
//! ```
//!
//! A ledger stands for the entries from `first` up to the state that it opens with. Moves, flags and counts are in that
//! state or gone; each call that left has a frame of its own. A ledger is written in one go and put in its place whole,
//! so whatever is missing in it was taken away.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::calls::{CallLine, CallLines, Left};
use super::read::read_id;
use super::{FORMAT, MAGIC, PAYLOAD_MAX, Run, Torn, TornFault, format, frame, kind, write_head};
use crate::codec;
use crate::id::{CallId, CallNo, OpenIds, Seq};
use crate::machine::Machine;
use crate::time::Instant;
use crate::worker::{Origin, Worker};

/// What a ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Which entries it stands for, and the worker after them.
    pub opening: LedgerOpening,
    /// What the open calls in that state are called.
    pub ids: OpenIds,
    /// The calls that left, and those that were taken over.
    pub lines: CallLines,
}

/// What a ledger opens with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerOpening {
    /// Whose it is.
    pub about: Run,
    /// The number of the first entry that it stands for.
    pub first: Seq,
    /// When that entry became true.
    pub began: Option<Instant>,
    /// Whether the end of what it stands for was cut short, as a crash does.
    pub cut_short: bool,
    /// How many calls it has a frame for.
    pub calls: u64,
    /// The worker after the entries.
    pub state: Worker,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    number: CallNo,
    began: Instant,
    origin: Option<Origin>,
    left: Left,
    id: &'a str,
}

impl Ledger {
    /// Appends its bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let opening = LedgerOpening { calls: self.lines.iter().len() as u64, ..self.opening.clone() };
        let ids = self.ids.iter().map(|(call, id)| (call, id.as_str()));
        write_head(kind::LEDGER_OPENING, &opening, ids, out);
        for CallLine { number, id, began, origin, left } in self.lines.iter() {
            let (number, began, origin, left) = (*number, *began, *origin, *left);
            let line = Line { number, began, origin, left, id: id.as_str() };
            frame::write(kind::LEDGER_CALL, out, |out| codec::encode(&line, out));
        }
    }

    /// Reads a ledger, which must be whole.
    pub fn read(bytes: &[u8]) -> Result<Self, Torn> {
        let torn_at = |offset, fault| Torn { offset, lost: bytes.len() - offset, fault };
        let at_opening = |fault| torn_at(MAGIC.len() + 1, fault);
        match format(bytes).map_err(|fault| torn_at(0, fault))? {
            FORMAT => {}
            other => return Err(torn_at(0, TornFault::Format(other))),
        }
        let mut offset = MAGIC.len() + 1;
        let next = |offset: &mut usize| {
            let (kind, payload) = frame::read(&bytes[*offset..])?;
            *offset += frame::HEAD + payload.len();
            Ok((kind, payload))
        };
        let opening: LedgerOpening = match next(&mut offset) {
            Ok((kind::LEDGER_OPENING, payload)) => codec::decode::<_, PAYLOAD_MAX>(payload),
            Ok(_) => return Err(at_opening(TornFault::Misplaced)),
            Err(fault) => return Err(at_opening(fault)),
        }
        .map_err(|_| at_opening(TornFault::Newer))?;
        if !opening.state.is_sound() {
            return Err(at_opening(TornFault::Unsound));
        }
        let (mut ids, mut lines) = (OpenIds::default(), CallLines::default());
        while offset < bytes.len() {
            let whole = offset;
            let taken = next(&mut offset).and_then(|(kind, payload)| match kind {
                kind::CALL_ID => {
                    let (call, id) = read_id(payload).ok_or(TornFault::Misplaced)?;
                    ids.insert(call, CallId::new(id).map_err(|_| TornFault::Misplaced)?);
                    Ok(())
                }
                kind::LEDGER_CALL => {
                    lines.insert(line(payload)?);
                    Ok(())
                }
                _ => Err(TornFault::Newer),
            });
            taken.map_err(|fault| torn_at(whole, fault))?;
        }
        if lines.iter().len() as u64 != opening.calls {
            return Err(torn_at(bytes.len(), TornFault::Short));
        }
        Ok(Self { opening, ids, lines })
    }
}

fn line(payload: &[u8]) -> Result<CallLine, TornFault> {
    let line = codec::decode_borrowed::<Line<'_>, PAYLOAD_MAX>(payload).map_err(|_| TornFault::Newer)?;
    let Line { number, began, origin, left, id } = line;
    let id = CallId::new(id).map_err(|_| TornFault::Misplaced)?;
    Ok(CallLine { number, id, began, origin, left })
}
