//! Every refusal that a caller was given is in the journal before the exit, and no other is: real workers, real
//! sockets, offers from all sides in the moment in which the worker leaves.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use e2e::{Caller, Worker, kind, run, said};
use rustix::process::Signal;
use tempfile::tempdir;

const CALLERS: usize = 6;
const OFFERS: usize = 25;

/// What callers were told.
#[derive(Default)]
struct Told {
    yes: AtomicU64,
    no: AtomicU64,
}

/// Offers 150 calls; SIGTERM comes once a third was answered.
fn offer_around_sigterm(worker: &Worker) -> Told {
    let (told, answered) = (Told::default(), AtomicUsize::new(0));
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (told, answered) = (&told, &answered);
            scope.spawn(move || {
                for number in 0..OFFERS {
                    match Caller::try_offer(worker.calls, &format!("call-{caller}-{number}")) {
                        Some((_, kind::ACCEPT)) => drop(told.yes.fetch_add(1, Ordering::Relaxed)),
                        Some((_, kind::DECLINE)) => drop(told.no.fetch_add(1, Ordering::Relaxed)),
                        Some((_, other)) => panic!("an answer of kind {other}"),
                        // Closed: that is no answer.
                        None => {}
                    }
                    if answered.fetch_add(1, Ordering::Relaxed) == CALLERS * OFFERS / 3 {
                        worker.signal(Signal::TERM);
                    }
                }
            });
        }
    });
    told
}

/// How often the journal says that an offer was declined, and how many were promised.
fn journaled(dir: &str) -> (u64, u64) {
    let shown = run(&["journal", "show", "--json", dir]);
    let (mut declined, mut reserved, mut exited) = (0, 0, 0);
    for line in shown.stdout.split(|byte| *byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        let event = &line["entry"]["event"];
        declined += event["CallsDeclined"]["count"].as_u64().unwrap_or(0);
        reserved += u64::from(!event["CallReserved"].is_null());
        exited += u64::from(!event["Exited"].is_null());
    }
    assert_eq!(exited, 1, "{}", said(&shown));
    (declined, reserved)
}

#[test]
fn offers_around_sigterm_are_refused_as_often_as_the_exit_says() {
    for round in 0..25 {
        let journal = tempdir().unwrap();
        let dir = journal.path().to_str().unwrap();
        let lame_duck = ["0s", "20ms"][round % 2];
        let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", dir), ("OPENRTC_LAME_DUCK", lame_duck)]);
        let told = offer_around_sigterm(&worker);
        let (status, log) = worker.end();
        assert_eq!(status.code(), Some(0), "{log}");
        let (declined, reserved) = journaled(dir);
        assert_eq!(declined, told.no.into_inner(), "round {round}: {log}");
        assert_eq!(reserved, told.yes.into_inner(), "round {round}: {log}");
    }
}

#[test]
fn a_worker_that_is_forced_to_leave_counts_its_refusals_as_well() {
    for round in 0..10 {
        let journal = tempdir().unwrap();
        let dir = journal.path().to_str().unwrap();
        let worker = Worker::start(&[
            ("OPENRTC_JOURNAL_DIR", dir),
            ("OPENRTC_DRAIN_TIMEOUT", "10ms"),
            ("OPENRTC_ON_DEADLINE", "force"),
            ("OPENRTC_FORCE_GRACE", "10ms"),
        ]);
        let (_holds_the_drain, answer) = Caller::offer(worker.calls, "deaf");
        assert_eq!(answer, kind::ACCEPT);
        let told = offer_around_sigterm(&worker);
        worker.end();
        assert_eq!(journaled(dir).0, told.no.into_inner(), "round {round}");
    }
}
