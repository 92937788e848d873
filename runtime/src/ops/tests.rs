//! The endpoints as a platform, a person and a stranger meet them.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::extract::connect_info::MockConnectInfo;
use axum::http::Request;
use openrtc_core::id::CallId;
use openrtc_core::worker::{Class, Command, Limits, Worker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::*;
use crate::engine::clock::Clock;

const CALL: CallId = CallId::from_static("call");
const LOCAL: &str = "127.0.0.1:50000";
const REMOTE: &str = "192.0.2.7:50000";
const TOKEN: &str = "0123456789abcdef";

struct Client {
    worker: WorkerHandle,
    router: Router,
}

impl Client {
    fn new(peer: &str) -> Self {
        let start = Worker::new(Limits::default()).expect("limits are valid");
        let (worker, _) = WorkerHandle::for_test(&start, Clock::start());
        worker.submit(Command::Serve).expect("it has just started");
        let ops = Ops { worker: worker.clone(), trail: None, token: Some(Secret::new(TOKEN)) };
        let peer: SocketAddr = peer.parse().expect("an address");
        Self { worker, router: router(ops).layer(MockConnectInfo(peer)) }
    }

    /// A call that stays in flight.
    fn admit(&self) {
        self.worker.gate().admit(&CALL, Class::default()).expect("serving");
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.send("GET", path, &[], "").await
    }
}

#[tokio::test(start_paused = true)]
async fn liveness_does_not_depend_on_the_drain_and_readiness_does() {
    let client = Client::new(LOCAL);
    client.admit();
    assert_eq!(client.get("/readyz").await, (StatusCode::OK, "ready\n".into()));
    assert_eq!(client.send("POST", "/drain", &[], "").await.0, StatusCode::OK);
    assert_eq!(client.get("/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "draining\n".into()));
    assert_eq!(client.get("/livez").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_drain_request_says_who_until_when_and_what_then() {
    let client = Client::new(LOCAL);
    client.admit();
    let body = r#"{"actor": "alice", "deadline_s": 60, "on_deadline": "alert"}"#;
    assert_eq!(client.send("POST", "/drain", &[], body).await.0, StatusCode::OK);
    let (_, snapshot) = client.get("/snapshot").await;
    let snapshot: RuntimeSnapshot = serde_json::from_str(&snapshot).expect("a snapshot");
    let drain = snapshot.drain.expect("a drain");
    assert_eq!((drain.actor.as_str(), drain.terms.on_deadline()), ("alice", OnDeadline::Alert));
    assert_eq!(drain.terms.deadline.map(|at| at.since(drain.begun).as_micros()), Some(60_000_000));

    let (status, again) = client.send("POST", "/drain", &[], "").await;
    assert!(status.is_success() && again.contains("already"), "a repeat is harmless: {again}");
    assert_eq!(client.send("POST", "/drain/extend", &[], r#"{"deadline_s": 90}"#).await.0, StatusCode::OK);
    assert_eq!(client.send("POST", "/drain/extend", &[], r#"{"deadline_s": 30}"#).await.0, StatusCode::CONFLICT);
    assert_eq!(client.send("POST", "/drain/cancel", &[], "").await.0, StatusCode::OK);
    assert_eq!(client.send("POST", "/drain/force", &[], "").await.0, StatusCode::CONFLICT, "no drain to force");
}

#[tokio::test(start_paused = true)]
async fn orders_come_from_loopback_or_with_the_token_and_never_from_a_page() {
    for (peer, headers, expected) in [
        (LOCAL, vec![], StatusCode::OK),
        (REMOTE, vec![], StatusCode::UNAUTHORIZED),
        (REMOTE, vec![("authorization", "Bearer 0123456789abcdef")], StatusCode::OK),
        (REMOTE, vec![("authorization", "Bearer 0123456789abcdeF")], StatusCode::UNAUTHORIZED),
        (REMOTE, vec![("authorization", "0123456789abcdef")], StatusCode::UNAUTHORIZED),
        (LOCAL, vec![("authorization", "Bearer wrong")], StatusCode::UNAUTHORIZED),
        (LOCAL, vec![("origin", "http://evil.example")], StatusCode::FORBIDDEN),
    ] {
        let client = Client::new(peer);
        let (status, body) = client.send("POST", "/drain", &headers, "").await;
        assert_eq!(status, expected, "{peer} {headers:?}: {body}");
        assert!(!body.contains(TOKEN));
        assert_eq!(client.worker.snapshot().draining, expected == StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_body_is_named_and_does_nothing() {
    let client = Client::new(LOCAL);
    let long = format!(r#"{{"actor": "{}"}}"#, "a".repeat(300));
    let huge = " ".repeat(BODY_MAX + 1);
    for (body, status, says) in [
        ("{", StatusCode::BAD_REQUEST, "not valid"),
        (r#"{"deadline": 5}"#, StatusCode::BAD_REQUEST, "unknown field `deadline`"),
        (r#"{"deadline_s": -5}"#, StatusCode::BAD_REQUEST, "invalid value"),
        (&long, StatusCode::BAD_REQUEST, "at most 39"),
        (&huge, StatusCode::PAYLOAD_TOO_LARGE, "length limit"),
    ] {
        let (found, text) = client.send("POST", "/drain", &[], body).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(says), "{text:?} should say {says:?}");
    }
    assert!(!client.worker.snapshot().draining);
}

#[tokio::test(start_paused = true)]
async fn metrics_are_open_metrics() {
    let client = Client::new(LOCAL);
    client.worker.gate().reserve(client.worker.now(), &CALL, Class::default()).expect("serving");
    let (_, text) = client.get("/metrics").await;
    let labels = r#"deployment="default",version="v1",worker="w1""#;
    for line in [
        format!(r#"openrtc_calls_active{{{labels},state="reserved"}} 1"#),
        format!(r"openrtc_calls_promised_total{{{labels}}} 1"),
        format!(r#"openrtc_worker_phase{{{labels},phase="serving"}} 1"#),
        format!(r#"openrtc_calls_ended_total{{{labels},reason="drain_forced"}} 0"#),
        "# EOF".into(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}

/// A real listener in front of the endpoints.
fn listening() -> (WorkerHandle, SocketAddr) {
    let Client { worker, router } = Client::new(LOCAL);
    let (listener, addr) = listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    tokio::spawn(server::answer_all(listener, router));
    (worker, addr)
}

async fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    stream.write_all(request).await.expect("it reads");
    let mut answer = Vec::new();
    // A reset is how a connection ends whose request was not read to its end.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn slow_and_silent_clients_are_hung_up_on() {
    let (_worker, addr) = listening();
    for beginning in [
        &b""[..],
        b"GET /livez HTTP/1.1\r\nHost: w",
        b"POST /drain HTTP/1.1\r\nHost: w1\r\nContent-Length: 100\r\n\r\n{",
    ] {
        let begun = Instant::now();
        assert_eq!(exchange(addr, beginning).await, "", "no answer to half a request");
        assert!(begun.elapsed() >= server::CONNECTION_TIME, "cut at once, not for its silence");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_behind_a_crowd_of_silent_clients_gets_its_turn() {
    let (_worker, addr) = listening();
    let mut crowd = Vec::new();
    for _ in 0..server::CONNECTIONS_MAX {
        crowd.push(TcpStream::connect(addr).await.expect("it listens"));
    }
    let begun = Instant::now();
    assert!(exchange(addr, b"GET /livez HTTP/1.1\r\nHost: w1\r\n\r\n").await.ends_with("live\n"));
    assert!(begun.elapsed() >= server::CONNECTION_TIME, "the crowd was full");
    drop(crowd);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_long_is_refused_and_a_connection_carries_one_request() {
    let (worker, addr) = listening();
    let long = format!("POST /drain HTTP/1.1\r\nHost: w1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let answer = exchange(addr, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(!worker.snapshot().draining);
    let twice = b"GET /livez HTTP/1.1\r\nHost: w1\r\n\r\n".repeat(2);
    assert_eq!(exchange(addr, &twice).await.matches("200 OK").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_quiet_drain_grows() {
    let client = Client::new(LOCAL);
    client.admit();
    client.send("POST", "/drain", &[], "").await;
    sleep(Duration::from_secs(90)).await;
    let (_, text) = client.get("/metrics").await;
    let seconds = text.lines().find(|line| line.starts_with("openrtc_drain_seconds{")).expect("the metric");
    assert!(seconds.ends_with(" 90"), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let (_, text) = Client::new(LOCAL).get("/metrics").await;
    let there: BTreeSet<_> = text.lines().filter_map(|line| line.split_once('{')).map(|(name, _)| name).collect();
    let page = include_str!("../../../docs/monitoring.md");
    let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: BTreeSet<_> = words.filter(|word| word.starts_with("openrtc_")).collect();
    assert_eq!(named, there);
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `openrtc_")).collect();
    assert_eq!(rows.len(), there.len(), "each has its row: {rows:?}");
}
