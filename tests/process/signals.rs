//! Law P2: every signal has a rule.

use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use e2e::{Caller, Worker, http, in_shell, kind, openrtc, run, said};
use openrtc_runtime::process::{Rule, SIGNALS};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::tempdir;

use crate::{embedder, leaves_clean};

#[test]
fn no_signal_without_an_order_ends_a_call() {
    let worker = Worker::start(&[]);
    let mut call = Caller::call(worker.calls, "call");
    let harmless: Vec<_> = SIGNALS.iter().filter(|of| matches!(of.rule, Rule::None | Rule::Block)).collect();
    assert!(harmless.len() > 10);
    for round in 0..20 {
        for of in &harmless {
            worker.signal(Signal::from_named_raw(of.number()).unwrap());
        }
        call.talk(round);
    }
    assert_eq!(worker.snapshot()["phase"], "serving");
    // Of so many, not each has a line.
    let log = leaves_clean(worker, call);
    assert!(log.contains("the signal has no effect"), "{log}");
}

#[test]
fn a_signal_without_effect_is_named() {
    // Under `nohup` it would be ignored, and stay so.
    let mut worker = Worker::spawn(in_shell("exec env --default-signal=HUP \"$@\""), &[]);
    let call = Caller::call(worker.calls, "call");
    worker.signal(Signal::HUP);
    // Before the order to leave: two signals at once are heard in any order.
    assert!(worker.wait_for_log("the signal has no effect").contains("SIGHUP"));
    leaves_clean(worker, call);
}

#[test]
fn a_failing_power_supply_drains_as_sigterm_does_and_both_say_so_at_the_usual_level() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::POWER, "SIGPWR"), (Signal::INT, "SIGINT")] {
        let worker = Worker::start(&[("RUST_LOG", "warn")]);
        let call = Caller::call(worker.calls, "call");
        worker.signal(signal);
        worker.wait_until(|snapshot| snapshot["draining"] == true);
        let log = leaves_clean(worker, call);
        assert!(log.contains("draining: the worker leaves") && log.contains(name), "{log}");
    }
}

#[test]
fn what_keeps_its_default_keeps_it() {
    for signal in [Signal::QUIT, Signal::PROF] {
        // A shell's background job starts with SIGQUIT ignored.
        let in_default = in_shell("ulimit -c 0; exec env --default-signal=QUIT,PROF \"$@\"");
        let worker = Worker::spawn(in_default, &[]);
        worker.signal(signal);
        assert_eq!(worker.end().0.signal(), Some(signal.as_raw()), "{signal:?}");
    }
}

#[test]
fn a_repeated_sigint_forces_nothing_without_a_terminal() {
    let mut worker = Worker::start(&[]);
    let mut call = Caller::call(worker.calls, "call");
    for number in 0..3 {
        worker.signal(Signal::INT);
        // Each is heard on its own.
        worker.wait_for_log("SIGINT");
        call.talk(number);
        pause_longer_than_a_bounce();
    }
    leaves_clean(worker, call);
}

#[expect(clippy::disallowed_methods, reason = "two closer together than a person can press count as one")]
fn pause_longer_than_a_bounce() {
    std::thread::sleep(std::time::Duration::from_millis(600));
}

/// A terminal, and a shell's line that runs in it as the leader of its session.
struct Session {
    screen: File,
    leader: Child,
}

impl Session {
    /// The line may write to descriptor 9 what is not for the terminal.
    fn run(line: &str, ready: Stdio, settings: &[(&str, &str)]) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let name = name.to_str().unwrap();
        let keyboard = || File::options().read(true).write(true).open(name).unwrap();
        // `setsid` takes what it finds on standard input as the controlling terminal.
        let line = format!("exec 9>&1; exec >{name}; {line}");
        let mut leader = Command::new("setsid");
        leader.args(["--ctty", "sh", "-c", &line, "sh"]).arg(openrtc());
        leader.args(["worker", "--json", "--deployment-version", "v1"]);
        leader.env("OPENRTC_OPS_ADDR", "127.0.0.1:0").envs(settings.iter().copied());
        let leader = leader.stdin(keyboard()).stderr(keyboard()).stdout(ready).spawn().unwrap();
        Self { screen: File::from(screen), leader }
    }

    fn press_ctrl_c(&mut self) {
        self.screen.write_all(b"\x03").unwrap();
    }

    /// Reads the screen until it shows `words`.
    fn wait_for(&mut self, words: &str) -> String {
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains(words) {
            let mut piece = [0; 1_024];
            let more = self.screen.read(&mut piece).expect("the worker is there");
            shown.extend_from_slice(&piece[..more]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// What a worker says when it is ready, on a pipe beside the terminal.
fn addresses(pipe: OwnedFd) -> [std::net::SocketAddr; 2] {
    let mut line = String::new();
    BufReader::new(File::from(pipe)).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    ["calls", "ops"].map(|of| ready[of].as_str().unwrap().parse().unwrap())
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), writer.into())
}

#[test]
fn a_second_ctrl_c_at_the_terminal_forces_and_the_first_one_says_that_it_will() {
    let journal = tempdir().unwrap();
    let (reader, ready) = pipe();
    let settings = [("OPENRTC_JOURNAL_DIR", journal.path().to_str().unwrap())];
    let mut session = Session::run("exec \"$@\" >&9", ready.into(), &settings);
    let [calls, _] = addresses(reader);
    let mut call = Caller::call(calls, "cut-short");
    session.press_ctrl_c();
    let shown = session.wait_for("Ctrl-C again cuts them");
    assert!(shown.contains("takes no more calls, and leaves when its 1 calls have ended"), "{shown}");
    call.talk(0);
    pause_longer_than_a_bounce();
    session.press_ctrl_c();
    assert_eq!(call.receive(), Some((kind::CUT, vec![])));
    assert_eq!(session.leader.wait().unwrap().code(), Some(3));
    let shown = run(&["journal", "show", "--json", journal.path().to_str().unwrap()]);
    assert!(said(&shown).contains(r#""DrainForced":{"actor":"SIGINT","live":1,"#), "{}", said(&shown));
}

#[test]
fn a_worker_in_the_background_of_a_terminal_is_neither_forced_nor_stopped() {
    let (reader, ready) = pipe();
    // It says lines to a terminal that stops whoever does so from the background, and reads from it.
    let line = "stty tostop; set -m; \"$@\" >&9 & echo \"pid $!.\"; wait";
    let mut session = Session::run(line, ready.into(), &[("RUST_LOG", "info")]);
    let [calls, ops] = addresses(reader);
    let shown = session.wait_for(".");
    let pid = shown.split_once("pid ").unwrap().1.split('.').next().unwrap().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    let mut call = Caller::call(calls, "call");
    for number in 0..3 {
        kill_process(pid, Signal::INT).unwrap();
        session.wait_for("SIGINT");
        call.talk(number);
        pause_longer_than_a_bounce();
    }
    assert_eq!(http(ops, "GET", "/livez", ""), "live\n");
    call.hang_up();
    assert_eq!(session.leader.wait().unwrap().code(), Some(0));
}

/// A program that has begun and loads.
struct Loading {
    outer: Child,
    said: BufReader<ChildStdout>,
}

impl Loading {
    fn start(mut command: Command, journal: &str) -> Self {
        let settings = [("OPENRTC_JOURNAL_DIR", journal), ("OPENRTC_OPS_ADDR", "127.0.0.1:0")];
        let mut outer =
            command.envs(settings).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(outer.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "loading\n");
        Self { outer, said }
    }

    /// The first process of its namespace, as it is called outside of it.
    fn inner(&self) -> Pid {
        let id = self.outer.id();
        let children = read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let inner = children.split_whitespace().next().map(|id| id.parse().unwrap());
        Pid::from_raw(inner.unwrap_or_else(|| i32::try_from(id).unwrap())).unwrap()
    }

    /// Lets it go on; expects that it drains at once, for the signal that came while it loaded.
    fn drains_for_the_signal(mut self, journal: &str) {
        self.outer.stdin.take().unwrap().write_all(b"go on\n").unwrap();
        assert_eq!(self.outer.wait().unwrap().code(), Some(0));
        self.said.read_to_string(&mut String::new()).unwrap();
        let shown = said(&run(&["journal", "show", "--json", journal]));
        assert!(shown.contains("DrainBegun") && shown.contains("\"actor\":\"SIGTERM\""), "{shown}");
    }
}

#[test]
fn a_sigterm_while_the_program_loads_is_kept_also_in_process_1_and_under_a_mask() {
    let loads = embedder("loads-long");
    let loads = loads.get_program().to_str().unwrap();
    for line in [
        vec!["env"],
        vec!["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"],
        vec!["env", "--block-signal=TERM,INT"],
        vec!["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "env", "--block-signal=TERM,INT"],
    ] {
        let journal = tempdir().unwrap();
        let journal = journal.path().to_str().unwrap();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).args([loads, "loads-long"]);
        let loading = Loading::start(command, journal);
        kill_process(loading.inner(), Signal::TERM).unwrap();
        loading.drains_for_the_signal(journal);
    }
}

#[test]
fn a_worker_whose_parent_blocked_its_signals_hears_them() {
    let mut command = Command::new("env");
    command.arg("--block-signal=TERM,INT").arg(openrtc()).args(["worker", "--json", "--deployment-version", "v1"]);
    let worker = Worker::spawn(command, &[]);
    let call = Caller::call(worker.calls, "call");
    leaves_clean(worker, call);
}

#[test]
fn a_signal_that_the_embedder_handles_stays_his() {
    let mut worker = Worker::spawn(embedder("handles-sighup"), &[]);
    let call = Caller::call(worker.calls, "call");
    for _ in 0..2 {
        worker.signal(Signal::HUP);
        worker.wait_for_log("SIGHUP is mine");
    }
    leaves_clean(worker, call);
}

#[test]
fn a_signal_that_the_parent_ignores_stays_ignored() {
    let worker = Worker::spawn(in_shell("trap '' HUP; exec \"$@\""), &[]);
    let call = Caller::call(worker.calls, "call");
    worker.signal(Signal::HUP);
    let status = read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!((mask("SigIgn:") & 1, mask("SigCgt:") & 1), (1, 0), "what it starts inherits that: {status}");
    leaves_clean(worker, call);
}
