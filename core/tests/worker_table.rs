//! What a worker answers to every command in every kind of state, as a table to read and compare: `worker_table.txt`.
//!
//! After a change of behaviour that is meant, rewrite it with
//! `cargo test -p openrtc-core --test worker_table -- --ignored` and review the difference.

use std::fmt::Write;

use openrtc_core::id::{Actor, CallId, CallNo};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Event, Limits, OnDeadline, Rejection, Worker,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worker_table.txt");
const ALICE: Actor = Actor::from_static("alice");
const CALL: CallId = CallId::from_static("call");
const CLASS: Class = Class(0);

/// Where every script ends; each command of the table comes at this second.
const NOW: u64 = 20;

#[test]
fn the_table_is_as_written() {
    let written = std::fs::read_to_string(PATH).expect("the table is checked in");
    let table = table();
    let first = written.lines().zip(table.lines()).find(|(written, found)| written != found);
    assert!(written == table, "the worker answers differently than written, first (written, found): {first:#?}");
}

#[test]
#[ignore = "rewrites the table"]
fn rewrite_the_table() {
    std::fs::write(PATH, table()).expect("the table can be written");
}

fn table() -> String {
    let mut text = String::from(
        "What a worker answers. The capacity is 2; #2 is the first call, #99 was never one; the time is 20 s.\n",
    );
    for (name, worker) in states() {
        let due =
            worker.deadline().map_or_else(|| "nothing".to_owned(), |(at, why)| format!("{why:?} at {}", secs(at)));
        writeln!(text, "\n{name}\n  ({:?}; due: {due})", worker.word()).expect("memory takes text");
        for (name, command) in commands() {
            writeln!(text, "  {name:<30} {}", answer(&worker, command)).expect("memory takes text");
        }
    }
    text
}

fn answer(worker: &Worker, command: Command) -> String {
    let mut after = worker.clone();
    match obey(&mut after, NOW, command) {
        Ok(entry) => {
            let mut text = format!("-> {}", told(&entry, worker, &after));
            after.react(&entry, &mut |effect| write!(text, " +{effect:?}").expect("memory takes text"));
            text
        }
        Err(Rejection::Repeat(repeat)) => format!("repeat: {repeat:?}"),
        Err(Rejection::Refused(refused)) => format!("refused: {refused:?}"),
        Err(Rejection::Misuse(misuse)) => format!("misuse: {misuse:?}"),
    }
}

/// The event by name, with what it decided rather than repeats, and the phase if that changed.
fn told(entry: &Entry, before: &Worker, after: &Worker) -> String {
    let detail = match entry.event {
        Event::DrainForced { actor, live, until } => {
            format!("DrainForced by {actor}, live {live}, until {}", secs(until))
        }
        Event::DrainSealed { deadline, on_deadline, .. } => {
            let deadline = deadline.map_or_else(|| "none".to_owned(), secs);
            format!("DrainSealed, deadline {deadline}, then {}", on_deadline.as_str())
        }
        Event::Exited { outcome } => format!("Exited {outcome:?}"),
        event => format!("{event:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    };
    if before.phase() == after.phase() { detail } else { format!("{detail} [{}]", after.phase()) }
}

fn secs(at: Instant) -> String {
    format!("{} s", at.as_micros() / 1_000_000)
}

fn obey(worker: &mut Worker, secs: u64, command: Command) -> Result<Entry, Rejection> {
    worker.step(Instant::from_micros(secs * 1_000_000), command)
}

fn order(cause: Cause, deadline: Option<u64>, on_deadline: OnDeadline) -> Command {
    let deadline = deadline.map(|secs| Instant::from_micros(secs * 1_000_000));
    Command::BeginDrain(DrainOrder { cause, actor: ALICE, deadline, on_deadline })
}

fn states() -> Vec<(&'static str, Worker)> {
    let admit = (15, Command::Admit { id: CALL, class: CLASS });
    let touchy = Command::Admit { id: CALL, class: Class(1) };
    let reserve = (15, Command::Reserve { id: CALL, class: CLASS });
    let hang_up = (18, Command::End { call: CallNo::new(2), reason: EndReason::CallerHangup });
    let cut = (18, Command::End { call: CallNo::new(2), reason: EndReason::DrainForced });
    let (serve, wake) = ((10, Command::Serve), (18, Command::Wake));
    let patient = (16, order(Cause::Api, None, OnDeadline::Wait));
    let alerting = (16, order(Cause::Api, Some(17), OnDeadline::Alert));
    let forcing = (16, order(Cause::Api, Some(60), OnDeadline::Force));
    let due = (16, order(Cause::Coordinator, Some(20), OnDeadline::Force));
    let signal = (16, order(Cause::Signal, Some(60), OnDeadline::Force));
    let force = (18, Command::ForceDrain { actor: ALICE });
    let late_force = (17, Command::ForceDrain { actor: ALICE });
    let (close, reject) = ((19, Command::Close), (19, Command::Reject));
    vec![
        ("starting", after(&[])),
        ("standby", after(&[(10, Command::StandBy)])),
        ("serving, empty", after(&[serve])),
        ("serving, one call active", after(&[serve, admit])),
        ("serving, one call reserved", after(&[serve, reserve])),
        ("serving, a reservation is about to lapse", after(&[serve, (10, reserve.1)])),
        ("serving, one call stalled", after(&[serve, (15, touchy), wake])),
        ("serving, full", after(&[serve, admit, reserve])),
        ("serving, the call has ended", after(&[serve, admit, hang_up])),
        ("draining, patiently", after(&[serve, admit, patient])),
        ("draining, a reservation is open", after(&[serve, reserve, patient])),
        ("draining, the last call has just ended", after(&[serve, admit, patient, hang_up])),
        ("draining, overdue, alerted", after(&[serve, admit, alerting, wake])),
        ("draining, to be forced at 60 s", after(&[serve, admit, forcing])),
        ("draining, to be forced now", after(&[serve, admit, due])),
        ("draining, by a signal", after(&[serve, admit, signal])),
        ("draining, forced, in its grace", after(&[serve, admit, signal, (19, force.1)])),
        ("draining, forced, the grace is over", after(&[serve, admit, patient, late_force])),
        ("drained, revocable", after(&[serve, patient, wake])),
        ("drained, by a signal", after(&[serve, signal, wake])),
        ("exited, clean", after(&[serve, patient, wake, close])),
        ("exited, forced", after(&[serve, admit, patient, late_force, cut, wake, close])),
        ("exited, forced, a call left behind", after(&[serve, admit, patient, late_force, (19, wake.1)])),
        ("exited, rejected", after(&[reject])),
    ]
}

fn after(script: &[(u64, Command)]) -> Worker {
    let stall_after = [Some(Span::from_secs(30)), Some(Span::from_secs(3)), None, None];
    let limits = Limits { capacity: 2, stall_after, ..Limits::default() };
    let mut worker = Worker::new(limits).expect("two calls are possible");
    for (secs, command) in script {
        obey(&mut worker, *secs, *command).unwrap_or_else(|no| panic!("{command:?} in {script:?}: {no}"));
    }
    worker
}

fn commands() -> Vec<(&'static str, Command)> {
    let (call, never) = (CallNo::new(2), CallNo::new(99));
    let extend = |secs: u64| Command::ExtendDrain { actor: ALICE, deadline: Instant::from_micros(secs * 1_000_000) };
    let end = |call, reason| Command::End { call, reason };
    vec![
        ("StandBy", Command::StandBy),
        ("Serve", Command::Serve),
        ("Reject", Command::Reject),
        ("Admit", Command::Admit { id: CALL, class: CLASS }),
        ("Admit, unknown class", Command::Admit { id: CALL, class: Class(9) }),
        ("Reserve", Command::Reserve { id: CALL, class: CLASS }),
        ("Assign #2", Command::Assign { call }),
        ("Assign #99", Command::Assign { call: never }),
        ("Progress #2", Command::Progress { call }),
        ("Progress #99", Command::Progress { call: never }),
        ("End #2, caller hung up", end(call, EndReason::CallerHangup)),
        ("End #2, drain forced", end(call, EndReason::DrainForced)),
        ("End #99", end(never, EndReason::CallerHangup)),
        ("CountDeclines, 5", Command::CountDeclines { reason: Decline::Full, count: 5 }),
        ("CountDeclines, 0", Command::CountDeclines { reason: Decline::Full, count: 0 }),
        ("BeginDrain, api", order(Cause::Api, None, OnDeadline::Wait)),
        ("BeginDrain, signal, force 40 s", order(Cause::Signal, Some(40), OnDeadline::Force)),
        ("BeginDrain, signal, force 90 s", order(Cause::Signal, Some(90), OnDeadline::Force)),
        ("BeginDrain, no deadline, force", order(Cause::Api, None, OnDeadline::Force)),
        ("ExtendDrain to 60 s", extend(60)),
        ("ExtendDrain to 90 s", extend(90)),
        ("CancelDrain", Command::CancelDrain { actor: ALICE }),
        ("ForceDrain", Command::ForceDrain { actor: ALICE }),
        ("Wake", Command::Wake),
        ("Close", Command::Close),
    ]
}
