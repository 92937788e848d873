//! What a worker answers to every command in every kind of state, as a table to read and compare: `worker_table.txt`.
//!
//! After a change of behaviour that is meant, rewrite it with
//! `cargo test -p openrtc-core --test worker_table -- --ignored` and review the difference.

use std::fmt::Write;

use openrtc_core::id::{Actor, CallNo, Digest, Epoch, Incarnation, Seq};
use openrtc_core::machine::Machine;
use openrtc_core::order::{Order, Stamp, Wish};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Event, Leave, Limits, OnDeadline, Origin, Rejection,
    Terms, Why, Worker,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worker_table.txt");
const ALICE: Actor = Actor::from_static("alice");
const CALL: Digest = Digest::new(7);
const ORDERED: Stamp = Stamp { epoch: Epoch::new(1), order: Seq::new(5) };

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
    match step(&mut after, NOW, command) {
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
        Event::DrainForced { actor, live, .. } => format!("DrainForced by {actor}, live {live}"),
        Event::DrainSealed { terms, .. } => format!("DrainSealed, {}", due(&terms)),
        Event::DrainTightened { terms, .. } => format!("DrainTightened, {}", due(&terms)),
        Event::DrainBegun { cause, terms, stamp: Some(_), .. } => {
            format!("DrainBegun for {}, {}", cause.as_str(), due(&terms))
        }
        Event::Exited { outcome, .. } => format!("Exited {outcome:?}"),
        event => format!("{event:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    };
    if before.phase() == after.phase() { detail } else { format!("{detail} [{}]", after.phase()) }
}

fn due(terms: &Terms) -> String {
    let when = |name: &str, at: Option<Instant>| at.map_or_else(String::new, |at| format!(", {name} {}", secs(at)));
    let deadline = terms.deadline.map_or_else(|| "none".to_owned(), secs);
    format!("deadline {deadline}{}{}", when("alert", terms.alert_at), when("force", terms.force_at))
}

fn secs(at: Instant) -> String {
    format!("{} s", at.as_micros() / 1_000_000)
}

fn step(worker: &mut Worker, secs: u64, command: Command) -> Result<Entry, Rejection> {
    worker.step(at(secs), command)
}

const fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

fn order(cause: Cause, deadline: Option<u64>, on_deadline: OnDeadline) -> Command {
    let terms = Terms::new(deadline.map(at), on_deadline).expect("what happens at a deadline has one");
    Command::BeginDrain(DrainOrder { cause, actor: ALICE, terms })
}

const fn obey(order: u64, wish: Wish) -> Command {
    let stamp = Stamp { epoch: ORDERED.epoch, order: Seq::new(order) };
    Command::Obey(Order { stamp, actor: ALICE, wish })
}

fn take_over() -> Command {
    let origin = Origin { run: Incarnation::new(1), call: CallNo::new(5), given: true };
    Command::TakeOver { id: CALL, class: Class::default(), origin }
}

fn states() -> Vec<(&'static str, Worker)> {
    let admit = (15, Command::Admit { id: CALL, class: Class::default() });
    let touchy = Command::Admit { id: CALL, class: Class::new(1).expect("there are four") };
    let reserve = (15, Command::Reserve { id: CALL, class: Class::default() });
    let (taken_over, joined) = ((9, take_over()), (9, obey(5, Wish::Join)));
    let hang_up = (18, Command::End { call: CallNo::new(2), reason: EndReason::CallerHangup });
    let cut = (18, Command::End { call: CallNo::new(2), reason: EndReason::DrainForced });
    let (serve, wake) = ((10, Command::Serve), (18, Command::Wake));
    let patient = (16, order(Cause::Api, None, OnDeadline::Wait));
    let alerting = (16, order(Cause::Api, Some(17), OnDeadline::Alert));
    let waiting = (16, order(Cause::Api, Some(17), OnDeadline::Wait));
    let forcing = (16, order(Cause::Api, Some(60), OnDeadline::Force));
    let due = (16, order(Cause::Coordinator, Some(20), OnDeadline::Force));
    let signal = (16, order(Cause::Signal, Some(60), OnDeadline::Force));
    let force = (18, Command::ForceDrain { actor: ALICE });
    let late_force = (17, Command::ForceDrain { actor: ALICE });
    let (leave, late_wake, reject) = ((19, Command::Leave), (19, Command::Wake), (19, Command::Reject));
    vec![
        ("starting", after(&[])),
        ("starting, joined by order 1.5", after(&[joined])),
        ("starting, one call taken over", after(&[taken_over, taken_over])),
        ("standby", after(&[(10, Command::StandBy)])),
        ("serving, empty", after(&[serve])),
        ("serving, by order 1.5", after(&[(10, obey(5, Wish::Serve))])),
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
        ("draining, by order 1.5", after(&[serve, admit, (16, obey(5, ORDER))])),
        ("draining, due at 17 s, sealed, to be forced at 60 s", after(&[serve, admit, waiting, (16, signal.1)])),
        ("draining, by a signal", after(&[serve, admit, signal])),
        ("draining, forced, in its grace", after(&[serve, admit, signal, (19, force.1)])),
        ("draining, forced, the grace is over", after(&[serve, admit, patient, late_force])),
        ("drained, revocable", after(&[serve, patient, wake])),
        ("drained, by a signal", after(&[serve, signal, wake])),
        ("drained, parked", under(PARKED, &[serve, patient, wake])),
        ("drained, parked, by a signal", under(PARKED, &[serve, signal, wake])),
        ("drained, in its lame-duck time", under(LAME_DUCK, &[serve, patient, wake])),
        ("exited, clean", after(&[serve, patient, wake, leave, late_wake])),
        ("exited, forced", after(&[serve, admit, patient, late_force, cut, wake, leave, late_wake])),
        ("exited, forced, a call left behind", after(&[serve, admit, patient, late_force, (19, wake.1)])),
        ("exited, rejected", after(&[reject])),
    ]
}

type Policy = (Leave, Span);

const ALONE: Policy = (Leave::WhenDrained, Span::ZERO);
const PARKED: Policy = (Leave::Parked, Span::ZERO);
const LAME_DUCK: Policy = (Leave::WhenDrained, Span::from_secs(5));

/// Drain within 40 s, then force.
const ORDER: Wish = Wish::Drain { within: Some(Span::from_secs(40)), on_deadline: OnDeadline::Force };

fn after(script: &[(u64, Command)]) -> Worker {
    under(ALONE, script)
}

fn under((leave, lame_duck): Policy, script: &[(u64, Command)]) -> Worker {
    let stall_after = [Some(Span::from_secs(30)), Some(Span::from_secs(3)), None, None];
    let limits = Limits { capacity: 2, stall_after, lame_duck, leave, ..Limits::default() };
    let mut worker = Worker::new(limits).expect("two calls are possible");
    for (secs, command) in script {
        step(&mut worker, *secs, *command).unwrap_or_else(|no| panic!("{command:?} in {script:?}: {no}"));
    }
    worker
}

fn commands() -> Vec<(&'static str, Command)> {
    let (call, never) = (CallNo::new(2), CallNo::new(99));
    let extend = |secs: u64| Command::ExtendDrain { actor: ALICE, deadline: at(secs) };
    let bad = Terms { deadline: None, alert_at: None, force_at: Some(at(40)) };
    let end = |call, reason| Command::End { call, reason };
    let withdraw = |call| Command::Withdraw { call, reason: EndReason::Withdrawn };
    vec![
        ("StandBy", Command::StandBy),
        ("Serve", Command::Serve),
        ("Reject", Command::Reject),
        ("TakeOver", take_over()),
        ("Admit", Command::Admit { id: CALL, class: Class::default() }),
        ("Reserve", Command::Reserve { id: CALL, class: Class::default() }),
        ("Assign #2", Command::Assign { call }),
        ("Assign #99", Command::Assign { call: never }),
        ("Progress #2", Command::Progress { call }),
        ("Progress #99", Command::Progress { call: never }),
        ("End #2, caller hung up", end(call, EndReason::CallerHangup)),
        ("End #2, drain forced", end(call, EndReason::DrainForced)),
        ("End #99", end(never, EndReason::CallerHangup)),
        ("Withdraw #2", withdraw(call)),
        ("Withdraw #99", withdraw(never)),
        ("HandOver #2", Command::HandOver { call, to: Incarnation::new(2) }),
        ("HandOver #99", Command::HandOver { call: never, to: Incarnation::new(2) }),
        ("CountDeclines, 5", Command::CountDeclines { reason: Decline::Full, count: 5 }),
        ("CountDeclines, 0", Command::CountDeclines { reason: Decline::Full, count: 0 }),
        ("BeginDrain, api", order(Cause::Api, None, OnDeadline::Wait)),
        ("BeginDrain, api, alert 40 s", order(Cause::Api, Some(40), OnDeadline::Alert)),
        ("BeginDrain, signal, force 40 s", order(Cause::Signal, Some(40), OnDeadline::Force)),
        ("BeginDrain, signal, force 90 s", order(Cause::Signal, Some(90), OnDeadline::Force)),
        ("BeginDrain, fence", order(Cause::Fence, None, OnDeadline::Wait)),
        (
            "BeginDrain, no deadline, force",
            Command::BeginDrain(DrainOrder { cause: Cause::Api, actor: ALICE, terms: bad }),
        ),
        ("ExtendDrain to 60 s", extend(60)),
        ("ExtendDrain to 90 s", extend(90)),
        ("CancelDrain", Command::CancelDrain { actor: ALICE }),
        ("ForceDrain", Command::ForceDrain { actor: ALICE }),
        ("Wake", Command::Wake),
        ("Expire, Leave", Command::Expire(Why::Leave)),
        ("Expire, Lapse #2", Command::Expire(Why::Lapse(call))),
        ("Expire, Stall #2", Command::Expire(Why::Stall(call))),
        ("Leave", Command::Leave),
        ("Obey 1.6, Join", obey(6, Wish::Join)),
        ("Obey 1.6, Serve", obey(6, Wish::Serve)),
        ("Obey 1.6, Drain in 40 s, force", obey(6, ORDER)),
        ("Obey 1.6, CancelDrain", obey(6, Wish::CancelDrain)),
        ("Obey 1.6, ForceDrain", obey(6, Wish::ForceDrain)),
        ("Obey 1.6, Leave", obey(6, Wish::Leave)),
        ("Obey 1.6, Reject", obey(6, Wish::Reject)),
        ("Obey 1.5, Reject", obey(5, Wish::Reject)),
        ("Obey 1.4, Reject", obey(4, Wish::Reject)),
    ]
}
