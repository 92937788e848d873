//! The journal's bytes: how a machine's entries lie in a segment, and how a segment is read back.
//!
//! ```text
//!  segment = "OpenRTC" format, opening frame, frame, frame, …
//!  frame   = head, payload: one record                                          (see `journal/frame.rs`)
//!  record  = an opening, the id of a call in it, an entry, or something of a newer build
//! ```
//!
//! A segment opens with the whole state of the machine and the ids of the calls in it, so it can be folded without the
//! ones before it, and old ones can be deleted. Every other call's id lies in one record with the entry that begins the
//! call.
//!
//! Journals of format 1, which held a worker's entries only, are read as well; see `docs/journal-format.md`.

mod batch;
mod calls;
mod fault;
mod format_1;
mod frame;
mod ledger;
mod quick;
mod read;
mod replay;

use alloc::vec::Vec;
use core::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use batch::Batch;
pub use calls::{CallLine, CallLines, Left};
pub use fault::{Torn, TornFault};
pub use frame::PAYLOAD_MAX;
pub use ledger::{Ledger, LedgerOpening};
pub use read::{HEAD_LEN, Head, Record, Records, all, format, head};
pub use replay::{IdsSoFar, Replay, replay};

use crate::codec;
use crate::fleet::{self, Fleet};
use crate::id::{CallNo, Deployment, IdLog, Identity, Incarnation, WorkerId};
use crate::machine::{Entry, Machine, Misfit};
use crate::worker::{self, Worker};

/// What every segment starts with; the format follows as one byte.
pub const MAGIC: [u8; 7] = *b"OpenRTC";

/// The version of the frames that this build writes. Kinds of records, kinds of events and reasons can be added without
/// a new one.
pub const FORMAT: u8 = 2;

/// The kinds of records.
mod kind {
    pub(super) const WORKER_OPENING: u8 = 1;
    pub(super) const CALL_ID: u8 = 2;
    pub(super) const WORKER_ENTRY: u8 = 3;
    pub(super) const FLEET_OPENING: u8 = 4;
    pub(super) const FLEET_ENTRY: u8 = 5;
    pub(super) const LEDGER_OPENING: u8 = 6;
    pub(super) const LEDGER_CALL: u8 = 7;
}

/// A machine that can be kept in a journal.
pub trait Journaled:
    Machine<Event: Debug + Eq + Serialize + DeserializeOwned> + Clone + Debug + Eq + Serialize + DeserializeOwned
{
    /// Whose journal it is, and what came before.
    type About: Copy + Debug + Eq + Serialize + DeserializeOwned;

    /// The kind of its opening records.
    const OPENING: u8;
    /// The kind of its entries.
    const ENTRY: u8;

    /// The run that writes it: a later one has a larger number.
    fn incarnation(about: &Self::About) -> Incarnation;

    /// Whether this entry begins a call. The call's number is that of the entry, and its id may follow the entry.
    fn begins_call(event: &Self::Event) -> bool;

    /// The call that is over once this entry was folded, and so needs no id any more.
    fn ends_call(entry: &Entry<Self::Event>) -> Option<CallNo>;

    /// Whether a call of this number is in flight.
    fn has_call(&self, call: CallNo) -> bool;

    /// The calls in flight, by number.
    fn open_calls(&self) -> impl Iterator<Item = CallNo>;

    /// Folds a segment of format 1, if there is one of this machine.
    fn replay_format_1(
        bytes: &[u8],
        _each: impl FnMut(&Self, &IdsSoFar<'_>, &Entry<Self::Event>),
    ) -> Result<Replay<Self>, Torn> {
        Err(Torn { offset: 0, lost: bytes.len(), fault: TornFault::Misplaced })
    }

    /// The fault of an entry that does not fit.
    fn misfit(misfit: Misfit<Self::Rejection>) -> TornFault;

    /// Reads the entry that a payload begins with faster than the codec does, if it is of a frequent kind, and returns
    /// what follows it too.
    #[must_use]
    fn read_quickly(_payload: &[u8]) -> Option<(Entry<Self::Event>, &[u8])> {
        None
    }
}

/// What a segment opens with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening<M: Journaled> {
    /// Whose journal this is.
    #[serde(bound = "")]
    pub about: M::About,
    /// The machine as the entries before this segment left it.
    #[serde(bound = "")]
    pub state: M,
}

/// Whose a worker's journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The run that writes it.
    pub identity: Identity,
    /// The run before this one, if its journal was found.
    pub predecessor: Option<Predecessor>,
}

/// What a worker's journal says of the run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Which run it was.
    pub incarnation: Incarnation,
    /// Whether it left by itself. If not, its open calls were lost.
    pub exited: bool,
    /// How many calls were open at its end.
    pub open_calls: u32,
}

/// Whose a fleet's journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Office {
    /// The service whose workers it coordinates.
    pub deployment: Deployment,
    /// The coordinator that writes it.
    pub coordinator: WorkerId,
    /// Which run of that coordinator.
    pub incarnation: Incarnation,
}

impl Journaled for Worker {
    type About = Run;

    const OPENING: u8 = kind::WORKER_OPENING;
    const ENTRY: u8 = kind::WORKER_ENTRY;

    fn incarnation(about: &Run) -> Incarnation {
        about.identity.incarnation
    }

    #[inline]
    fn ends_call(entry: &worker::Entry) -> Option<CallNo> {
        entry.event.ended_call()
    }

    #[inline]
    fn begins_call(event: &worker::Event) -> bool {
        event.begins_call()
    }

    fn has_call(&self, call: CallNo) -> bool {
        self.calls().get(call).is_some()
    }

    fn open_calls(&self) -> impl Iterator<Item = CallNo> {
        self.calls().iter().map(|(call, _)| call)
    }

    fn replay_format_1(
        bytes: &[u8],
        each: impl FnMut(&Self, &IdsSoFar<'_>, &worker::Entry),
    ) -> Result<Replay<Self>, Torn> {
        format_1::replay(bytes, each)
    }

    fn misfit(misfit: worker::Misfit) -> TornFault {
        TornFault::Misfit(misfit)
    }

    #[inline]
    fn read_quickly(payload: &[u8]) -> Option<(worker::Entry, &[u8])> {
        quick::read(payload)
    }
}

impl Journaled for Fleet {
    type About = Office;

    const OPENING: u8 = kind::FLEET_OPENING;
    const ENTRY: u8 = kind::FLEET_ENTRY;

    fn incarnation(about: &Office) -> Incarnation {
        about.incarnation
    }

    fn begins_call(_: &Self::Event) -> bool {
        false
    }

    fn ends_call(_: &Entry<Self::Event>) -> Option<CallNo> {
        None
    }

    fn has_call(&self, _: CallNo) -> bool {
        false
    }

    fn open_calls(&self) -> impl Iterator<Item = CallNo> {
        core::iter::empty()
    }

    fn misfit(misfit: fleet::Misfit) -> TornFault {
        TornFault::FleetMisfit(misfit)
    }
}

/// Appends a segment's beginning to `out`: the state and the ids of its calls.
pub fn write_opening<M: Journaled>(opening: &Opening<M>, ids: &IdLog, out: &mut Vec<u8>) {
    write_head(M::OPENING, opening, ids.iter(), out);
}

/// What a file begins with: its format, its opening, and the ids of the calls that are open in it.
fn write_head<'a>(kind: u8, opening: &impl Serialize, ids: impl Iterator<Item = (CallNo, &'a str)>, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.push(FORMAT);
    frame::write(kind, out, |out| codec::encode(opening, out));
    for (call, text) in ids {
        frame::write(kind::CALL_ID, out, |out| {
            codec::encode(&call, out);
            out.extend_from_slice(text.as_bytes());
        });
    }
}

/// Appends the decisions of a batch to `out`, each call's id with the entry that begins the call. Observations are left
/// out.
pub fn write_batch<M: Journaled>(batch: &Batch<M>, out: &mut Vec<u8>) {
    let mut ids = batch.ids.iter().peekable();
    for entry in batch.entries.iter().filter(|entry| !M::is_observation(&entry.event)) {
        let mut id = "";
        if M::begins_call(&entry.event) {
            while let Some((call, text)) = ids.next_if(|(call, _)| call.get() <= entry.seq.get()) {
                id = if call.get() == entry.seq.get() { text } else { "" };
            }
        }
        frame::write(M::ENTRY, out, |out| {
            codec::encode(entry, out);
            out.extend_from_slice(id.as_bytes());
        });
    }
}
