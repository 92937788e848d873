//! Membership of real worker processes: who is admitted, who is not, and that no secret is ever shown.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use e2e::registrar::{Registrar, url};
use e2e::{Caller, Worker, http, keygen, kind, openrtc, run, said};
use rustix::process::Signal;
use tempfile::{TempDir, tempdir};

/// Keys made by `openrtc keygen`, and a registrar that accepts the one named `good` for version `v1` at epoch 3.
struct Fleet {
    dir: TempDir,
    registrar: Registrar,
}

impl Fleet {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        for key in ["good", "other"] {
            keygen(&dir.path().join(key));
        }
        let registrar = Registrar::new(&dir.path().join("good.pub"), "default", "v1", 3);
        Self { dir, registrar }
    }

    /// Begins to answer at a free port.
    fn serve(&self) -> SocketAddr {
        self.registrar.serve(anywhere())
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn secret(&self, key: &str) -> String {
        fs::read_to_string(self.path(key)).unwrap().trim().to_owned()
    }

    /// Runs a worker to its end.
    fn run(&self, registrar: SocketAddr, version: &str, key: &str) -> Output {
        Command::new(openrtc())
            .args(["worker", "--deployment-version", version])
            .env("OPENRTC_REGISTER_URL", url(registrar))
            .env("OPENRTC_SIGNING_KEY_FILE", self.path(key))
            .env("RUST_LOG", "trace")
            .output()
            .unwrap()
    }

    /// Signs for a run of worker `w`.
    fn sign(&self, incarnation: &str, args: &[&str]) -> String {
        let key = self.path("good");
        let base = ["sign", "--key", &key, "--deployment-version", "v1", "--worker", "w", "--incarnation", incarnation];
        let signed = run(&[&base, args].concat());
        assert!(signed.status.success(), "{}", said(&signed));
        String::from_utf8(signed.stdout).unwrap().trim().to_owned()
    }
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn a_member_takes_calls_and_learns_the_epoch_by_itself() {
    let fleet = Fleet::new();
    let (registrar, key) = (url(fleet.serve()), fleet.path("good"));
    let worker = Worker::start(&[("OPENRTC_REGISTER_URL", &registrar), ("OPENRTC_SIGNING_KEY_FILE", &key)]);
    worker.wait_until(|snapshot| snapshot["phase"] == "serving");
    Caller::call(worker.calls, "call").hang_up();
    worker.signal(Signal::TERM);
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("registered") && log.contains("epoch=3"), "{log}");
}

#[test]
fn a_worker_that_is_refused_exits_4_with_one_line_that_says_who_and_why() {
    let fleet = Fleet::new();
    let registrar = fleet.serve();
    for (version, key, says) in [
        ("v0", "good", "version v0 is not in the manifest (version_not_allowed)"),
        ("v1", "other", "is not accepted: sign with a current key (unknown_key)"),
    ] {
        let output = fleet.run(registrar, version, key);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let refused = format!("{} refused this worker: ", url(registrar));
        let lines: Vec<_> = said(&output).lines().filter(|line| line.contains(&refused)).map(str::to_owned).collect();
        assert!(matches!(&lines[..], [line] if line.contains(says)), "{says:?} in {lines:?}");
    }
}

#[test]
fn a_worker_waits_in_standby_for_a_registrar_that_is_down() {
    let fleet = Fleet::new();
    // Reserves a port that nobody answers on.
    let closed = TcpListener::bind(anywhere()).unwrap().local_addr().unwrap();
    let (registrar, key) = (url(closed), fleet.path("good"));
    let settings = [("OPENRTC_REGISTER_URL", registrar.as_str()), ("OPENRTC_SIGNING_KEY_FILE", key.as_str())];
    let mut worker = Worker::start(&settings);
    let line = worker.wait_for_log("not registered yet, in standby");
    assert!(line.contains("refused"), "{line}");
    assert_eq!(http(worker.ops, "GET", "/readyz", "").trim(), "standby");
    assert_eq!(Caller::offer(worker.calls, "early").1, kind::DECLINE, "nobody calls a worker that is not admitted");

    fleet.registrar.serve(closed);
    while http(worker.ops, "GET", "/readyz", "").trim() != "ready" {
        std::thread::yield_now();
    }
    let drain = run(&["drain", &worker.ops.to_string()]);
    assert!(drain.status.success(), "{}", said(&drain));
    assert_eq!(worker.end().0.code(), Some(0));
}

#[test]
fn a_token_that_was_used_before_is_refused_over_bare_http() {
    let fleet = Fleet::new();
    let registrar = fleet.serve();
    let present = |token: &str, worker: &str| {
        let body = format!(r#"{{"worker":"{worker}","token":"{token}"}}"#);
        let answer: serde_json::Value = serde_json::from_str(&http(registrar, "POST", "/register", &body)).unwrap();
        answer["reason"].as_str().unwrap().to_owned()
    };
    let token = fleet.sign("5", &["--epoch", "3"]);
    assert_eq!(present(&token, "thief"), "wrong_worker");
    assert_eq!(present(&token, "w"), "registered");
    assert_eq!(present(&token, "w"), "replayed");
    assert_eq!(present(&fleet.sign("5", &["--epoch", "3"]), "w"), "registered", "a new one of the same run is good");
    assert_eq!(present(&fleet.sign("4", &["--epoch", "3"]), "w"), "stale_incarnation");
    assert_eq!(present(&fleet.sign("5", &["--epoch", "2"]), "w"), "stale_epoch");
    assert_eq!(present(&fleet.sign("5", &["--epoch", "4"]), "w"), "future_epoch");
    assert_eq!(present(&fleet.sign("5", &["--epoch", "3", "--issued-at", "0"]), "w"), "expired");
    assert_eq!(present("nonsense", "w"), "malformed");
    assert_eq!(present("", "w w"), "bad_request");
    assert!(http(registrar, "POST", "/register", &"x".repeat(5_000)).contains("length limit exceeded"));
}

#[test]
fn verify_says_the_reason_and_exits_4() {
    let fleet = Fleet::new();
    let (good, other) = (fleet.path("good.pub"), fleet.path("other.pub"));
    let token = fleet.sign("5", &["--epoch", "3"]);
    let mut bent = token.clone().into_bytes();
    bent[40] = if bent[40] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).unwrap();
    for (token, args, code, says) in [
        (
            &token,
            vec!["--key", &good, "--allow", "v1", "--epoch", "3"],
            0,
            "good: default v1 w, incarnation 5, epoch 3",
        ),
        (&token, vec!["--key", &other, "--key", &good, "--allow", "v1", "--epoch", "3"], 0, "good:"),
        (&token, vec!["--key", &other, "--allow", "v1", "--epoch", "3"], 4, "refused: unknown_key: "),
        (&token, vec!["--key", &good, "--allow", "v2", "--epoch", "3"], 4, "refused: version_not_allowed: "),
        (&token, vec!["--key", &good, "--allow", "v1", "--epoch", "4"], 4, "refused: stale_epoch: "),
        (&token, vec!["--key", &good, "--allow", "v1", "--worker", "x"], 4, "refused: wrong_worker: "),
        (&token, vec!["--key", &good, "--allow", "v1", "--deployment", "x"], 4, "refused: wrong_deployment: "),
        (&bent, vec!["--key", &good, "--allow", "v1", "--epoch", "3"], 4, "refused: "),
        (&token, vec!["--key", &fleet.path("none"), "--allow", "v1"], 2, "No such file"),
    ] {
        let output = run(&[&["verify", token], &args[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(says), "{args:?} should say {says:?}: {}", said(&output));
    }
    let mut child = Command::new(openrtc())
        .args(["verify", "-", "--json", "--key", &good, "--allow", "v1", "--epoch", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(printed.contains(r#""good":true"#), "{printed}");
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_chmod() {
    let fleet = Fleet::new();
    let key = fleet.path("good");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let output = fleet.run(anywhere(), "v1", "good");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("may be read by others (mode 640): chmod 600 it"), "{}", said(&output));
    let signed = ["sign", "--key", &key, "--deployment-version", "v1", "--worker", "w", "--incarnation", "1"];
    assert_eq!(run(&signed).status.code(), Some(2));
}

#[test]
fn no_secret_is_ever_shown() {
    let fleet = Fleet::new();
    let registrar = fleet.serve();
    let secret = fleet.secret("good");
    let with_variable = |args: &[&str], secret: &str| {
        let mut command = Command::new(openrtc());
        command.args(args).env("OPENRTC_SIGNING_KEY", secret).env("RUST_LOG", "trace");
        command.env("OPENRTC_REGISTER_URL", url(registrar)).output().unwrap()
    };
    let sign = ["sign", "--deployment-version", "v1", "--worker", "w", "--incarnation", "1"];
    let worker = ["worker", "--deployment-version", "v0"];
    let rollout = fleet.path("rollout");
    let demo = ["demo", "--leftover", "--json", "--speed", "10000", "--dir", &rollout];
    let outputs = [
        run(&["keygen", &fleet.path("good")]),
        run(&["keygen", &fleet.path("third")]),
        fleet.run(registrar, "v0", "good"),
        with_variable(&sign, &secret),
        with_variable(&worker, &secret),
        with_variable(&worker, &secret[1..]),
        with_variable(&["sign", "--help"], &secret),
        with_variable(&demo, &secret),
    ];
    let codes = outputs.each_ref().map(|output| output.status.code().unwrap());
    assert_eq!(codes, [1, 0, 4, 0, 4, 2, 0, 0], "{}", outputs.each_ref().map(said).join("\n"));
    let secrets = [secret, fleet.secret("third"), fleet.secret("rollout/demo.key")];
    for output in &outputs {
        let text = said(output).to_lowercase();
        // A part gives it away as well: no 12 digits of it in a row.
        let part = secrets.iter().flat_map(|secret| (0..=52).map(|at| &secret[at..at + 12]));
        assert_eq!(part.into_iter().find(|part| text.contains(part)), None, "{text}");
    }
    for (file, mode) in [("third", 0o600), ("third.pub", 0o644), ("rollout/demo.key", 0o600)] {
        let found = fs::metadata(PathBuf::from(fleet.path(file))).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
    }
}
