//! The linter: each rule speaks where it should, and is silent where it should be. Our own files pass it, and the page
//! that lists the rules is theirs.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openrtc_advise::lint::{Cloud, File, Finding, Options, Severity, catalogue, lint, rules, sarif};
use proptest::prelude::*;

fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}

/// A rule's code, the file's name, what it must find something in, and what it must not.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// Every case of `cases.txt`.
fn cases() -> Vec<Case> {
    let case = |text: &'static str| {
        let (head, rest) = text.split_once('\n').unwrap();
        let (code, path) = head.split_once(' ').unwrap();
        let (bad, good) = rest.split_once("--- good\n").unwrap_or_else(|| panic!("{head}: no good example"));
        (code, path, bad, good)
    };
    include_str!("cases.txt").split("=== ").skip(1).map(case).collect()
}

/// What the first case of a rule finds something in.
fn bad(code: &str) -> &'static str {
    cases().iter().find(|case| case.0 == code).unwrap().2
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn every_rule_speaks_where_it_should_and_is_silent_where_it_should_be() {
    let options = Options {
        drain: Some(Duration::from_mins(20)),
        longest_call: None,
        workers: vec!["worker".into()],
        target: Some(Cloud::Gke),
    };
    let on = |target| Options { target: Some(target), ..options.clone() };
    for (code, path, bad, good) in cases() {
        let options = match code {
            "ORT-K032" => on(Cloud::Eks),
            "ORT-K033" => on(Cloud::Aks),
            _ => options.clone(),
        };
        let options = &Options { workers: if path.ends_with("yaml") { options.workers } else { vec![] }, ..options };
        let found = lint(&[file(path, bad)], options);
        assert!(codes(&found).contains(&code), "{code} should speak of\n{bad}\nonly {:?}", codes(&found));
        let lines = bad.lines().count();
        assert!(found.iter().all(|finding| (1..=lines).contains(&finding.line)), "{code}: a line that is not there");
        let found = lint(&[file(path, good)], options);
        assert!(!codes(&found).contains(&code), "{code} should not speak of\n{good}");
        assert!(!codes(&found).contains(&"ORT-I002"), "{code}: the good example cannot be read");
    }
    let tried: BTreeSet<_> = cases().iter().map(|case| case.0).collect();
    let all: BTreeSet<_> = rules().map(|rule| rule.code).collect();
    assert_eq!(tried, all, "a rule without a case, or a case without a rule");
    assert_eq!(rules().count(), all.len(), "a code that stands twice");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn below(folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, files);
        } else {
            files.push(file(path.to_str().unwrap(), &fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn our_own_files_pass() {
    let mut files = Vec::new();
    below(&root().join("deploy"), &mut files);
    assert!(files.len() > 5, "only {} files: is this deploy/?", files.len());
    let found = lint(&files, &Options::default());
    let bad: Vec<_> = found.iter().filter(|finding| finding.severity > Severity::Hint).map(Finding::text).collect();
    assert!(bad.is_empty(), "{}", bad.concat());
    // And it looks at them: a grace that is a second too short is found in each.
    let shorter = |text: &str| text.replace("7260", "7212");
    let files: Vec<_> = files.iter().map(|of| file(&of.path, &shorter(&of.text))).collect();
    let found = lint(&files, &Options::default());
    for code in ["ORT-K001", "ORT-C001", "ORT-E001"] {
        assert!(codes(&found).contains(&code), "{code} does not see a grace that is too short: {:?}", codes(&found));
    }
}

#[test]
fn the_page_lists_the_rules() {
    let page = fs::read_to_string(root().join("docs/lint.md")).unwrap();
    let says = "docs/lint.md: put the output of `openrtc lint --rules` at its end";
    assert!(page.ends_with(&catalogue()), "{says}");
}

#[test]
fn a_finding_can_be_allowed_with_a_reason_and_not_without() {
    let text = |comment: &str| bad("ORT-K014").replace("Recreate", &format!("Recreate {comment}"));
    let of = |comment: &str| {
        let options = Options { drain: Some(Duration::from_mins(1)), ..Options::default() };
        lint(&[file("a.yaml", &text(comment))], &options)
    };
    let allowed = of("# openrtc-lint: allow ORT-K014 one pod, drained by hand");
    let finding = allowed.iter().find(|finding| finding.code == "ORT-K014").unwrap();
    assert_eq!(finding.allowed.as_deref(), Some("one pod, drained by hand"));
    assert!(finding.text().contains("allowed ORT-K014"), "{}", finding.text());
    let result = &sarif(&allowed)["runs"][0]["results"];
    let result = result.as_array().unwrap().iter().find(|result| result["ruleId"] == "ORT-K014").unwrap();
    assert_eq!(result["suppressions"][0]["justification"], "one pod, drained by hand");
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], finding.line);

    let bare = of("# openrtc-lint: allow ORT-K014");
    assert!(codes(&bare).contains(&"ORT-I003"));
    assert!(bare.iter().any(|finding| finding.code == "ORT-K014" && finding.allowed.is_none()));
}

#[test]
fn a_worker_is_named_as_its_unit_is_written() {
    let unit = file("deploy/Agent.service", "[Service]\nExecStart=/usr/bin/agent\nTimeoutStopSec=60\n");
    let options = |worker: &str| Options {
        drain: Some(Duration::from_mins(20)),
        longest_call: None,
        workers: vec![worker.into()],
        target: None,
    };
    let found = |worker| codes(&lint(std::slice::from_ref(&unit), &options(worker)));
    assert!(found("Agent").contains(&"ORT-S001"), "{:?}", found("Agent"));
    assert!(!found("agent").contains(&"ORT-S001"), "{:?}", found("agent"));
}

/// Every number of every example, as large as it can be.
#[test]
fn numbers_beyond_reason_are_judged() {
    let options = Options { drain: Some(Duration::MAX), longest_call: None, workers: vec![], target: None };
    for (_, path, bad, good) in cases() {
        for text in [bad, good] {
            for most in [u64::MAX.to_string(), i64::MAX.to_string()] {
                let _ = lint(&[file(path, &every_number(text, &most))], &options);
            }
        }
    }
}

fn every_number(text: &str, most: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|char: char| char.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        let end = number.find(|char: char| !char.is_ascii_digit()).unwrap_or(number.len());
        out += before;
        // A name such as `v1` is none.
        let is_part = out.ends_with(|char: char| char.is_ascii_alphanumeric() || char == '_');
        out += if is_part { &number[..end] } else { most };
        rest = &number[end..];
    }
    out + rest
}

#[test]
fn what_nothing_is_known_of_is_not_judged_and_that_is_said() {
    let unknown = bad("ORT-I001");
    let found = lint(&[file("a.yaml", unknown)], &Options::default());
    assert_eq!(codes(&found), ["ORT-I001"]);
    let named = Options { workers: vec!["nobody".into()], ..Options::default() };
    let found = lint(&[file("a.yaml", unknown)], &named);
    assert!(found.iter().any(|finding| finding.severity == Severity::Error && finding.found.contains("nobody")));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        name in prop::sample::select(vec!["a.yaml", "a.service", "Dockerfile", "a.env", "fly.toml", "a.cfg", "a.conf"]),
        text in "(\\PC|\n){0,300}",
        of in 0..cases().len(),
        cut in 0_usize..2_000,
    ) {
        let options = Options { drain: Some(Duration::from_mins(1)), ..Options::default() };
        let _ = lint(&[file(name, &text)], &options);
        // And what is nearly right.
        let (_, path, bad, _) = cases()[of];
        let end = (0..=cut.min(bad.len())).rev().find(|end| bad.is_char_boundary(*end)).unwrap_or(0);
        let _ = lint(&[file(path, &format!("{}{text}", &bad[..end]))], &options);
    }
}
