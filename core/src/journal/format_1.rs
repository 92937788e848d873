//! Journals of format 1, read as if they were of the current one. Nothing writes them any more.
//!
//! ```text
//!  segment = "OpenRTCj", opening frame, entry frame, entry frame, …
//!  frame   = length u32 LE │ format u8 │ CRC-32C u32 LE │ payload (length bytes)
//! ```
//!
//! Format 1 had a worker's entries only. A call's id was part of the entry, a drain had one deadline and one policy,
//! and an entry could be stamped a moment before the time-out that led to it. So a time-out that is owed and not due
//! yet is taken as it is written, and so is what this build would word otherwise: the terms that a signal made of a
//! drain's, and the counts that an event repeats.

mod behind_bad_length;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::discriminant;

use serde::Deserialize;

use super::replay::Fold;
use super::{IdsSoFar, Opening, PAYLOAD_MAX, Predecessor, Replay, Run, Torn, TornFault};
use crate::checksum::Checksum;
use crate::codec;
use crate::id::{Actor, CallNo, DigestKey, Identity};
use crate::machine::{self, Machine};
use crate::order::Stamp;
use crate::time::{Instant, Span};
use crate::word::{Phase, Word};
use crate::worker::{
    Call, Cause, Class, Decline, Drain, EndReason, Entry, Event, Forced, Limits, Misfit, Misuse, OnDeadline, Outcome,
    Rejection, Stored, Tally, Terms, Worker,
};

pub(super) const MAGIC: [u8; 8] = *b"OpenRTCj";
pub(super) const FORMAT: u8 = 1;

const HEAD: usize = 9;

#[derive(Deserialize)]
enum OldRecord<'a> {
    #[serde(borrow)]
    Opened(Box<OldOpening<'a>>),
    Entry(machine::Entry<OldEvent<'a>>),
}

#[derive(Deserialize)]
struct OldOpening<'a> {
    identity: Identity,
    predecessor: Option<Predecessor>,
    #[serde(borrow)]
    state: OldWorker<'a>,
}

#[derive(Deserialize)]
struct OldWorker<'a> {
    limits: OldLimits,
    word: Word,
    now: Instant,
    #[serde(borrow)]
    calls: Vec<(CallNo, OldCall<'a>)>,
    drain: Option<OldDrain>,
    outcome: Option<Outcome>,
    tally: OldTally,
}

#[derive(Deserialize)]
struct OldLimits {
    capacity: u32,
    force_grace: Span,
    reservation_ttl: Span,
    stall_after: [Option<Span>; 4],
}

#[derive(Deserialize)]
struct OldCall<'a> {
    id: &'a str,
    class: Class,
    since: Instant,
    active: bool,
    moved: Instant,
    stalls_at: Option<Instant>,
    stalled: bool,
}

#[derive(Deserialize)]
struct OldDrain {
    actor: Actor,
    begun: Instant,
    cause: Cause,
    deadline: Option<Instant>,
    forced: Option<Forced>,
    from: Phase,
    on_deadline: OnDeadline,
    overdue: bool,
    sealed: bool,
}

#[derive(Deserialize)]
struct OldTally {
    admitted: u64,
    clock_steps: u64,
    declined: [u64; 3],
    ended: [u64; 7],
    lapsed: u64,
    reserved: u64,
    stalled: u64,
}

#[derive(Clone, Copy, Deserialize)]
enum OldEvent<'a> {
    StoodBy,
    ServingBegan,
    CallReserved { id: &'a str, class: Class },
    CallAdmitted { id: &'a str, class: Class },
    CallAssigned { call: CallNo },
    CallProgressed { call: CallNo },
    CallStalled { call: CallNo },
    ReservationLapsed { call: CallNo },
    CallEnded { call: CallNo, reason: EndReason },
    CallsDeclined { reason: Decline, count: u64 },
    DrainBegun { cause: Cause, actor: Actor, deadline: Option<Instant>, on_deadline: OnDeadline },
    DrainSealed { actor: Actor, deadline: Option<Instant>, on_deadline: OnDeadline },
    DrainExtended { actor: Actor, deadline: Instant },
    DrainCancelled { actor: Actor },
    DrainOverdue { live: u32 },
    DrainForced { actor: Actor, live: u32, _until: Instant },
    Drained,
    Exited { outcome: Outcome },
}

/// Folds a segment of format 1.
pub(super) fn replay(bytes: &[u8], each: impl FnMut(&Worker, &IdsSoFar<'_>, &Entry)) -> Result<Replay<Worker>, Torn> {
    let torn_at = |offset, fault| Torn { offset, lost: bytes.len() - offset, fault };
    let at_opening = |fault| torn_at(MAGIC.len(), fault);
    let (record, size) = read(&bytes[MAGIC.len()..]).map_err(at_opening)?;
    let OldRecord::Opened(old) = record else { return Err(at_opening(TornFault::Misplaced)) };
    let OldOpening { identity, predecessor, state } = *old;
    let named: Vec<_> = state.calls.iter().map(|(call, live)| (*call, live.id)).collect();
    let opening = Opening { about: Run { identity, predecessor }, state: state.into() };
    let mut fold = Fold::open(&opening, each).map_err(at_opening)?;
    for (call, id) in named {
        fold.name(call, id).map_err(at_opening)?;
    }
    let (mut whole, mut torn) = (MAGIC.len() + size, None);
    while whole < bytes.len() {
        match read(&bytes[whole..]).and_then(|(record, size)| take(&mut fold, &record).map(|()| size)) {
            Ok(size) => whole += size,
            Err(fault) => {
                torn = Some(torn_at(whole, fault));
                break;
            }
        }
    }
    let (ids, Fold { state, entries, .. }) = (fold.open_ids(), fold);
    Ok(Replay { format: FORMAT, opening, state, ids, entries, newer: 0, whole, torn })
}

fn take<'a, F>(fold: &mut Fold<'a, Worker, F>, record: &OldRecord<'a>) -> Result<(), TornFault>
where
    F: FnMut(&Worker, &IdsSoFar<'_>, &Entry),
{
    let OldRecord::Entry(old) = *record else { return Err(TornFault::Misplaced) };
    let entry = Entry { seq: old.seq, at: old.at, behind: old.behind, event: old.event.into() };
    match fold.state.fits(&entry) {
        Ok(()) => {}
        Err(Misfit::Rejected(Rejection::Misuse(Misuse::NotDue)) | Misfit::Other)
            if was_decided(&fold.state, &entry) => {}
        Err(misfit) => return Err(TornFault::Misfit(misfit)),
    }
    let id = match old.event {
        OldEvent::CallReserved { id, .. } | OldEvent::CallAdmitted { id, .. } => id,
        OldEvent::StoodBy
        | OldEvent::ServingBegan
        | OldEvent::CallAssigned { .. }
        | OldEvent::CallProgressed { .. }
        | OldEvent::CallStalled { .. }
        | OldEvent::ReservationLapsed { .. }
        | OldEvent::CallEnded { .. }
        | OldEvent::CallsDeclined { .. }
        | OldEvent::DrainBegun { .. }
        | OldEvent::DrainSealed { .. }
        | OldEvent::DrainExtended { .. }
        | OldEvent::DrainCancelled { .. }
        | OldEvent::DrainOverdue { .. }
        | OldEvent::DrainForced { .. }
        | OldEvent::Drained
        | OldEvent::Exited { .. } => "",
    };
    fold.take(&entry, id);
    Ok(())
}

/// Whether this build would decide the same sooner or later, though perhaps in other words.
fn was_decided(state: &Worker, entry: &Entry) -> bool {
    let decided = state.judge(Instant::from_micros(u64::MAX), state.command_behind(&entry.event));
    decided.is_ok_and(|event| discriminant(&event) == discriminant(&entry.event))
}

/// The record that `bytes` begin with, and the size of its frame.
fn read(bytes: &[u8]) -> Result<(OldRecord<'_>, usize), TornFault> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(TornFault::Short)?;
    let [l0, l1, l2, l3, format, c0, c1, c2, c3] = *head;
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    let size = usize::try_from(len).ok().filter(|size| *size <= PAYLOAD_MAX).ok_or(TornFault::Huge(len))?;
    let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
    let Some(payload) = rest.get(..size) else {
        return Err(if behind_bad_length::hides_frames(bytes, checksum) {
            TornFault::Checksum
        } else {
            TornFault::Short
        });
    };
    if Checksum::new().then(&head[..5]).then(payload).get() != checksum {
        return Err(TornFault::Checksum);
    }
    if format != FORMAT {
        return Err(TornFault::Format(format));
    }
    let record = codec::decode_borrowed::<_, PAYLOAD_MAX>(payload).map_err(|_| TornFault::Newer)?;
    Ok((record, HEAD + size))
}

impl From<OldWorker<'_>> for Worker {
    fn from(old: OldWorker<'_>) -> Self {
        let OldWorker { limits, word, now, calls, drain, outcome, tally } = old;
        let OldLimits { capacity, force_grace, reservation_ttl, stall_after } = limits;
        let limits = Limits { capacity, force_grace, reservation_ttl, stall_after, ..Limits::default() };
        let calls: Vec<_> = calls.into_iter().map(|(number, call)| (number, Call::from(call))).collect();
        let (drain, tally, obeyed) = (drain.map(Into::into), tally.into(), Stamp::default());
        Stored { limits, word, now, calls: Vec::into(calls), drain, outcome, tally, obeyed }.into()
    }
}

impl From<OldCall<'_>> for Call {
    fn from(old: OldCall<'_>) -> Self {
        let OldCall { id, class, since, active, moved, stalls_at, stalled } = old;
        Self { id: DigestKey::default().digest(id), class, since, active, moved, stalls_at, stalled }
    }
}

impl From<OldDrain> for Drain {
    fn from(old: OldDrain) -> Self {
        let OldDrain { actor, begun, cause, deadline, forced, from, on_deadline, overdue, sealed } = old;
        Self { actor, begun, cause, terms: terms(deadline, on_deadline), forced, from, overdue, sealed }
    }
}

impl From<OldTally> for Tally {
    fn from(old: OldTally) -> Self {
        let mut ended = [0; EndReason::ALL.len()];
        ended[..old.ended.len()].copy_from_slice(&old.ended);
        let mut declined = [0; Decline::ALL.len()];
        declined[..old.declined.len()].copy_from_slice(&old.declined);
        Self {
            admitted: old.admitted,
            clock_steps: old.clock_steps,
            declined,
            ended,
            lapsed: old.lapsed,
            reserved: old.reserved,
            stalled: old.stalled,
            ..Self::default()
        }
    }
}

impl From<OldEvent<'_>> for Event {
    fn from(old: OldEvent<'_>) -> Self {
        let stamp = None;
        let digest = |id| DigestKey::default().digest(id);
        match old {
            OldEvent::StoodBy => Self::StoodBy,
            OldEvent::ServingBegan => Self::ServingBegan { stamp },
            OldEvent::CallReserved { id, class } => Self::CallReserved { id: digest(id), class },
            OldEvent::CallAdmitted { id, class } => Self::CallAdmitted { id: digest(id), class },
            OldEvent::CallAssigned { call } => Self::CallAssigned { call },
            OldEvent::CallProgressed { call } => Self::CallProgressed { call },
            OldEvent::CallStalled { call } => Self::CallStalled { call },
            OldEvent::ReservationLapsed { call } => Self::ReservationLapsed { call },
            OldEvent::CallEnded { call, reason } => Self::CallEnded { call, reason },
            OldEvent::CallsDeclined { reason, count } => Self::CallsDeclined { reason, count },
            OldEvent::DrainBegun { cause, actor, deadline, on_deadline } => {
                Self::DrainBegun { cause, actor, terms: terms(deadline, on_deadline), stamp }
            }
            OldEvent::DrainSealed { actor, deadline, on_deadline } => {
                Self::DrainSealed { cause: Cause::Signal, actor, terms: terms(deadline, on_deadline), stamp }
            }
            OldEvent::DrainExtended { actor, deadline } => Self::DrainExtended { actor, deadline },
            OldEvent::DrainCancelled { actor } => Self::DrainCancelled { actor, stamp },
            OldEvent::DrainOverdue { live } => Self::DrainOverdue { live },
            OldEvent::DrainForced { actor, live, .. } => Self::DrainForced { actor, live, stamp },
            OldEvent::Drained => Self::Drained,
            OldEvent::Exited { outcome } => Self::Exited { outcome, stamp },
        }
    }
}

fn terms(deadline: Option<Instant>, on_deadline: OnDeadline) -> Terms {
    Terms::new(deadline, on_deadline).unwrap_or(Terms::PATIENT)
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    /// Every record of format 1 that there can be: `name = payload`.
    const PINNED: &str = include_str!("../../tests/journal/golden_1.txt");

    const CALL: CallNo = CallNo::new(70_000);
    const ALICE: Actor = Actor::from_static("alice");

    fn pinned() -> Vec<(&'static str, Vec<u8>)> {
        let byte = |hex: &[u8]| u8::from_str_radix(str::from_utf8(hex).unwrap(), 16).unwrap();
        let line = |line: &'static str| {
            let (name, hex) = line.rsplit_once(" = ").unwrap();
            (name, hex.as_bytes().chunks(2).map(byte).collect())
        };
        PINNED.lines().map(line).filter(|(name, _)| *name != "segment").collect()
    }

    fn read(payload: &[u8]) -> OldRecord<'_> {
        codec::decode_borrowed::<_, PAYLOAD_MAX>(payload).unwrap()
    }

    /// The events in the order in which they are pinned.
    fn events() -> Vec<Event> {
        let (id, class, call, actor, stamp) =
            (DigestKey::default().digest("call"), Class::default(), CALL, ALICE, None);
        let deadline = Instant::from_micros(3_600_000_000);
        let terms = |on_deadline| Terms::new(Some(deadline), on_deadline).unwrap();
        let begun = |cause, terms| Event::DrainBegun { cause, actor, terms, stamp };
        let mut events = alloc::vec![
            Event::StoodBy,
            Event::ServingBegan { stamp },
            Event::CallReserved { id, class: Class::new(3).unwrap() },
            Event::CallAdmitted { id, class },
            Event::CallAssigned { call },
            Event::CallProgressed { call },
            Event::CallStalled { call },
            Event::ReservationLapsed { call },
            begun(Cause::Api, Terms::PATIENT),
            begun(Cause::Signal, terms(OnDeadline::Alert)),
            begun(Cause::Coordinator, terms(OnDeadline::Force)),
            begun(Cause::Fence, Terms::PATIENT),
            Event::DrainSealed { cause: Cause::Signal, actor, terms: terms(OnDeadline::Force), stamp },
            Event::DrainExtended { actor, deadline },
            Event::DrainCancelled { actor, stamp },
            Event::DrainOverdue { live: 250 },
            Event::DrainForced { actor, live: 251, stamp },
            Event::Drained,
            Event::Exited { outcome: Outcome::Clean, stamp },
            Event::Exited { outcome: Outcome::Forced { dropped: 65_536 }, stamp },
            Event::Exited { outcome: Outcome::Rejected, stamp },
        ];
        events.extend(EndReason::ALL[..7].iter().map(|reason| Event::CallEnded { call, reason: *reason }));
        events.extend(Decline::ALL[..3].iter().map(|reason| Event::CallsDeclined { reason: *reason, count: u64::MAX }));
        events
    }

    #[test]
    fn every_pinned_entry_is_read_as_its_equal_of_today() {
        let pinned = pinned();
        let entries: Vec<_> = pinned.iter().filter(|(name, _)| name.starts_with("Entry/")).collect();
        assert_eq!(entries.len(), events().len());
        for (((name, payload), event), number) in entries.into_iter().zip(events()).zip(1..) {
            let OldRecord::Entry(machine::Entry { seq, at, behind, event: old }) = read(payload) else {
                panic!("{name} is an entry")
            };
            assert_eq!(Event::from(old), event, "{name}");
            assert_eq!((seq.get(), at.as_micros(), behind.as_micros()), (number, 1_700_000_000_000_000, 250), "{name}");
        }
    }

    #[test]
    fn every_pinned_opening_is_read_as_its_equal_of_today() {
        let mut states = Vec::new();
        for (name, payload) in pinned().iter().filter(|(name, _)| name.starts_with("Opened/")) {
            let OldRecord::Opened(old) = read(payload) else { panic!("{name} is an opening") };
            let OldOpening { identity, predecessor, state } = *old;
            let named: String = state.calls.iter().map(|(_, call)| call.id).collect();
            let state = Worker::from(state);
            assert!(state.is_sound(), "{name}: {state:?}");
            assert_eq!(identity.worker.as_str(), "voice-7");
            states.push((state, predecessor, named));
        }
        let [(starting, ..), (draining, none, _), (exited, Some(predecessor), left)] = &states[..] else {
            panic!("three openings are pinned")
        };
        assert_eq!((starting, none), (&Worker::new(Limits::default()).unwrap(), &None));
        let drain = draining.drain().unwrap();
        let terms = Terms::new(Some(Instant::from_micros(60_000_000)), OnDeadline::Alert).unwrap();
        assert_eq!((drain.terms, drain.sealed, draining.word().in_flight()), (terms, false, 3));
        let outcome = Some(Outcome::Forced { dropped: 2 });
        assert_eq!((exited.outcome(), exited.tally().stalled, &left[..]), (outcome, 1, "call"));
        assert_eq!((predecessor.incarnation.get(), predecessor.exited, predecessor.open_calls), (6, false, 2));
    }
}
