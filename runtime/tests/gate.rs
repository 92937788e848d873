//! Whatever threads do to the gate at once, the entries it yields are a life that core's worker machine could have
//! led alone: each fits the state before it, and at rest their fold is the gate's own word.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use openrtc_core::id::{Actor, CallId, CallNo, Seq};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{
    Cause, Class, Command, Decline, DrainOrder, EndReason, Entry, Limits, OnDeadline, Outcome, Worker,
};
use openrtc_runtime::gate::{BACKLOG, Gate};

const ALICE: Actor = Actor::from_static("alice");
const CALL: CallId = CallId::from_static("call");

fn worker(limits: Limits) -> Worker {
    Worker::new(limits).unwrap()
}

fn drain(deadline: Option<Instant>, on_deadline: OnDeadline) -> Command {
    Command::BeginDrain(DrainOrder { cause: Cause::Api, actor: ALICE, deadline, on_deadline })
}

/// The shell's part without a world: takes, checks, folds, wakes.
struct Recorder<'a> {
    gate: &'a Gate,
    record: Worker,
    batch: Vec<Entry>,
}

impl<'a> Recorder<'a> {
    fn new(gate: &'a Gate, record: Worker) -> Self {
        Self { gate, record, batch: Vec::new() }
    }

    fn visit(&mut self, at: Instant) -> bool {
        self.gate.take(at, &mut self.batch);
        for entry in &self.batch {
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
            0..6 => self.calls.extend(gate.admit(CALL, Class(0))),
            6..11 => {
                if let Some(call) = self.pick(dice) {
                    gate.end(call, EndReason::ALL[dice.roll(2)]);
                }
            }
            11..13 => {
                let promise = gate.submit(at, Command::Reserve { id: CALL, class: Class(1) });
                self.promises.extend(promise.ok().map(|seq| CallNo::new(seq.get())));
            }
            13 => {
                let Some(call) = self.promises.pop() else { return };
                if gate.submit(at, Command::Assign { call }).is_ok() {
                    self.calls.push(call);
                }
            }
            14 => {
                let Some(call) = self.promises.pop() else { return };
                let _ = gate.submit(at, Command::End { call, reason: EndReason::Withdrawn });
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
            let _ = gate.submit(at, Command::End { call, reason: EndReason::Withdrawn });
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
        ..Limits::default()
    };
    let record = worker(limits);
    let gate = Gate::with_slots(&record, slots);
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
    gate.submit(now(), Command::Close).unwrap();
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
        let gate = Gate::with_slots(&record, 64);
        gate.submit(Instant::EPOCH, Command::Serve).unwrap();
        let calls: Vec<_> = (0..200).map(|_| gate.admit(CALL, Class(0)).unwrap()).collect();
        let mut recorder = Recorder::new(&gate, record);
        thread::scope(|scope| {
            for half in calls.chunks(100) {
                scope.spawn(|| half.iter().all(|call| gate.end(*call, EndReason::DrainForced).is_some()));
            }
            gate.submit(Instant::from_micros(5), drain(None, OnDeadline::Wait)).unwrap();
            let _ = gate.submit(Instant::from_micros(6), Command::ForceDrain { actor: ALICE });
            for _ in 0..round {
                recorder.visit(Instant::from_micros(7));
            }
            // The grace is over while calls still end.
            recorder.visit(Instant::from_micros(20));
        });
        recorder.settle(Instant::from_micros(30));
        let cut = recorder.record.tally().ended_by(EndReason::DrainForced);
        match recorder.record.outcome() {
            Some(outcome) => assert_eq!(outcome, Outcome::Forced { dropped: 200 }, "round {round}: {cut} cut"),
            None => assert_eq!((recorder.record.phase(), cut), (Phase::Drained, 200)),
        }
    }
}

#[test]
fn a_reservation_that_lapses_and_is_assigned_at_once_is_one_of_the_two() {
    for _ in 0..200 {
        let record = worker(Limits { reservation_ttl: Span::from_micros(10), ..Limits::default() });
        let gate = Gate::new(&record);
        gate.submit(Instant::EPOCH, Command::Serve).unwrap();
        let call =
            CallNo::new(gate.submit(Instant::EPOCH, Command::Reserve { id: CALL, class: Class(0) }).unwrap().get());
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

#[test]
fn refusals_are_counted_once_per_reason_and_second() {
    let record = worker(Limits { capacity: 1, ..Limits::default() });
    let gate = Gate::new(&record);
    let mut recorder = Recorder::new(&gate, record);
    assert_eq!(gate.admit(CALL, Class(0)), Err(Refusal::Closed(Phase::Starting)));
    gate.submit(Instant::EPOCH, Command::Serve).unwrap();
    gate.admit(CALL, Class(0)).unwrap();
    for _ in 0..5 {
        assert_eq!(gate.admit(CALL, Class(0)), Err(Refusal::Full));
    }
    recorder.settle(Instant::from_micros(1));
    assert_eq!(recorder.record.tally().declined, [0; Decline::ALL.len()], "not before the second is over");
    let due = gate.deadline(&recorder.record).unwrap();
    recorder.settle(due);
    assert_eq!(recorder.record.tally().declined, [1, 5, 0]);
    let seq = recorder.record.word().seq();
    recorder.settle(due + Span::from_secs(10));
    assert!(recorder.record.word().seq() <= Seq::new(seq.get() + 1), "only the stall of the one call followed");
}

#[test]
fn while_the_shell_does_not_come_by_little_is_kept_for_it_and_no_hang_up_is_lost() {
    let record = worker(Limits { capacity: 8, ..Limits::default() });
    let gate = Gate::with_slots(&record, 64);
    gate.submit(Instant::EPOCH, Command::Serve).unwrap();
    let held = [(); 5].map(|()| gate.admit(CALL, Class(0)).unwrap());
    let mut passed = 0;
    let refusal = loop {
        match gate.admit(CALL, Class(0)) {
            Ok(call) => assert!(gate.end(call, EndReason::CallerHangup).is_some()),
            Err(refusal) => break refusal,
        }
        passed += 1;
        assert!(passed < BACKLOG, "it goes on for ever");
    };
    assert_eq!(refusal, Refusal::Full);
    let reserve = Command::Reserve { id: CALL, class: Class(0) };
    let before = gate.view(Instant::EPOCH).life.word().seq();
    for _ in 0..100 {
        assert_eq!(gate.submit(Instant::EPOCH, reserve), Err(Refusal::Full.into()));
        assert!(gate.submit(Instant::EPOCH, Command::Progress { call: held[0] }).is_err());
        assert_eq!(gate.admit(CALL, Class(0)), Err(Refusal::Full));
    }
    assert_eq!(gate.view(Instant::EPOCH).life.word().seq(), before, "nothing is added");
    assert!(held.iter().all(|call| gate.end(*call, EndReason::CallerHangup).is_some()));
    gate.submit(Instant::EPOCH, drain(None, OnDeadline::Wait)).unwrap();

    let mut recorder = Recorder::new(&gate, record);
    recorder.settle(Instant::EPOCH);
    assert_eq!(recorder.record.phase(), Phase::Drained);
    assert_eq!(recorder.record.tally().ended_by(EndReason::CallerHangup), 5 + passed as u64);
    gate.submit(Instant::EPOCH, Command::CancelDrain { actor: ALICE }).unwrap();
    gate.admit(CALL, Class(0)).expect("it takes calls again");
}

#[test]
fn what_was_told_to_one_thread_holds_for_another() {
    for _ in 0..200 {
        let record = worker(Limits::default());
        let gate = Gate::new(&record);
        gate.submit(Instant::EPOCH, Command::Serve).unwrap();
        let drained = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                gate.submit(Instant::EPOCH, drain(None, OnDeadline::Wait)).unwrap();
                drained.store(true, Ordering::Release);
            });
            loop {
                let begun = drained.load(Ordering::Acquire);
                match gate.admit(CALL, Class(0)) {
                    Ok(call) => assert!(!begun, "call {call} slipped in"),
                    Err(Refusal::Full) => assert!(!begun, "full, not closed"),
                    Err(refusal) => break assert_eq!(refusal, Refusal::Closed(Phase::Draining)),
                }
            }
        });
    }
}
