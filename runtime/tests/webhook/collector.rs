//! A log collector: a real HTTP server that answers as a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// More than is sent at once.
pub(crate) const BATCH: usize = 256 << 10;

/// An address that nobody listens at: a port that only the system could give out, and does not.
pub(crate) const DEAD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What a collector answered, and the body that it answered.
pub(crate) type Answered = (u16, Vec<u8>);

/// A collector that answers request `n` with the status that `answer` says, or hangs up; yields each answer with the
/// body it is for.
pub(crate) fn collect(
    mut answer: impl FnMut(usize) -> Option<u16> + Send + 'static,
) -> (SocketAddr, Receiver<Answered>) {
    collect_by(move |number, _| answer(number))
}

/// A collector whose answer depends on the body as well.
pub(crate) fn collect_by(
    mut answer: impl FnMut(usize, &[u8]) -> Option<u16> + Send + 'static,
) -> (SocketAddr, Receiver<Answered>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tell, told) = channel();
    let serve = move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let body = body(&stream);
            let Some(status) = answer(number, &body) else { continue };
            // Who is tired of waiting has hung up; a test that is over does not listen.
            let _ = write!(stream, "HTTP/1.1 {status} so\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = tell.send((status, body));
        }
    };
    thread::Builder::new().spawn(serve).unwrap();
    (addr, told)
}

fn body(stream: &TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        let lower = line.to_ascii_lowercase();
        assert!(!lower.starts_with("content-type") || lower.trim_end().ends_with("application/x-ndjson"), "{line}");
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    body
}

/// What the collector took, once that is as long as the trail.
pub(crate) fn taken(told: &Receiver<Answered>, trail: &[u8]) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < trail.len() {
        let (status, body) = told.recv().unwrap();
        assert!(body.len() <= BATCH && body.ends_with(b"\n"), "{} bytes", body.len());
        if status == 200 {
            taken.extend(body);
        }
    }
    taken
}

/// What the collector took, up to the record that closes the trail.
pub(crate) fn taken_to_the_end(told: &Receiver<Answered>) -> Vec<u8> {
    let mut taken = Vec::new();
    while !String::from_utf8_lossy(&taken).contains("\"audit.closed\"") {
        let (status, body) = told.recv().unwrap();
        assert!(body.ends_with(b"}\n"), "half a record: {}", String::from_utf8_lossy(&body));
        if status == 200 {
            taken.extend(body);
        }
    }
    taken
}
