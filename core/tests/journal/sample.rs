//! Records of every kind, and a segment that holds a worker's life.

use openrtc_core::id::{Actor, CallId, CallNo, Deployment, Identity, Incarnation, Seq, Version, WorkerId};
use openrtc_core::journal::{Opening, Predecessor, Record, write_entry, write_opening};
use openrtc_core::machine::{Machine, fold};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Event, Limits, OnDeadline, Outcome, Worker,
};

const ALICE: Actor = Actor::from_static("alice");
const CALL: CallId = CallId::from_static("call");
const CLASS: Class = Class(0);

/// Every record and every value of every enumeration in one, by name.
pub(crate) fn records() -> Vec<(String, Record)> {
    let states = [("starting", Worker::new(Limits::default()).expect("defaults work")), ("draining", draining())];
    let opened = states.into_iter().map(|(name, state)| (format!("Opened/{name}"), opened(state)));
    let predecessor = Some(Predecessor { incarnation: Incarnation::new(6), exited: false, open_calls: 2 });
    let second = Opening { predecessor, ..opening(exited()) };
    let second = ("Opened/exited, with predecessor".to_owned(), Record::Opened(Box::new(second)));
    opened.chain([second]).chain(events().into_iter().zip(1..).map(recorded)).collect()
}

fn opened(state: Worker) -> Record {
    Record::Opened(Box::new(opening(state)))
}

fn recorded((event, seq): (Event, u64)) -> (String, Record) {
    let (at, behind) = (Instant::from_micros(1_700_000_000_000_000), Span::from_micros(250));
    (format!("Entry/{event:?}"), Record::Entry(Entry { seq: Seq::new(seq), at, behind, event }))
}

fn events() -> Vec<Event> {
    let call = CallNo::new(70_000);
    let deadline = at(3_600);
    let begun = |cause, deadline, on_deadline| Event::DrainBegun { cause, actor: ALICE, deadline, on_deadline };
    let mut events = vec![
        Event::StoodBy,
        Event::ServingBegan,
        Event::CallReserved { id: CALL, class: Class(3) },
        Event::CallAdmitted { id: CALL, class: CLASS },
        Event::CallAssigned { call },
        Event::CallProgressed { call },
        Event::CallStalled { call },
        Event::ReservationLapsed { call },
        begun(Cause::Api, None, OnDeadline::Wait),
        begun(Cause::Signal, Some(deadline), OnDeadline::Alert),
        begun(Cause::Coordinator, Some(deadline), OnDeadline::Force),
        begun(Cause::Fence, None, OnDeadline::Wait),
        Event::DrainSealed { actor: ALICE, deadline: Some(deadline), on_deadline: OnDeadline::Force },
        Event::DrainExtended { actor: ALICE, deadline },
        Event::DrainCancelled { actor: ALICE },
        Event::DrainOverdue { live: 250 },
        Event::DrainForced { actor: ALICE, live: 251, until: deadline },
        Event::Drained,
        Event::Exited { outcome: Outcome::Clean },
        Event::Exited { outcome: Outcome::Forced { dropped: 65_536 } },
        Event::Exited { outcome: Outcome::Rejected },
    ];
    events.extend(EndReason::ALL.map(|reason| Event::CallEnded { call, reason }));
    events.extend(Decline::ALL.map(|reason| Event::CallsDeclined { reason, count: u64::MAX }));
    events
}

pub(crate) fn opening(state: Worker) -> Opening {
    let identity = Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::from_static("v2.0.0"),
        worker: WorkerId::from_static("voice-7"),
        incarnation: Incarnation::new(7),
    };
    Opening { identity, predecessor: None, state }
}

/// A segment, where each of its frames ends (the first is the opening), and its entries.
pub(crate) fn segment() -> (Vec<u8>, Vec<usize>, Vec<Entry>) {
    let (start, entries) = life();
    let mut bytes = Vec::new();
    write_opening(opening(start), &mut bytes);
    let mut ends = vec![bytes.len()];
    for entry in &entries {
        write_entry(entry, &mut bytes);
        ends.push(bytes.len());
    }
    (bytes, ends, entries)
}

fn draining() -> Worker {
    let (mut worker, entries) = life();
    fold(&mut worker, &entries[..9]);
    worker
}

fn exited() -> Worker {
    let (mut worker, entries) = life();
    fold(&mut worker, &entries);
    worker
}

/// A worker and what happened to it until its forced end.
pub(crate) fn life() -> (Worker, Vec<Entry>) {
    let call = CallNo::new;
    let deadline = Some(at(60));
    let order = DrainOrder { cause: Cause::Api, actor: ALICE, deadline, on_deadline: OnDeadline::Alert };
    let script = [
        (1, Command::Serve),
        (2, Command::Admit { id: CALL, class: CLASS }),
        (3, Command::Reserve { id: CALL, class: Class(1) }),
        (4, Command::Assign { call: call(3) }),
        (5, Command::Admit { id: CALL, class: Class(2) }),
        (40, Command::Wake),
        (41, Command::Reserve { id: CALL, class: CLASS }),
        (42, Command::BeginDrain(order)),
        (60, Command::Wake),
        (61, Command::Wake),
        (62, Command::ForceDrain { actor: ALICE }),
        (63, Command::End { call: call(5), reason: EndReason::DrainForced }),
        (62, Command::End { call: call(3), reason: EndReason::CallerHangup }),
        (64, Command::Wake),
    ];
    let start = Worker::new(Limits::default()).expect("defaults work");
    let (mut worker, mut entries) = (start.clone(), Vec::new());
    for (secs, command) in script {
        entries.push(worker.step(at(secs), command).unwrap_or_else(|no| panic!("{command:?}: {no}")));
    }
    (start, entries)
}

const fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}
