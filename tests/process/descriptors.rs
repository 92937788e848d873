//! Law P4: capacity is honest.

use std::fs::read_to_string;
use std::process::Command;

use e2e::{Caller, Worker, http, in_shell, kind, run, said};
use serde_json::Value;
use tempfile::tempdir;

use crate::{embedder, leaves_clean};

/// Offers a call; whether it was taken. An answer comes in any case.
fn offer(worker: &Worker, id: &str) -> Option<Caller> {
    let (mut caller, answer) = Caller::offer(worker.calls, id);
    if answer == kind::DECLINE {
        return None;
    }
    assert_eq!(answer, kind::ACCEPT);
    caller.send(kind::ASSIGN, &[]);
    Some(caller)
}

#[test]
fn the_soft_limit_is_no_limit() {
    let shell = in_shell("ulimit -Hn 4096; ulimit -Sn 64; exec \"$@\"");
    let worker = Worker::spawn(shell, &[("OPENRTC_CAPACITY", "300")]);
    let mut calls: Vec<_> = (0..300).map(|n| offer(&worker, &format!("call-{n}")).expect("there is room")).collect();
    assert!(offer(&worker, "one-too-many").is_none());
    assert_eq!(http(worker.ops, "GET", "/livez", ""), "live\n");
    for call in &mut calls {
        call.talk(0);
    }
    let last = calls.pop().unwrap();
    calls.into_iter().for_each(Caller::hang_up);
    leaves_clean(worker, last);
}

#[test]
fn a_capacity_beyond_the_descriptors_is_refused_with_the_numbers_and_the_fix() {
    let output = in_shell("ulimit -n 256; exec \"$@\"").env("OPENRTC_CALL_DESCRIPTORS", "4").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for says in ["1000 needs 4048", "4 for each call", "may have 256", "OPENRTC_CAPACITY to 52", "LimitNOFILE="] {
        assert!(said(&output).contains(says), "it should say {says:?}: {}", said(&output));
    }
    let output = in_shell("ulimit -n 40; exec \"$@\"").output().unwrap();
    let said = said(&output);
    assert!(said.contains("may have 40, which is too few for a single call: raise the limit"), "{said}");
    assert!(!said.contains("OPENRTC_CAPACITY"), "{said}");
}

#[test]
fn a_flood_of_silent_connections_leaves_every_offer_an_answer_and_ops_alive() {
    let worker = Worker::spawn(in_shell("ulimit -n 64; exec \"$@\""), &[("OPENRTC_CAPACITY", "16")]);
    let mut call = Caller::call(worker.calls, "call");
    let mut idle = Vec::new();
    for number in 0..200 {
        idle.push(Caller::connect(worker.calls));
        if number % 10 == 0 {
            drop(offer(&worker, &format!("offer-{number}")));
            assert_eq!(http(worker.ops, "GET", "/livez", ""), "live\n");
            call.talk(number);
        }
    }
    let log = leaves_clean(worker, call);
    let lines = log.matches("a connection could not be accepted").count();
    assert!(lines < 100, "{lines} lines: {log}");
}

/// Callers who all call at once, and again when they were refused: some descriptors are short all the time.
#[test]
fn a_burst_of_offers_beyond_the_descriptors_gets_an_answer_each_and_costs_the_journal_nothing() {
    const CALLERS: u64 = 80;
    const CALLS: u64 = 10;
    let journal = tempdir().unwrap();
    let dir = journal.path().to_str().unwrap();
    let settings = [("OPENRTC_CAPACITY", "16"), ("OPENRTC_JOURNAL_DIR", dir), ("OPENRTC_JOURNAL_MAX_BYTES", "8000")];
    let worker = Worker::spawn(in_shell("ulimit -n 64; exec \"$@\""), &settings);
    let open = Caller::call(worker.calls, "open-throughout");
    let calls = worker.calls;
    let call = move |caller| {
        let mut refused = 0;
        for number in 0..CALLS {
            let (mut call, answer) = Caller::offer(calls, &format!("call-{caller}-{number}"));
            refused += u64::from(answer == kind::DECLINE);
            if answer == kind::ACCEPT {
                call.send(kind::ASSIGN, &[]);
                call.hang_up();
            }
        }
        refused
    };
    let refused: u64 = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || call(caller))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert!(refused > 0, "there was room for all of them");
    worker.wait_until(|snapshot| snapshot["totals"]["declined"]["full"] == refused);
    leaves_clean(worker, open);
    let out = journal.path().join("certificate.jsonl");
    let certified = run(&["certify", "--all", "--out", out.to_str().unwrap(), dir]);
    assert_eq!(certified.status.code(), Some(0), "nothing is missing: {}", said(&certified));
    let told: Value = serde_json::from_str(read_to_string(&out).unwrap().lines().next().unwrap()).unwrap();
    let taken = CALLERS * CALLS - refused + 1;
    assert_eq!((&told["promised"], &told["declined"]), (&taken.into(), &refused.into()));
}

#[test]
fn without_any_descriptor_left_offers_are_declined_and_counted_and_ops_answers() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256; exec \"$@\"", "sh"]).arg(embedder("").get_program());
    command.arg("takes-every-descriptor");
    let worker = Worker::spawn(command, &[("OPENRTC_CAPACITY", "10")]);
    for number in 0..20 {
        assert!(offer(&worker, &format!("offer-{number}")).is_none(), "there is nothing to serve it with");
        assert_eq!(http(worker.ops, "GET", "/livez", ""), "live\n");
    }
    assert_eq!(worker.snapshot()["active_sessions"], 0, "it is not full");
    // They are counted together, a moment later.
    worker.wait_until(|snapshot| snapshot["totals"]["declined"]["full"] == 20);
}

#[test]
fn a_call_that_takes_no_descriptor_needs_none() {
    let worker = Worker::spawn(in_shell("ulimit -n 256; exec \"$@\""), &[("OPENRTC_CALL_DESCRIPTORS", "0")]);
    let call = Caller::call(worker.calls, "call");
    leaves_clean(worker, call);
}
