//! The endpoints as a platform, a person and a stranger meet them.

mod connections;
mod orders;
mod page;

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use openrtc_core::id::CallId;
use openrtc_core::machine::Machine;
use openrtc_core::snapshot::JournalHealth;
use openrtc_core::time::Instant;
use openrtc_core::word::Phase;
use openrtc_core::worker::{Class, Command, DrainOrder, Leave, Limits, OnDeadline, Worker};
use tower::ServiceExt;

use super::*;
use crate::engine::clock::Clock;
use crate::engine::handle::Publisher;
use crate::http::Peer;

const CALL: CallId = CallId::from_static("call");
/// Where a probe comes from, and a proxy on the same host, and whoever is behind it.
const LOOPBACK: &str = "127.0.0.1:50000";
const REMOTE: &str = "192.0.2.7:50000";
const SOCKET: Peer = Peer::Local { uid: 1000 };
const TOKEN: &str = "0123456789abcdef";
const BEARER: (&str, &str) = ("authorization", "Bearer 0123456789abcdef");

/// Somebody who asks a worker that serves.
struct Client {
    worker: WorkerHandle,
    router: Router,
    peer: Peer,
    /// What the control loop would make known; as long as it is there, it may.
    publisher: Publisher,
}

impl Client {
    /// One that came through the Unix socket.
    fn new() -> Self {
        Self::with(SOCKET, Limits::default(), Some(TOKEN))
    }

    fn over_tcp(addr: &str, token: Option<&str>) -> Self {
        Self::with(Peer::Tcp(addr.parse().expect("an address")), Limits::default(), token)
    }

    fn with(peer: Peer, limits: Limits, token: Option<&str>) -> Self {
        let mut start = Worker::new(limits).expect("limits are valid");
        start.step(Instant::EPOCH, Command::Serve).expect("it has just started");
        let made = WorkerHandle::for_test(&start, Clock::start());
        Self { peer, ..Self::of(made, |worker| Self::ops(worker, token)) }
    }

    /// One that came through the Unix socket of this worker.
    fn of((worker, publisher): (WorkerHandle, Publisher), ops: impl Fn(&WorkerHandle) -> Ops) -> Self {
        let router = router(Arc::new(ops(&worker)));
        Self { worker, router, peer: SOCKET, publisher }
    }

    fn ops(worker: &WorkerHandle, token: Option<&str>) -> Ops {
        Ops::new(worker.clone(), None, token.map(Secret::new), false, Before::default(), Farewell::new())
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
        let seat = Arc::new(Seat::for_test());
        let router = self.router.clone().layer(Extension(self.peer)).layer(Extension(seat));
        let response = router.oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.send("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: &str) -> (StatusCode, String) {
        self.send("POST", path, &[], body).await
    }
}

#[tokio::test(start_paused = true)]
async fn liveness_does_not_depend_on_the_drain_and_readiness_does() {
    let client = Client::new();
    client.admit();
    assert_eq!(client.get("/readyz").await, (StatusCode::OK, "ready\n".into()));
    assert_eq!(client.post("/drain", "").await.0, StatusCode::OK);
    assert_eq!(client.get("/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "draining\n".into()));
    assert_eq!(client.get("/livez").await.0, StatusCode::OK);
}

/// Every way to change something, or to see what may be personal.
const TRUSTED: [(&str, &str); 10] = [
    ("GET", "/calls"),
    ("POST", "/calls/1/end"),
    ("POST", "/cordon"),
    ("POST", "/drain"),
    ("POST", "/drain/cancel"),
    ("POST", "/drain/extend"),
    ("POST", "/drain/force"),
    ("POST", "/promote"),
    ("POST", "/uncordon"),
    ("POST", "/drain?token=0123456789abcdef"),
];

#[tokio::test(start_paused = true)]
async fn no_address_is_trusted_and_the_token_and_the_socket_are() {
    let wrong = ("authorization", "Bearer 0123456789abcdeF");
    for (method, path) in TRUSTED {
        for addr in [LOOPBACK, REMOTE, "[::1]:50000", "[::ffff:127.0.0.1]:50000"] {
            for (token, headers, says) in [
                (Some(TOKEN), vec![], "present the worker's token"),
                (Some(TOKEN), vec![wrong], "the token is wrong"),
                (Some(TOKEN), vec![("authorization", TOKEN)], "the token is wrong"),
                (Some(TOKEN), vec![("authorization", "Bearer ")], "the token is wrong"),
                (Some(TOKEN), vec![("x-forwarded-for", "127.0.0.1")], "present the worker's token"),
                (None, vec![], "TCP is read-only: use its Unix socket (OPENRTC_OPS_SOCKET), or set OPENRTC_OPS_TOKEN"),
                (None, vec![BEARER], "TCP is read-only"),
                (Some(TOKEN), vec![BEARER, ("origin", "http://evil.example")], "web pages"),
            ] {
                let client = Client::over_tcp(addr, token);
                client.admit();
                let (status, body) = client.send(method, path, &headers, "").await;
                assert!(status.is_client_error() && body.contains(says), "{path} {addr} {headers:?}: {status} {body}");
                assert!(!body.contains(TOKEN));
                let snapshot = client.worker.snapshot();
                assert_eq!((snapshot.phase, snapshot.drain), (Phase::Serving, None), "{path}");
                assert_eq!(client.worker.hangups().until(openrtc_core::id::CallNo::new(2)), None);
            }
        }
    }
    for client in [
        Client::over_tcp(REMOTE, Some(TOKEN)),
        Client::with(SOCKET, Limits::default(), None),
        Client::with(SOCKET, Limits::default(), Some(TOKEN)),
    ] {
        let headers = if client.peer == SOCKET { vec![] } else { vec![BEARER] };
        let (status, body) = client.send("POST", "/drain", &headers, "").await;
        assert!(status.is_success() && client.worker.snapshot().draining, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn looking_on_needs_no_token_from_anywhere() {
    for token in [Some(TOKEN), None] {
        let client = Client::over_tcp(REMOTE, token);
        for path in ["/livez", "/readyz", "/metrics", "/snapshot"] {
            assert_eq!(client.get(path).await.0, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_can_wait_for_the_phase_to_change_and_no_longer_than_it_is_told() {
    let client = Client::new();
    client.admit();
    let begun = tokio::time::Instant::now();
    let (_, same) = client.get("/snapshot?while=serving&wait_ms=700").await;
    assert!(same.contains(r#""phase":"serving""#) && begun.elapsed().as_millis() == 700, "{same}");
    let (_, other) = client.get("/snapshot?while=draining&wait_ms=700").await;
    assert!(other.contains(r#""phase":"serving""#) && begun.elapsed().as_millis() == 700, "at once: {other}");
    let (_, capped) = client.get("/snapshot?while=serving&wait_ms=999999").await;
    assert!(!capped.is_empty() && begun.elapsed().as_millis() == 5_700);
    assert_eq!(client.get("/snapshot?while=tuesday").await.0, StatusCode::BAD_REQUEST);

    let mut drains = Worker::new(Limits::default()).expect("limits are valid");
    drains.step(Instant::EPOCH, Command::Serve).expect("it has just started");
    let waits = client.get("/snapshot?while=serving&wait_ms=5000");
    let (_, (status, _)) = tokio::join!(waits, async {
        let ordered = client.post("/drain", "").await;
        let order = client.worker.snapshot().drain.expect("a drain");
        let order = DrainOrder { cause: order.cause, actor: order.actor, terms: order.terms };
        drains.step(Instant::EPOCH, Command::BeginDrain(order)).expect("it serves");
        client.publisher.publish(drains.word().seq(), &drains, JournalHealth::default());
        ordered
    });
    assert!(status.is_success() && begun.elapsed().as_millis() == 5_700, "it did not wait for its time to be over");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_requests_that_wait_leaves_room_for_the_probes() {
    let client = Arc::new(Client::new());
    let wait = {
        let client = Arc::clone(&client);
        move || {
            let client = Arc::clone(&client);
            async move { client.get("/snapshot?while=serving&wait_ms=5000").await.0 }
        }
    };
    let waiting: Vec<_> = (0..BUSY_MAX).map(|_| tokio::spawn(wait())).collect();
    // The runtime lets some of them have their first turn at a time.
    for _ in 0..BUSY_MAX {
        tokio::task::yield_now().await;
    }
    assert_eq!(wait().await, StatusCode::SERVICE_UNAVAILABLE, "one more than there may be");
    assert_eq!(client.get("/livez").await.0, StatusCode::OK);
    assert_eq!(client.get("/readyz").await.0, StatusCode::OK);
    for waited in waiting {
        assert_eq!(waited.await.expect("no panic"), StatusCode::OK);
    }
    assert_eq!(client.get("/snapshot").await.0, StatusCode::OK, "each has given its turn back");
}
