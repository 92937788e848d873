//! `openrtc demo --livekit`, behind the dev server and behind a real one.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn demo(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_openrtc")).args(["demo", "--livekit"]).args(options).output().unwrap()
}

/// The report of a rollout that must be spotless.
fn spotless(options: &[&str]) -> Value {
    let output = demo(&[&["--json"], options].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert!(report["certificate"].as_str().unwrap().starts_with("PROVEN"), "{report:#}");
    assert_eq!((&report["calls_dropped"], &report["journals_agree"]), (&0.into(), &true.into()), "{report:#}");
    let livekit = &report["livekit"];
    assert_eq!(livekit["answered"], report["calls_answered"], "{report:#}");
    assert_eq!(livekit["each"].as_array().unwrap().len() as u64, livekit["dispatches"].as_u64().unwrap());
    report
}

#[test]
fn behind_the_dev_server_a_rollout_drops_no_job_and_loses_no_dispatch() {
    let report = spotless(&[]);
    assert_eq!(report["livekit"]["lost"], 0, "{report:#}");
}

#[test]
fn a_server_that_cannot_be_used_is_named_and_no_secret_is_shown() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, says) in [("garbage", "no scheme"), (&*format!("ws://{unused}"), "Connection refused")] {
        let output = demo(&["--server", url, "--secret", "hidden-and-wrong"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(says) && !said.contains("hidden"), "{said}");
    }
}

/// A real server, which is stopped when it is dropped.
struct Real {
    child: Child,
    url: String,
}

impl Drop for Real {
    fn drop(&mut self) {
        // One that is gone already needs no kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Real {
    fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "where the server is, is said by whoever runs the test")]
        let program =
            std::env::var("OPENRTC_LIVEKIT_SERVER").expect("OPENRTC_LIVEKIT_SERVER names the server's program");
        let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, tcp, udp] = held.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(held);
        let config = format!("port: {port}\nrtc:\n  tcp_port: {tcp}\n  udp_port: {udp}\n");
        let mut command = Command::new(program);
        command.args(["--dev", "--bind", "127.0.0.1", "--node-ip", "127.0.0.1", "--config-body", &config]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, url: format!("ws://127.0.0.1:{port}") }
    }
}

#[test]
#[ignore = "needs a real LiveKit server"]
fn behind_a_real_server_a_rollout_drops_no_job_and_a_killed_worker_costs_its_own() {
    let server = Real::start();
    // Until the server takes requests, the demo starts nothing.
    let mut wrong = demo(&["--server", &server.url, "--secret", "hidden-and-wrong"]);
    for _ in 0..1_000 {
        if !String::from_utf8_lossy(&wrong.stderr).contains("refused (os") {
            break;
        }
        wrong = demo(&["--server", &server.url, "--secret", "hidden-and-wrong"]);
    }
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(wrong.status.code() == Some(2) && said.contains("LIVEKIT_API_SECRET"), "{said}");
    assert!(!said.contains("hidden") && !said.contains("eyJ"), "neither the secret nor a token: {said}");

    let report = spotless(&["--server", &server.url]);
    assert_eq!(report["livekit"]["server"], server.url);
    assert!(report["workers"].as_array().unwrap().iter().all(|worker| worker["calls"].as_u64() > Some(0)));

    let killed = demo(&["--json", "--kill-one", "--server", &server.url]);
    let report: Value = serde_json::from_slice(&killed.stdout).unwrap_or_else(|_| panic!("{killed:?}"));
    assert_eq!(killed.status.code(), Some(3), "{report:#}");
    let dropped = report["dropped"].as_array().unwrap();
    assert!(dropped.iter().all(|call| call["worker"] == "blue-1"), "{report:#}");
    assert!(report["certificate"].as_str().unwrap().starts_with("DROPPED"), "{report:#}");
}
