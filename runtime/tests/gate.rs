//! Whatever threads do to the gate at once, the entries it yields are a life that core's worker machine could have
//! led alone: each fits the state before it, and at rest their fold is the gate's own word.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use openrtc_core::id::{Actor, CallId, CallNo, DigestKey, Seq};
use openrtc_core::journal::Batch;
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Event, Leave, Limits, OnDeadline, Outcome, Terms, Worker,
};
use openrtc_runtime::gate::{BACKLOG, Gate};
use openrtc_runtime::intake::Intake;

const ALICE: Actor = Actor::from_static("alice");
const CALL: CallId = CallId::from_static("call");

fn worker(limits: Limits) -> Worker {
    Worker::new(limits).unwrap()
}

fn drain(deadline: Option<Instant>, on_deadline: OnDeadline) -> Command {
    let terms = Terms::new(deadline, on_deadline).unwrap();
    Command::BeginDrain(DrainOrder { cause: Cause::Api, actor: ALICE, terms })
}

/// The shell's part without a world: takes, checks, folds, wakes.
struct Recorder<'a> {
    gate: &'a Gate,
    record: Worker,
    batch: Batch<Worker>,
}

impl<'a> Recorder<'a> {
    fn new(gate: &'a Gate, record: Worker) -> Self {
        Self { gate, record, batch: Batch::default() }
    }

    fn visit(&mut self, at: Instant) -> bool {
        self.batch.clear();
        self.gate.take(at, &mut self.batch);
        for entry in &self.batch.entries {
            self.record.fits(entry).unwrap_or_else(|misfit| panic!("{entry:?}: {misfit}"));
            self.record.apply(entry);
            assert!(self.record.is_sound() || self.record.calls().len() > 64, "{entry:?}");
        }
        self.gate.wake(at, &self.record) || !self.batch.is_empty()
    }

    fn settle(&mut self, at: Instant) {
        while self.visit(at) {}
        assert_eq!(self.gate.view(at).life, *self.record.life(), "at rest the fold is the gate's own state");
    }
}

/// A generator of its own, so that a failing run names its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// What one caller thread holds.
#[derive(Default)]
struct Held {
    calls: Vec<CallNo>,
    promises: Vec<CallNo>,
}

impl Held {
    fn act(&mut self, gate: &Gate, at: Instant, dice: &mut Dice) {
        match dice.roll(16) {
            0..6 => self.calls.extend(gate.admit(&CALL, Class::default())),
            6..11 => {
                if let Some(call) = self.pick(dice) {
                    gate.end(call, EndReason::ALL[dice.roll(2)]);
                }
            }
            11..13 => {
                self.promises.extend(gate.reserve(at, &CALL, Class::new(1).unwrap()));
            }
            13 => {
                let Some(call) = self.promises.pop() else { return };
                if gate.submit(at, Command::Assign { call }).is_ok() {
                    self.calls.push(call);
                }
            }
            14 => {
                let Some(call) = self.promises.pop() else { return };
                let _ = gate.submit(at, Command::Withdraw { call, reason: EndReason::Withdrawn });
            }
            _ => {
                let Some(call) = self.calls.last() else { return };
                let _ = gate.submit(at, Command::Progress { call: *call });
            }
        }
    }

    fn pick(&mut self, dice: &mut Dice) -> Option<CallNo> {
        let len = self.calls.len();
        (len > 0).then(|| self.calls.swap_remove(dice.roll(len)))
    }

    fn let_go(self, gate: &Gate, at: Instant) {
        for call in self.calls {
            gate.end(call, EndReason::CallerHangup);
        }
        for call in self.promises {
            let _ = gate.submit(at, Command::Withdraw { call, reason: EndReason::Withdrawn });
        }
    }
}

/// Callers hammer the gate while a person begins and cancels drains, and the clock runs through every deadline.
fn hammer(seed: u64, slots: usize, callers: u64) {
    let stall = Some(Span::from_micros(400));
    let limits = Limits {
        capacity: 24,
        reservation_ttl: Span::from_micros(200),
        stall_after: [stall, stall, None, None],
        leave: Leave::Parked,
        ..Limits::default()
    };
    let record = worker(limits);
    let gate = Gate::with_slots(&record, DigestKey::default(), slots);
    let clock = AtomicU64::new(0);
    let now = || Instant::from_micros(clock.fetch_add(1, Ordering::AcqRel));
    gate.submit(now(), Command::Serve).unwrap();
    let mut recorder = Recorder::new(&gate, record);
    thread::scope(|scope| {
        let calling = |caller: u64| {
            let (mut held, mut dice) = (Held::default(), Dice(seed * 31 + caller));
            for _ in 0..4_000 {
                held.act(&gate, now(), &mut dice);
            }
            held.let_go(&gate, now());
        };
        let callers: Vec<_> = (0..callers).map(|caller| scope.spawn(move || calling(caller))).collect();
        scope.spawn(|| {
            let mut dice = Dice(seed);
            for _ in 0..1_000 {
                let at = now();
                let _ = match dice.roll(4) {
                    0 => gate.submit(at, drain(Some(at + Span::from_micros(50)), OnDeadline::Alert)),
                    1 => gate.submit(at, Command::ExtendDrain { actor: ALICE, deadline: at + Span::from_micros(90) }),
                    _ => gate.submit(at, Command::CancelDrain { actor: ALICE }),
                };
                let _ = gate.view(now());
                thread::yield_now();
            }
        });
        while callers.iter().any(|caller| !caller.is_finished()) {
            recorder.visit(now());
        }
    });
    let _ = gate.submit(now(), drain(None, OnDeadline::Wait));
    recorder.settle(now());
    assert_eq!(recorder.record.phase(), Phase::Drained, "seed {seed}");
    gate.submit(now(), Command::Leave).unwrap();
    recorder.settle(now());
    assert_eq!(recorder.record.outcome(), Some(Outcome::Clean));
    assert!(recorder.record.is_sound());
}

#[test]
fn what_threads_do_at_once_replays_through_the_machine() {
    for seed in 1..=6 {
        hammer(seed, 4096, 3);
    }
}

#[test]
fn a_full_ring_loses_nothing_and_keeps_the_order() {
    for seed in 1..=6 {
        hammer(seed, 2, 3);
    }
}

#[test]
fn a_forced_drain_among_hang_ups_counts_every_call_once() {
    for round in 0..50 {
        let record = worker(Limits { force_grace: Span::from_micros(10), ..Limits::default() });
        let gate = Gate::with_slots(&record, DigestKey::default(), 64);
        gate.submit(Instant::EPOCH, Command::Serve).unwrap();
        let calls: Vec<_> = (0..200).map(|_| gate.admit(&CALL, Class::default()).unwrap()).collect();
        let mut recorder = Recorder::new(&gate, record);
        thread::scope(|scope| {
            gate.submit(Instant::from_micros(5), drain(None, OnDeadline::Wait)).unwrap();
            gate.submit(Instant::from_micros(6), Command::ForceDrain { actor: ALICE }).unwrap();
            for half in calls.chunks(100) {
                scope.spawn(|| half.iter().all(|call| gate.end(*call, EndReason::DrainForced).is_some()));
            }
            for _ in 0..round {
                recorder.visit(Instant::from_micros(7));
            }
            // The grace is over while calls still end.
            recorder.visit(Instant::from_micros(20));
        });
        recorder.settle(Instant::from_micros(30));
        let cut = recorder.record.tally().ended_by(EndReason::DrainForced);
        let outcome = Some(Outcome::Forced { dropped: 200 });
        assert_eq!(recorder.record.outcome(), outcome, "round {round}: {cut} cut");
    }
}

#[test]
fn a_reservation_that_lapses_and_is_assigned_at_once_is_one_of_the_two() {
    for _ in 0..200 {
        let record = worker(Limits { reservation_ttl: Span::from_micros(10), ..Limits::default() });
        let gate = Gate::new(&record, DigestKey::default());
        gate.submit(Instant::EPOCH, Command::Serve).unwrap();
        let call = gate.reserve(Instant::EPOCH, &CALL, Class::default()).unwrap();
        let mut recorder = Recorder::new(&gate, record);
        recorder.visit(Instant::EPOCH);
        let late = Instant::from_micros(10);
        let assigned = thread::scope(|scope| {
            let assigned = scope.spawn(|| gate.submit(late, Command::Assign { call }).is_ok());
            recorder.visit(late);
            assigned.join().unwrap()
        });
        recorder.settle(late);
        assert_eq!(recorder.record.calls().len(), usize::from(assigned));
        assert_eq!(recorder.record.tally().lapsed, u64::from(!assigned));
    }
}

/// Told is counted, whoever asks in the moment of the exit, and nothing else is.
#[test]
fn as_many_refusals_are_in_the_journal_as_callers_were_told() {
    for round in 0..200 {
        let record = worker(Limits { force_grace: Span::from_micros(10), ..Limits::default() });
        let gate = Gate::new(&record, DigestKey::default());
        gate.submit(Instant::EPOCH, Command::Serve).unwrap();
        let call = gate.admit(&CALL, Class::default()).unwrap();
        gate.submit(Instant::EPOCH, drain(None, OnDeadline::Wait)).unwrap();
        gate.submit(Instant::EPOCH, Command::ForceDrain { actor: ALICE }).unwrap();
        let mut recorder = Recorder::new(&gate, record);
        let told: u64 = thread::scope(|scope| {
            let ask = || {
                let asked = std::iter::repeat_with(|| match round % 2 {
                    0 => gate.admit(&CALL, Class::default()).unwrap_err(),
                    _ => gate.reserve(Instant::EPOCH, &CALL, Class::default()).unwrap_err(),
                });
                asked.take_while(|refusal| *refusal != Refusal::Closed(Phase::Exited)).count() as u64
            };
            let callers = [(); 3].map(|()| scope.spawn(ask));
            scope.spawn(|| gate.end(call, EndReason::DrainForced));
            while recorder.record.outcome().is_none() {
                recorder.visit(Instant::from_micros(10));
            }
            callers.into_iter().map(|caller| caller.join().unwrap()).sum()
        });
        assert_eq!(recorder.record.tally().declined[Decline::Draining as usize], told, "round {round}");
    }
}

#[test]
fn refusals_are_counted_once_per_reason_and_second() {
    let record = worker(Limits { capacity: 1, ..Limits::default() });
    let gate = Gate::new(&record, DigestKey::default());
    let mut recorder = Recorder::new(&gate, record);
    assert_eq!(gate.admit(&CALL, Class::default()), Err(Refusal::Closed(Phase::Starting)));
    gate.submit(Instant::EPOCH, Command::Serve).unwrap();
    gate.admit(&CALL, Class::default()).unwrap();
    for _ in 0..5 {
        assert_eq!(gate.admit(&CALL, Class::default()), Err(Refusal::Full));
    }
    recorder.settle(Instant::from_micros(1));
    assert_eq!(recorder.record.tally().declined, [0; Decline::ALL.len()], "not before the second is over");
    let due = gate.deadline(&recorder.record).unwrap();
    recorder.settle(due);
    assert_eq!(recorder.record.tally().declined, [1, 5, 0, 0, 0]);
    let seq = recorder.record.word().seq();
    recorder.settle(due + Span::from_secs(10));
    assert!(recorder.record.word().seq() <= Seq::new(seq.get() + 1), "only the stall of the one call followed");
}

#[test]
fn while_the_shell_does_not_come_by_little_is_kept_for_it_and_no_hang_up_is_lost() {
    let record = worker(Limits { capacity: 8, leave: Leave::Parked, ..Limits::default() });
    let gate = Gate::with_slots(&record, DigestKey::default(), 64);
    gate.submit(Instant::EPOCH, Command::Serve).unwrap();
    let held = [(); 5].map(|()| gate.admit(&CALL, Class::default()).unwrap());
    let mut passed = 0;
    let refusal = loop {
        match gate.admit(&CALL, Class::default()) {
            Ok(call) => assert!(gate.end(call, EndReason::CallerHangup).is_some()),
            Err(refusal) => break refusal,
        }
        passed += 1;
        assert!(passed < BACKLOG, "it goes on for ever");
    };
    assert_eq!(refusal, Refusal::Full);
    let before = gate.view(Instant::EPOCH).life.word().seq();
    for _ in 0..100 {
        assert_eq!(gate.reserve(Instant::EPOCH, &CALL, Class::default()), Err(Refusal::Full));
        assert!(gate.submit(Instant::EPOCH, Command::Progress { call: held[0] }).is_err());
        assert_eq!(gate.admit(&CALL, Class::default()), Err(Refusal::Full));
    }
    assert_eq!(gate.view(Instant::EPOCH).life.word().seq(), before, "nothing is added");
    assert!(held.iter().all(|call| gate.end(*call, EndReason::CallerHangup).is_some()));
    gate.submit(Instant::EPOCH, drain(None, OnDeadline::Wait)).unwrap();

    let mut recorder = Recorder::new(&gate, record);
    recorder.settle(Instant::EPOCH);
    assert_eq!(recorder.record.phase(), Phase::Drained);
    assert_eq!(recorder.record.tally().ended_by(EndReason::CallerHangup), 5 + passed as u64);
    gate.submit(Instant::EPOCH, Command::CancelDrain { actor: ALICE }).unwrap();
    gate.admit(&CALL, Class::default()).expect("it takes calls again");
}

/// Short ids go through the ring and long ones beside it; each is in the batch of the entry that begins its call.
#[test]
fn every_call_comes_with_its_id() {
    let record = worker(Limits::default());
    let gate = Gate::with_slots(&record, DigestKey::default(), 4);
    gate.submit(Instant::EPOCH, Command::Serve).unwrap();
    let mut named = Vec::new();
    for len in [1, 47, 48, 49, 255].into_iter().cycle().take(40) {
        let id = CallId::new(&"x".repeat(len)).unwrap();
        let call = match len {
            48 => gate.reserve(Instant::EPOCH, &id, Class::default()).unwrap(),
            _ => gate.admit(&id, Class::default()).unwrap(),
        };
        named.push((call, id));
    }
    let mut batch = Batch::default();
    gate.take(Instant::EPOCH, &mut batch);
    let ids: Vec<_> = batch.ids.iter().map(|(call, id)| (call, CallId::new(id).unwrap())).collect();
    assert_eq!(ids, named);
    for (entry, (_, id)) in batch.entries[1..].iter().zip(&named) {
        let (Event::CallAdmitted { id: digest, .. } | Event::CallReserved { id: digest, .. }) = entry.event else {
            panic!("{entry:?}")
        };
        assert_eq!(digest, id.digest(DigestKey::default()));
    }
}

/// A slot is used again, so what a longer id left there must not show.
#[test]
fn an_id_of_any_length_comes_through_the_ring() {
    const LONGEST: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL";
    let gate = Gate::with_slots(&worker(Limits::default()), DigestKey::default(), 2);
    gate.submit(Instant::EPOCH, Command::Serve).unwrap();
    for len in (1..=LONGEST.len()).rev() {
        let id = CallId::new(&LONGEST[LONGEST.len() - len..]).unwrap();
        let call = gate.admit(&id, Class::default()).unwrap();
        let mut batch = Batch::default();
        gate.take(Instant::EPOCH, &mut batch);
        let ids: Vec<_> = batch.ids.iter().collect();
        assert_eq!(ids, [(call, id.as_str())]);
        gate.end(call, EndReason::CallerHangup);
        gate.take(Instant::EPOCH, &mut Batch::default());
    }
}

#[test]
fn what_was_told_to_one_thread_holds_for_another() {
    for _ in 0..200 {
        let record = worker(Limits::default());
        let gate = Gate::new(&record, DigestKey::default());
        gate.submit(Instant::EPOCH, Command::Serve).unwrap();
        let drained = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                gate.submit(Instant::EPOCH, drain(None, OnDeadline::Wait)).unwrap();
                drained.store(true, Ordering::Release);
            });
            loop {
                let begun = drained.load(Ordering::Acquire);
                match gate.admit(&CALL, Class::default()) {
                    Ok(call) => assert!(!begun, "call {call} slipped in"),
                    Err(Refusal::Full) => assert!(!begun, "full, not closed"),
                    Err(refusal) => break assert_eq!(refusal, Refusal::Closed(Phase::Draining)),
                }
            }
        });
    }
}
