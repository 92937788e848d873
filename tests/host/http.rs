//! The front for HTTP: a `WebSocket` is a call, plain requests are forwarded, and heads are all that is read.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use rustix::process::Signal;

use crate::rig::{Hosted, Rig, connect};

/// Asks for a WebSocket at `path`, with bytes right behind the request.
fn call(host: &Hosted, path: &str, headers: &str, behind: &str) -> TcpStream {
    let mut stream = connect(host);
    let head = format!("GET {path} HTTP/1.1\r\nHost: bot.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    stream.write_all(format!("{head}{headers}\r\n{behind}").as_bytes()).unwrap();
    stream
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(bytes));
}

/// One plain request; the whole answer.
fn ask(host: &Hosted, path: &str, headers: &str) -> String {
    rest(&mut request(host, path, headers))
}

fn request(host: &Hosted, path: &str, headers: &str) -> TcpStream {
    let mut stream = connect(host);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: bot.example\r\n{headers}\r\n").as_bytes()).unwrap();
    stream
}

fn rest(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The program's answer to a WebSocket, with what it says right behind it.
const TAKEN: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst";

#[test]
fn what_comes_right_behind_a_head_is_delivered_both_ways_and_then_every_byte() {
    let host = Rig::http().start();
    let mut stream = call(&host, "/ws?a=%20b", "", "early");
    expect(&mut stream, TAKEN);
    expect(&mut stream, b"early");
    let megabyte: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let mut writing = stream.try_clone().unwrap();
    let sent = megabyte.clone();
    #[expect(clippy::disallowed_methods, reason = "one thread writes and the other reads, as a caller does")]
    let writer = std::thread::spawn(move || {
        writing.write_all(&sent).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut echo = Vec::new();
    stream.read_to_end(&mut echo).unwrap();
    writer.join().unwrap();
    assert!(echo == megabyte);
    host.wait_until(|host| host.journaled("caller_hangup") == 1);
}

#[test]
fn who_sent_the_first_close_frame_hung_up_whoever_closes_the_connection() {
    let host = Rig::http().start();
    let mut stream = call(&host, "/ws", "", "");
    expect(&mut stream, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst");
    // The program's greeting is a frame without an end, as frames go: only the caller's are told apart here.
    let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
    stream.write_all(&close).unwrap();
    expect(&mut stream, &close);
    assert!(rest(&mut stream).is_empty(), "the program closes first");
    drop(stream);
    host.wait_until(|host| host.journaled("caller_hangup") == 1);
}

#[test]
fn a_head_of_8_kib_and_one_in_single_bytes_pass_and_one_of_64_kib_is_refused() {
    let host = Rig::http().start();
    let mut stream = call(&host, "/ws", &format!("X-Long: {}\r\n", "x".repeat(8 << 10)), "");
    expect(&mut stream, TAKEN);
    let mut slow = connect(&host);
    for byte in b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" {
        slow.write_all(&[*byte]).unwrap();
    }
    expect(&mut slow, TAKEN);
    let answer = ask(&host, "/", &format!("X-Long: {}\r\n", "x".repeat(64 << 10)));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = ask(&host, "/", &"A: b\r\n".repeat(200));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut nonsense = connect(&host);
    nonsense.write_all(b"\x16\x03\x01 no request\r\n\r\n").unwrap();
    assert!(rest(&mut nonsense).starts_with("HTTP/1.1 400"));
}

#[test]
fn a_stranger_cannot_say_where_a_request_comes_from_and_a_trusted_proxy_can() {
    let forged = "X-Forwarded-For: 10.9.8.7\r\nForwarded: for=10.9.8.7\r\nX-Real-IP: 10.9.8.7\r\n";
    let host = Rig::http().start();
    let seen = ask(&host, "/head", forged);
    assert!(!seen.contains("10.9.8.7") && seen.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
    assert!(
        seen.contains("Host: bot.example\r\n") && seen.contains("Forwarded: for=127.0.0.1;proto=http\r\n"),
        "{seen}"
    );
    let host = Rig::http().flags(&["--trust-proxy", "127.0.0.1"]).start();
    let seen = ask(&host, "/head", forged);
    assert_eq!(seen.matches("10.9.8.7").count(), 3, "{seen}");
}

#[test]
fn a_websocket_that_the_program_declines_is_no_call_and_nothing_behind_it_passes_for_a_request() {
    let host = Rig::http().start();
    let behind = "GET /smuggled HTTP/1.1\r\nX-Forwarded-For: 10.9.8.7\r\n\r\n";
    let mut stream = call(&host, "/deny", "", behind);
    expect(&mut stream, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    // It may be hung up on by now.
    let _ = stream.write_all(behind.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    host.wait_until(|host| host.journaled("withdrawn") == 1);
    assert!(!ask(&host, "/version", "").is_empty(), "what the program heard before is written by now");
    assert!(!host.signals().iter().any(|news| news.contains("smuggled")), "{:?}", host.signals());
}

#[test]
fn after_an_upgrade_the_next_request_and_the_next_call_go_to_the_new_program() {
    let host = Rig::http().start();
    let mut old = call(&host, "/ws", "", "");
    expect(&mut old, TAKEN);
    let kept = ask(&host, "/version", "Connection: keep-alive\r\n");
    assert!(kept.ends_with("v1"), "{kept}");
    let ops = host.ops.to_string();
    assert!(e2e::run(&["upgrade", &ops, "--version", "v2"]).status.success());
    assert!(ask(&host, "/version", "Connection: keep-alive\r\n").ends_with("v2"));
    let mut new = call(&host, "/ws", "", "to the new one");
    expect(&mut new, TAKEN);
    old.write_all(b"to the old one").unwrap();
    expect(&mut old, b"to the old one");
}

#[test]
fn a_program_that_says_neither_yes_nor_no_in_time_gets_the_caller_a_504_and_the_call_is_none() {
    let host = Rig::http().env("OPENRTC_RESERVATION_TTL", "300ms").start();
    assert!(rest(&mut call(&host, "/mute", "", "")).starts_with("HTTP/1.1 504"));
    host.wait_until(|host| host.journaled("withdrawn") == 1);
    assert_eq!(host.journaled("lapsed") + host.journaled("failed"), 0);
    // A no that began in time may take as long as it takes.
    let mut slow = call(&host, "/wait", "", "");
    expect(&mut slow, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nhalf");
    host.wait_until(|host| host.journaled("withdrawn") == 2);
    assert!(rest(&mut call(&host, "/mute", "", "")).starts_with("HTTP/1.1 504"), "more than the time is over");
    host.go();
    assert_eq!(rest(&mut slow), "done");
}

#[test]
fn plain_requests_that_are_under_way_when_the_host_leaves_are_answered() {
    let mut host = Rig::http().start();
    let mut slow = request(&host, "/wait", "");
    expect(&mut slow, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    host.signal(Signal::TERM);
    host.wait_for_log("draining");
    host.wait_for_log("plain requests that are under way are waited for");
    assert!(host.signals().is_empty(), "{:?}", host.signals());
    host.go();
    assert_eq!(rest(&mut slow), "done");
    let (status, log, dir) = host.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(std::fs::read_to_string(dir.path().join("signals")).unwrap(), "SIGTERM\n");
}

#[test]
fn while_the_host_drains_calls_get_a_503_plain_requests_an_answer_and_the_platform_its_word() {
    let mut host = Rig::http().flags(&["--health", "/healthz"]).start();
    host.wait_until(|host| ask(host, "/healthz", "").starts_with("HTTP/1.1 200"));
    let mut stream = call(&host, "/ws", "", "");
    expect(&mut stream, TAKEN);
    host.signal(Signal::TERM);
    host.wait_for_log("draining");
    host.wait_until(|host| ask(host, "/healthz", "").starts_with("HTTP/1.1 503"));
    assert!(rest(&mut call(&host, "/ws", "", "")).starts_with("HTTP/1.1 503"));
    assert!(ask(&host, "/version", "").ends_with("v1"));
    stream.write_all(b"still here").unwrap();
    expect(&mut stream, b"still here");
    drop(stream);
    let (status, log, _) = host.end();
    assert_eq!(status.code(), Some(0), "{log}");
}
