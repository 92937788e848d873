//! Bytes pass as they are.

use std::io::{ErrorKind, Read};

use crate::rig::{Caller, Rig};

#[test]
fn bytes_half_closes_and_resets_pass_as_they_are_and_each_call_ends_as_it_did() {
    let host = Rig::new().start();
    let mut caller = Caller::talking(&host);
    caller.talk(&vec![0x5a; 200_000]);
    assert!(caller.hang_up().is_empty());
    host.wait_until(|host| host.journaled("caller_hangup") == 1);

    assert_eq!(Caller::call(&host, b't').hang_up(), b"part 0\npart 1\npart 2\npart 3\npart 4\n");
    assert_eq!(Caller::call(&host, b'q').rest().len(), 300_000, "what was queued comes before the end");
    host.wait_until(|host| host.journaled("agent_hangup") == 1);

    let reset = Caller::call(&host, b'r').0.read(&mut [0]).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    host.wait_until(|host| host.journaled("failed") == 1);

    Caller::call(&host, b'w').reset();
    host.wait_until(|host| !host.signals().is_empty());
    assert_eq!(host.signals(), ["reset"]);
    host.wait_until(|host| host.journaled("disconnected") == 1);
}

#[test]
fn a_caller_that_stops_reading_stops_its_program_and_nobody_else() {
    let host = Rig::new().start();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let mut other = Caller::talking(&host);
    let before = memory();
    let _deaf: Vec<_> = (0..8).map(|_| Caller::call(&host, b'f')).collect();
    for _ in 0..200 {
        other.talk(&[7; 320]);
    }
    let grown = memory().saturating_sub(before);
    assert!(grown < 16_384, "{grown} kB for 8 callers that do not read");
}

#[test]
fn a_program_that_refuses_connections_for_a_moment_gets_its_calls_after_it() {
    let host = Rig::new().start();
    for _ in 0..3 {
        assert!(Caller::call(&host, b'z').rest().is_empty());
        Caller::talking(&host).hang_up();
    }
    assert_eq!(host.journaled("failed"), 0);
}

#[test]
fn a_call_that_one_side_closed_and_that_stays_silent_ends() {
    let host = Rig::new().flags(&["--half-open", "200ms"]).start();
    let mut caller = Caller::talking(&host);
    // The program's direction is closed by the flood's end; the caller's never is.
    caller.talk(b"still there");
    let silent = Caller::call(&host, b'q');
    host.wait_until(|host| host.journaled("agent_hangup") == 1);
    drop(silent);
    caller.talk(b"still there");
}
