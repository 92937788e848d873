//! `openrtc upgrade`: a new program beside the old one, and back.

use std::process::Output;

use e2e::{run, said};
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Caller, Hosted, Rig, agent, is_alive};

/// Gives an order to a host, and waits for what comes of it.
fn upgrade(host: &Hosted, words: &[&str]) -> Output {
    let ops = host.ops.to_string();
    run(&[&["upgrade", &ops], words].concat())
}

/// An upgrade that has to succeed.
fn upgraded(host: &Hosted, words: &[&str]) {
    let output = upgrade(host, words);
    assert!(output.status.success(), "{words:?}: {}", said(&output));
}

/// An upgrade that has to fail for a reason.
fn refused(host: &Hosted, words: &[&str], why: &str) {
    let output = upgrade(host, words);
    let said = said(&output);
    assert!(output.status.code() == Some(1) && said.contains(why), "{words:?} should say {why:?}: {said}");
}

/// The version that takes the next call.
fn version(host: &Hosted) -> String {
    String::from_utf8(Caller::call(host, b'v').rest()).unwrap()
}

/// The process of a version's program.
fn program(host: &Hosted, version: &str) -> i32 {
    host.programs().iter().find(|(_, of)| of == version).expect("it runs").0
}

#[test]
fn an_upgrade_gives_new_calls_to_the_new_program_and_ends_the_old_one_after_its_last_call() {
    let host = Rig::new().start();
    let mut old = Caller::talking(&host);
    upgraded(&host, &["--version", "v2"]);
    assert_eq!(version(&host), "v2");
    old.talk(&[1; 320]);
    let first = program(&host, "v1");
    assert!(host.signals().is_empty(), "{:?}", host.signals());
    upgraded(&host, &["--version", "v3"]);
    assert_eq!(version(&host), "v3");
    old.talk(&[1; 320]);
    assert!(is_alive(first));
    old.hang_up();
    host.wait_until(|host| host.programs().len() == 1);
    assert!(!is_alive(first));
    assert_eq!((version(&host), host.signals()), ("v3".into(), vec!["SIGTERM".to_owned(); 2]));
    upgraded(&host, &["--wait"]);
    assert_eq!(version(&host), "4", "the fourth version, which nobody named");
    assert_eq!(host.programs().len(), 1);
}

#[test]
fn an_upgrade_that_cannot_be_done_is_refused_with_the_reason_and_changes_nothing() {
    let host = Rig::new().flags(&["--ready-within", "8s", "--programs", "2"]).start();
    let mut caller = Caller::talking(&host);
    let first = program(&host, "v1");
    refused(&host, &["--version", "v1"], "a program of version v1 runs");
    refused(&host, &["--version", "bad version"], "cannot be used");
    refused(&host, &["--version", "v2", "--", "no-such-program"], "cannot be started: no-such-program: No such file");
    refused(&host, &["--version", "v2", "--", "false"], "it ended before it was ready: exit status: 1");
    refused(&host, &["--version", "v2", "--", "sleep", "3600"], "it is not ready after 8s");
    refused(&host, &["--cancel"], "nothing is to be taken back");
    assert_eq!(host.programs(), [(first, "v1".to_owned())]);
    upgraded(&host, &["--version", "v2"]);
    refused(&host, &["--version", "v3"], "2 programs run (v1, v2), and 2 may");
    caller.talk(&[1; 320]);
    assert_eq!(version(&host), "v2");
}

#[test]
fn a_cancel_gives_new_calls_back_while_the_old_program_drains_and_not_after_it_has_ended() {
    let host = Rig::new().start();
    let mut old = Caller::talking(&host);
    upgraded(&host, &["--version", "v2"]);
    let mut new = Caller::talking(&host);
    upgraded(&host, &["--cancel"]);
    host.wait_until(|host| version(host) == "v1");
    let second = program(&host, "v2");
    new.talk(&[1; 320]);
    old.talk(&[1; 320]);
    assert!(is_alive(second));
    new.hang_up();
    host.wait_until(|host| host.programs().len() == 1);
    assert_eq!((is_alive(second), version(&host)), (false, "v1".into()));
    old.hang_up();
    upgraded(&host, &["--version", "v3", "--wait"]);
    refused(&host, &["--cancel"], "nothing is to be taken back");
}

#[test]
fn after_a_cancel_the_next_upgrade_is_possible_at_once_and_the_cancelled_versions_calls_run_on() {
    let host = Rig::new().start();
    let mut old = Caller::talking(&host);
    upgraded(&host, &["--version", "v2"]);
    let mut cancelled = Caller::talking(&host);
    upgraded(&host, &["--cancel"]);
    assert_eq!(version(&host), "v1", "said once it is so");
    upgraded(&host, &["--version", "v3"]);
    assert_eq!((version(&host), host.programs().len()), ("v3".into(), 3));
    old.talk(&[1; 320]);
    cancelled.talk(&[1; 320]);
    assert!(host.signals().is_empty(), "{:?}", host.signals());
    cancelled.hang_up();
    old.hang_up();
    host.wait_until(|host| host.programs().len() == 1);
    assert_eq!(version(&host), "v3");
}

#[test]
fn status_names_the_version_that_serves_and_the_list_of_calls_names_the_one_that_serves_each() {
    let host = Rig::new().start();
    let ops = host.ops.to_string();
    let status = |host: &Hosted| host.snapshot()["deployment_version"].as_str().unwrap().to_owned();
    let _old = Caller::talking(&host);
    assert_eq!(status(&host), "v1");
    upgraded(&host, &["--version", "v2"]);
    let _new = Caller::talking(&host);
    host.wait_until(|host| status(host) == "v2");
    let listed = run(&["calls", &ops]);
    let said = said(&listed);
    let versions: Vec<_> =
        said.lines().filter_map(|line| line.split_whitespace().find(|word| *word == "v1" || *word == "v2")).collect();
    assert_eq!(versions, ["v1", "v2"], "{said}");
    assert!(run(&["status", &ops]).stdout.windows(2).any(|word| word == b"v2"));
    upgraded(&host, &["--cancel"]);
    host.wait_until(|host| status(host) == "v1");
}

#[test]
fn a_host_that_drains_takes_no_upgrade_and_says_why() {
    let mut host = Rig::new().start();
    let mut caller = Caller::talking(&host);
    host.signal(Signal::TERM);
    host.wait_for_log("draining");
    refused(&host, &["--version", "v2"], "the host drains, and ends its programs after the last call");
    caller.talk(&[1; 320]);
    assert_eq!(host.programs().len(), 1);
}

#[test]
fn an_upgrade_of_a_host_that_is_started_anew_meanwhile_is_not_done() {
    let socket = tempfile::tempdir().unwrap();
    let path = socket.path().join("ops");
    let rig = || Rig::new().flags(&["--ready-within", "1h"]).env("OPENRTC_OPS_SOCKET", path.to_str().unwrap());
    let host = rig().start();
    let upgrade = std::process::Command::new(e2e::openrtc())
        .args(["upgrade", &format!("unix:{}", path.display()), "--version", "v2", "--", "sleep", "3600"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    host.wait_until(|host| host.programs().len() == 2);
    host.signal(Signal::KILL);
    let (_, _, dir) = host.end();
    let host = rig().again(dir).start();
    let output = upgrade.wait_with_output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the host was started anew, and runs v1: the order for v2 is not done"), "{said}");
    assert_eq!(version(&host), "v1");
}

#[test]
fn while_a_new_program_starts_another_upgrade_waits_and_a_cancel_ends_it_untouched_by_a_call() {
    let host = Rig::new().flags(&["--ready-within", "1h"]).start();
    let mut old = Caller::talking(&host);
    let first = program(&host, "v1");
    let begun = e2e::http(host.ops, "POST", "/upgrade", r#"{"version":"v2","command":["sleep","3600"]}"#);
    assert!(begun.contains("\"ok\":true"), "{begun}");
    host.wait_until(|host| host.programs().len() == 2);
    let second = program(&host, "v2");
    refused(&host, &["--version", "v3"], "an upgrade to v2 is");
    assert_eq!(version(&host), "v1");
    upgraded(&host, &["--cancel"]);
    host.wait_until(|host| host.programs().len() == 1);
    assert!(!is_alive(second));
    old.talk(&[1; 320]);
    assert_eq!((program(&host, "v1"), version(&host)), (first, "v1".into()));
    upgraded(&host, &["--version", "v2", "--", "python3", &agent()]);
    assert_eq!(version(&host), "v2", "the same name, by a command that works");
}

#[test]
fn a_new_program_that_crashes_gives_its_calls_back_and_an_old_one_that_crashes_loses_its_own() {
    let mut host = Rig::new().start();
    let mut old = Caller::talking(&host);
    upgraded(&host, &["--version", "v2"]);
    kill_process(Pid::from_raw(program(&host, "v2")).unwrap(), Signal::KILL).unwrap();
    host.wait_for_log("the upgrade is taken back");
    host.wait_until(|host| version(host) == "v1");
    old.talk(&[1; 320]);

    upgraded(&host, &["--version", "v3"]);
    kill_process(Pid::from_raw(program(&host, "v1")).unwrap(), Signal::KILL).unwrap();
    host.wait_until(|host| host.journaled("failed") == 1);
    assert_eq!(version(&host), "v3");
    host.wait_until(|host| host.programs().len() == 1);
}

#[test]
fn upgrades_in_a_row_lose_no_frame_and_leave_nothing_behind() {
    let host = Rig::new().start();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", host.pid())).unwrap().count();
    let before = open();
    let mut callers = vec![Caller::talking(&host)];
    for _ in 0..3 {
        upgraded(&host, &[]);
        callers.push(Caller::talking(&host));
        for caller in &mut callers {
            caller.talk(&[2; 320]);
        }
    }
    assert_eq!(host.programs().len(), 4);
    for caller in callers {
        caller.hang_up();
    }
    host.wait_until(|host| host.programs().len() == 1);
    host.wait_until(|host| host.snapshot()["active_sessions"] == 0);
    host.wait_until(|_| open() <= before);
    assert_eq!(host.journaled("caller_hangup"), 4);
}
