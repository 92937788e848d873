//! Hang-ups and refusals against the exit.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use openrtc_core::word::{Phase, Refusal};
use openrtc_core::worker::{Class, Command, EndReason, Outcome};
use openrtc_runtime::Site;
use openrtc_runtime::intake::Intake;

use crate::{BEGIN, CALL, FORCE, HANGUP, NOW, model, serving};

#[test]
fn forced_exit_against_a_hang_up() {
    model(|| {
        let (gate, mut recorder) = serving(8);
        let calls = [(); 2].map(|()| gate.admit(&CALL, Class::default()).unwrap());
        gate.submit(NOW, BEGIN).unwrap();
        gate.submit(NOW, FORCE).unwrap();
        let ending = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.end(calls[0], EndReason::DrainForced)
        });
        let grace_over = NOW + recorder.record.limits().force_grace;
        recorder.visit_at(grace_over);
        ending.join().unwrap();
        while recorder.visit_at(grace_over) {}
        assert_eq!(recorder.record.outcome(), Some(Outcome::Forced { dropped: 2 }), "each counted once");
        assert_eq!(gate.end(calls[1], EndReason::DrainForced), None, "the exit has ended it");
        recorder.settle();
    });
}

/// A refusal that the caller is told is in an entry before the exit; one that comes later is none. Here the exit has to
/// wait for a hang-up, so that it is tried more than once.
#[test]
fn a_refusal_against_the_exit() {
    model(|| {
        let (gate, mut recorder) = serving(8);
        let call = gate.admit(&CALL, Class::default()).unwrap();
        gate.submit(NOW, BEGIN).unwrap();
        gate.submit(NOW, FORCE).unwrap();
        let calling = thread::spawn({
            let gate = Arc::clone(&gate);
            move || {
                let refused = gate.admit(&CALL, Class::default()).unwrap_err();
                gate.end(call, HANGUP);
                refused
            }
        });
        let grace_over = NOW + recorder.record.limits().force_grace;
        recorder.visit_at(grace_over);
        let told = calling.join().unwrap() != Refusal::Closed(Phase::Exited);
        while recorder.visit_at(grace_over) {}
        if recorder.record.outcome().is_none() {
            gate.submit(grace_over, Command::Leave).unwrap();
            while recorder.visit_at(grace_over) {}
        }
        assert!(recorder.record.outcome().is_some(), "it has left");
        let counted = recorder.record.tally().declined.iter().sum::<u64>();
        assert_eq!(counted, u64::from(told), "counted as often as told");
        assert_eq!(gate.admit(&CALL, Class::default()), Err(Refusal::Closed(Phase::Exited)));
    });
}

#[test]
#[should_panic(expected = "counted as often as told")]
fn a_refusal_counted_after_it_was_judged() {
    model(|| {
        let (exited, declined) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let refusing = thread::spawn({
            let (exited, declined) = (Arc::clone(&exited), Arc::clone(&declined));
            move || {
                let told = exited.load(Ordering::Acquire) == 0;
                declined.fetch_add(u64::from(told), Ordering::Relaxed);
                told
            }
        });
        let counted = declined.swap(0, Ordering::Relaxed);
        exited.store(1, Ordering::Release);
        assert_eq!(counted, u64::from(refusing.join().unwrap()), "counted as often as told");
    });
}

/// What a handler did before it hung up has happened for whoever sees its call gone.
fn a_hang_up_after_other_work() {
    model(|| {
        let (gate, _) = serving(4);
        let call = gate.admit(&CALL, Class::default()).unwrap();
        let done = Arc::new(AtomicU64::new(0));
        let hanging_up = thread::spawn({
            let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
            move || {
                done.store(1, Ordering::Relaxed);
                gate.end(call, HANGUP)
            }
        });
        if gate.view(NOW).life.word().in_flight() == 0 {
            assert_eq!(done.load(Ordering::Relaxed), 1, "its work is done");
        }
        hanging_up.join().unwrap().unwrap();
    });
}

#[test]
fn hang_up_against_what_comes_after_it() {
    a_hang_up_after_other_work();
}

#[test]
#[should_panic(expected = "its work is done")]
fn hang_up_that_does_not_release_what_was_done_before() {
    Site::HangUp.weaken();
    a_hang_up_after_other_work();
}

#[test]
fn close_against_the_last_hang_up() {
    model(|| {
        let (gate, mut recorder) = serving(8);
        let call = gate.admit(&CALL, Class::default()).unwrap();
        gate.submit(NOW, BEGIN).unwrap();
        gate.submit(NOW, FORCE).unwrap();
        let ending = thread::spawn({
            let gate = Arc::clone(&gate);
            move || gate.end(call, EndReason::DrainForced)
        });
        recorder.visit();
        let closed = gate.submit(NOW, Command::Leave).is_ok();
        ending.join().unwrap().unwrap();
        recorder.settle();
        assert!(closed || gate.submit(NOW, Command::Leave).is_ok(), "in the end it is drained");
        recorder.settle();
        assert_eq!(recorder.record.outcome(), Some(Outcome::Forced { dropped: 1 }), "how it ended is known");
    });
}
