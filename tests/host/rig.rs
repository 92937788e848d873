//! A host with a program behind it, and callers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use e2e::{TOKEN, openrtc};
use openrtc_fleet::child::session::Process;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::{TempDir, tempdir};

/// Longer than anything here takes: it ends a test that would hang.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where nobody listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// The program of these tests.
pub(crate) fn agent() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("host/agent.py").to_str().unwrap().to_owned()
}

/// `openrtc run`, with `agent.py` as its program unless another is named.
pub(crate) struct Rig {
    command: Command,
    program: Vec<String>,
    /// Where its calls come from.
    front: &'static [&'static str],
    flags: Vec<String>,
    dir: TempDir,
}

impl Rig {
    /// A host for any protocol.
    pub(crate) fn new() -> Self {
        Self::of(&["--tcp"])
    }

    /// A host for HTTP.
    pub(crate) fn http() -> Self {
        Self::of(&[]).ways("http")
    }

    /// A host for LiveKit's jobs.
    pub(crate) fn livekit() -> Self {
        Self { front: &["--livekit"], ..Self::of(&[]) }
    }

    fn of(flags: &[&str]) -> Self {
        let program = vec!["python3".to_owned(), agent()];
        let common = ["--settle", "0s", "--stop-within", "20s", "--version", "v1"].map(str::to_owned).to_vec();
        let front = &["--listen", "127.0.0.1:0"];
        let rig = Self { command: Command::new(openrtc()), program, front, flags: common, dir: tempdir().unwrap() };
        rig.flags(flags)
    }

    /// Starts the host by another program, which is given the host's command line.
    pub(crate) fn by(mut self, wrapper: &[&str]) -> Self {
        self.command = Command::new(wrapper[0]);
        self.command.args(&wrapper[1..]).arg(openrtc());
        self
    }

    /// Further flags; one that is there already is replaced, value and all.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        if let Some(at) = self.flags.iter().position(|flag| flags.first() == Some(&flag.as_str())) {
            self.flags.drain(at..at + 2);
        }
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    pub(crate) fn program(mut self, program: &[&str]) -> Self {
        self.program = program.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// What the program is to do at its start.
    pub(crate) fn ways(self, ways: &str) -> Self {
        self.env("WAYS", ways)
    }

    fn spawn(&mut self) -> Running {
        let signals = self.dir.path().join("signals");
        let mut child = self
            .command
            .arg("run")
            .args(self.front)
            .args(&self.flags)
            .arg("--")
            .args(&self.program)
            .env("OPENRTC_OPS_ADDR", "127.0.0.1:0")
            .env("OPENRTC_OPS_TOKEN", TOKEN)
            .env("OPENRTC_LAME_DUCK", "0s")
            .env("OPENRTC_JOURNAL_DIR", self.dir.path().join("journal"))
            .env("SIGNALS", &signals)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (said, log) = channel();
        #[expect(clippy::disallowed_methods, reason = "a pipe that nobody reads stops who writes")]
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                if said.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Running { child, log, heard: String::new(), signals }
    }

    /// Starts the host, which has to become ready.
    pub(crate) fn start(mut self) -> Hosted {
        let mut running = self.spawn();
        let ready = running.wait_for_log("ready: version");
        let word = |after: &str| ready.split(after).nth(1).unwrap().split([',', ' ']).next().unwrap().to_owned();
        let calls = if ready.contains("takes calls on ") { word("takes calls on ").parse().unwrap() } else { NOWHERE };
        Hosted { running, dir: self.dir, calls, ops: word("ops on http://").parse().unwrap() }
    }

    /// Starts the host, whose program need not become ready. Nobody can connect to it yet.
    pub(crate) fn begin(mut self) -> Hosted {
        Hosted { running: self.spawn(), dir: self.dir, calls: NOWHERE, ops: NOWHERE }
    }

    /// Starts the host, which has to fail; returns its exit code and what it said.
    pub(crate) fn fail(mut self) -> (Option<i32>, String) {
        let (status, log) = self.spawn().end();
        (status.code(), log)
    }

    /// The same host again, with what it left on disk.
    pub(crate) fn again(mut self, dir: TempDir) -> Self {
        self.dir = dir;
        self
    }
}

struct Running {
    child: Child,
    log: Receiver<String>,
    heard: String,
    signals: PathBuf,
}

impl Running {
    fn wait_for_log(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else {
                panic!("it does not say {words:?}, but: {}", self.heard)
            };
            self.heard += &line;
            self.heard.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    fn end(&mut self) -> (ExitStatus, String) {
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            self.heard += &line;
            self.heard.push('\n');
        }
        (self.child.wait().unwrap(), std::mem::take(&mut self.heard))
    }
}

/// A host that takes calls. Killed when dropped, and its program with it.
pub(crate) struct Hosted {
    running: Running,
    pub(crate) dir: TempDir,
    pub(crate) calls: SocketAddr,
    pub(crate) ops: SocketAddr,
}

impl Hosted {
    pub(crate) fn pid(&self) -> i32 {
        self.running.child.id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        e2e::signal(&self.running.child, signal);
    }

    pub(crate) fn wait_for_log(&mut self, words: &str) -> String {
        self.running.wait_for_log(words)
    }

    /// What it has said so far.
    pub(crate) fn running_log(&self) -> &str {
        &self.running.heard
    }

    /// The signals, and other news, that the program wrote down.
    pub(crate) fn signals(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.running.signals).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Lets the program finish what it waits with.
    pub(crate) fn go(&self) {
        fs::write(self.running.signals.with_extension("go"), "").unwrap();
    }

    /// The program's process, as the host keeps it.
    pub(crate) fn program(&self) -> i32 {
        self.programs().first().expect("a program runs").0
    }

    /// Every program's process and version.
    pub(crate) fn programs(&self) -> Vec<(i32, String)> {
        let text = fs::read_to_string(self.journal().join("programs")).unwrap_or_default();
        let field = |line: &str, at: usize| line.split(' ').nth(at).unwrap().to_owned();
        text.lines().map(|line| (field(line, 1).parse().unwrap(), field(line, 3))).collect()
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    pub(crate) fn snapshot(&self) -> serde_json::Value {
        serde_json::from_str(&e2e::http(self.ops, "GET", "/snapshot", "")).unwrap()
    }

    /// Waits until it is so: it is the host's to reach, however long that takes.
    pub(crate) fn wait_until(&self, mut reached: impl FnMut(&Self) -> bool) {
        while !reached(self) {
            std::thread::yield_now();
        }
    }

    /// How often a word stands in what the journal says.
    pub(crate) fn journaled(&self, word: &str) -> usize {
        let shown = e2e::run(&["journal", "show", self.journal().to_str().unwrap()]);
        String::from_utf8_lossy(&shown.stdout).matches(word).count()
    }

    /// Waits for the host to end; returns how it did, its log, and its directory.
    pub(crate) fn end(mut self) -> (ExitStatus, String, TempDir) {
        let dir = std::mem::replace(&mut self.dir, tempdir().unwrap());
        let (status, log) = self.running.end();
        (status, log, dir)
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        let programs = self.programs();
        // Fails when it has ended already.
        let _ = self.running.child.kill();
        let _ = self.running.child.wait();
        for (pid, _) in programs {
            let _ = Pid::from_raw(pid).map(|pid| kill_process_group(pid, Signal::KILL));
        }
    }
}

/// Whether there is a process, and it has not ended.
pub(crate) fn is_alive(pid: i32) -> bool {
    Process::of(pid).is_some_and(|process| !process.is_ending())
}

/// A connection to a host.
pub(crate) fn connect(host: &Hosted) -> TcpStream {
    let stream = TcpStream::connect(host.calls).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A caller: one connection, which asks for one way to be served.
pub(crate) struct Caller(pub(crate) TcpStream);

impl Caller {
    pub(crate) fn call(host: &Hosted, way: u8) -> Self {
        let mut stream = connect(host);
        stream.write_all(&[way]).unwrap();
        Self(stream)
    }

    /// A call that echoes, and has done so once.
    pub(crate) fn talking(host: &Hosted) -> Self {
        let mut caller = Self::call(host, b'e');
        caller.talk(b"hello");
        caller
    }

    /// Sends some bytes and takes their echo.
    pub(crate) fn talk(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        let mut echo = vec![0; bytes.len()];
        self.0.read_exact(&mut echo).unwrap();
        assert!(echo == bytes, "the echo is another");
    }

    /// Closes its direction and returns what the program still says.
    pub(crate) fn hang_up(mut self) -> Vec<u8> {
        self.0.shutdown(Shutdown::Write).unwrap();
        self.rest()
    }

    /// Everything until the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.0, Some(Duration::ZERO)).unwrap();
    }
}
