//! `openrtc call` and `openrtc load` against real workers.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use e2e::{Worker, openrtc, run, said};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::tempdir;

fn report(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

#[test]
fn a_call_runs_to_its_hang_up_on_the_first_worker_that_takes_it() {
    let (full, worker) = (Worker::start(&[("OPENRTC_CAPACITY", "1")]), Worker::start(&[]));
    let _taken = e2e::Caller::call(full.calls, "there first");
    let (full, worker) = (full.calls.to_string(), worker.calls.to_string());
    let output = run(&["call", &full, &format!("tcp://{worker}"), "--for", "200ms", "--id", "mine", "--json"]);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!((&report["calls_ended"], &report["calls_dropped"]), (&1.into(), &0.into()));
    assert!(report["frames_sent"].as_u64().unwrap() > 0 && report["frames_lost"] == 0, "{report:#}");
    assert_eq!((&report["workers"][0]["declined"], &report["workers"][1]["taken"]), (&1.into(), &1.into()));
}

#[test]
fn a_call_that_nobody_takes_and_one_that_is_cut_are_told_apart() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = run(&["call", &nobody, "--for", "1s"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("taken by no worker"), "{}", said(&output));

    let worker = Worker::start(&[]);
    let mut call = Command::new(openrtc());
    let call = call.args(["call", &worker.calls.to_string(), "--for", "1h", "--json"]).stdout(Stdio::piped()).spawn();
    let call = call.unwrap();
    worker.wait_until(|snapshot| snapshot["active_sessions"] == 1 && snapshot["reserved_sessions"] == 0);
    worker.signal(Signal::KILL);
    let output = call.wait_with_output().unwrap();
    let report = report(&output);
    assert_eq!((output.status.code(), &report["calls_dropped"]), (Some(3), &1.into()), "{report:#}");
}

#[test]
fn a_load_is_spread_over_the_workers_and_every_call_is_accounted_for() {
    let dir = tempdir().unwrap();
    let calls = dir.path().join("calls.csv");
    let rows: Vec<_> = (0..40).map(|call| format!("{},0.5", f64::from(call) * 0.02)).collect();
    fs::write(&calls, format!("start_s,duration_s\n{}\n", rows.join("\n"))).unwrap();
    let workers = [Worker::start(&[]), Worker::start(&[])];
    let places = [workers[0].calls.to_string(), workers[1].calls.to_string()];
    let output = run(&["load", &places[0], &places[1], "--calls", calls.to_str().unwrap(), "--speed", "1", "--json"]);
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!((&report["calls_offered"], &report["calls_ended"]), (&40.into(), &40.into()));
    let taken: Vec<_> =
        report["workers"].as_array().unwrap().iter().map(|worker| worker["taken"].as_u64().unwrap()).collect();
    assert!(taken.iter().sum::<u64>() == 40 && taken.iter().all(|taken| *taken > 5), "{taken:?}");

    let wrong = run(&["load", "nonsense"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!(said(&wrong).contains("give HOST:PORT"), "{}", said(&wrong));
}
