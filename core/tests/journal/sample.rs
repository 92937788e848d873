//! Records of every kind, and a segment that holds a worker's life.

use openrtc_core::id::{
    Actor, CallId, CallNo, Deployment, Digest, DigestKey, Epoch, IdLog, Identity, Incarnation, OpenIds, Seq, Version,
    WorkerId,
};
use openrtc_core::journal::{Batch, Opening, Predecessor, Record, Run, write_batch, write_opening};
use openrtc_core::machine::{Machine, fold};
use openrtc_core::order::{Order, Stamp, Wish};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Event, Leave, Limits, OnDeadline, Origin, Outcome,
    Terms, Worker,
};

use crate::reader::{HEADER, frames};

const ALICE: Actor = Actor::from_static("alice");
const KEY: DigestKey = DigestKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
const STAMP: Stamp = Stamp { epoch: Epoch::new(2), order: Seq::new(251) };

/// The calls of [`life`] and what they are called.
pub(crate) const CALLS: [(u64, &str); 5] = [
    (1, "call"),
    (3, "Ärger mit 電話 ☎"),
    (4, "a84b4c76e66710@pc33.example.org"),
    (6, "9f3a7c02-5d0e-4a7e-9f64-0c7b6a1f2e11"),
    (10, "AJ_7Qm2xVhW9RkT"),
];

/// A worker's records: every kind, and every value of every enumeration in one, by name.
pub(crate) fn records() -> Vec<(String, Record<'static, Worker>)> {
    let (start, entries) = life();
    let [mut draining, mut exited] = [start.clone(), start.clone()];
    fold(&mut draining, &entries[..14]);
    fold(&mut exited, &entries);
    let defaults = Worker::new(Limits::default()).expect("defaults work");
    let opened = [("starting", defaults), ("parked", start), ("draining, sealed", draining)];
    let opened = opened.map(|(name, state)| (name.to_owned(), opening(state)));
    let predecessor = Some(Predecessor { incarnation: Incarnation::new(6), exited: false, open_calls: 2 });
    let second = Opening { about: Run { predecessor, ..run() }, state: exited };
    let openings = opened.into_iter().chain([("exited, with predecessor".to_owned(), second)]);
    let openings = openings.map(|(name, opening)| (format!("Opening/{name}"), Record::Opened(Box::new(opening))));
    let ids = [(1, "call"), (70_000, CALLS[1].1), (u64::MAX, LONGEST)];
    let ids = ids.map(|(call, id)| (format!("CallId/{call} {id}"), Record::Called { call: CallNo::new(call), id }));
    openings.chain(ids).chain(events().into_iter().zip(1..).map(recorded)).collect()
}

/// 255 bytes.
const LONGEST: &str = "sip:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
     0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
     0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab@example.org.au";

fn recorded(((event, id), seq): ((Event, &'static str), u64)) -> (String, Record<'static, Worker>) {
    let (at, behind) = (Instant::from_micros(1_700_000_000_000_000), Span::from_micros(250));
    let name = if id.is_empty() { format!("Entry/{event:?}") } else { format!("Entry/{event:?} {id}") };
    (name, Record::Entry { entry: Entry { seq: Seq::new(seq), at, behind, event }, id })
}

/// Every event, and those that begin a call once more with the call's id.
fn events() -> Vec<(Event, &'static str)> {
    let (id, class, call) = (Digest::new(0x0123_4567_89ab_cdef), Class::default(), CallNo::new(70_000));
    let (deadline, actor, stamp) = (at(3_600), ALICE, Some(STAMP));
    let terms = |on_deadline| Terms::new(Some(deadline), on_deadline).expect("there is a deadline");
    let all = Terms { alert_at: Some(deadline), force_at: Some(at(3_660)), ..terms(OnDeadline::Wait) };
    let begun = |cause, terms, stamp| Event::DrainBegun { cause, actor, terms, stamp };
    let origin = |given| Origin { run: Incarnation::new(6), call: CallNo::new(250), given };
    let mut events = vec![
        Event::StoodBy,
        Event::ServingBegan { stamp: None },
        Event::ServingBegan { stamp },
        Event::CallReserved { id, class: Class::new(3).expect("there are four") },
        Event::CallAdmitted { id, class },
        Event::CallAssigned { call },
        Event::CallProgressed { call },
        Event::CallStalled { call },
        Event::ReservationLapsed { call },
        begun(Cause::Api, Terms::PATIENT, None),
        begun(Cause::Signal, terms(OnDeadline::Alert), None),
        begun(Cause::Coordinator, terms(OnDeadline::Force), stamp),
        begun(Cause::Fence, Terms::PATIENT, stamp),
        Event::DrainSealed { cause: Cause::Signal, actor, terms: all, stamp: None },
        Event::DrainSealed { cause: Cause::Fence, actor, terms: terms(OnDeadline::Wait), stamp },
        Event::DrainExtended { actor, deadline },
        Event::DrainCancelled { actor, stamp: None },
        Event::DrainCancelled { actor, stamp },
        Event::DrainOverdue { live: 250 },
        Event::DrainForced { actor, live: 251, stamp: None },
        Event::DrainForced { actor, live: 65_536, stamp },
        Event::Drained,
        Event::Exited { outcome: Outcome::Clean, stamp: None },
        Event::Exited { outcome: Outcome::Forced { dropped: 65_536 }, stamp },
        Event::Exited { outcome: Outcome::Rejected, stamp },
        Event::OrderTaken { stamp: STAMP, actor },
        Event::CallTakenOver { id, class, origin: origin(true) },
        Event::CallTakenOver { id, class, origin: origin(false) },
        Event::CallHandedOver { call, to: Incarnation::new(u64::MAX) },
    ];
    events.extend(EndReason::ALL.map(|reason| Event::CallEnded { call, reason }));
    let declined = |reason: &Decline| Event::CallsDeclined { reason: *reason, count: u64::MAX };
    // What came later goes to the end: a record's number is its place here.
    let (first, later) = Decline::ALL.split_at(3);
    events.extend(first.iter().map(declined));
    let tightened = [None, stamp].map(|stamp| Event::DrainTightened { actor, terms: all, stamp });
    let later = later.iter().map(declined).chain(tightened).map(|event| (event, ""));
    let named = [
        (Event::CallReserved { id, class }, "call"),
        (Event::CallAdmitted { id, class }, CALLS[1].1),
        (Event::CallAdmitted { id, class }, LONGEST),
        (Event::CallTakenOver { id, class, origin: origin(true) }, CALLS[2].1),
    ];
    events.into_iter().map(|event| (event, "")).chain(named).chain(later).collect()
}

/// The frame of a record, as the journal writes it.
pub(crate) fn framed(record: &Record<'_, Worker>) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    match record {
        Record::Opened(opening) => {
            bytes.clear();
            write_opening(opening, &IdLog::default(), &mut bytes);
        }
        Record::Called { call, id } => {
            // It is written behind an opening.
            let mut segment = Vec::new();
            write_opening(&opening(life().0), &logged([(call.get(), *id)]), &mut segment);
            bytes.extend_from_slice(&segment[frames(&segment)[0].end..]);
        }
        Record::Entry { entry, id } => {
            let ids = [(entry.seq.get(), *id)].into_iter().filter(|(_, id)| !id.is_empty());
            append(&[*entry], &logged(ids), &mut bytes);
        }
        Record::Newer { kind } => panic!("this build does not write {kind}"),
    }
    bytes.split_off(HEADER.len())
}

const fn run() -> Run {
    let identity = Identity {
        deployment: Deployment::from_static("voice"),
        version: Version::from_static("v2.0.0"),
        worker: WorkerId::from_static("voice-7"),
        incarnation: Incarnation::new(7),
    };
    Run { identity, predecessor: None }
}

pub(crate) const fn opening(state: Worker) -> Opening<Worker> {
    Opening { about: run(), state }
}

/// The segment of a worker that drops one call and leaves one behind, and its parts.
pub(crate) struct Segment {
    pub(crate) bytes: Vec<u8>,
    /// Where each of its frames ends, and how many entries there are up to then. The first is the opening.
    pub(crate) ends: Vec<(usize, usize)>,
    pub(crate) start: Worker,
    pub(crate) entries: Vec<Entry>,
}

impl Segment {
    /// All of a life, in two batches.
    pub(crate) fn whole() -> Self {
        let (start, entries) = life();
        let mut bytes = Vec::new();
        write_opening(&opening(start.clone()), &IdLog::default(), &mut bytes);
        let (first, second) = entries.split_at(5);
        let (ids, later) = CALLS.split_at(3);
        append(first, &logged(ids.iter().copied()), &mut bytes);
        append(second, &logged(later.iter().copied()), &mut bytes);
        Self::new(bytes, start, entries)
    }

    /// The rest of the same life from a state with calls in it.
    pub(crate) fn rotated() -> Self {
        let (mut start, mut entries) = life();
        let rest = entries.split_off(6);
        fold(&mut start, &entries);
        let (before, later) = CALLS.split_at(4);
        let mut bytes = Vec::new();
        write_opening(&opening(start.clone()), &logged(before.iter().copied()), &mut bytes);
        append(&rest, &logged(later.iter().copied()), &mut bytes);
        Self::new(bytes, start, rest)
    }

    fn new(bytes: Vec<u8>, start: Worker, entries: Vec<Entry>) -> Self {
        let mut so_far = 0;
        let ends = frames(&bytes).into_iter().map(|frame| {
            so_far += usize::from(frame.kind == 3);
            (frame.end, so_far)
        });
        Self { ends: ends.collect(), bytes, start, entries }
    }

    /// The worker after so many entries, and the ids of its calls.
    pub(crate) fn after(&self, entries: usize) -> (Worker, OpenIds) {
        let mut state = self.start.clone();
        fold(&mut state, &self.entries[..entries]);
        let ids = CALLS.map(|(call, id)| (CallNo::new(call), CallId::new(id).expect("printable")));
        let ids = ids.into_iter().filter(|(call, _)| state.calls().get(*call).is_some()).collect();
        (state, ids)
    }
}

/// Appends a batch, each id with the entry that begins its call.
pub(crate) fn append(entries: &[Entry], ids: &IdLog, out: &mut Vec<u8>) {
    write_batch::<Worker>(&Batch { entries: entries.to_vec(), ids: ids.clone() }, out);
}

pub(crate) fn logged<'a>(ids: impl IntoIterator<Item = (u64, &'a str)>) -> IdLog {
    let mut log = IdLog::default();
    ids.into_iter().for_each(|(call, id)| log.push(CallNo::new(call), id));
    log
}

/// A worker and what happened to it until its forced end.
pub(crate) fn life() -> (Worker, Vec<Entry>) {
    let call = CallNo::new;
    let id = |number| CALLS.into_iter().find(|(call, _)| *call == number).map_or("", |(_, id)| id);
    let (digest, class) = (|number| KEY.digest(id(number)), |index| Class::new(index).expect("there are four"));
    let terms = |secs, on_deadline| Terms::new(Some(at(secs)), on_deadline).expect("there is a deadline");
    let drain = |cause, secs, on_deadline| DrainOrder { cause, actor: ALICE, terms: terms(secs, on_deadline) };
    let origin = Origin { run: Incarnation::new(6), call: call(9), given: true };
    let script = [
        (1, Command::TakeOver { id: digest(1), class: class(1), origin }),
        (1, Command::Serve),
        (2, Command::Admit { id: digest(3), class: class(0) }),
        (3, Command::Reserve { id: digest(4), class: class(1) }),
        (4, Command::Assign { call: call(4) }),
        (5, Command::Admit { id: digest(6), class: class(2) }),
        (6, Command::Obey(Order { stamp: STAMP, actor: ALICE, wish: Wish::Join })),
        (7, Command::HandOver { call: call(1), to: Incarnation::new(8) }),
        (40, Command::Wake),
        (41, Command::Reserve { id: digest(10), class: class(0) }),
        (42, Command::BeginDrain(drain(Cause::Api, 60, OnDeadline::Alert))),
        (60, Command::Wake),
        (61, Command::Wake),
        (61, Command::BeginDrain(drain(Cause::Signal, 90, OnDeadline::Force))),
        (62, Command::ForceDrain { actor: ALICE }),
        (63, Command::End { call: call(6), reason: EndReason::DrainForced }),
        (62, Command::End { call: call(4), reason: EndReason::CallerHangup }),
        (64, Command::Wake),
    ];
    let start = Worker::new(Limits { leave: Leave::Parked, lame_duck: Span::from_secs(5), ..Limits::default() });
    let start = start.expect("these limits work");
    let (mut worker, mut entries) = (start.clone(), Vec::new());
    for (secs, command) in script {
        entries.push(worker.step(at(secs), command).unwrap_or_else(|no| panic!("{command:?}: {no}")));
    }
    (start, entries)
}

const fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}
