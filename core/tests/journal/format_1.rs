//! Journals of format 1, which an earlier build wrote: what is pinned of them is read by both readers, and told alike.

use std::fmt::Debug;

use openrtc_core::id::{CallNo, DigestKey, OpenIds, Seq};
use openrtc_core::journal::{Opening, Replay, TornFault, replay};
use openrtc_core::order::Stamp;
use openrtc_core::worker::{Call, Drain, Entry, Event, Leave, Limits, Misfit, Misuse, Tally, Worker};

use crate::golden::lines;
use crate::reader::crc32c;
use crate::reader_1::{payloads, told};

/// One record of each kind and one whole segment.
const PINNED: &str = include_str!("golden_1.txt");

/// Whole segments that the last build before format 2 wrote, with whatever it could write; the last two are of what its
/// runtime did beside the machine.
const SEGMENTS: &str = include_str!("segments_1.txt");

#[test]
fn the_second_reader_tells_what_is_pinned() {
    let (mut pinned, segment) = (lines(PINNED), "segment");
    assert_eq!(pinned.pop().map(|(name, _)| name), Some(segment.to_owned()));
    assert_eq!(pinned.len(), 34);
    for (name, bytes) in pinned {
        let told = told(&bytes);
        match name.strip_prefix("Entry/") {
            Some(event) => assert!(told.ends_with(&format!("event: {event} }})")), "{name}: {told}"),
            None => assert!(told.starts_with("Opened("), "{name}: {told}"),
        }
    }
}

#[test]
fn every_segment_is_read_to_its_end_and_told_by_both_readers_alike() {
    let segment = lines(PINNED).pop().expect("the segment is the last line");
    let segments = [vec![segment], lines(SEGMENTS)].concat();
    assert_eq!(segments.len(), 10);
    for (name, bytes) in segments {
        let (replayed, opening_ids, entries) = read(&bytes);
        let Replay { format, torn, whole, newer, .. } = replayed;
        assert_eq!((format, torn, whole, newer), (1, None, bytes.len(), 0), "{name}");
        let mut payloads = payloads(&bytes).into_iter().map(told);
        assert_eq!(payloads.next(), Some(told_opening(&replayed.opening, &opening_ids)), "{name}");
        // The end of a force's grace is no longer stored.
        let shortened = |told: String| told.split(", until: ").next().map(str::to_owned);
        assert!(payloads.map(shortened).eq(entries.iter().map(|told| Some(told.clone()))), "{name}: {entries:#?}");
    }
}

#[test]
fn the_calls_left_open_have_their_ids() {
    let open = |name: &str| {
        let (replayed, ..) = read(&named(name));
        replayed.open_calls().map(|(call, id)| format!("{call} {id}")).collect::<Vec<_>>()
    };
    assert_eq!(open("calls of every kind"), ["15 12345678901234567890123456789012345678901234567", "19 silent"]);
    assert_eq!(open("rotated, sealed and overdue"), ["2 call"]);
    assert_eq!(open("rotated, sealed and forced, one call left behind"), ["2 call"], "which the exit dropped");
    assert!(open("fenced before it served").is_empty());
}

#[test]
fn a_worker_of_format_1_is_one_that_leaves_once_drained_and_never_had_an_order() {
    let (replayed, ..) = read(&named("calls of every kind"));
    let limits = *replayed.state.limits();
    assert_eq!(limits, Limits { capacity: 8, leave: Leave::WhenDrained, ..Limits::default() });
    assert_eq!(replayed.state.obeyed(), Stamp::default());
    let live = replayed.state.calls().get(CallNo::new(19)).expect("it is in flight");
    assert_eq!(live.id, DigestKey::default().digest("silent"));
}

#[test]
fn whatever_byte_of_it_is_altered_is_found() {
    let (_, bytes) = lines(PINNED).pop().expect("the segment is the last line");
    for (at, value) in (0..bytes.len()).flat_map(|at| (0..=u8::MAX).map(move |value| (at, value))) {
        let mut damaged = bytes.clone();
        damaged[at] = value;
        let read = replay::<Worker>(&damaged, |_, _, _| {});
        let found = read.map_or(true, |read| read.torn.is_some());
        assert_eq!(found, damaged != bytes, "{value:#x} at {at}");
    }
}

/// What the machine of today would word otherwise is taken as it is written, and no more than that.
#[test]
fn what_no_build_wrote_stops_the_reader_before_it() {
    let call = |number| CallNo::new(number);
    let started = named("fenced before it served");
    let opening = 8 + 9 + payloads(&started)[0].len();
    for (event, fault) in [
        (Old::Drained, Misfit::Rejected(Misuse::NotDue.into())),
        (Old::DrainOverdue { live: 0 }, Misfit::Rejected(Misuse::NotDue.into())),
        (Old::CallStalled { call: call(1) }, Misfit::Rejected(Misuse::NotDue.into())),
        (Old::ReservationLapsed { call: call(1) }, Misfit::Rejected(Misuse::NotDue.into())),
        (Old::DrainSealed, Misfit::Other),
        (Old::Exited, Misfit::Rejected(Misuse::NotDue.into())),
    ] {
        let bytes = [&started[..opening], &event.frame(1)].concat();
        let (replayed, _, entries) = read(&bytes);
        let torn = replayed.torn.expect("nobody wrote this");
        assert_eq!((torn.offset, torn.fault), (opening, TornFault::Misfit(fault)), "{event:?}");
        assert_eq!((replayed.state, entries.len()), (replayed.opening.state, 0), "{event:?}: the state before it");
    }
}

#[test]
fn an_entry_that_does_not_fit_names_no_call() {
    let (_, whole) = lines(PINNED).pop().expect("the segment is the last line");
    let opened_and_admitted: usize = payloads(&whole)[..3].iter().map(|payload| 9 + payload.len()).sum();
    let before = &whole[..8 + opened_and_admitted];
    let (replayed, ..) = read(&[before, &Old::CallAdmitted { id: "forged" }.frame(2)].concat());
    let sequence = Misfit::Sequence { expected: Seq::new(3) };
    assert_eq!(replayed.torn.map(|torn| (torn.offset, torn.fault)), Some((before.len(), TornFault::Misfit(sequence))));
    assert!(replayed.open_calls().map(|(call, id)| format!("{call} {id}")).eq(["2 call"]));
}

/// Events of format 1 by their index, for forgeries.
#[derive(Debug)]
enum Old {
    CallAdmitted { id: &'static str },
    CallStalled { call: CallNo },
    Drained,
    DrainOverdue { live: u8 },
    DrainSealed,
    Exited,
    ReservationLapsed { call: CallNo },
}

impl Old {
    /// The frame of an entry with this event, at the first instant there is.
    fn frame(&self, seq: u8) -> Vec<u8> {
        let number = |call: &CallNo| u8::try_from(call.get()).expect("small");
        let event = match self {
            Self::CallAdmitted { id } => {
                [&[3, u8::try_from(id.len()).expect("short")][..], id.as_bytes(), &[0]].concat()
            }
            Self::CallStalled { call } => vec![6, number(call)],
            Self::ReservationLapsed { call } => vec![7, number(call)],
            Self::DrainSealed => [&[11, 5][..], b"alice", &[0, 0]].concat(),
            Self::DrainOverdue { live } => vec![14, *live],
            Self::Drained => vec![16],
            Self::Exited => vec![17, 0],
        };
        let payload = [&[1, seq, 0, 0][..], &event].concat();
        let head = [u8::try_from(payload.len()).expect("small"), 0, 0, 0, 1];
        let check = crc32c(&[&head[..], &payload].concat()).to_le_bytes();
        [&head[..], &check, &payload].concat()
    }
}

fn named(name: &str) -> Vec<u8> {
    lines(SEGMENTS).into_iter().find(|line| line.0 == name).expect("it is pinned").1
}

/// The replay, the ids that the opening names, and each entry in the words of format 1.
fn read(bytes: &[u8]) -> (Replay<Worker>, OpenIds, Vec<String>) {
    let (mut opening_ids, mut entries) = (OpenIds::default(), Vec::new());
    let replayed = replay::<Worker>(bytes, |state, ids, entry| {
        let id = |call| ids.get(call).and_then(|id| id.parse().ok());
        if entries.is_empty() {
            opening_ids = state.calls().iter().filter_map(|(call, _)| Some((call, id(call)?))).collect();
        }
        entries.push(told_entry(entry, ids.get(CallNo::new(entry.seq.get()))));
    });
    let replayed = replayed.expect("the opening is whole");
    if entries.is_empty() {
        opening_ids = replayed.ids.clone();
    }
    (replayed, opening_ids, entries)
}

/// An entry that was read as one of today, in the words of format 1.
fn told_entry(entry: &Entry, id: Option<&str>) -> String {
    let Entry { seq, at, behind, event } = entry;
    let id = id.unwrap_or("not named");
    let event = match event {
        Event::ServingBegan { stamp: None } => "ServingBegan".to_owned(),
        Event::CallReserved { class, .. } => format!("CallReserved {{ id: {id:?}, class: {class:?} }}"),
        Event::CallAdmitted { class, .. } => format!("CallAdmitted {{ id: {id:?}, class: {class:?} }}"),
        Event::DrainBegun { cause, actor, terms, stamp: None } => {
            let (deadline, policy) = (terms.deadline, terms.on_deadline());
            format!(
                "DrainBegun {{ cause: {cause:?}, actor: {actor:?}, deadline: {deadline:?}, on_deadline: {policy:?} }}"
            )
        }
        Event::DrainSealed { actor, terms, stamp: None, .. } => {
            let (deadline, policy) = (terms.deadline, terms.on_deadline());
            format!("DrainSealed {{ actor: {actor:?}, deadline: {deadline:?}, on_deadline: {policy:?} }}")
        }
        Event::DrainCancelled { actor, stamp: None } => format!("DrainCancelled {{ actor: {actor:?} }}"),
        Event::DrainForced { actor, live, stamp: None } => {
            let forced = format!("DrainForced {{ actor: {actor:?}, live: {live}");
            return format!("Entry(Entry {{ seq: {seq:?}, at: {at:?}, behind: {behind:?}, event: {forced}");
        }
        Event::Exited { outcome, stamp: None } => format!("Exited {{ outcome: {outcome:?} }}"),
        event => format!("{event:?}"),
    };
    format!("Entry(Entry {{ seq: {seq:?}, at: {at:?}, behind: {behind:?}, event: {event} }})")
}

/// An opening that was read as one of today, in the words of format 1.
fn told_opening(opening: &Opening<Worker>, ids: &OpenIds) -> String {
    let Opening { about, state } = opening;
    let Limits { capacity, force_grace, reservation_ttl, stall_after, .. } = state.limits();
    let limits = format!(
        "Limits {{ capacity: {capacity}, force_grace: {force_grace:?}, reservation_ttl: {reservation_ttl:?}, \
         stall_after: {stall_after:?} }}"
    );
    let calls: Vec<_> = state.calls().iter().map(|(call, live)| (call, Verbatim(told_call(call, live, ids)))).collect();
    let drain = state.drain().map(|drain| Verbatim(told_drain(drain)));
    let (word, now, outcome, tally) = (state.word(), state.now(), state.outcome(), told_tally(state.tally()));
    let state = format!(
        "Forged {{ limits: {limits}, word: {word:?}, now: {now:?}, calls: {calls:?}, drain: {drain:?}, outcome: \
         {outcome:?}, tally: {tally} }}"
    );
    let (identity, predecessor) = (about.identity, about.predecessor);
    format!("Opened(Opening {{ identity: {identity:?}, predecessor: {predecessor:?}, state: {state} }})")
}

fn told_call(call: CallNo, live: &Call, ids: &OpenIds) -> String {
    let Call { class, since, active, moved, stalls_at, stalled, .. } = live;
    let id = ids.get(call).expect("every call is named");
    format!(
        "Call {{ id: {id:?}, class: {class:?}, since: {since:?}, active: {active}, moved: {moved:?}, stalls_at: \
         {stalls_at:?}, stalled: {stalled} }}"
    )
}

fn told_drain(drain: &Drain) -> String {
    let Drain { actor, begun, cause, terms, forced, from, overdue, sealed } = drain;
    format!(
        "Drain {{ actor: {actor:?}, begun: {begun:?}, cause: {cause:?}, deadline: {:?}, forced: {forced:?}, \
         from: {from:?}, on_deadline: {:?}, overdue: {overdue}, sealed: {sealed} }}",
        terms.deadline,
        terms.on_deadline()
    )
}

fn told_tally(tally: &Tally) -> String {
    let Tally { admitted, clock_steps, declined, ended, lapsed, reserved, stalled, taken_over: 0, handed_over: 0 } =
        tally
    else {
        panic!("format 1 knew no other run's calls: {tally:?}")
    };
    assert_eq!(ended[7..], [0; 3], "format 1 had seven reasons");
    assert_eq!(declined[3..], [0; 2], "and three of the others");
    let (ended, declined) = (&ended[..7], &declined[..3]);
    format!(
        "Tally {{ admitted: {admitted}, clock_steps: {clock_steps}, declined: {declined:?}, ended: {ended:?}, lapsed: \
         {lapsed}, reserved: {reserved}, stalled: {stalled} }}"
    )
}

/// Text inside other text, without quotes.
struct Verbatim(String);

impl Debug for Verbatim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
