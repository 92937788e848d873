//! Children done right: what a program inherits, when it is ready, what it hears, and how it ends.

use std::io::Read;

use rustix::process::Signal;

use crate::rig::{Caller, Rig, agent, is_alive};

#[test]
fn a_program_inherits_nothing_of_what_the_host_was_given() {
    let wrapper = "import os, signal, sys, resource
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_NOFILE, (700, 4096))
for number in range(3, 10):
    os.dup2(os.open('/dev/null', os.O_RDONLY), number, inheritable=True)
os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET='/nowhere', WATCHDOG_USEC='1000000')
os.execv(sys.argv[1], sys.argv[1:])";
    let host = Rig::new().by(&["python3", "-c", wrapper]).env("OPENRTC_CAPACITY", "100").start();
    let mut said = Caller::call(&host, b's').rest();
    let state: serde_json::Value = serde_json::from_slice(&std::mem::take(&mut said)).unwrap();
    // Python itself ignores SIGPIPE (13) and SIGXFSZ (25).
    assert_eq!(
        (state["blocked"].as_str(), state["ignored"].as_str()),
        (Some("0000000000000000"), Some("0000000001001000"))
    );
    assert_eq!((state["nofile"].as_u64(), state["session"].as_bool()), (Some(700), Some(true)));
    assert_eq!(state["terminal"].as_bool(), Some(false));
    let descriptors: Vec<u64> = serde_json::from_value(state["descriptors"].clone()).unwrap();
    assert!(descriptors.iter().all(|number| *number < 8), "its streams, its listener and its call: {descriptors:?}");
    let environment: Vec<String> = serde_json::from_value(state["environment"].clone()).unwrap();
    for name in ["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "OPENRTC_OPS_TOKEN"] {
        assert!(!environment.contains(&name.to_owned()), "{name} is not its business: {environment:?}");
    }
    assert!(environment.contains(&"PORT".to_owned()));
}

#[test]
fn a_program_that_is_never_ready_is_given_up_with_the_reason_and_nothing_of_it_is_left() {
    let short = ["--ready-within", "500ms"];
    for (ways, words) in [
        ("leaves", "it ended before it was ready: exit status: 0"),
        ("fails", "it ended before it was ready: exit status: 1"),
        ("background", "it went to the background"),
        ("deaf", "it is not ready after 500ms: nothing of it listens on port"),
    ] {
        let flags = if ways == "deaf" { &short[..] } else { &[] };
        let (code, said) = Rig::new().ways(ways).flags(flags).fail();
        assert_eq!(code, Some(1), "{ways}: {said}");
        assert!(said.contains("openrtc: program v1 is not ready") && said.contains(words), "{ways}: {said}");
    }
    let (code, said) = Rig::new().program(&["no-such-program"]).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it cannot be started: no-such-program: No such file"), "{said}");
}

#[test]
fn a_listener_of_somebody_else_on_the_programs_port_does_not_make_it_ready() {
    let (code, said) = Rig::new().ways("foreign").fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("belongs to") && said.contains("the program gets another port"), "{said}");
}

#[test]
fn a_program_whose_listener_leaves_its_session_is_given_up_at_once_by_name_and_nothing_of_it_is_left() {
    for (ways, words) in
        [("stray", "listens, but has left the program's session"), ("daemon", "went to the background")]
    {
        let host = Rig::new().ways(ways).begin();
        let (status, said, dir) = host.end();
        assert_eq!(status.code(), Some(1), "{ways}: {said}");
        let line = said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{ways}: {said}"));
        assert!(!said.contains("gets another port"), "{ways}: {said}");
        let started = std::fs::read_to_string(dir.path().join("signals")).unwrap();
        assert_eq!(started, "started\n", "{ways}: once");
        let culprit = line.split(" (python3)").next().unwrap().rsplit([' ', '(']).next().unwrap();
        assert!(!is_alive(culprit.parse().unwrap_or_else(|_| panic!("{ways}: {line}"))), "{ways}: {line}");
    }
}

#[test]
fn a_program_with_calls_gets_no_signal_and_one_sigterm_after_its_last_call() {
    let mut host = Rig::new().program(&["sh", "-c", "python3 \"$0\"; exit", agent().as_str()]).start();
    let mut caller = Caller::talking(&host);
    for signal in [Signal::HUP, Signal::TERM, Signal::TERM, Signal::INT, Signal::TERM] {
        host.signal(signal);
    }
    host.wait_for_log("draining");
    for _ in 0..50 {
        caller.talk(&[1; 320]);
    }
    assert!(host.signals().is_empty(), "{:?}", host.signals());
    let program = host.program();
    assert!(is_alive(program));
    drop(caller);
    let (status, log, dir) = host.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!is_alive(program), "{log}");
    // The shell passes nothing on: what it started is told when the shell has ended.
    assert_eq!(std::fs::read_to_string(dir.path().join("signals")).unwrap(), "SIGTERM\n");
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_with_all_it_started() {
    let host = Rig::new().ways("stubborn child").flags(&["--stop-within", "300ms"]).start();
    drop(Caller::talking(&host));
    let program = host.program();
    let started = openrtc_fleet::child::session::members(program);
    assert_eq!(started.len(), 2, "{started:?}");
    host.signal(Signal::TERM);
    let (status, log, dir) = host.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("killed"), "{log}");
    assert!(started.iter().all(|process| !is_alive(process.pid)), "{started:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("signals")).unwrap(), "SIGTERM\n");
}

#[test]
fn a_host_that_is_told_to_leave_before_its_program_is_ready_leaves_and_ends_it() {
    let mut host = Rig::new().ways("deaf").begin();
    host.wait_until(|host| host.programs().len() == 1);
    let program = host.program();
    host.signal(Signal::TERM);
    host.wait_for_log("draining");
    let (status, log, _) = host.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!is_alive(program), "{log}");
}

#[test]
fn a_program_is_left_alone_for_its_settle_time() {
    let mut host = Rig::new().flags(&["--settle", "1h"]).start();
    Caller::talking(&host).hang_up();
    let program = host.program();
    host.signal(Signal::TERM);
    host.wait_for_log("draining");
    // Its worker has left by then, and the program is still there, untold: an hour is not over.
    host.wait_until(|host| host.journaled("leaves; no call was cut") == 1);
    assert!(is_alive(program) && host.signals().is_empty(), "{:?}", host.signals());
}

#[test]
fn whatever_a_program_writes_its_calls_go_on() {
    let host = Rig::new().start();
    let mut talking = Caller::talking(&host);
    let mut writing = Caller::call(&host, b'o');
    let mut done = [0; 4];
    for _ in 0..20 {
        talking.talk(&[1; 320]);
    }
    writing.0.read_exact(&mut done).unwrap();
    assert_eq!(&done, b"done");
    talking.talk(&[1; 320]);
}
