//! An agent of livekit-agents for Python behind `openrtc run --livekit`, at LiveKit's own server, with callers:
//!
//! ```sh
//! OPENRTC_LIVEKIT_SERVER=$(go env GOPATH)/bin/server OPENRTC_LIVEKIT_PYTHON=venv/bin/python \
//!     cargo test -p e2e --test host livekit_real -- --ignored
//! ```

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use e2e::{run, said};
use rustix::process::Signal;

use crate::rig::Rig;

const UPGRADES: usize = 3;

/// What is not in every test machine.
fn given(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "where it is, is said by whoever runs the test")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names it: see the top of this file"))
}

/// Where a program of these tests is.
fn script(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("host").join(name);
    path.to_str().unwrap().to_owned()
}

/// LiveKit's server. Killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let [port, tcp, udp] =
            std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
        let config = format!("port: {port}\nrtc:\n  tcp_port: {tcp}\n  udp_port: {udp}\n");
        let mut command = Command::new(given("OPENRTC_LIVEKIT_SERVER"));
        command.args(["--dev", "--bind", "127.0.0.1", "--node-ip", "127.0.0.1", "--config-body", &config]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, url: format!("ws://127.0.0.1:{port}") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A caller that talks to its agent until its input ends.
struct Caller {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Caller {
    /// Calls, and waits for the agent's first answer.
    fn talking(server: &Server, room: &str) -> Self {
        let mut command = Command::new(given("OPENRTC_LIVEKIT_PYTHON"));
        command.args(["-W", "ignore", &script("livekit_caller.py"), &server.url, room]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut caller = Self { child, input, output: BufReader::new(output) };
        let mut line = String::new();
        caller.output.read_line(&mut line).unwrap();
        assert_eq!(line, "talking\n", "{room}: the agent does not answer");
        caller
    }

    /// Hangs up. Returns how many messages it sent, how many came back, and the longest wait for one, in ms.
    fn hang_up(mut self) -> [u64; 3] {
        drop(self.input.take());
        let mut said = String::new();
        self.output.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.try_into().unwrap_or_else(|_| panic!("{said}"))
    }
}

#[test]
#[ignore = "needs LiveKit's server and livekit-agents"]
fn calls_of_a_python_agent_run_on_over_upgrades_without_losing_a_message() {
    let server = Server::start();
    let rig = Rig::livekit().program(&[&given("OPENRTC_LIVEKIT_PYTHON"), &script("livekit_agent.py"), "start"]);
    let rig = rig.env("LIVEKIT_URL", &server.url).env("LIVEKIT_API_KEY", "devkey").env("LIVEKIT_API_SECRET", "secret");
    let mut host = rig.start();
    let _ = host.wait_for_log("registered as AW_");
    let mut callers = vec![Caller::talking(&server, "room-1")];
    for version in 2..2 + UPGRADES {
        let upgraded = run(&["upgrade", &host.ops.to_string(), "--version", &format!("v{version}")]);
        assert!(upgraded.status.success(), "{}", said(&upgraded));
        callers.push(Caller::talking(&server, &format!("room-{version}")));
        let listed = said(&run(&["calls", &host.ops.to_string()]));
        for of in 1..=version {
            assert_eq!(listed.matches(&format!(" v{of} ")).count(), 1, "a call for each version: {listed}");
        }
    }
    assert_eq!(host.programs().len(), 1 + UPGRADES);
    for (number, caller) in callers.into_iter().enumerate() {
        let [sent, heard, longest] = caller.hang_up();
        println!("call {}: {sent} messages, {heard} came back, the longest wait was {longest} ms", number + 1);
        assert!(sent == heard && sent > 1);
    }
    host.wait_until(|host| host.programs().len() == 1 && host.snapshot()["active_sessions"] == 0);
    host.signal(Signal::TERM);
    let (status, log, dir) = host.end();
    assert!(status.code() == Some(0) && log.matches("registered as AW_").count() <= 1, "registered once: {log}");
    let journal = dir.path().join("journal");
    let told = said(&run(&["journal", "show", journal.to_str().unwrap()]));
    assert_eq!(told.matches("is over: ").count(), 1 + UPGRADES, "{told}");
    assert!(!told.contains("failed") && !told.contains("declined"), "{told}");
}
