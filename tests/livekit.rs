//! The demo on LiveKit: calls are jobs, workers are processes, the dispatcher is the dev server.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fmt::Write as _;
use std::fs;

use openrtc_core::membership::SigningKey;
use openrtc_demo::livekit::Server;
use openrtc_demo::{LivekitSummary, Load, Options, Summary, WorkerCommand, run_on_livekit};
use openrtc_livekit::dispatcher::Fault;
use openrtc_livekit::{ApiKey, DevServer};
use tempfile::tempdir;

/// Runs a small rollout: 60 calls of 3 s, one every 30 ms.
async fn demo(server: Server, kill_one: bool) -> (Summary, LivekitSummary) {
    let dir = tempdir().unwrap();
    let calls = dir.path().join("calls.csv");
    let mut records = String::from("start_s,duration_s\n");
    for call in 0..60 {
        writeln!(records, "{},3", f64::from(call) * 0.03).unwrap();
    }
    fs::write(&calls, records).unwrap();
    let options = Options {
        blue: 2,
        green: 2,
        load: Load { calls: Some(calls), speed: 1.0, seed: 1 },
        drain_timeout: None,
        on_deadline: None,
        kill_one,
        leftover: false,
        dir: Some(dir.path().join("rollout")),
    };
    let worker = WorkerCommand { program: env!("CARGO_BIN_EXE_livekit_worker").into(), args: vec![] };
    let mut summary = run_on_livekit(&options, &server, &worker, SigningKey::from_bytes(&[7; 32])).await.unwrap();
    let livekit = summary.livekit.take().unwrap();
    let kept = fs::read_to_string(dir.path().join("rollout/dispatches.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), livekit.dispatches);
    let certificate = fs::read_to_string(&summary.certificate_file).unwrap();
    let certificate = openrtc_evidence::check(&certificate, None).unwrap();
    assert_eq!(certificate.dispatches, livekit.each, "the certificate covers what the dispatcher saw");
    (summary, livekit)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_behind_the_dev_server_drops_no_job_and_both_sides_tell_the_same_of_each_dispatch() {
    let (summary, livekit) = demo(Server::Own, false).await;
    assert!(summary.is_spotless(), "{summary}");
    assert!(summary.calls_offered > 60, "the planned calls, and those made during the drain: {summary}");
    assert!(summary.calls_alive_across_sigterm > 15, "{summary}");
    assert!(summary.sigterm_to_refusal_ms.is_some(), "{summary}");
    assert!(summary.workers.iter().all(|worker| worker.calls > 0), "both versions take jobs: {summary}");
    assert!(summary.certificate.starts_with("PROVEN"), "{summary}");
    assert_eq!((livekit.dispatches, livekit.lost), (summary.calls_offered, 0));
    assert_eq!(livekit.answered, summary.calls_answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_loses_is_named_and_made_again_and_a_killed_worker_costs_its_own_jobs() {
    let addr = "127.0.0.1:0".parse().unwrap();
    let dev = DevServer::start(addr, ApiKey::new("devkey", "secret"), 1).await.unwrap();
    dev.break_next(Fault::LoseSearch, 3);
    let (key, secret) = ("devkey".to_owned(), "secret".to_owned());
    let (summary, livekit) = demo(Server::At { url: dev.url(), key, secret, ca_file: None }, true).await;
    assert!(summary.holds() && summary.calls_dropped > 0, "{summary}");
    assert!(summary.dropped.iter().all(|call| call.worker == "blue-1" && call.reason.contains("SIGKILL")), "{summary}");
    assert!(summary.certificate.starts_with("DROPPED"), "{summary}");
    assert_eq!((summary.calls_unanswered, livekit.lost), (0, 3), "{livekit}");
    assert_eq!(livekit.dispatches, summary.calls_offered + 3);
    let lost: Vec<_> = livekit.each.iter().filter(|dispatch| dispatch.lost.is_some()).collect();
    assert!(lost.iter().all(|lost| lost.dispatch.is_some() && lost.answered_by.is_none()), "{lost:?}");
    let again = |lost: &&openrtc_evidence::dispatch::Dispatch| {
        livekit.each.iter().any(|next| lost.again.as_ref() == Some(&next.room))
    };
    assert!(lost.iter().all(again), "what was made in its place is named: {lost:?}");
    assert!(livekit.to_string().contains(&lost[0].room), "{livekit}");
}
