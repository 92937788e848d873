//! `openrtc registrar`: a registrar that a user runs, beside real workers.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use e2e::authority::ServerFiles;
use e2e::{Worker, keygen, openrtc, run, said};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A registrar's process, killed when dropped, and keys called `good` and `other`, both of which it accepts.
struct Fleet {
    dir: TempDir,
    child: Child,
    lines: BufReader<ChildStdout>,
    url: String,
}

impl Fleet {
    fn start(manifest: &str) -> Self {
        Self::start_in(tempdir().unwrap(), manifest, &[])
    }

    fn start_in(dir: TempDir, manifest: &str, options: &[&str]) -> Self {
        for key in ["good", "other"] {
            keygen(&dir.path().join(key));
        }
        fs::write(dir.path().join("manifest"), manifest).unwrap();
        let mut child = Command::new(openrtc())
            .args(["registrar", "--json", "--listen", "127.0.0.1:0"])
            .args(options)
            .arg("--manifest")
            .arg(dir.path().join("manifest"))
            .args(["--key".as_ref(), dir.path().join("good.pub").as_os_str()])
            .args(["--key".as_ref(), dir.path().join("other.pub").as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let ready = line(&mut lines);
        assert_eq!(ready["event"], "registrar.ready");
        let url = ready["url"].as_str().unwrap().to_owned();
        Self { dir, child, lines, url }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What it says next.
    fn says(&mut self) -> Value {
        line(&mut self.lines)
    }

    /// Rewrites the manifest, and waits until it is taken up.
    fn allow(&mut self, manifest: &str) -> Value {
        fs::write(self.path("manifest"), manifest).unwrap();
        let said = self.says();
        assert_eq!(said["event"], "manifest.changed", "{said}");
        said
    }

    fn settings<'a>(&'a self, key: &'a Path, version: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("OPENRTC_REGISTER_URL", &self.url),
            ("OPENRTC_SIGNING_KEY_FILE", key.to_str().unwrap()),
            ("OPENRTC_DEPLOYMENT_VERSION", version),
        ]
    }

    /// A worker that is admitted; what the registrar said of it.
    fn let_in(&mut self, key: &str, version: &str) -> (Worker, Value) {
        let key = self.path(key);
        let mut command = Command::new(openrtc());
        command.args(["worker", "--json"]);
        let worker = Worker::spawn(command, &self.settings(&key, version));
        worker.wait_until(|snapshot| snapshot["phase"] == "serving");
        (worker, self.says())
    }

    /// Runs a worker that is turned away to its end.
    fn turned_away(&mut self, key: &str, version: &str) -> (Output, Value) {
        let key = self.path(key);
        let mut command = Command::new(openrtc());
        let output = command.arg("worker").envs(self.settings(&key, version)).output().unwrap();
        (output, self.says())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"))
}

/// What a key is called in a manifest.
fn key_id(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap()[..16].to_owned()
}

#[test]
fn a_rollout_by_manifest_lets_in_what_it_names_and_turns_away_what_it_names_no_more() {
    let mut fleet = Fleet::start("version v1\n");
    let (old, decision) = fleet.let_in("good", "v1");
    assert_eq!(
        (&decision["event"], &decision["claims"]["identity"]["version"]),
        (&"worker.registered".into(), &"v1".into())
    );
    let (output, decision) = fleet.turned_away("good", "v2");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert_eq!(decision["reason"], "version_not_allowed");

    let first = fleet.allow("# the rollout\nversion v1\nversion v2\n")["epoch"].as_u64();
    let (_new, decision) = fleet.let_in("good", "v2");
    assert_eq!(decision["event"], "worker.registered");
    assert!(fleet.allow("version v2\n")["epoch"].as_u64() > first, "each change is a new epoch");
    assert_eq!(fleet.turned_away("good", "v1").1["reason"], "version_not_allowed");
    assert_eq!(old.snapshot()["phase"], "serving", "who is in stays in");
}

#[test]
fn a_revoked_key_lets_nobody_in_until_it_is_no_longer_revoked() {
    let mut fleet = Fleet::start("version v1\n");
    let id = key_id(fleet.dir.path(), "other");
    fleet.allow(&format!("version v1\nrevoked {id}\n"));
    let (output, decision) = fleet.turned_away("other", "v1");
    assert_eq!((output.status.code(), &decision["reason"]), (Some(4), &"unknown_key".into()));
    assert_eq!(fleet.let_in("good", "v1").1["event"], "worker.registered", "the other key is good");
    fleet.allow("version v1\n");
    assert_eq!(fleet.let_in("other", "v1").1["event"], "worker.registered");
}

#[test]
fn over_https_a_worker_that_trusts_the_authority_is_let_in_and_one_that_does_not_says_why() {
    let dir = tempdir().unwrap();
    let ServerFiles { ca, cert, key } = ServerFiles::make(dir.path());
    let mut fleet = Fleet::start_in(dir, "version v1\n", &["--tls-cert", &cert, "--tls-key", &key]);
    assert!(fleet.url.starts_with("https://"), "{}", fleet.url);

    let signing = fleet.path("good");
    let start = |trust: Option<(&str, &str)>| {
        let mut command = Command::new(openrtc());
        command.args(["worker", "--json"]).envs(trust);
        Worker::spawn(command, &fleet.settings(&signing, "v1"))
    };
    // Whatever this machine trusts, it is not an authority that was made a moment ago.
    let mut stranger = start(None);
    let told = stranger.wait_for_log("not registered yet");
    assert!(told.contains("OPENRTC_TLS_CA_FILE"), "{told}");
    let worker = start(Some(("OPENRTC_TLS_CA_FILE", &ca)));
    worker.wait_until(|snapshot| snapshot["phase"] == "serving");
    assert_eq!(fleet.says()["event"], "worker.registered");
}

#[test]
fn a_manifest_that_cannot_be_used_changes_nothing_and_at_the_start_is_refused_by_its_line() {
    let mut fleet = Fleet::start("version v1\n");
    fs::write(fleet.path("manifest"), "version v1\nverison v2\n").unwrap();
    assert_eq!(fleet.let_in("good", "v1").1["event"], "worker.registered");
    fleet.allow("version v2\n");

    let key = fleet.path("good.pub");
    let manifest = fleet.path("manifest");
    fs::write(&manifest, "version v1\nverison v2\n").unwrap();
    let args = ["registrar", "--key", key.to_str().unwrap(), "--manifest", manifest.to_str().unwrap()];
    let refused = run(&args);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("line 2: \"verison v2\" says nothing"), "{}", said(&refused));
}
