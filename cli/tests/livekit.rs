//! `openrtc demo --livekit`, behind the dev server and behind a real one.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use openrtc_livekit::{Api, ApiKey, Dispatched};
use serde_json::Value;
use tempfile::tempdir;

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
fn a_dispatch_that_a_guard_made_again_stands_in_the_certificate() {
    let (dir, openrtc) = (tempdir().unwrap(), || Command::new(env!("CARGO_BIN_EXE_openrtc")));
    let path = |name: &str| dir.path().join(name).into_os_string().into_string().unwrap();
    let (record, journal, out) = (path("lost.jsonl"), path("journal"), path("certificate.jsonl"));
    let mut dev = openrtc();
    dev.args(["livekit", "dev-server", "--listen", "127.0.0.1:0", "--fault", "lose-search=1"]);
    let dev = Running::start(&mut dev);
    let url = dev.first_line.split_once("LIVEKIT_URL=").unwrap().1.trim().to_owned();
    let api = Api::new(&url, ApiKey::new("devkey", "secret")).unwrap();
    let asked = async { api.create_room("room-1", &Dispatched::of_agent("agent")).await };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(asked).unwrap();
    let mut guard = openrtc();
    guard.args(["livekit", "guard", "--url", &url, "--key", "devkey", "--secret", "secret", "--after", "100ms"]);
    let mut guard = guard.args(["--record", &record]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(guard.stderr.take().unwrap()).lines().map_while(Result::ok);
    let made_again = log.find(|line| line.contains("the dispatch was made again"));
    signal(&guard, "-INT");
    assert_eq!(guard.wait().unwrap().code(), Some(0));
    assert!(made_again.is_some());
    let mut worker = openrtc();
    worker.args(["worker", "--deployment-version", "v1"]).env("OPENRTC_JOURNAL_DIR", &journal);
    let worker = Running::start(&mut worker);
    signal(&worker.child, "-TERM");
    assert_eq!(worker.end(), Some(0));

    let certify =
        |record: &str| openrtc().args(["certify", "--out", &out, "--dispatches", record, &journal]).output().unwrap();
    let issued = certify(&record);
    let said = String::from_utf8_lossy(&issued.stdout);
    assert_eq!(issued.status.code(), Some(0), "{issued:?}");
    assert!(
        said.contains("0 answered, 0 refused by a worker, ") && said.contains(" in room room-1: no agent"),
        "{said}"
    );
    let checked = openrtc().args(["certify", "check", &out]).output().unwrap();
    let checked = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.contains("made again as AD_"), "{checked}");
    assert!(fs::read_to_string(path("certificate.html")).unwrap().contains("made again as AD_"));

    fs::write(&record, "{}\n").unwrap();
    let refused = certify(&record);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("lost.jsonl: line 1"), "{said}");
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A process that has said its first line. It is killed when it is dropped.
struct Running {
    child: Child,
    first_line: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that is gone already needs no kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut first_line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first_line).unwrap();
        Self { child, first_line }
    }

    fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
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
        // The system gives clients no port below 32768, so these stay free until the server has them.
        let first = 15_000 + u16::try_from(std::process::id() % 16_000).unwrap();
        let mut free = (first..32_000).filter_map(|port| TcpListener::bind(("0.0.0.0", port)).ok());
        let held = [(); 3].map(|()| free.next().unwrap());
        let [port, tcp, udp] = held.map(|listener| listener.local_addr().unwrap().port());
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
