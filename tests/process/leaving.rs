//! Law P5: leaving is certain.

use std::process::{Command, Stdio};

use e2e::{Caller, Worker, kind, run, said};
use rustix::process::Signal;
use tempfile::tempdir;

use crate::{embedder, leaves_clean};

#[test]
fn nothing_that_blocks_keeps_a_process_whose_worker_has_left() {
    for way in ["threads", "current-thread", "spawn-blocking", "stdin"] {
        let journal = tempdir().unwrap();
        let journal = journal.path().to_str().unwrap();
        let mut stubborn = Command::new(env!("CARGO_BIN_EXE_stubborn"));
        // Open, and nobody ever writes to it.
        stubborn.arg(way).stdin(Stdio::piped());
        let settings =
            [("OPENRTC_JOURNAL_DIR", journal), ("OPENRTC_DRAIN_TIMEOUT", "50ms"), ("OPENRTC_ON_DEADLINE", "force")];
        let worker = Worker::spawn(stubborn, &settings);
        worker.signal(Signal::TERM);
        let (status, log) = worker.end();
        assert_eq!(status.code(), Some(3), "{way}: {log}");
        assert!(log.contains("the process is still there"), "{way}: {log}");
        let verified = run(&["journal", "verify", journal]);
        assert!(said(&verified).contains("forced"), "{way}: the journal is closed: {}", said(&verified));
    }
}

#[test]
fn a_watchdog_of_zero_is_none() {
    let mut stubborn = Command::new(env!("CARGO_BIN_EXE_stubborn"));
    stubborn.arg("spawn-blocking");
    let settings =
        [("OPENRTC_DRAIN_TIMEOUT", "1ms"), ("OPENRTC_ON_DEADLINE", "force"), ("OPENRTC_EXIT_WATCHDOG", "0s")];
    let worker = Worker::spawn(stubborn, &settings);
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["phase"] == "exited");
    // Two seconds would be the default.
    #[expect(clippy::disallowed_methods, reason = "nothing happens, and that is the point")]
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(worker.snapshot()["phase"], "exited", "it is still there");
}

#[test]
fn a_pool_that_leaves_ends_no_call_of_another_one_in_its_process() {
    let mut worker = Worker::spawn(embedder("has-two-pools"), &[("OPENRTC_EXIT_WATCHDOG", "20ms")]);
    let mut call = Caller::call(worker.calls, "call");
    worker.wait_for_log("the other pool has left");
    for number in 0..100 {
        call.talk(number);
        // Several times as long, in all, as a watchdog that did not count the pools would have waited.
        #[expect(clippy::disallowed_methods, reason = "a call takes time")]
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["draining"] == true);
    call.talk(1_000);
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(3), "the other one cut a call: {log}");
    assert!(log.contains("the process is still there"), "and blocks a thread: {log}");
}

#[test]
fn an_offer_that_panics_and_a_source_that_panics_end_no_call() {
    for level in ["off", "info", "trace"] {
        let worker = Worker::spawn(embedder("panics-in-id"), &[("RUST_LOG", level)]);
        let mut call = Caller::call(worker.calls, "call");
        let mut faulty = Caller::connect(worker.calls);
        faulty.send(kind::OFFER, b"faulty");
        // It panics when it is looked at, and that refuses this offer.
        let refused = (kind::DECLINE, b"\x03the offer has no usable call id: no worker can take it".to_vec());
        let answer = if level == "off" { (kind::ACCEPT, vec![]) } else { refused };
        assert_eq!(faulty.receive(), Some(answer));
        drop(faulty);
        call.talk(0);
        Caller::call(worker.calls, "next").hang_up();
        let log = leaves_clean(worker, call);
        assert_eq!(log.contains("an offer's bug"), level != "off", "{log}");

        let worker = Worker::spawn(embedder("panics-in-next"), &[("RUST_LOG", level)]);
        let mut call = Caller::call(worker.calls, "call");
        Caller::connect(worker.calls).send(kind::OFFER, b"faulty");
        worker.wait_until(|snapshot| snapshot["draining"] == true);
        call.talk(0);
        call.hang_up();
        let (status, log) = worker.end();
        assert_eq!(status.code(), Some(101), "the panic goes on when the calls have ended: {log}");
        assert!(log.contains("a source's bug"), "{log}");
    }
}
