//! The endpoints behind real sockets, with clients that are slow, silent or many.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::*;
use crate::config::{SocketMode, SocketSettings};

/// A real listener in front of the endpoints.
fn listening(bounds: Bounds) -> (WorkerHandle, SocketAddr) {
    let Client { worker, router, .. } = Client::new();
    let (endpoint, addr) = listen(Some("127.0.0.1:0".parse().expect("an address")), None).expect("a free port");
    tokio::spawn(server::answer_all(endpoint.tcp.expect("as asked for"), router, bounds));
    (worker, addr.expect("as asked for"))
}

async fn exchange(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    stream.write_all(request).await.expect("it reads");
    hear(&mut stream).await
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is how a connection ends whose request was not read to its end. The time is not judged: it ends a test
    // that would hang.
    let _ = timeout(Duration::from_mins(1), stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn slow_and_silent_clients_are_hung_up_on() {
    let bounds = Bounds::default();
    let (_worker, addr) = listening(bounds);
    let order =
        b"POST /drain HTTP/1.1\r\nHost: w1\r\nAuthorization: Bearer 0123456789abcdef\r\nContent-Length: 9\r\n\r\n{";
    for (beginning, time) in
        [(&b""[..], bounds.head), (b"GET /livez HTTP/1.1\r\nHost: w", bounds.head), (order, bounds.whole)]
    {
        let begun = Instant::now();
        assert_eq!(exchange(addr, beginning).await, "", "no answer to half a request");
        assert!(begun.elapsed() >= time, "cut at once, not for its silence");
    }
}

/// Nothing but making room lets anybody in here: no time is ever over.
#[tokio::test]
async fn a_crowd_of_silent_clients_keeps_nobody_out_and_the_oldest_make_room() {
    let for_ever = Duration::from_hours(1);
    let bounds = Bounds { connections: 16, head: for_ever, whole: for_ever, reserve: 0 };
    let (_worker, addr) = listening(bounds);
    let mut crowd = Vec::new();
    for _ in 0..5 {
        for _ in 0..40 {
            crowd.push(TcpStream::connect(addr).await.expect("it listens"));
        }
        assert!(exchange(addr, b"GET /livez HTTP/1.1\r\nHost: w1\r\n\r\n").await.ends_with("live\n"));
    }
    // All that came before the last few were hung up on, in the order in which they came.
    let gone = crowd.len() - bounds.connections;
    for old in &mut crowd[..gone] {
        assert_eq!(hear(old).await, "");
    }
    let mut youngest = crowd.pop().expect("a crowd");
    youngest.write_all(b"GET /livez HTTP/1.1\r\nHost: w1\r\n\r\n").await.expect("it is still open");
    assert!(hear(&mut youngest).await.ends_with("live\n"));
}

#[tokio::test]
async fn a_request_that_waits_for_an_answer_is_not_hung_up_on_for_the_crowd() {
    let (worker, addr) = listening(Bounds { connections: 16, ..Bounds::default() });
    let mut watch = TcpStream::connect(addr).await.expect("it listens");
    let request = b"GET /snapshot?while=serving&wait_ms=5000 HTTP/1.1\r\nHost: w1\r\n\r\n";
    watch.write_all(request).await.expect("it reads");
    assert!(exchange(addr, b"GET /livez HTTP/1.1\r\nHost: w1\r\n\r\n").await.ends_with("live\n"));
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(addr).await.expect("it listens"));
    }
    assert!(exchange(addr, b"GET /livez HTTP/1.1\r\nHost: w1\r\n\r\n").await.ends_with("live\n"));
    assert!(hear(&mut watch).await.contains(r#""phase":"serving""#));
    drop((worker, crowd));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_long_is_refused_and_a_connection_carries_one_request() {
    let (worker, addr) = listening(Bounds::default());
    let long = format!("POST /drain HTTP/1.1\r\nHost: w1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let answer = exchange(addr, long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(!worker.snapshot().draining);
    let twice = b"GET /livez HTTP/1.1\r\nHost: w1\r\n\r\n".repeat(2);
    assert_eq!(exchange(addr, &twice).await.matches("200 OK").count(), 1);
}

#[tokio::test]
async fn the_socket_lets_in_whom_its_mode_names_and_replaces_one_that_was_left_behind() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ops.sock");
    let bind = |mode| listen(None, Some(&SocketSettings { path: path.clone(), mode }));
    for (mode, bits) in [(SocketMode::Owner, 0o600), (SocketMode::Group, 0o660)] {
        // The second time round the first one's file is there, and nobody behind it.
        let (endpoint, addr) = bind(mode).expect("nobody is there");
        assert_eq!(addr, None);
        let found = std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(found, bits);
        let error = bind(mode).expect_err("somebody is there").to_string();
        assert!(error.contains("in use by another worker"), "{error}");
        drop(endpoint);
    }
    std::fs::remove_file(&path).expect("it is there");
    std::fs::write(&path, "precious").expect("room");
    let error = bind(SocketMode::Owner).expect_err("something else is there").to_string();
    assert!(error.contains("is no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("untouched"), "precious");
}

#[tokio::test]
async fn an_order_through_the_socket_needs_no_token_and_is_by_this_user() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ops.sock");
    let Client { worker, router, .. } = Client::new();
    let socket = SocketSettings { path: path.clone(), mode: SocketMode::Owner };
    let (endpoint, _) = listen(None, Some(&socket)).expect("nobody is there");
    tokio::spawn(server::answer_all(endpoint.local.expect("as asked for"), router, Bounds::default()));
    let mut stream = UnixStream::connect(&path).await.expect("it listens");
    stream.write_all(b"POST /drain HTTP/1.1\r\nHost: w1\r\n\r\n").await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(worker.snapshot().drain.expect("a drain").actor.as_str(), format!("uid:{uid}"));
}
