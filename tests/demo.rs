//! The demo: a rollout of real processes, with its faults.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{keygen, openrtc, run, said};
use serde_json::Value;
use tempfile::tempdir;

/// Runs a small rollout: 80 calls of 3 s, one every 25 ms.
fn demo(options: &[&str]) -> (i32, Value) {
    let dir = tempdir().unwrap();
    let (calls, rollout) = (dir.path().join("calls.csv"), dir.path().join("rollout"));
    let mut records = String::from("start_s,duration_s\n");
    for call in 0..80 {
        writeln!(records, "{},3", f64::from(call) * 0.025).unwrap();
    }
    fs::write(&calls, records).unwrap();
    let args = ["demo", "--json", "--speed", "1", "--calls", calls.to_str().unwrap()];
    let kept = if options.contains(&"--dir") { vec![] } else { vec!["--dir", rollout.to_str().unwrap()] };
    let output = run(&[&args, options, &kept].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    (output.status.code().unwrap(), report)
}

fn count(report: &Value, what: &str) -> u64 {
    report[what].as_u64().unwrap_or_else(|| panic!("{what} in {report:#}"))
}

fn dropped_on<'a>(report: &'a Value, worker: &'a str) -> impl Iterator<Item = &'a Value> {
    report["dropped"].as_array().unwrap().iter().filter(move |call| call["worker"] == worker)
}

#[test]
fn a_rollout_drops_no_call_loses_no_frame_and_every_journal_agrees() {
    // Through a program that does nothing else.
    let (code, report) = demo(&["--wrapper", "env"]);
    assert_eq!(code, 0, "{report:#}");
    assert!(count(&report, "calls_offered") > 80, "the planned calls and the probes of the drain");
    assert_eq!(count(&report, "calls_ended"), count(&report, "calls_offered"));
    assert!(count(&report, "calls_alive_across_sigterm") > 20, "{report:#}");
    for nothing in ["calls_dropped", "frames_lost", "new_calls_on_old_version_after_drain"] {
        assert_eq!(count(&report, nothing), 0, "{nothing}");
    }
    assert!(report["workers"].as_array().unwrap().iter().all(|worker| worker["exit_code"] == 0));
    assert_eq!(report["journals_agree"], true);
    assert!(report["certificate"].as_str().unwrap().starts_with("PROVEN"), "{report:#}");
}

#[test]
fn a_killed_worker_costs_exactly_its_own_calls_and_each_is_named() {
    let (code, report) = demo(&["--kill-one"]);
    assert_eq!(code, 3, "{report:#}");
    let killed: Vec<_> = report["workers"].as_array().unwrap().iter().filter(|worker| worker["signal"] == 9).collect();
    let [killed] = killed[..] else { panic!("one worker is killed: {report:#}") };
    let name = killed["worker"].as_str().unwrap();
    let named = dropped_on(&report, name).filter(|call| call["reason"].as_str().unwrap().contains("SIGKILL")).count();
    assert!(named > 0);
    assert_eq!(named as u64, count(&report, "calls_dropped"), "nothing else was dropped");
    assert_eq!(killed["dropped"], named);
    assert!(report["certificate"].as_str().unwrap().starts_with("DROPPED"), "{report:#}");
    assert_eq!(report["journals_agree"], true, "{report:#}");
}

#[test]
fn a_forced_deadline_is_counted_alike_by_callers_journals_and_exit_codes() {
    let (code, report) = demo(&["--drain-timeout", "1s", "--on-deadline", "force"]);
    assert_eq!(code, 3, "{report:#}");
    assert!(count(&report, "calls_dropped") > 0);
    for worker in report["workers"].as_array().unwrap() {
        let dropped = dropped_on(&report, worker["worker"].as_str().unwrap()).count();
        assert_eq!(worker["dropped"], dropped);
        assert_eq!(worker["exit_code"], if dropped > 0 { 3 } else { 0 }, "{report:#}");
    }
    assert_eq!(report["journals_agree"], true, "{report:#}");
}

#[test]
fn an_old_worker_that_starts_again_after_the_switch_is_not_let_in_and_costs_nothing() {
    let (code, report) = demo(&["--leftover"]);
    assert_eq!(code, 0, "{report:#}");
    let [rejected] = &report["rejected"].as_array().unwrap()[..] else { panic!("one is rejected: {report:#}") };
    for (key, value) in
        [("event", "worker.rejected"), ("worker", "blue-1"), ("version", "v1"), ("reason", "version_not_allowed")]
    {
        assert_eq!(rejected[key], value, "{rejected}");
    }
    assert_eq!(rejected["exit_code"], 4);
    assert_eq!(count(&report, "calls_dropped"), 0);
    assert_eq!(report["journals_agree"], true, "{report:#}");
}

#[test]
fn a_certificate_is_checked_offline_with_the_public_key_and_no_alteration_passes() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (rollout, key, out) = (path("rollout"), path("key"), path("certificate.jsonl"));
    let (code, _) = demo(&["--kill-one", "--dir", &rollout]);
    assert_eq!(code, 3);
    keygen(key.as_ref());
    let journals = ["blue-1", "blue-2", "green-1", "green-2"].map(|worker| format!("{rollout}/{worker}"));
    let journals: Vec<_> = journals.iter().map(String::as_str).collect();
    let issue = [&["certify", "--out", &out, "--signing-key", &key][..], &journals].concat();
    let issued = run(&issue);
    assert_eq!(issued.status.code(), Some(3), "{}", said(&issued));
    let check = ["certify", "check", &out, "--key", &format!("{key}.pub")];
    let checked = run(&check);
    assert_eq!(checked.status.code(), Some(3), "{}", said(&checked));
    assert!(said(&checked).contains("the signature holds"), "{}", said(&checked));
    assert!(said(&checked).contains("platform_forced"), "{}", said(&checked));

    let text = fs::read_to_string(&out).unwrap();
    for (from, to) in
        [("platform_forced", "caller_hangup"), ("\"dropped\":", "\"dropped\": "), ("\"digest\":\"", "\"digest\":\"0")]
    {
        fs::write(&out, text.replacen(from, to, 1)).unwrap();
        let checked = run(&check);
        assert_eq!(checked.status.code(), Some(1), "{from}: {}", said(&checked));
        assert!(said(&checked).contains("altered"), "{from}: {}", said(&checked));
    }
    fs::write(&out, text).unwrap();
    keygen(path("other").as_ref());
    let checked = run(&["certify", "check", &out, "--key", &path("other.pub")]);
    assert!(said(&checked).contains("is not signed by the key"), "{}", said(&checked));
}

#[test]
fn a_worker_that_its_wrapper_does_not_start_is_named() {
    let output = run(&["demo", "--wrapper", "false"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("worker blue-1 ended before it was ready"), "{}", said(&output));
}

#[test]
fn bad_call_records_are_named_and_nothing_is_started() {
    let dir = tempdir().unwrap();
    let calls = dir.path().join("calls.csv");
    fs::write(&calls, "start_s,duration_s\n0,1\n1,-3\n").unwrap();
    let output = run(&["demo", "--calls", calls.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("row 3, column duration_s: -3 is not a possible time"), "{}", said(&output));
}

#[test]
fn without_a_directory_the_certificate_alone_is_kept_and_can_be_checked_as_printed() {
    let dir = tempdir().unwrap();
    let demo = ["demo", "--speed", "10000"];
    let output = Command::new(openrtc()).args(demo).env("TMPDIR", dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let [kept] = &listed(dir.path())[..] else { panic!("one directory: {:?}", listed(dir.path())) };
    let names: Vec<_> = listed(kept).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["certificate.html", "certificate.jsonl", "demo.key.pub"]);

    let printed = String::from_utf8(output.stdout).unwrap();
    let check = printed.lines().find_map(|line| line.trim().strip_prefix("to check:")).expect("it says how");
    let words: Vec<_> = check.split_whitespace().skip(1).collect();
    let checked = run(&words);
    assert_eq!(checked.status.code(), Some(0), "{check}: {}", said(&checked));
    assert!(said(&checked).contains("the signature holds"), "{}", said(&checked));
    assert!(said(&checked).contains("PROVEN"), "{}", said(&checked));
    let page = fs::read_to_string(kept.join("certificate.html")).unwrap();
    for part in ["PROVEN", "<dt>dropped</dt><dd>0</dd>", "blue-1", "green-2", "class=drain", "signed by key"] {
        assert!(page.contains(part), "{part}");
    }
}

fn listed(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
