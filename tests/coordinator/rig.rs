//! A coordinator's process, workers that dial in to it, and the commands that steer it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::yield_now;

use e2e::{TOKEN, Worker, http, keygen, openrtc, said};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A coordinator. Killed when dropped.
pub(crate) struct Coordinator {
    dir: TempDir,
    process: Option<Child>,
    /// Further arguments that it is started with.
    pub(crate) args: Vec<String>,
    /// How large the disk of its own is that it keeps its journal on, in kilobytes.
    disk: Option<u32>,
    pub(crate) addr: SocketAddr,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

impl Coordinator {
    /// Starts a coordinator of deployment `voice` that accepts the key `good`; there is a key `other`, too.
    pub(crate) fn start() -> Self {
        Self::start_in(tempdir().unwrap(), Vec::new())
    }

    /// The same in a directory that has something already, with further arguments.
    pub(crate) fn start_in(dir: TempDir, args: Vec<String>) -> Self {
        Self::start_on(dir, args, None)
    }

    /// The same with its journal on a disk of its own, of so many kilobytes, which goes with the process.
    pub(crate) fn start_on_a_disk(kilobytes: u32) -> Self {
        Self::start_on(tempdir().unwrap(), Vec::new(), Some(kilobytes))
    }

    fn start_on(dir: TempDir, args: Vec<String>, disk: Option<u32>) -> Self {
        for key in ["good", "other"] {
            keygen(&dir.path().join(key));
        }
        let addr = "127.0.0.1:0".parse().unwrap();
        let mut coordinator = Self { dir, process: None, args, disk, addr, ready: Value::Null };
        coordinator.come_back();
        coordinator
    }

    /// Starts again, where it was and with what it has in its directory.
    pub(crate) fn come_back(&mut self) {
        self.come_back_as(self.command());
    }

    /// The same by this command.
    pub(crate) fn come_back_as(&mut self, mut command: Command) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.process = Some(child);
        self.ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the coordinator is not ready: {line}"));
        self.addr = self.url().split_once("://").unwrap().1.parse().unwrap();
    }

    /// What starts it.
    pub(crate) fn command(&self) -> Command {
        self.command_for("voice")
    }

    /// The same for another deployment.
    pub(crate) fn command_for(&self, deployment: &str) -> Command {
        let mut command = match self.disk {
            None => Command::new(openrtc()),
            Some(kilobytes) => on_a_disk(&self.path("coordinator"), kilobytes),
        };
        command.args(["coordinator", "--json", "--deployment", deployment, "--listen", &self.addr.to_string()]);
        command.arg("--dir").arg(self.path("coordinator")).arg("--key").arg(self.path("good.pub"));
        command.args(&self.args).env("OPENRTC_OPS_TOKEN", TOKEN).env("RUST_LOG", "info");
        command
    }

    /// SIGKILL: nothing of it is left but what is on its disk.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Where a path is for its process.
    pub(crate) fn in_its_world(&self, name: &str) -> PathBuf {
        let pid = self.process.as_ref().expect("it runs").id();
        Path::new("/proc").join(pid.to_string()).join("root").join(self.path(name).strip_prefix("/").unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        self.ready["url"].as_str().unwrap().to_owned()
    }

    /// Starts a worker that dials in.
    pub(crate) fn worker(&self, name: &str, version: &str) -> Worker {
        self.worker_with(name, version, &[])
    }

    /// The same with further environment, which wins.
    pub(crate) fn worker_with(&self, name: &str, version: &str, settings: &[(&str, &str)]) -> Worker {
        let mut command = Command::new(openrtc());
        command.args(["worker", "--json"]);
        let (url, key, journal) = (self.url(), self.path("good"), self.path(name));
        let mut vars = vec![
            ("OPENRTC_COORDINATOR", url.as_str()),
            ("OPENRTC_DEPLOYMENT", "voice"),
            ("OPENRTC_DEPLOYMENT_VERSION", version),
            ("OPENRTC_WORKER", name),
            ("OPENRTC_SIGNING_KEY_FILE", key.to_str().unwrap()),
            ("OPENRTC_JOURNAL_DIR", journal.to_str().unwrap()),
        ];
        vars.extend_from_slice(settings);
        Worker::spawn(command, &vars)
    }

    /// Runs a command against it, as alice.
    pub(crate) fn ask(&self, args: &[&str]) -> Output {
        let mut command = Command::new(openrtc());
        command.args(args).args(["--coordinator", &self.url()]).env("OPENRTC_OPS_TOKEN", TOKEN);
        if !matches!(args, ["workers", ..] | ["rollout", "status", ..]) {
            command.args(["--actor", "alice"]);
        }
        command.output().unwrap()
    }

    /// Runs a command against it that must succeed; returns what it said.
    pub(crate) fn order(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The fleet, as it is now.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&http(self.addr, "GET", "/v1/state", "")).unwrap()
    }

    /// Waits until the fleet is so; returns it.
    pub(crate) fn wait_until(&self, reached: impl Fn(&Value) -> bool) -> Value {
        loop {
            let state = self.state();
            if reached(&state) {
                return state;
            }
            yield_now();
        }
    }

    /// Waits until the rollout is at this stage.
    pub(crate) fn wait_for(&self, stage: &str) -> Value {
        self.wait_until(|state| state["rollout"]["stage"] == stage)
    }

    /// Two workers of a version serve, and it takes all calls.
    pub(crate) fn serving(&self, version: &str, names: [&str; 2]) -> [Worker; 2] {
        self.order(&["deploy", version, "--workers", "2"]);
        let workers = names.map(|name| self.worker(name, version));
        self.wait_for("completed");
        for worker in &workers {
            worker.wait_until(|snapshot| snapshot["phase"] == "serving");
        }
        workers
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Fails when it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A command line for `openrtc` with a small disk at `dir`. The mount is in a namespace of its own: nothing outside
/// sees it, and it goes with the process.
fn on_a_disk(dir: &Path, kilobytes: u32) -> Command {
    fs::create_dir_all(dir).unwrap();
    let script = format!("mount -t tmpfs -o size={kilobytes}k tmpfs '{}' && exec \"$@\"", dir.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"]).arg(openrtc());
    command
}

/// Whether this machine lets a process mount a disk of its own. Says loudly if not.
pub(crate) fn may_mount() -> bool {
    let dir = tempdir().unwrap();
    let allowed = on_a_disk(dir.path(), 64).arg("--version").output().is_ok_and(|output| output.status.success());
    if !allowed {
        eprintln!("SKIPPED: this machine lets nobody mount a disk of its own, so no full disk was tried");
    }
    allowed
}

/// Whether one of the things that a state waits for is of this kind.
pub(crate) fn waits_for(state: &Value, what: &str) -> bool {
    state["waits"].as_array().unwrap().iter().any(|wait| wait["for"] == what)
}

/// Whether a worker is in this phase, by its own word.
pub(crate) fn is(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |snapshot| snapshot["phase"] == phase
}
