//! The gate under loom: every interleaving of a few threads, every value a weakly ordered load may return.
//!
//! `RUSTFLAGS="--cfg openrtc_loom" cargo test --release -p openrtc-runtime --test loom`
//!
//! A model that cannot fail shows nothing, so each is run once more with what it guards against done wrong: those
//! tests must panic.
#![cfg(openrtc_loom)]
#![allow(clippy::unwrap_used)]

mod leaving;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use loom::model::Builder;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use openrtc_core::id::{Actor, CallId, CallNo, DigestKey};
use openrtc_core::journal::Batch;
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal, Word};
use openrtc_core::worker::{
    Cause, Class, Command, DrainOrder, EndReason, Leave, Limits, Outcome, Repeat, Terms, Worker,
};
use openrtc_runtime::Site;
use openrtc_runtime::gate::Gate;
use openrtc_runtime::intake::Intake;

const ALICE: Actor = Actor::from_static("alice");
const CALL: CallId = CallId::from_static("call");
const HANGUP: EndReason = EndReason::CallerHangup;
const NOW: Instant = Instant::EPOCH;
const BEGIN: Command = Command::BeginDrain(DrainOrder { cause: Cause::Api, actor: ALICE, terms: Terms::PATIENT });
const CANCEL: Command = Command::CancelDrain { actor: ALICE };
const FORCE: Command = Command::ForceDrain { actor: ALICE };

/// Three forced switches are enough for every known bug of this kind, and keep a model within seconds.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

fn serving(slots: usize) -> (Arc<Gate>, Recorder) {
    let record = Worker::new(Limits { stall_after: [None; 4], leave: Leave::Parked, ..Limits::default() }).unwrap();
    let gate = Arc::new(Gate::with_slots(&record, DigestKey::default(), slots));
    gate.submit(NOW, Command::Serve).unwrap();
    (Arc::clone(&gate), Recorder { gate, record })
}

/// The shell's part: what it takes must fit.
struct Recorder {
    gate: Arc<Gate>,
    record: Worker,
}

impl Recorder {
    fn visit(&mut self) -> bool {
        self.visit_at(NOW)
    }

    fn visit_at(&mut self, at: Instant) -> bool {
        let mut batch = Batch::default();
        self.gate.take(at, &mut batch);
        for entry in &batch.entries {
            self.record.fits(entry).expect("every entry fits");
            self.record.apply(entry);
        }
        self.gate.wake(at, &self.record) || !batch.is_empty()
    }

    /// Runs until the worker is drained, and sleeps in between without a timer.
    fn run_until_drained(&mut self) {
        while self.record.phase() != Phase::Drained {
            if self.visit() {
                continue;
            }
            if self.gate.may_sleep() {
                sleep(&self.gate);
            } else {
                thread::yield_now();
            }
        }
    }

    fn settle(&mut self) {
        while self.visit() {}
        assert_eq!(self.gate.view(NOW).life, *self.record.life(), "at rest the fold is the gate's own state");
    }
}

/// Under loom the bell blocks the thread, so one poll is the whole wait.
fn sleep(gate: &Gate) {
    let woken = pin!(gate.work()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(woken.is_ready());
}

#[test]
fn admission_against_drain() {
    model(|| {
        let (gate, mut recorder) = serving(4);
        let admitting = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.admit(&CALL, Class::default()).ok()
        });
        let drain = gate.submit(NOW, BEGIN).unwrap();
        assert!(gate.admit(&CALL, Class::default()).is_err(), "nothing slips in");
        let counted = gate.view(NOW).life.word().in_flight();
        let admitted = admitting.join().unwrap();
        assert_eq!(counted, u32::from(admitted.is_some()), "and nothing before is missed");
        assert!(admitted.is_none_or(|call| call.get() < drain.get()));
        recorder.settle();
    });
}

#[test]
#[should_panic(expected = "slipped in")]
fn admission_checked_before_it_is_counted() {
    model(|| {
        let word = Arc::new(AtomicU64::new(Word::START.enter(Phase::Serving).to_bits()));
        let admitting = thread::spawn({
            let word = Arc::clone(&word);
            move || {
                let seen = Word::from_bits(word.load(Ordering::Acquire));
                let next = seen.admit(9).ok()?;
                word.fetch_add(next.to_bits() - seen.to_bits(), Ordering::AcqRel);
                Some(next)
            }
        });
        let drain = |bits| Some(Word::from_bits(bits).enter(Phase::Draining).to_bits());
        let before = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, drain).unwrap();
        let admitted = admitting.join().unwrap();
        let counted = Word::from_bits(before).in_flight();
        assert_eq!(counted, u32::from(admitted.is_some()), "a call slipped in");
    });
}

#[test]
fn last_hang_up_against_drained() {
    model(|| {
        let (gate, mut recorder) = serving(4);
        let call = gate.admit(&CALL, Class::default()).unwrap();
        let hanging_up = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.end(call, HANGUP)
        });
        gate.submit(NOW, BEGIN).unwrap();
        recorder.run_until_drained();
        hanging_up.join().unwrap().unwrap();
        recorder.settle();
        assert_eq!(recorder.record.tally().ended_by(HANGUP), 1);
    });
}

/// A shell that sleeps must be woken by whatever comes next.
fn an_event_while_the_shell_falls_asleep() {
    model(|| {
        let (gate, mut recorder) = serving(4);
        while recorder.visit() {}
        let admitting = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.admit(&CALL, Class::default()).unwrap()
        });
        while recorder.record.word().in_flight() == 0 {
            if !recorder.visit() && gate.may_sleep() {
                sleep(&gate);
            }
            thread::yield_now();
        }
        admitting.join().unwrap();
    });
}

#[test]
fn sleep_against_events() {
    an_event_while_the_shell_falls_asleep();
}

#[test]
#[should_panic(expected = "deadlock")]
fn sleep_that_does_not_order_the_flag() {
    Site::Sleep.weaken();
    an_event_while_the_shell_falls_asleep();
}

/// A caller is interrupted between its number and its event: the drain behind it is not recorded, and in force.
#[test]
fn a_drain_holds_before_it_is_recorded() {
    model(|| {
        let (gate, mut recorder) = serving(4);
        let admitting = thread::spawn({
            let gate = Arc::clone(&gate);
            move || drop(gate.admit(&CALL, Class::default()))
        });
        gate.submit(NOW, BEGIN).unwrap();
        assert_eq!(gate.submit(NOW, BEGIN), Err(Repeat::AlreadyDraining.into()), "begun once");
        gate.submit(NOW, CANCEL).expect("what was begun can be cancelled");
        gate.submit(NOW, BEGIN).unwrap();
        admitting.join().unwrap();
        // Recorded later than it was begun: what the gate says of it then is what the record says.
        recorder.visit_at(NOW + Span::from_micros(1));
        recorder.settle();
    });
}

#[test]
fn cancel_against_force() {
    model(|| {
        let (gate, mut recorder) = serving(4);
        let call = gate.admit(&CALL, Class::default()).unwrap();
        gate.submit(NOW, BEGIN).unwrap();
        let cancelling = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.submit(NOW, CANCEL).is_ok()
        });
        let forced = gate.submit(NOW, FORCE).is_ok();
        let cancelled = cancelling.join().unwrap();
        assert!(forced != cancelled, "one of the two");
        gate.end(call, HANGUP).unwrap();
        recorder.settle();
    });
}

#[test]
#[should_panic(expected = "one of the two")]
fn cancel_and_force_judged_apart_from_their_claim() {
    model(|| {
        let mut worker = Worker::new(Limits::default()).unwrap();
        for command in
            [Command::Serve, Command::Admit { id: CALL.digest(DigestKey::default()), class: Class::default() }, BEGIN]
        {
            decide_and_apply(&mut worker, command);
        }
        let worker = Arc::new(Mutex::new(worker));
        let act = |worker: Arc<Mutex<Worker>>, command| {
            let mut judged = worker.lock().unwrap().clone();
            let accepted = decide_and_apply(&mut judged, command);
            if accepted {
                *worker.lock().unwrap() = judged;
            }
            accepted
        };
        let cancelling = thread::spawn({
            let worker = Arc::clone(&worker);
            move || act(worker, CANCEL)
        });
        let forced = act(worker, FORCE);
        assert!(forced != cancelling.join().unwrap(), "one of the two");
    });
}

fn decide_and_apply(worker: &mut Worker, command: Command) -> bool {
    worker.step(NOW, command).is_ok()
}

/// Four events through a ring of two.
fn more_events_than_slots() {
    model(|| {
        let (gate, mut recorder) = serving(2);
        let calling = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.end(gate.admit(&CALL, Class::default()).unwrap(), HANGUP)
        });
        let call = gate.admit(&CALL, Class::default()).unwrap();
        recorder.visit();
        gate.end(call, HANGUP);
        calling.join().unwrap();
        recorder.settle();
        assert_eq!(recorder.record.tally().ended_by(HANGUP), 2, "no hang-up is lost");
    });
}

#[test]
fn ring_full() {
    more_events_than_slots();
}

#[test]
#[should_panic(expected = "every entry fits")]
fn ring_whose_stamp_does_not_order_the_event() {
    Site::Stamp.weaken();
    more_events_than_slots();
}

#[test]
#[should_panic(expected = "no hang-up is lost")]
fn ring_that_overwrites_what_was_not_read() {
    model(|| {
        let (word, slot) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let write =
            |word: &AtomicU64, slot: &AtomicU64| slot.store(word.fetch_add(1, Ordering::AcqRel) + 1, Ordering::Release);
        let writing = thread::spawn({
            let (word, slot) = (Arc::clone(&word), Arc::clone(&slot));
            move || write(&word, &slot)
        });
        write(&word, &slot);
        let first = slot.load(Ordering::Acquire);
        writing.join().unwrap();
        assert_eq!(first, 1, "no hang-up is lost");
    });
}

#[test]
fn shutdown_of_the_recorder() {
    model(|| {
        let (gate, _) = serving(2);
        let calls = [(); 2].map(|()| gate.admit(&CALL, Class::default()).unwrap());
        let ending = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.end(calls[0], HANGUP).unwrap()
        });
        drop(gate.attend());
        assert_eq!(gate.admit(&CALL, Class::default()), Err(Refusal::Full), "nobody would journal it");
        gate.end(calls[1], HANGUP).unwrap();
        ending.join().unwrap();
        let life = gate.view(NOW).life;
        assert_eq!((life.word().in_flight(), life.tally().ended_by(HANGUP)), (0, 2), "totals are kept");
        let mut batch = Batch::default();
        gate.take(NOW, &mut batch);
        assert!(batch.is_empty(), "entries are not");
    });
}

#[test]
fn an_assignment_against_a_withdrawal_of_the_same_promise() {
    model(|| {
        let (gate, mut recorder) = serving(4);
        let call = CallNo::new(gate.reserve(NOW, &CALL, Class::default()).unwrap().get());
        let assigning = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.submit(NOW, Command::Assign { call }).is_ok()
        });
        let withdrawn = gate.submit(NOW, Command::Withdraw { call, reason: EndReason::Withdrawn }).is_ok();
        assert!(withdrawn != assigning.join().unwrap());
        recorder.settle();
        assert_eq!(recorder.record.word().in_flight(), u32::from(!withdrawn));
    });
}
