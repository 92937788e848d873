//! `openrtc plan` and `openrtc lint` as a person types them: with files of every form, and with a worker at work.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::tempdir;

/// What hangs is told, and does not keep the tests.
const PATIENCE: Duration = Duration::from_mins(1);

const TOKEN: &str = "0123456789abcdef";

fn openrtc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openrtc"));
    command.env("OPENRTC_OPS_TOKEN", TOKEN).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Output {
    openrtc().args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

/// Calls of three weeks, one every five minutes, of 1 to 30 minutes; from a Monday on.
fn records() -> String {
    let row = |call: u64| format!("{},{}\n", 1_793_577_600 + call * 300, 60 + call * 7_919 % 1_740);
    "start,duration_s\n".to_owned() + &(0..6_000).map(row).collect::<String>()
}

#[test]
fn a_file_says_the_same_packed_or_not_and_from_standard_input() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("calls.csv"), records()).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(records().as_bytes()).unwrap();
    std::fs::write(path("calls.csv.gz"), packed.finish().unwrap()).unwrap();

    let plain = json(&run(&["plan", &path("calls.csv"), "--json", "--workers", "4"]));
    assert_eq!(plain, json(&run(&["plan", &path("calls.csv.gz"), "--json", "--workers", "4"])));
    let mut piped = openrtc().args(["plan", "-", "--json", "--workers", "4"]).stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(records().as_bytes()).unwrap();
    assert_eq!(plain, json(&piped.wait_with_output().unwrap()));

    let median = plain["forecast"]["quantiles"][0]["at_s"].as_f64().unwrap();
    assert!((600.0..1_800.0).contains(&median), "of calls of at most 30 min, three in flight: {median}");
    let svg = path("week.svg");
    let text = said(&run(&["plan", &path("calls.csv"), "--svg", &svg, "--deadline", "20m", "--at", "sun 03"]));
    for says in ["6000 calls in 20d", "rolling at Sun 03:00", "  20m  ", "in UTC"] {
        assert!(text.contains(says), "{says:?} is missing in {text}");
    }
    assert!(std::fs::read_to_string(svg).unwrap().starts_with("<svg "));
}

#[test]
fn what_cannot_be_planned_names_the_culprit_and_exits_2() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("bad.csv");
    let path = file.to_str().unwrap();
    for (text, says) in [
        ("start_s,duration_s\n1,soon\n", "bad.csv: row 2, column duration_s: \"soon\""),
        ("start_s,duration_s,censored\n1,5,1\n", "no record shows the end of a call"),
        ("\u{1f}\u{8b}garbage", "bad.csv"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run(&["plan", path]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(says), "{says:?} is missing in {}", said(&output));
    }
    assert_eq!(run(&["plan", "nowhere.csv"]).status.code(), Some(2));
    assert_eq!(run(&["plan"]).status.code(), Some(2));
}

/// Ended when dropped.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a deadline in real time, for real processes")]
fn a_worker_is_planned_for_by_the_calls_that_it_has() {
    let mut command = openrtc();
    command.args(["worker", "--json", "--deployment-version", "v1"]).env("OPENRTC_OPS_ADDR", "127.0.0.1:0");
    let mut worker = Ends(command.spawn().unwrap());
    let mut ready = String::new();
    BufReader::new(worker.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let [calls, ops] = ["calls", "ops"].map(|of| ready[of].as_str().unwrap().to_owned());
    let ages = || run(&["plan", "--from", &ops, "--json"]);
    assert!(said(&ages()).contains("neither call records nor calls in flight"), "{}", said(&ages()));

    let _call = Ends(openrtc().args(["call", &calls, "--for", "1h"]).spawn().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let plan = loop {
        let output = ages();
        if output.status.success() {
            break json(&output);
        }
        assert!(Instant::now() < deadline, "the call never began: {}", said(&output));
    };
    assert_eq!((&plan["ages"], &plan["records"]), (&1.into(), &Value::Null));
    assert_eq!(plan["forecast"]["to_s"], Value::Null, "of one call's age nobody can say how long it lasts");
    let gone = run(&["plan", "--from", "127.0.0.1:1"]);
    assert_eq!(gone.status.code(), Some(1), "{}", said(&gone));
}

#[test]
fn files_are_linted_with_a_code_for_scripts() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("compose.yaml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "services:\n  agent:\n    image: x\n    stop_grace_period: 60s\n").unwrap();
    let fits = run(&["lint", path, "--drain", "50s"]);
    assert_eq!(fits.status.code(), Some(0), "{}", said(&fits));
    let short = run(&["lint", dir.path().to_str().unwrap(), "--drain", "1m"]);
    assert_eq!(short.status.code(), Some(1), "{}", said(&short));
    assert!(said(&short).contains("compose.yaml:4: error ORT-C001"), "{}", said(&short));

    assert_eq!(json(&run(&["lint", path, "--drain", "1m", "--json"]))[0]["code"], "ORT-C001");
    let sarif = json(&run(&["lint", path, "--drain", "1m", "--sarif"]));
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "ORT-C001");

    let mut piped = openrtc().args(["lint", "-", "--worker", "nobody"]).stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"apiVersion: v1\nkind: Pod\nspec: {}\n").unwrap();
    let output = piped.wait_with_output().unwrap();
    assert!(output.status.code() == Some(1) && said(&output).contains("no worker nobody"), "{}", said(&output));
    assert_eq!(run(&["lint", "nowhere.yaml"]).status.code(), Some(2));
    assert_eq!(run(&["lint"]).status.code(), Some(2));
}
