//! A fleet's journal: its bytes are pinned, read back by a second reader, and hold no observation.

mod mirror;
mod sample;

use openrtc_core::codec;
use openrtc_core::fleet::{Entry, Fleet, Misfit};
use openrtc_core::id::{CallNo, IdLog, Incarnation};
use openrtc_core::journal::{
    Batch, Journaled, Opening, Record, Records, TornFault, replay, write_batch, write_opening,
};
use openrtc_core::machine::Machine;
use serde::Serialize;
use serde_json::{Value, to_value};

use self::sample::{OFFICE, fleets, life, names, records};
use crate::golden::{assert_pinned, line, pinned};
use crate::reader::{HEADER, frame, frames};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/journal/golden_2_fleet.txt");

#[test]
fn every_record_of_a_fleet_is_written_as_pinned() {
    assert_pinned(PATH, &golden());
}

#[test]
#[ignore = "rewrites the golden bytes: for new records only"]
fn rewrite_the_golden_bytes_of_a_fleet() {
    std::fs::write(PATH, golden()).expect("the golden bytes can be written");
}

#[test]
fn every_pinned_record_of_a_fleet_is_read_back_by_both_readers() {
    let (pinned, records) = (pinned(PATH), records());
    for ((name, record), (pinned_name, bytes)) in records.iter().zip(&pinned) {
        assert_eq!(name, pinned_name);
        let segment = [HEADER, bytes].concat();
        assert_eq!(Records::new(&segment).next::<Fleet>().as_ref(), Some(&Ok(record.clone())), "{name}");
        let [frame] = frames(&segment)[..] else { panic!("{name} is one frame") };
        assert_eq!((frame.kind, mirror::told(frame.kind, frame.payload)), said(record), "{name}");
    }
    let names = names();
    let (_, of_values) = pinned.split_at(records.len());
    assert_eq!(of_values.len(), names.len() + 1, "and the segment");
    for ((name, value, _), (pinned_name, bytes)) in names.iter().zip(of_values) {
        assert_eq!((name, value), (pinned_name, &mirror::name(name, bytes)));
    }
}

#[test]
fn the_pinned_segment_of_a_fleet_is_read_back_by_both_readers() {
    let (start, entries, live) = life();
    let (name, bytes) = pinned(PATH).pop().expect("the segment is the last line");
    assert_eq!((&*name, &bytes), ("segment", &segment(&start, &entries)));
    let mut read = Vec::new();
    let replayed = replay::<Fleet>(&bytes, |_, _, entry| read.push(*entry)).expect("whole");
    assert_eq!((replayed.torn, replayed.whole, replayed.newer), (None, bytes.len(), 0));
    assert_eq!(replayed.state, forgetful(&live));
    assert_eq!(read, decisions(&entries));
    assert!(read.len() < entries.len() && read.len() > 20, "{} of {} are decisions", read.len(), entries.len());

    let mut records = Records::new(&bytes);
    for frame in frames(&bytes) {
        let record: Record<'_, Fleet> = records.next().expect("there is one").expect("it is whole");
        assert_eq!((frame.kind, mirror::told(frame.kind, frame.payload)), said(&record));
        assert_eq!(records.offset(), frame.end);
    }
}

/// A segment that a coordinator opens in the middle of its life says what one says that is opened after a restart.
#[test]
fn an_opening_holds_nothing_that_was_observed() {
    for (name, fleet) in fleets() {
        let restarted = forgetful(&fleet);
        let bytes = segment(&fleet, &[]);
        assert_eq!(bytes, segment(&restarted, &[]), "{name}");
        let replayed = replay::<Fleet>(&bytes, |_, _, _| {}).expect("whole");
        assert_eq!((&replayed.opening.state, &replayed.state), (&restarted, &restarted), "{name}");
    }
    assert!(fleets().iter().any(|(_, fleet)| *fleet != forgetful(fleet)), "some of them have observed something");
}

#[test]
fn a_segment_goes_on_from_wherever_the_last_one_ended() {
    let (start, entries, live) = life();
    let decisions = decisions(&entries);
    for count in 0..decisions.len() {
        let (before, after) = decisions.split_at(count);
        let mut fleet = start.clone();
        for entry in before {
            fleet.apply(entry);
        }
        let replayed = replay::<Fleet>(&segment(&fleet, after), |_, _, _| {}).expect("whole");
        assert_eq!((replayed.torn, replayed.entries), (None, after.len() as u64), "after {count} decisions");
        assert_eq!(replayed.state, forgetful(&live), "after {count} decisions");
    }
}

/// By it a coordinator that starts finds the run before its own.
#[test]
fn an_opening_says_which_run_of_the_coordinator_wrote_it() {
    assert_ne!(OFFICE.incarnation, Incarnation::default());
    assert_eq!(Fleet::incarnation(&OFFICE), OFFICE.incarnation);
}

/// A fleet has workers, and no call of its own.
#[test]
fn no_entry_of_a_fleet_is_about_a_call() {
    let (start, entries, live) = life();
    assert!(entries.iter().all(|entry| Fleet::ends_call(entry).is_none() && !Fleet::begins_call(&entry.event)));
    assert_eq!((live.open_calls().count(), live.has_call(CallNo::new(1))), (0, false));
    let called = [&encoded(&CallNo::new(1))[..], b"id"].concat();
    let journal = [segment(&start, &[]), frame(2, &called)].concat();
    let torn = replay::<Fleet>(&journal, |_, _, _| {}).expect("the opening is whole").torn.expect("no fleet wrote it");
    assert_eq!(torn.fault, TornFault::Misplaced);
}

#[test]
fn an_observation_in_a_journal_is_a_misfit() {
    let (start, entries, _) = life();
    let mut journal = segment(&start, &[]);
    let opened = journal.len();
    let observed = entries.iter().find(|entry| entry.event.is_observation()).expect("there are observations");
    journal.extend_from_slice(&frame(Fleet::ENTRY, &encoded(observed)));
    let torn = replay::<Fleet>(&journal, |_, _, _| {}).expect("the opening is whole").torn.expect("it does not belong");
    assert_eq!((torn.offset, torn.fault), (opened, TornFault::FleetMisfit(Misfit::Observed)));
}

#[test]
fn an_entry_of_a_fleet_has_nothing_behind_it() {
    let (start, entries, _) = life();
    let payload = [&encoded(&decisions(&entries)[0])[..], b"id"].concat();
    let journal = [segment(&start, &[]), frame(Fleet::ENTRY, &payload)].concat();
    let torn = replay::<Fleet>(&journal, |_, _, _| {}).expect("the opening is whole").torn.expect("it is too long");
    assert_eq!(torn.fault, TornFault::Newer);
}

#[test]
fn a_state_no_fleet_can_be_in_is_refused() {
    for (name, fleet) in fleets() {
        let mut forged = mirror::Opening::read(&encoded(&opening(&fleet)));
        assert_eq!(encoded(&forged), encoded(&opening(&fleet)), "{name}");
        forged.state.timeouts.report_ttl = 0;
        let journal = [HEADER, &frame(Fleet::OPENING, &encoded(&forged))].concat();
        let torn = replay::<Fleet>(&journal, |_, _, _| {}).expect_err("every report would be stale at once");
        assert_eq!(torn.fault, TornFault::Unsound, "{name}");
    }
}

fn golden() -> String {
    let (start, entries, _) = life();
    let records = records().into_iter().map(|(name, record)| (name, framed(&record)));
    let names = names().into_iter().map(|(name, _, bytes)| (name, bytes));
    let segment = ("segment".to_owned(), segment(&start, &entries));
    records.chain(names).chain([segment]).map(|(name, bytes)| line(&name, &bytes)).collect()
}

/// A record's kind, and what it says by the names of its fields.
fn said(record: &Record<'_, Fleet>) -> (u8, Value) {
    match record {
        Record::Opened(opening) => (Fleet::OPENING, to_value(opening).expect("names are text")),
        Record::Entry { entry, id: "" } => (Fleet::ENTRY, to_value(entry).expect("names are text")),
        Record::Entry { .. } | Record::Called { .. } | Record::Newer { .. } => panic!("a fleet has no {record:?}"),
    }
}

/// The frame of a record, as the journal writes it.
fn framed(record: &Record<'_, Fleet>) -> Vec<u8> {
    match record {
        Record::Opened(opening) => segment(&opening.state, &[]).split_off(HEADER.len()),
        Record::Entry { entry, .. } => {
            let mut bytes = Vec::new();
            write_batch::<Fleet>(&Batch { entries: vec![*entry], ids: IdLog::default() }, &mut bytes);
            bytes
        }
        Record::Called { .. } | Record::Newer { .. } => panic!("a fleet has no {record:?}"),
    }
}

fn segment(state: &Fleet, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_opening(&opening(state), &IdLog::default(), &mut bytes);
    write_batch::<Fleet>(&Batch { entries: entries.to_vec(), ids: IdLog::default() }, &mut bytes);
    bytes
}

fn opening(state: &Fleet) -> Opening<Fleet> {
    Opening { about: OFFICE, state: state.clone() }
}

fn decisions(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().filter(|entry| !entry.event.is_observation()).copied().collect()
}

/// The fleet as a restart finds it.
fn forgetful(fleet: &Fleet) -> Fleet {
    let mut fleet = fleet.clone();
    fleet.forget();
    fleet
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes);
    bytes
}
