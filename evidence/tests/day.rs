//! A day of calls in compressed time: what became of every one outlives the rotation of the journal.
//!
//! `OPENRTC_CALLS_AT_ONCE=1000 cargo test -p openrtc-evidence --test day -- --nocapture` has a thousand at a time, with
//! half of the journal's default size, and prints what that takes.

use std::fs;
use std::path::Path;

use openrtc_core::id::{CallNo, Deployment, DigestKey, IdLog, Identity, Incarnation, Version, WorkerId};
use openrtc_core::journal::Batch;
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Limits, Terms, Worker};
use openrtc_evidence::{Certificate, Selection, Verdict};
use openrtc_records::journal::{Journal, JournalConfig};
use tempfile::tempdir;

const DAY: u64 = 24 * 3_600;
/// A call lasts so many seconds, and says so often that it is alive.
const LASTS: u64 = 180;
const MOVES: u64 = 15;
/// How many calls there are at a time unless the variable says otherwise, and the room for their journal.
const USUAL: u64 = 12;
const USUAL_BYTES: u64 = 1 << 20;

struct Kept {
    journal: Journal<Worker>,
    worker: Worker,
}

impl Kept {
    /// Lets the worker do all this now, and writes it down.
    fn enact(&mut self, now: Instant, commands: impl IntoIterator<Item = (Command, Option<String>)>) -> Vec<CallNo> {
        let before = self.journal.wants_state().then(|| self.worker.clone());
        let mut batch = Batch { entries: Vec::new(), ids: IdLog::default() };
        for (command, id) in commands {
            let entry = self.worker.step(now, command).expect("legal");
            if let Some(id) = id {
                batch.ids.push(CallNo::new(entry.seq.get()), &id);
            }
            batch.entries.push(entry);
        }
        if !batch.is_empty() {
            self.journal.append(before, &IdLog::default(), &batch).expect("a disk");
        }
        batch.entries.iter().map(|entry| CallNo::new(entry.seq.get())).collect()
    }
}

#[test]
fn a_day_of_calls_is_told_to_the_last_one() {
    let (at_once, total) = wanted();
    let dir = tempdir().expect("a directory");
    let config = JournalConfig { total_bytes: total, ..JournalConfig::new(dir.path()) };
    let calls = live(config, at_once);
    let certificate = Certificate::over(&[dir.path().to_owned()], &Selection::default()).expect("a journal");
    assert_eq!((certificate.verdict, certificate.sums.promised), (Verdict::Proven, calls), "{certificate}");
    assert_eq!(certificate.sums.ended, calls);
    let mut numbers: Vec<_> = certificate.calls.iter().map(|call| call.id.as_str()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len() as u64, calls, "each by its own name");

    let (segments, ledgers) = (bytes(dir.path(), "orj"), bytes(dir.path(), "orl"));
    let per_call = ledgers / calls;
    println!("{calls} calls: {segments} bytes of segments, {ledgers} of ledgers, {per_call} a call");
    assert!(segments <= total && ledgers > 0 && per_call < 100, "{segments} and {ledgers} bytes");
}

/// Keeps a worker's journal for a day, with so many calls at a time; returns how many there were.
fn live(config: JournalConfig, at_once: u64) -> u64 {
    let limits = Limits { capacity: 2_000, stall_after: [Some(Span::from_secs(4 * MOVES)); 4], ..Limits::default() };
    let worker = Worker::new(limits).expect("valid limits");
    let identity = Identity {
        deployment: const { Deployment::from_static("voice") },
        version: const { Version::from_static("v1") },
        worker: const { WorkerId::from_static("blue-1") },
        incarnation: Incarnation::default(),
    };
    let start = Instant::from_micros(1_764_000_000_000_000);
    let (journal, ..) = Journal::open(config, identity, start, &worker).expect("a journal");
    let mut kept = Kept { journal, worker };
    kept.enact(start, [(Command::Serve, None)]);
    // The call in each place: its number, and when it began.
    let mut places: Vec<(CallNo, u64)> = Vec::new();
    let mut calls = 0;
    for second in 0..DAY {
        let now = start + Span::from_secs(second);
        let begin = |number: u64| {
            let id = format!("{number:08}-1111-2222-3333-444455556666");
            (Command::Admit { id: DigestKey::default().digest(&id), class: Class::default() }, Some(id))
        };
        if second < LASTS {
            // They do not all come at once.
            let upto = at_once * (second + 1) / LASTS;
            let new = kept.enact(now, (calls..upto).map(begin));
            calls = upto;
            places.extend(new.into_iter().map(|call| (call, second)));
        }
        let is_over = |began: u64| began < second && (second - began).is_multiple_of(LASTS);
        let over: Vec<_> = (0..places.len()).filter(|place| is_over(places[*place].1)).collect();
        kept.enact(
            now,
            over.iter().map(|at| (Command::End { call: places[*at].0, reason: EndReason::CallerHangup }, None)),
        );
        let next = calls..calls + over.len() as u64;
        calls = next.end;
        for (place, call) in over.into_iter().zip(kept.enact(now, next.map(begin))) {
            places[place] = (call, second);
        }
        let moves = places.iter().filter(|(_, began)| *began < second && (second - began).is_multiple_of(MOVES));
        kept.enact(now, moves.map(|(call, _)| (Command::Progress { call: *call }, None)));
    }
    let now = start + Span::from_secs(DAY);
    let actor = const { openrtc_core::id::Actor::from_static("SIGTERM") };
    kept.enact(now, [(Command::BeginDrain(DrainOrder { cause: Cause::Signal, actor, terms: Terms::PATIENT }), None)]);
    let hang_ups = places.iter().map(|(call, _)| (Command::End { call: *call, reason: EndReason::CallerHangup }, None));
    kept.enact(now, hang_ups.collect::<Vec<_>>());
    kept.enact(now, [(Command::Wake, None), (Command::Wake, None)]);
    calls
}

#[expect(clippy::disallowed_methods, reason = "how much a test does is for who runs it to say")]
fn wanted() -> (u64, u64) {
    std::env::var("OPENRTC_CALLS_AT_ONCE").map_or((USUAL, USUAL_BYTES), |text| {
        (text.parse().expect("OPENRTC_CALLS_AT_ONCE is a number"), JournalConfig::new("").total_bytes / 2)
    })
}

fn bytes(dir: &Path, extension: &str) -> u64 {
    let files = fs::read_dir(dir).expect("a directory").map(|file| file.expect("a file").path());
    let named = files.filter(|path| path.extension().is_some_and(|is| is == extension));
    named.map(|path| fs::metadata(path).expect("there").len()).sum()
}
