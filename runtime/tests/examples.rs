//! Each example is run once, as the process that it is: a call that is live when SIGTERM comes runs on to its hang-up,
//! a new one is refused, and the process exits with 0.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// One end of a call.
trait Caller: Sized {
    /// Offers a call; the text of the refusal if it is refused.
    fn call(worker: SocketAddr) -> Result<Self, String>;

    /// Shows that the call lives.
    fn talk(&mut self);

    fn hang_up(self);
}

fn runs_on_under_sigterm<C: Caller>(example: &str) {
    let mut worker = Worker::start(example);
    let mut call = C::call(worker.addr).expect("the worker is idle");
    call.talk();
    kill_process(Pid::from_child(&worker.process), Signal::TERM).unwrap();
    // The signal takes effect a moment later; until then calls are taken.
    let refusal = loop {
        match C::call(worker.addr) {
            Ok(early) => early.hang_up(),
            Err(refusal) => break refusal,
        }
    };
    assert!(refusal.contains("the worker is draining: offer the call to another one"), "{refusal}");
    call.talk();
    assert!(worker.process.try_wait().unwrap().is_none(), "it waits for its call");
    call.talk();
    call.hang_up();
    assert_eq!(worker.process.wait().unwrap().code(), Some(0));
}

#[test]
fn accept_loop() {
    runs_on_under_sigterm::<Lines>("accept_loop");
}

#[test]
fn axum_websocket() {
    runs_on_under_sigterm::<WebSocket>("axum_websocket");
}

#[test]
fn blocking() {
    runs_on_under_sigterm::<Lines>("blocking");
}

#[test]
fn call_source() {
    runs_on_under_sigterm::<Assigned>("call_source");
}

#[test]
fn http_body() {
    runs_on_under_sigterm::<Counting>("http_body");
}

/// An example that runs. Killed when dropped.
struct Worker {
    process: Child,
    addr: SocketAddr,
    /// Open for as long as the example may print.
    _stdout: BufReader<ChildStdout>,
}

impl Worker {
    fn start(example: &str) -> Self {
        let mut process = Command::new(examples().join(example)).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdout, mut line) = (BufReader::new(process.stdout.take().unwrap()), String::new());
        stdout.read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on ").expect("it says where it listens");
        Self { process, addr: addr.parse().unwrap(), _stdout: stdout }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folder of the examples, built by the same cargo in the same profile.
fn examples() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let profile = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        // The whole workspace, so that nothing is built again that a test of the whole workspace has built.
        build.args(["build", "--workspace", "--examples"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let output = build.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        profile.join("examples")
    })
}

fn connect(worker: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(worker).unwrap();
    // Not a test of speed: it ends a test that would hang.
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    BufReader::new(stream)
}

fn line(from: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

/// Lines that are said back, after a word of welcome.
struct Lines(BufReader<TcpStream>);

impl Caller for Lines {
    fn call(worker: SocketAddr) -> Result<Self, String> {
        let mut stream = connect(worker);
        match &*line(&mut stream) {
            "hello\n" => Ok(Self(stream)),
            refused => Err(refused.into()),
        }
    }

    fn talk(&mut self) {
        self.0.get_mut().write_all(b"are you there?\n").unwrap();
        assert_eq!(line(&mut self.0), "are you there?\n");
    }

    fn hang_up(self) {}
}

/// The same after an assignment.
struct Assigned(Lines);

impl Caller for Assigned {
    fn call(worker: SocketAddr) -> Result<Self, String> {
        let mut stream = connect(worker);
        match &*line(&mut stream) {
            "accept\n" => stream.get_mut().write_all(b"assign\n").unwrap(),
            refused => return Err(refused.into()),
        }
        Ok(Self(Lines(stream)))
    }

    fn talk(&mut self) {
        self.0.talk();
    }

    fn hang_up(self) {}
}

/// A streaming response.
struct Counting(BufReader<TcpStream>);

impl Caller for Counting {
    fn call(worker: SocketAddr) -> Result<Self, String> {
        request(worker, "/count", "").map(Self)
    }

    fn talk(&mut self) {
        // A chunk is its length, its bytes and an empty line.
        let [length, number, end] = [(); 3].map(|()| line(&mut self.0));
        assert_eq!((length, end), (format!("{:x}\r\n", number.len()), "\r\n".into()));
        number.trim_end().parse::<u32>().expect("it counts");
    }

    fn hang_up(self) {}
}

/// Text frames that are said back.
struct WebSocket(BufReader<TcpStream>);

impl Caller for WebSocket {
    fn call(worker: SocketAddr) -> Result<Self, String> {
        let upgrade =
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        request(worker, "/talk", upgrade).map(Self)
    }

    fn talk(&mut self) {
        self.send(0x81, b"hello");
        assert_eq!(self.receive(), (0x81, b"hello".to_vec()));
    }

    fn hang_up(mut self) {
        self.send(0x88, b"");
        assert_eq!(self.receive().0, 0x88);
    }
}

impl WebSocket {
    /// A client masks its frames; with zeros that changes nothing.
    fn send(&mut self, kind: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).unwrap();
        self.0.get_mut().write_all(&[&[kind, 0x80 | length, 0, 0, 0, 0], payload].concat()).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut payload = vec![0; head[1].into()];
        self.0.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }
}

/// A request whose answer is a call, or the text of a 503.
fn request(worker: SocketAddr, path: &str, headers: &str) -> Result<BufReader<TcpStream>, String> {
    let mut stream = connect(worker);
    let upgrade = if headers.is_empty() { "" } else { "Connection: Upgrade\r\n" };
    write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: {worker}\r\n{upgrade}{headers}\r\n").unwrap();
    let head: Vec<_> = std::iter::repeat_with(|| line(&mut stream)).take_while(|line| line != "\r\n").collect();
    if !head[0].contains(" 503 ") {
        return Ok(stream);
    }
    assert!(head.contains(&"connection: close\r\n".to_owned()), "{head:?}");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    Err(text)
}
