//! States and entries from outside: whatever a journal claims, nothing panics, and what is accepted is sound.

mod common;

use common::Forged;
use openrtc_core::id::{Actor, CallNo, Digest, Epoch, Incarnation, Seq};
use openrtc_core::machine::Machine;
use openrtc_core::order::Stamp;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal, Word};
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Event, Forced, Limits, Misfit, OnDeadline, Origin,
    Outcome, Refused, Rejection, Terms, Worker,
};

const ALICE: Actor = Actor::from_static("alice");
const CALL: Digest = Digest::new(7);

type Forgery = fn(&mut Forged);

/// A worker that drains with one call active and one reserved.
fn draining() -> Worker {
    let terms = terms(90, OnDeadline::Force);
    let order = DrainOrder { cause: Cause::Api, actor: ALICE, terms };
    let mut worker = Worker::new(Limits::default()).expect("defaults work");
    for command in [
        Command::Serve,
        Command::Admit { id: CALL, class: Class::default() },
        Command::Reserve { id: CALL, class: Class::default() },
        Command::BeginDrain(order),
    ] {
        worker.step(at(5), command).expect("the worker can do this");
    }
    worker
}

const fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn terms(deadline: u64, on_deadline: OnDeadline) -> Terms {
    Terms::new(Some(at(deadline)), on_deadline).expect("there is a deadline")
}

/// The entry that would come next if `event` became true now.
fn next(worker: &Worker, event: Event) -> Entry {
    Entry { seq: Seq::new(worker.word().seq().get() + 1), at: worker.now(), behind: Span::ZERO, event }
}

#[test]
fn a_forged_state_is_unsound() {
    let honest = Forged::of(&draining());
    assert!(honest.worker().is_sound());
    assert_eq!(honest.worker(), draining(), "the forge writes what the journal reads");

    let forgeries: [(&str, Forgery); 26] = [
        ("no capacity", |state| state.limits.capacity = 0),
        ("fewer calls than counted", |state| state.calls.truncate(1)),
        ("a call younger than the last entry", |state| state.calls[1].0 = CallNo::new(99)),
        ("a call that was never numbered", |state| state.calls[0].0 = CallNo::new(0)),
        ("a call promised in the future", |state| state.calls[1].1.since = at(6)),
        ("a call that moved in the future", |state| state.calls[0].1.moved = at(6)),
        ("reservations out of order", |state| {
            state.calls[0].1 = state.calls[1].1;
            state.calls[1].1.since = at(4);
        }),
        ("a reservation that can stall", |state| state.calls[1].1.stalls_at = Some(at(9))),
        ("a call stalled and about to stall", |state| state.calls[0].1.stalled = true),
        ("draining without a drain", |state| state.drain = None),
        ("a drain that began in the future", |state| change_drain(state, |drain| drain.begun = at(6))),
        ("a drain to be cancelled into an exit", |state| change_drain(state, |drain| drain.from = Phase::Exited)),
        ("calls on a worker that never served", |state| change_drain(state, |drain| drain.from = Phase::Starting)),
        ("a signal that can be taken back", |state| change_drain(state, |drain| drain.cause = Cause::Signal)),
        ("a fence that can be taken back", |state| change_drain(state, |drain| drain.cause = Cause::Fence)),
        ("a force before the deadline", |state| change_drain(state, |drain| drain.terms.force_at = Some(at(89)))),
        ("an alert without a deadline", |state| {
            change_drain(state, |drain| drain.terms = Terms { alert_at: Some(at(9)), ..Terms::PATIENT });
        }),
        ("calls on a worker that stands by", |state| {
            state.word = enter(state.word, Phase::Standby);
            state.drain = None;
        }),
        ("more calls than the capacity, and none taken over", |state| state.limits.capacity = 1),
        ("a drain while serving", |state| state.word = enter(state.word, Phase::Serving)),
        ("drained with calls", |state| state.word = enter(state.word, Phase::Drained)),
        ("an outcome before the exit", |state| state.outcome = Some(Outcome::Clean)),
        ("more promised than ended and in flight", |state| state.tally.admitted = 2),
        ("a call taken over that is not there", |state| state.tally.taken_over = 1),
        ("a call handed over that is still there", |state| state.tally.handed_over = 1),
        ("counts beyond the entries", |state| {
            state.tally.reserved = u64::MAX;
            state.tally.admitted = u64::MAX;
            state.tally.ended = [u64::MAX; EndReason::ALL.len()];
            state.tally.lapsed = u64::MAX;
        }),
    ];
    for (name, forge) in forgeries {
        let mut state = honest.clone();
        forge(&mut state);
        assert!(!state.worker().is_sound(), "{name}: {state:?}");
    }
}

fn change_drain(state: &mut Forged, change: impl FnOnce(&mut openrtc_core::worker::Drain)) {
    change(state.drain.as_mut().expect("it drains"));
}

/// The word in another phase, at the same number.
fn enter(word: Word, phase: Phase) -> Word {
    Word::from_bits(word.enter(phase).to_bits() - 1)
}

#[test]
fn counts_of_declined_calls_do_not_overflow() {
    let mut worker = draining();
    for _ in 0..2 {
        let count = Command::CountDeclines { reason: Decline::Full, count: u64::MAX };
        worker.step(at(6), count).expect("any count above zero is one");
    }
    assert_eq!(worker.tally().declined[Decline::Full as usize], u64::MAX);
    assert!(worker.is_sound());
}

#[test]
fn sequence_numbers_run_out_without_damage() {
    let last = Forged::of(&draining()).aged(Word::SEQ_MAX).worker();
    assert!(last.is_sound());
    let end = Event::CallEnded { call: CallNo::new(2), reason: EndReason::CallerHangup };
    assert_eq!(last.fits(&next(&last, end)), Err(Misfit::Rejected(Refusal::Exhausted.into())));
    let answer = last.decide(at(6), Command::End { call: CallNo::new(2), reason: EndReason::CallerHangup });
    assert_eq!(answer, Err(Rejection::Refused(Refused::Admission(Refusal::Exhausted))));

    let mut almost = Forged::of(&draining()).aged(Word::SEQ_MAX - 1).worker();
    almost.step(at(6), Command::End { call: CallNo::new(2), reason: EndReason::CallerHangup }).expect("the last");
    assert!(almost.is_sound());
    assert_eq!((almost.word().in_flight(), almost.word().seq().get()), (1, Word::SEQ_MAX));
}

#[test]
fn no_call_is_begun_that_the_numbers_may_not_last_for() {
    let origin = Origin { run: Incarnation::new(1), call: CallNo::new(1), given: true };
    let take_over = Command::TakeOver { id: CALL, class: Class::default(), origin };
    let starting = Worker::new(Limits::default()).expect("defaults work");
    let mut late = Forged::of(&starting).aged(Word::SEQ_ADMIT_MAX - 2).worker();
    late.step(at(0), take_over).expect("there are numbers left");
    late.step(at(0), Command::CountDeclines { reason: Decline::NotServing, count: 1 }).expect("for this too");
    assert_eq!(late.step(at(0), take_over), Err(Refusal::Exhausted.into()));
    late.step(at(0), Command::Serve).expect("what is no call has numbers kept for it");
    let admit = Command::Admit { id: CALL, class: Class::default() };
    assert_eq!(late.step(at(0), admit), Err(Refusal::Exhausted.into()));
}

#[test]
fn an_entry_that_does_not_fit_changes_something_or_nothing_but_never_panics() {
    let full = Word::from_bits(u64::MAX);
    for phase in Phase::ALL {
        let mut state = Forged::of(&draining());
        state.word = enter(full, phase);
        state.tally.declined = [u64::MAX; Decline::ALL.len()];
        for event in events() {
            let mut worker = state.worker();
            for _ in 0..3 {
                let entry = next(&worker, event);
                worker.apply(&entry);
                worker.react(&entry, &mut |_| {});
                worker.obligations(&mut |_| {});
                let _ = (worker.deadline(), worker.is_sound(), worker.tally().promised(), worker.tally().over());
            }
        }
    }
    let origin = Origin { run: Incarnation::new(1), call: CallNo::new(1), given: true };
    let (id, class) = (CALL, Class::default());
    for promised in [Event::CallAdmitted { id, class }, Event::CallTakenOver { id, class, origin }] {
        let mut crammed = Forged::of(&draining());
        crammed.word = enter(full, Phase::Serving);
        let mut worker = crammed.aged(9).worker();
        worker.apply(&next(&worker, promised));
        assert_eq!(worker.phase(), Phase::Serving, "the count of calls does not spill into the phase");
    }
}

/// One event of each kind, most of them about calls that are not there.
fn events() -> Vec<Event> {
    let (call, actor, cause) = (CallNo::new(77), ALICE, Cause::Fence);
    let (id, class) = (CALL, Class::default());
    let (last, never) = (Instant::from_micros(u64::MAX), Stamp { epoch: Epoch::new(u64::MAX), order: Seq::new(0) });
    let (stamp, terms) = (Some(never), Terms { deadline: Some(last), alert_at: Some(at(0)), force_at: None });
    let origin = Origin { run: Incarnation::new(u64::MAX), call, given: false };
    vec![
        Event::StoodBy,
        Event::ServingBegan { stamp },
        Event::CallReserved { id, class },
        Event::CallAdmitted { id, class },
        Event::CallAssigned { call },
        Event::CallProgressed { call },
        Event::CallStalled { call },
        Event::ReservationLapsed { call },
        Event::CallEnded { call, reason: EndReason::Failed },
        Event::CallsDeclined { reason: Decline::Draining, count: u64::MAX },
        Event::DrainBegun { cause, actor, terms, stamp },
        Event::DrainSealed { cause, actor, terms, stamp },
        Event::DrainExtended { actor, deadline: last },
        Event::DrainCancelled { actor, stamp },
        Event::DrainOverdue { live: u32::MAX },
        Event::DrainForced { actor, live: u32::MAX, stamp },
        Event::Drained,
        Event::Exited { outcome: Outcome::Rejected, stamp },
        Event::OrderTaken { stamp: never, actor },
        Event::CallTakenOver { id, class, origin },
        Event::CallHandedOver { call, to: Incarnation::new(u64::MAX) },
        Event::DrainTightened { actor, terms, stamp },
    ]
}

/// A deadline that passes while the last call hangs up finds nothing to alert anyone about and nothing to force.
#[test]
fn an_empty_drain_is_done_whatever_else_is_due() {
    for on_deadline in [OnDeadline::Alert, OnDeadline::Force] {
        let mut worker = Worker::new(Limits::default()).expect("defaults work");
        worker.step(at(0), Command::Serve).expect("starting");
        let call = worker.step(at(1), Command::Admit { id: CALL, class: Class::default() }).expect("serving").seq;
        let order = DrainOrder { cause: Cause::Api, actor: ALICE, terms: terms(9, on_deadline) };
        worker.step(at(2), Command::BeginDrain(order)).expect("serving");
        let end = Command::End { call: CallNo::new(call.get()), reason: EndReason::CallerHangup };
        worker.step(at(10), end).expect("active");
        assert_eq!(worker.step(at(11), Command::Wake).map(|entry| entry.event), Ok(Event::Drained));
    }
}

#[test]
fn a_forced_drain_whose_calls_all_left_is_drained_before_it_exits() {
    let mut state = Forged::of(&draining());
    change_drain(&mut state, |drain| drain.forced = Some(Forced { actor: ALICE, live: 2, until: at(7) }));
    let mut worker = state.worker();
    let reason = EndReason::CallerHangup;
    worker.step(at(8), Command::End { call: CallNo::new(2), reason }).expect("active");
    worker.step(at(8), Command::Withdraw { call: CallNo::new(3), reason }).expect("reserved");
    assert_eq!(worker.step(at(8), Command::Wake).map(|entry| entry.event), Ok(Event::Drained));
}

/// A dispatcher that repeats itself, as at-least-once delivery does, is not at fault.
#[test]
fn the_same_extension_twice_is_a_repeat() {
    let mut worker = draining();
    let extend = Command::ExtendDrain { actor: ALICE, deadline: at(120) };
    worker.step(at(6), extend).expect("later");
    assert!(matches!(worker.step(at(6), extend), Err(Rejection::Repeat(_))));
}
