//! The files in `deploy/` as their platforms read them, each with a real worker started by what it says.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

mod compose;
mod docker;
mod host;
mod kubernetes;
mod supervisor;
mod systemd;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Caller, Worker, openrtc};
use openrtc_runtime::{Config, FLUSH, OnDeadline};
use rustix::process::Signal;

const ANY_PORT: &str = "127.0.0.1:0";

fn deploy(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)).unwrap()
}

/// A file's settings on a machine of their own: every address a free port on loopback, every directory below `root`,
/// and nobody to be declined for longer than a moment.
fn here(settings: Vec<(String, String)>, root: &Path) -> Vec<(String, String)> {
    let value_here = |name: &str, value: String| match value {
        _ if name == "OPENRTC_LAME_DUCK" => "10ms".into(),
        addr if addr.parse::<SocketAddr>().is_ok() => ANY_PORT.into(),
        path if path.starts_with('/') => root.join(path.trim_start_matches('/')).to_str().unwrap().into(),
        other => other,
    };
    let here = |(name, value): (String, String)| {
        let value = value_here(&name, value);
        (name, value)
    };
    settings.into_iter().map(here).collect()
}

/// A program's arguments on a machine of their own.
fn args_here<'a>(args: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    args.into_iter().map(|arg| if arg.parse::<SocketAddr>().is_ok() { ANY_PORT.into() } else { arg.into() }).collect()
}

/// A worker started with exactly these arguments and this environment.
fn start(args: &[String], settings: &[(String, String)]) -> Worker {
    assert_eq!(args[0], "worker");
    let mut command = Command::new(openrtc());
    // `--json` is how the test learns the ports.
    command.env_clear().args(args).arg("--json");
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Worker::spawn(command, &settings)
}

/// Takes a call, is told to stop, lets the call end and leaves.
fn drains(worker: Worker) {
    let mut call = Caller::call(worker.calls, "call");
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["draining"] == true);
    call.talk(1);
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    // The line about the signal itself is there to be seen at the default level.
    let mut lines = log.lines().filter(|line| !line.contains("draining: the worker leaves"));
    assert!(lines.all(|line| !line.contains("WARN") && !line.contains("ERROR")), "{log}");
}

/// What is wrong with the order of the deadlines where the platform kills after `grace`.
fn ladder(settings: &[(String, String)], grace: Duration) -> Result<(), String> {
    let mut config = Config::default();
    let vars = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let unknown = config.merge_vars(vars).map_err(|error| error.to_string())?;
    if !unknown.is_empty() {
        return Err(format!("unknown: {unknown:?}"));
    }
    if config.platform_grace != Some(grace) {
        return Err(format!("the worker is told {:?}, the platform gives {grace:?}", config.platform_grace));
    }
    if config.on_deadline != OnDeadline::Force {
        return Err(format!("{:?} does nothing before the platform kills", config.on_deadline));
    }
    if config.lame_duck.is_zero() {
        return Err("who connects while it leaves is refused without a word".into());
    }
    let drain = config.drain_timeout.ok_or("no drain timeout")?;
    let needed = drain + config.lame_duck + config.force_grace + FLUSH;
    if needed >= grace {
        Err(format!("{needed:?} do not fit into {grace:?}"))
    } else {
        config.check().map_err(|error| error.to_string())
    }
}
