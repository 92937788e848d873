//! The audit trail: what is recorded, and that no change to it goes unnoticed.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command as Process, Stdio};

use ed25519_dalek::SigningKey;
use openrtc_core::audit::{Chain, Draft, EventName, Fault, FaultKind, Findings, Head, derive, derive_loss, verify};
use openrtc_core::id::{
    Actor, CallId, CallNo, Deployment, DigestKey, Epoch, Identity, Incarnation, OpenIds, Seq, Version, WorkerId,
};
use openrtc_core::machine::Machine;
use openrtc_core::order::{Order, Stamp, Wish};
use openrtc_core::time::Instant;
use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Limits, Origin, Terms, Worker};

const ALICE: Actor = Actor::from_static("alice");

fn identity() -> Identity {
    Identity {
        deployment: Deployment::from_static("agent"),
        version: Version::from_static("v1"),
        worker: WorkerId::from_static("w1"),
        incarnation: Incarnation::new(7),
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A worker whose records are collected.
struct Trail {
    worker: Worker,
    ids: OpenIds,
    drafts: Vec<Draft>,
    second: u64,
}

impl Trail {
    fn new() -> Self {
        let mut trail = Self::starting();
        trail.tell(Command::Serve);
        trail
    }

    fn starting() -> Self {
        let (worker, ids) = (Worker::new(Limits::default()).unwrap(), OpenIds::default());
        Self { worker, ids, drafts: vec![], second: 1_763_884_800 }
    }

    fn tell(&mut self, command: Command) -> Seq {
        self.second += 1;
        let at = Instant::from_micros(self.second * 1_000_000);
        let entry = self.worker.decide(at, command).unwrap();
        derive(&self.worker, &self.ids, &entry, |draft| self.drafts.push(draft));
        self.worker.apply(&entry);
        entry.seq
    }

    fn call(&mut self, id: &'static str) -> CallNo {
        let id = CallId::from_static(id);
        let admit = Command::Admit { id: id.digest(DigestKey::default()), class: Class::default() };
        let call = CallNo::new(self.tell(admit).get());
        self.ids.insert(call, id);
        call
    }

    fn drain(&mut self, cause: Cause, actor: Actor) {
        self.tell(Command::BeginDrain(DrainOrder { cause, actor, terms: Terms::PATIENT }));
    }

    /// Each record as "event actor target result reason count".
    fn told(&self) -> Vec<String> {
        let tell = |draft: &Draft| {
            let Draft { event, actor, target, result, reason, count, .. } = draft;
            format!("{} {actor} {target} {} {reason} {count}", event.as_str(), result.as_str())
        };
        self.drafts.iter().map(tell).collect()
    }
}

#[test]
fn the_seeds_events_are_recorded_on_the_api_path_with_actor_and_reason() {
    let mut trail = Trail::new();
    let call = trail.call("c1");
    trail.drain(Cause::Api, ALICE);
    trail.tell(Command::CancelDrain { actor: ALICE });
    trail.drain(Cause::Api, ALICE);
    trail.tell(Command::End { call, reason: EndReason::CallerHangup });
    trail.tell(Command::Wake);
    trail.tell(Command::Leave);
    trail.tell(Command::Wake);
    assert_eq!(
        trail.told(),
        [
            "deployment.started runtime worker success serving 0",
            "deployment.drain_started alice worker success api 1",
            "deployment.rolled_back alice worker success drain_cancelled 1",
            "deployment.drain_started alice worker success api 1",
            "worker.drained runtime worker success empty 1",
            "worker.drain_sealed runtime worker success leave 0",
            "deployment.completed runtime worker success clean 0",
        ]
    );
}

#[test]
fn the_sigterm_path_records_the_same_and_a_force_names_every_call() {
    let mut trail = Trail::new();
    let polite = trail.call("polite");
    trail.call("deaf");
    trail.drain(Cause::Signal, Actor::from_static("SIGTERM"));
    trail.tell(Command::ForceDrain { actor: Actor::from_static("SIGINT") });
    trail.tell(Command::End { call: polite, reason: EndReason::DrainForced });
    trail.second += 60;
    trail.tell(Command::Wake);
    assert_eq!(
        trail.told()[1..],
        [
            "deployment.drain_started SIGTERM worker success signal 2",
            "worker.drain_forced SIGINT worker success forced 2",
            "call.drain_forced SIGINT call:polite dropped drain_forced 1",
            "call.drain_forced SIGINT call:deaf dropped no_goodbye 1",
            "deployment.completed runtime worker failure forced 2",
        ]
    );
}

#[test]
fn a_rejected_worker_and_a_lost_one_are_recorded() {
    let mut worker = Worker::new(Limits::default()).unwrap();
    let mut told = vec![];
    let entry = worker.decide(Instant::EPOCH, Command::Reject).unwrap();
    let none = OpenIds::default();
    derive(&worker, &none, &entry, |draft| told.push(draft.event));
    worker.apply(&entry);
    derive_loss(&worker, &none, |_| panic!("it left by itself"));
    assert_eq!(told, [EventName::WorkerRejected]);

    let mut trail = Trail::new();
    trail.call("taken");
    let mut lost = vec![];
    derive_loss(&trail.worker, &trail.ids, |draft| lost.push((draft.event, draft.target.to_string(), draft.count)));
    assert_eq!(lost[0], (EventName::WorkerLost, "worker".into(), 1));
    assert_eq!(lost[1], (EventName::CallPlatformForced, "call:taken".into(), 1));
}

#[test]
fn a_call_whose_id_was_lost_is_recorded_by_its_digest() {
    let mut trail = Trail::new();
    let call = trail.call("named");
    let digest = trail.worker.calls().get(call).unwrap().id;
    trail.ids.remove(call);
    let mut lost = vec![];
    derive_loss(&trail.worker, &trail.ids, |draft| lost.push(draft.target.to_string()));
    assert_eq!(lost, ["worker".into(), format!("call:digest {:016x}", digest.get())]);
}

#[test]
fn a_call_that_goes_on_elsewhere_is_neither_dropped_nor_failed() {
    let mut trail = Trail::starting();
    let origin = Origin { run: Incarnation::new(6), call: CallNo::new(3), given: true };
    let id = CallId::from_static("c1").digest(DigestKey::default());
    let call = CallNo::new(trail.tell(Command::TakeOver { id, class: Class::default(), origin }).get());
    trail.tell(Command::Serve);
    trail.drain(Cause::Signal, Actor::from_static("SIGTERM"));
    trail.tell(Command::HandOver { call, to: Incarnation::new(8) });
    trail.tell(Command::Wake);
    trail.tell(Command::Wake);
    assert_eq!(
        trail.told(),
        [
            "deployment.started runtime worker success serving 0",
            "deployment.drain_started SIGTERM worker success signal 1",
            "worker.drained runtime worker success empty 1",
            "deployment.completed runtime worker success clean 0",
        ]
    );
}

#[test]
fn what_a_coordinator_orders_is_recorded_with_its_actor_and_an_order_that_changes_nothing_is_not() {
    let mut trail = Trail::new();
    let bob = Actor::from_static("bob");
    let order = |order, wish| {
        Command::Obey(Order { stamp: Stamp { epoch: Epoch::new(1), order: Seq::new(order) }, actor: bob, wish })
    };
    trail.call("c1");
    trail.drain(Cause::Api, ALICE);
    trail.tell(order(1, Wish::Join));
    trail.tell(order(2, Wish::CancelDrain));
    trail.tell(order(3, Wish::Reject));
    trail.tell(order(4, Wish::ForceDrain));
    assert_eq!(
        trail.told()[1..],
        [
            "deployment.drain_started alice worker success api 1",
            "deployment.rolled_back bob worker success drain_cancelled 1",
            "deployment.drain_started bob worker success fence 1",
            "worker.drain_forced bob worker success forced 1",
        ]
    );

    let mut trail = Trail::new();
    trail.call("c1");
    trail.drain(Cause::Api, ALICE);
    trail.tell(order(1, Wish::Reject));
    assert_eq!(trail.told()[2..], ["worker.drain_sealed bob worker success fence 1"]);
}

#[test]
fn a_call_fails_with_its_handler_or_the_program_that_held_it_and_with_nobody_else() {
    for reason in EndReason::ALL.into_iter().filter(|reason| *reason != EndReason::DrainForced) {
        let mut trail = Trail::new();
        let call = trail.call("c1");
        trail.tell(Command::End { call, reason });
        let failed = matches!(reason, EndReason::Failed | EndReason::Panicked | EndReason::ProgramFailed);
        let record = format!("call.failed runtime call:c1 failure {reason} 1");
        assert_eq!(trail.told()[1..], if failed { vec![record] } else { vec![] });
    }
}

/// `records` records of a worker that drains again and again, closed with a signature.
fn text(records: u64) -> String {
    let mut trail = Trail::new();
    while (trail.drafts.len() as u64) < records - 1 {
        trail.drain(Cause::Api, ALICE);
        trail.tell(Command::CancelDrain { actor: ALICE });
    }
    trail.drafts.truncate(usize::try_from(records - 1).unwrap());
    let (mut chain, mut out) = (Chain::default(), Vec::new());
    for draft in &trail.drafts {
        chain.append(&identity(), draft, &mut out);
    }
    chain.sign(&identity(), EventName::AuditClosed, trail.worker.now(), trail.worker.word().seq(), &key(), &mut out);
    String::from_utf8(out).unwrap()
}

fn check(text: &[u8]) -> Findings {
    verify(text, Some(Chain::default()), &[key().verifying_key()])
}

#[test]
fn a_trail_in_order_is_whole_closed_and_vouched_for() {
    let report = check(text(100).as_bytes());
    assert_eq!((report.faults.len(), report.records, report.vouched, report.closed), (0, 100, 100, true));
}

#[test]
fn a_record_is_the_documented_line() {
    let text = text(2);
    let first = text.lines().next().unwrap();
    let zeros = "0".repeat(64);
    assert_eq!(
        first,
        format!(
            "{{\"seq\":1,\"time\":\"2025-11-23T08:00:01.000000Z\",\"event\":\"deployment.started\",\
             \"deployment\":\"agent\",\"version\":\"v1\",\"worker\":\"w1\",\"incarnation\":7,\"entry\":1,\
             \"actor\":\"runtime\",\"target\":\"worker\",\"result\":\"success\",\"reason\":\"serving\",\"count\":0,\
             \"prev\":\"{zeros}\"}}"
        )
    );
}

/// 1,000 records, each with the end of the chain before it: a line can be checked with its neighbours alone, which
/// keeps a million checks quick.
fn thousand() -> (String, Vec<Chain>) {
    let text = text(1_000);
    let mut starts = vec![Chain::default()];
    for line in text.split_inclusive('\n') {
        starts.push(verify(line.as_bytes(), starts.last().copied(), &[]).end);
    }
    (text, starts)
}

#[test]
fn every_single_byte_change_is_found_at_its_record() {
    let (text, starts) = thousand();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let keys = [key().verifying_key()];
    for (number, line) in lines.iter().enumerate() {
        let from = number.saturating_sub(1);
        let mut window = lines[from..(number + 3).min(lines.len())].concat().into_bytes();
        let offset = lines[from..number].concat().len();
        for at in offset..offset + line.len() {
            let change = if at % 2 == 0 { 1 } else { 0x20 };
            window[at] ^= change;
            let report = verify(&window, Some(starts[from]), &keys);
            let found = report.faults.iter().any(|fault| fault.line == number - from + 1);
            assert!(found, "record {} byte {}: {:?}", number + 1, at - offset, report.faults);
            let named = report.faults.iter().any(|fault| fault.record == number as u64 + 1);
            assert!(named, "record {} byte {}: {:?}", number + 1, at - offset, report.faults);
            window[at] ^= change;
        }
    }
}

#[test]
fn every_deletion_and_swap_is_found_where_it_is() {
    let text = text(1_000);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for number in 0..lines.len() - 1 {
        let deleted = [&lines[..number], &lines[number + 1..]].concat().concat();
        let report = check(deleted.as_bytes());
        let missing = FaultKind::Missing { first: number as u64 + 1, count: 1 };
        assert_eq!((report.faults[0].line, report.faults[0].kind), (number + 1, missing));

        // With the next one, and with one somewhere behind it.
        let far = number + 1 + (number * 617) % (lines.len() - 1 - number);
        for other in [number + 1, far] {
            let mut swapped = lines.clone();
            swapped.swap(number, other);
            let report = check(swapped.concat().as_bytes());
            let Fault { line, record, kind } = report.faults[0];
            assert_eq!((line, record, kind), (number + 1, other as u64 + 1, FaultKind::Reordered));
        }
    }
}

#[test]
fn a_truncation_at_every_byte_is_found_at_its_record() {
    let (text, starts) = thousand();
    for (start, line) in starts.iter().zip(text.split_inclusive('\n')) {
        for length in 1..line.len() {
            let report = verify(&line.as_bytes()[..length], Some(*start), &[]);
            let [fault] = report.faults[..] else { panic!("{:?}", report.faults) };
            assert_eq!((fault.line, fault.kind), (1, FaultKind::Truncated), "byte {length} of {line}");
        }
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for kept in 0..lines.len() {
        let report = check(lines[..kept].concat().as_bytes());
        assert!(!report.closed && report.faults.is_empty(), "cut between records: not closed after {kept}");
        assert_eq!(report.end, starts[kept], "the next record would go where the cut is");
    }
}

#[test]
fn a_trail_that_does_not_follow_what_it_should_is_found_at_its_first_record() {
    let elsewhere = Chain { records: 0, head: Head([1; 32]) };
    let report = verify(text(10).as_bytes(), Some(elsewhere), &[]);
    let [fault] = report.faults[..] else { panic!("{:?}", report.faults) };
    assert_eq!((fault.line, fault.record, fault.kind), (1, 1, FaultKind::Altered));
}

#[test]
fn a_forger_without_the_key_is_found_out() {
    let mut drafts = Trail::new();
    drafts.drain(Cause::Api, ALICE);
    let (mut chain, mut out) = (Chain::default(), Vec::new());
    for draft in &drafts.drafts {
        chain.append(&identity(), draft, &mut out);
    }
    let mallory = SigningKey::from_bytes(&[8; 32]);
    chain.sign(&identity(), EventName::AuditClosed, Instant::EPOCH, Seq::new(2), &mallory, &mut out);
    let report = check(&out);
    assert!(matches!(report.faults[0].kind, FaultKind::UnknownKey(_)), "{:?}", report.faults);
    assert_eq!(report.vouched, 0);
}

#[test]
fn a_third_party_checks_the_chain_with_ten_lines_of_python() {
    let guide = include_str!("../../docs/audit-events.md");
    let script = guide.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let run = |text: &str| {
        let mut python =
            Process::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap()
    };
    let whole = text(50);
    assert_eq!(run(&whole), "50 records, the chain is whole\n");
    assert_eq!(run(&whole.replacen("alice", "alicf", 1)), "record 3 does not follow the one before it\n");
}
