//! What the end-to-end tests share: the real `openrtc` binary, real worker processes, and a caller written from the
//! protocol's description alone.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]
#![expect(clippy::must_use_candidate, reason = "a test that ignores what it asked for asserts nothing and shows it")]

pub mod authority;
pub mod deadline;
mod once;
pub mod registrar;
pub mod workspace;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

pub use once::Once;

/// The `openrtc` binary of this checkout, built by the same cargo in the same profile.
pub fn openrtc() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let profile = deps.parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "openrtc", "--features", "livekit"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let output = build.current_dir(workspace::root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Not before: on a busy machine the build takes long.
        deadline::watch();
        profile.join("openrtc")
    })
}

/// What orders to the tests' workers present.
pub const TOKEN: &str = "0123456789abcdef";

/// A worker of version `v1`, started by a line of shell in which `"$@"` stands for it.
pub fn in_shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line, "sh"]).arg(openrtc()).args(["worker", "--json", "--deployment-version", "v1"]);
    command
}

/// Runs `openrtc` to its end, as somebody who may give orders.
pub fn run(args: &[&str]) -> Output {
    Command::new(openrtc()).env("OPENRTC_OPS_TOKEN", TOKEN).args(args).output().unwrap()
}

/// What a process said and how it left, as text for assertions.
pub fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("exit {:?}\n{out}{err}", output.status.code())
}

/// Makes a key pair: the secret key in this file, the public one in the same with `.pub` behind it.
pub fn keygen(file: &Path) {
    let made = run(&["keygen", file.to_str().unwrap()]);
    assert!(made.status.success(), "{}", said(&made));
}

/// Sends a real signal.
pub fn signal(process: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A worker process. Killed when dropped.
pub struct Worker {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Where it takes calls.
    pub calls: SocketAddr,
    /// Its ops endpoints.
    pub ops: SocketAddr,
}

impl Worker {
    /// Starts a worker of version `v1` with further environment.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(openrtc());
        command.args(["worker", "--json", "--deployment-version", "v1"]);
        Self::spawn(command, settings)
    }

    /// Starts any program that says where it listens as the worker does.
    pub fn spawn(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let mut child = command
            .env("OPENRTC_OPS_ADDR", "127.0.0.1:0")
            .env("OPENRTC_OPS_TOKEN", TOKEN)
            .env("RUST_LOG", "info")
            // A test that is about it says how long.
            .env("OPENRTC_LAME_DUCK", "0s")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let Ok(ready) = serde_json::from_str::<serde_json::Value>(&line) else {
            let mut problem = String::new();
            stderr.read_to_string(&mut problem).unwrap();
            panic!("the worker is not ready: {line}{problem}");
        };
        let addr = |of: &str| ready[of].as_str().unwrap().parse().unwrap();
        Self { child, stderr, calls: addr("calls"), ops: addr("ops") }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a real signal.
    pub fn signal(&self, signal: Signal) {
        crate::signal(&self.child, signal);
    }

    /// The worker's snapshot, as it is now.
    pub fn snapshot(&self) -> serde_json::Value {
        serde_json::from_str(&http(self.ops, "GET", "/snapshot", "")).unwrap()
    }

    /// Waits until the snapshot says so: the state is the worker's to reach, however long that takes.
    pub fn wait_until(&self, reached: impl Fn(&serde_json::Value) -> bool) {
        while !reached(&self.snapshot()) {
            std::thread::yield_now();
        }
    }

    /// Waits for a line of its log that holds `words`; returns the line.
    pub fn wait_for_log(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended without saying {words:?}");
        }
        line
    }

    /// What is there of its log, without waiting for more: somebody else may hold it open.
    fn rest_of_log(&mut self) -> String {
        let mut log = Vec::new();
        if fcntl_setfl(self.stderr.get_ref(), OFlags::NONBLOCK).is_ok() {
            // It ends with an error if it is still open.
            let _ = self.stderr.read_to_end(&mut log);
        }
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits for the process to end; returns how it did and the rest of its log.
    pub fn end(mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        self.stderr.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the worker's log, as far as the test had not read it:\n{}", self.rest_of_log());
        }
    }
}

/// One HTTP request with the token; the answer's body.
pub fn http(host: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A frame's kind.
pub mod kind {
    #![expect(missing_docs, reason = "named as in the protocol")]
    pub const OFFER: u8 = 1;
    pub const ACCEPT: u8 = 2;
    pub const DECLINE: u8 = 3;
    pub const ASSIGN: u8 = 4;
    pub const AUDIO: u8 = 5;
    pub const HANGUP: u8 = 6;
    pub const BYE: u8 = 7;
    pub const CUT: u8 = 8;
}

/// One end of a call, blocking.
pub struct Caller(TcpStream);

impl Caller {
    /// Connects and says nothing.
    pub fn connect(worker: SocketAddr) -> Self {
        Self::over(TcpStream::connect(worker).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        // Not a test of speed: it ends a test that would hang.
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(stream)
    }

    /// Offers a call and returns the kind of the answer.
    pub fn offer(worker: SocketAddr, id: &str) -> (Self, u8) {
        Self::try_offer(worker, id).expect("an answer")
    }

    /// Offers a call and returns the kind of the answer, if there is one: the worker may have gone.
    pub fn try_offer(worker: SocketAddr, id: &str) -> Option<(Self, u8)> {
        let mut caller = Self::over(TcpStream::connect(worker).ok()?);
        caller.try_send(kind::OFFER, id.as_bytes()).ok()?;
        let answer = caller.receive()?.0;
        Some((caller, answer))
    }

    /// A call that is taken and assigned.
    pub fn call(worker: SocketAddr, id: &str) -> Self {
        let mut caller = Self::connect(worker);
        caller.send(kind::OFFER, id.as_bytes());
        let (answer, why) = caller.receive().expect("an answer");
        assert_eq!(answer, kind::ACCEPT, "{}", String::from_utf8_lossy(&why));
        caller.send(kind::ASSIGN, &[]);
        caller
    }

    /// Sends one frame.
    pub fn send(&mut self, kind: u8, payload: &[u8]) {
        self.try_send(kind, payload).unwrap();
    }

    fn try_send(&mut self, kind: u8, payload: &[u8]) -> std::io::Result<()> {
        let [low, high] = u16::try_from(payload.len()).unwrap().to_le_bytes();
        self.0.write_all(&[&[kind, low, high][..], payload].concat())
    }

    /// Sends bytes that need not be a frame.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next frame; `None` when the worker has closed.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 3];
        self.0.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u16::from_le_bytes([head[1], head[2]]).into()];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }

    /// Sends one frame of audio and takes its echo.
    pub fn talk(&mut self, number: u32) {
        let frame = [&number.to_le_bytes()[..], &[0x55; 160]].concat();
        self.send(kind::AUDIO, &frame);
        assert_eq!(self.receive(), Some((kind::AUDIO, frame)));
    }

    /// Hangs up in good order.
    pub fn hang_up(mut self) {
        self.send(kind::HANGUP, &[]);
        assert_eq!(self.receive(), Some((kind::BYE, vec![])));
    }
}
