//! A worker's first moments, and what is around it that is not as it should be.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use e2e::{Caller, TOKEN, Worker, in_shell, kind, openrtc, run, said, signal};
use rustix::process::Signal;
use tempfile::tempdir;

#[test]
fn a_sigterm_in_the_middle_of_the_start_drains_as_any_other() {
    let journal = tempdir().unwrap();
    let pipe = journal.path().join("00000000000000000001-00000000000000000001.orj");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // The start waits for the pipe, which stands for a slow disk, until somebody writes to it.
    let mut starting = Command::new(openrtc())
        .args(["worker", "--deployment-version", "v1"])
        .env("OPENRTC_JOURNAL_DIR", journal.path())
        .spawn()
        .unwrap();
    let writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    signal(&starting, Signal::TERM);
    drop(writer);
    assert_eq!(starting.wait().unwrap().code(), Some(0), "drained, not killed by the signal");
}

#[test]
fn a_worker_whose_call_port_is_taken_leaves_no_journal_of_a_run_that_never_was() {
    let (journal, taken) = (tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let output = Command::new(openrtc())
        .args(["worker", "--deployment-version", "v1", "--listen", &taken.local_addr().unwrap().to_string()])
        .env("OPENRTC_JOURNAL_DIR", journal.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(std::fs::read_dir(journal.path()).unwrap().count(), 0);
}

#[test]
fn a_ready_worker_says_where_it_can_be_asked() {
    let dir = tempdir().unwrap();
    let socket = dir.path().join("ops.sock");
    let url = format!("unix:{}", socket.display());
    for (settings, says) in [
        (vec![], "ops on nowhere".to_owned()),
        (vec![("OPENRTC_OPS_SOCKET", socket.to_str().unwrap())], format!("ops on {url}")),
        (
            vec![("OPENRTC_OPS_SOCKET", socket.to_str().unwrap()), ("OPENRTC_OPS_ADDR", "127.0.0.1:0")],
            format!(" and {url}"),
        ),
    ] {
        let mut worker = Command::new(openrtc())
            .args(["worker", "--deployment-version", "v1"])
            .envs(settings)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(worker.stdout.take().unwrap()).read_line(&mut line).unwrap();
        signal(&worker, Signal::TERM);
        assert_eq!(worker.wait().unwrap().code(), Some(0));
        assert!(line.trim_end().ends_with(&says), "{line:?} does not say {says:?}");
    }
}

#[test]
fn an_order_is_not_refused_for_a_strange_user_name_and_a_wrong_token_is() {
    let worker = Worker::start(&[]);
    let call = Caller::call(worker.calls, "call");
    let ops = worker.ops.to_string();
    let file = tempdir().unwrap().path().join("none");
    for (user, args, code, says) in [
        ("alice", vec!["--token", "0123456789abcdeF"], 1, "the token is wrong"),
        ("alice", vec!["--token-file", file.to_str().unwrap()], 2, "the token file"),
        ("", vec![], 0, "done"),
        ("José Müller", vec!["--cancel"], 0, "done"),
    ] {
        let mut drain = Command::new(openrtc());
        drain.args(["drain", &ops]).args(&args).env("USER", user).env("OPENRTC_OPS_TOKEN", TOKEN);
        let drain = drain.output().unwrap();
        assert_eq!(drain.status.code(), Some(code), "{user} {args:?}: {}", said(&drain));
        assert!(said(&drain).contains(says), "{}", said(&drain));
    }
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["drain"]["sealed"] == true);
    let cancel = run(&["drain", &ops, "--cancel"]);
    assert_eq!(cancel.status.code(), Some(1), "a signalled drain is final: {}", said(&cancel));
    call.hang_up();
    assert_eq!(worker.end().0.code(), Some(0));
}

#[test]
fn idle_connections_beyond_the_descriptors_cost_no_call() {
    // Room for a few dozen connections at a time.
    let worker = Worker::spawn(in_shell("ulimit -n 64; exec \"$@\""), &[("OPENRTC_CAPACITY", "16")]);
    let mut call = Caller::call(worker.calls, "sibling");
    let idle: Vec<_> = (0..200).map(|_| Caller::connect(worker.calls)).collect();
    call.talk(0);
    drop(idle);
    // Each offer gets an answer; it is no until the worker has closed what was dropped.
    let mut next = loop {
        match Caller::offer(worker.calls, "next") {
            (next, kind::ACCEPT) => break next,
            (_, answer) => assert_eq!(answer, kind::DECLINE),
        }
    };
    next.send(kind::ASSIGN, &[]);
    call.talk(1);
    worker.signal(Signal::TERM);
    next.hang_up();
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
}
