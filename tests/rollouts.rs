//! Random faulty rollouts of real processes: the certificate, made from the workers' journals alone, says of every call
//! what its caller says. `OPENRTC_ROLLOUTS=20 cargo test -p e2e --test rollouts` runs twenty.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use e2e::{run, said};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tempfile::tempdir;

/// How many there are, unless the variable says otherwise: a quarter of a minute.
const USUAL: u64 = 3;

#[test]
fn the_certificate_of_a_faulty_rollout_is_the_callers_own_ledger() {
    for number in 1..=wanted() {
        let (plan, faults) = plan(number);
        let dir = tempdir().unwrap();
        let rollout = dir.path().join("rollout");
        let mut args = vec!["demo", "--json", "--dir", rollout.to_str().unwrap()];
        args.extend(plan.iter().chain(&faults).map(String::as_str));
        let output = run(&args);
        assert!(matches!(output.status.code(), Some(0 | 3)), "rollout {number} {args:?}: {}", said(&output));
        let certificate = certify(&rollout, output.status.code());
        let callers = callers(&rollout);
        let problems = disagreements(&certificate, &callers);
        assert!(problems.is_empty(), "rollout {number} {args:?}:\n{}", problems.join("\n"));
        let count = |what: &str| certificate[what].as_u64().unwrap();
        println!(
            "rollout {number:>2}: {:<42} {:>3} promised = {:>3} ended + {:>2} dropped; {:>3} declined; callers agree",
            faults.join(" "),
            count("promised"),
            count("ended"),
            count("dropped"),
            count("declined"),
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "how much a test does is for who runs it to say")]
fn wanted() -> u64 {
    std::env::var("OPENRTC_ROLLOUTS").map_or(USUAL, |text| text.parse().expect("OPENRTC_ROLLOUTS is a number"))
}

/// Calls, workers and faults, drawn with the rollout's number as seed.
fn plan(number: u64) -> (Vec<String>, Vec<String>) {
    let mut dice = StdRng::seed_from_u64(number);
    let mut plan = Vec::new();
    for (flag, range) in [("--seed", 1..=1_000_000_u64), ("--speed", 300..=600), ("--blue", 1..=3), ("--green", 1..=3)]
    {
        plan.extend([flag.into(), dice.random_range(range).to_string()]);
    }
    let mut faults = Vec::new();
    for switch in [&["--kill-one"][..], &["--drain-timeout", "1s", "--on-deadline", "force"], &["--leftover"]] {
        if dice.random_bool(0.5) {
            faults.extend(switch.iter().map(ToString::to_string));
        }
    }
    (plan, faults)
}

/// Issues a certificate from the journals, with the exit code that the demo had, and returns what it says.
fn certify(rollout: &Path, code: Option<i32>) -> Value {
    let mut journals: Vec<_> = fs::read_dir(rollout).unwrap().map(|entry| entry.unwrap().path()).collect();
    journals.retain(|path| path.is_dir());
    journals.sort();
    let path = |name: &str| rollout.join(name).to_str().unwrap().to_owned();
    let (out, key) = (path("issued.jsonl"), path("demo.key"));
    let mut args = vec!["certify", "--all", "--out", &out, "--signing-key", &key];
    args.extend(journals.iter().map(|journal| journal.to_str().unwrap()));
    let issued = run(&args);
    assert_eq!(issued.status.code(), code, "{}", said(&issued));
    for certificate in [&out, &path("certificate.jsonl")] {
        let checked = run(&["certify", "check", certificate, "--key", &path("demo.key.pub")]);
        assert_eq!(checked.status.code(), code, "{}", said(&checked));
        assert!(said(&checked).contains("the signature holds"), "{}", said(&checked));
    }
    serde_json::from_str(fs::read_to_string(out).unwrap().lines().next().unwrap()).unwrap()
}

fn callers(rollout: &Path) -> Vec<Value> {
    let text = fs::read_to_string(rollout.join("callers.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What one side says of a worker.
#[derive(Default)]
struct Account<'a> {
    /// How each call ended.
    ends: BTreeMap<&'a str, &'a str>,
    declined: u64,
    /// Offers that the worker did not answer.
    unanswered: Vec<&'a str>,
    /// Whether the worker left by itself, so that its journal is complete.
    closed: bool,
    /// Whether it ended without a word.
    died: bool,
}

fn told_by_callers(callers: &[Value]) -> BTreeMap<&str, Account<'_>> {
    let mut accounts: BTreeMap<&str, Account<'_>> = BTreeMap::new();
    for call in callers {
        let id = call["call"].as_str().unwrap();
        for worker in call["declined_by"].as_array().unwrap() {
            accounts.entry(worker.as_str().unwrap()).or_default().declined += 1;
        }
        for worker in call["unanswered_by"].as_array().unwrap() {
            accounts.entry(worker.as_str().unwrap()).or_default().unanswered.push(id);
        }
        if let Some(worker) = call["taken_by"].as_str() {
            accounts.entry(worker).or_default().ends.insert(id, call["fate"].as_str().unwrap());
        }
    }
    accounts
}

fn told_by_certificate(certificate: &Value) -> BTreeMap<&str, Account<'_>> {
    let mut accounts: BTreeMap<&str, Account<'_>> = BTreeMap::new();
    for worker in certificate["workers"].as_array().unwrap() {
        let account = accounts.entry(worker["name"].as_str().unwrap()).or_default();
        account.declined += worker["declined"].as_u64().unwrap();
        // A worker that was started again and not admitted has a second run: a complete one, with no call.
        account.closed |= worker["outcome"] == "clean" || worker["outcome"] == "forced";
        account.died |= worker["standing"] == "died";
    }
    for call in certificate["calls"].as_array().unwrap() {
        let run = usize::try_from(call["run"].as_u64().unwrap()).unwrap();
        let account = accounts.entry(certificate["workers"][run]["name"].as_str().unwrap()).or_default();
        account.ends.insert(call["id"].as_str().unwrap(), call["end"].as_str().unwrap());
    }
    accounts
}

/// Every point in which certificate and callers differ.
fn disagreements(certificate: &Value, callers: &[Value]) -> Vec<String> {
    let (certified, seen) = (told_by_certificate(certificate), told_by_callers(callers));
    let mut problems = Vec::new();
    let (mut calls, mut dropped) = (0, 0);
    for (worker, certified) in &certified {
        let nobody = Account::default();
        let seen = seen.get(worker).unwrap_or(&nobody);
        for (call, end) in &certified.ends {
            dropped += u64::from(is_drop(end));
            match seen.ends.get(call) {
                Some(fate) if fits(fate, end, certified.closed) => {}
                // An offer that was accepted too late for its caller.
                None if *end == "withdrawn" && seen.unanswered.contains(call) => {}
                fate => problems.push(format!("{worker} {call}: certified {end}, its caller saw {fate:?}")),
            }
        }
        for (call, fate) in seen.ends.iter().filter(|(call, _)| !certified.ends.contains_key(*call)) {
            problems.push(format!("{worker} {call}: its caller saw {fate}, the certificate does not have it"));
        }
        // What a killed worker declined since its last count, once a second, went with it.
        let agreed =
            if certified.closed { certified.declined == seen.declined } else { certified.declined <= seen.declined };
        if !agreed {
            let (certified, seen) = (certified.declined, seen.declined);
            problems.push(format!("{worker}: certified {certified} declined, callers were declined {seen} times"));
        }
        if certified.closed && seen.unanswered.iter().any(|call| !certified.ends.contains_key(call)) {
            problems.push(format!("{worker}: it left by itself, but did not answer {:?}", seen.unanswered));
        }
        calls += certified.ends.len() as u64;
    }
    for worker in seen.keys().filter(|worker| !certified.contains_key(*worker)) {
        problems.push(format!("{worker} is not in the certificate"));
    }
    let expected = [
        ("promised", calls),
        ("ended", calls - dropped),
        ("dropped", dropped),
        ("declined", certified.values().map(|account| account.declined).sum()),
    ];
    for (what, expected) in expected.into_iter().filter(|(what, expected)| certificate[what] != *expected) {
        problems.push(format!("{what}: certified {}, by its own list {expected}", certificate[what]));
    }
    let verdict = match dropped {
        // What a worker did last that was killed without a call is not told.
        _ if certified.values().any(|account| account.died && account.ends.values().all(|end| !is_drop(end))) => {
            "unknown"
        }
        0 => "proven",
        _ => "dropped",
    };
    if certificate["verdict"] != verdict {
        problems.push(format!("the verdict is {}, it must be {verdict}", certificate["verdict"]));
    }
    problems
}

fn is_drop(end: &str) -> bool {
    matches!(end, "drain_forced" | "platform_forced")
}

/// Whether what a caller saw and what is certified are one end. `closed`: the worker left by itself.
fn fits(fate: &str, end: &str, closed: bool) -> bool {
    match fate {
        "hung_up" => end == "caller_hangup",
        "cut" => end == "drain_forced",
        "lost" if closed => matches!(end, "drain_forced" | "disconnected"),
        "lost" => matches!(end, "platform_forced" | "disconnected"),
        // The hang-up may or may not have reached the worker before that was gone.
        "hung_up_unheard" => matches!(end, "caller_hangup" | "drain_forced" | "platform_forced"),
        _ => false,
    }
}

#[test]
fn a_certificate_that_tells_another_story_is_found_out() {
    let callers: Vec<Value> = [
        r#"{"call":"a","declined_by":["w2"],"unanswered_by":[],"taken_by":"w1","fate":"hung_up"}"#,
        r#"{"call":"b","declined_by":[],"unanswered_by":[],"taken_by":"w1","fate":"lost"}"#,
        r#"{"call":"c","declined_by":[],"unanswered_by":[],"taken_by":"w2","fate":"cut"}"#,
    ]
    .map(|line| serde_json::from_str(line).unwrap())
    .into();
    let certificate = serde_json::json!({
        "verdict": "dropped", "promised": 3, "ended": 1, "dropped": 2, "declined": 1,
        "workers": [
            {"name": "w1", "standing": "died", "outcome": null, "declined": 0},
            {"name": "w2", "standing": "exited", "outcome": "forced", "declined": 1},
        ],
        "calls": [
            {"id": "a", "run": 0, "end": "caller_hangup"},
            {"id": "b", "run": 0, "end": "platform_forced"},
            {"id": "c", "run": 1, "end": "drain_forced"},
        ],
    });
    assert_eq!(disagreements(&certificate, &callers), [""; 0]);
    let mut lies = Vec::new();
    for (pointer, lie) in [
        ("/calls/0/end", "platform_forced".into()),
        ("/calls/0/run", 1.into()),
        ("/calls/0/id", "z".into()),
        ("/calls/1/end", "caller_hangup".into()),
        ("/calls/2/end", "agent_hangup".into()),
        ("/workers/1/declined", 2.into()),
        ("/workers/1/declined", 0.into()),
        ("/verdict", "proven".into()),
        ("/dropped", 1.into()),
        ("/ended", 2.into()),
        ("/promised", 4.into()),
        ("/declined", 2.into()),
    ] {
        let mut lying = certificate.clone();
        *lying.pointer_mut(pointer).unwrap() = lie;
        lies.push((pointer, disagreements(&lying, &callers)));
    }
    for (pointer, found) in lies {
        assert!(!found.is_empty(), "{pointer}");
    }
    let mut shorter = certificate;
    shorter["calls"].as_array_mut().unwrap().remove(1);
    assert!(!disagreements(&shorter, &callers).is_empty());
}
