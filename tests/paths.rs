//! A path that is not what a command reads: one line on standard error that names it, and the exit code of bad usage.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs;

use e2e::run;
use tempfile::{TempDir, tempdir};

/// A directory without a journal in it, a file without a record in it, and a file with some text.
fn paths() -> TempDir {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("directory")).unwrap();
    fs::write(dir.path().join("empty"), "").unwrap();
    fs::write(dir.path().join("text"), "some text\n").unwrap();
    dir
}

/// Runs a command, `@` before each path in `dir`; returns its exit code and the lines of its standard error.
fn refuse(dir: &TempDir, line: &str) -> (Option<i32>, Vec<String>) {
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let word = |word: &str| word.strip_prefix('@').map_or_else(|| word.to_owned(), path);
    let words: Vec<_> = line.split(' ').map(word).collect();
    let output = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let lines = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), lines.lines().map(str::to_owned).collect())
}

#[test]
fn what_is_not_there_of_the_wrong_kind_or_empty_is_bad_usage_and_named() {
    let dir = paths();
    for (line, culprit, says) in [
        ("audit verify @none", "none", "(name what the worker's OPENRTC_AUDIT_FILE says): No such file"),
        ("audit verify @directory", "directory", "directory"),
        ("audit verify @empty", "empty", "is empty: name what the worker's OPENRTC_AUDIT_FILE says"),
        ("audit verify @text @none", "none", "No such file"),
        ("audit verify @text --journal @none", "none", "No such file"),
        ("audit verify @text --journal @directory", "directory", "is this the right directory?"),
        ("audit verify @text --key @none", "none", "No such file"),
        ("audit verify @text --key @text", "text", "does not hold one line of 64 hex digits"),
        ("certify @none", "none", "(name what the worker's OPENRTC_JOURNAL_DIR says): No such file"),
        ("certify @text", "text", "Not a directory"),
        ("certify @directory", "directory", "is this the right directory?"),
        ("certify check @none", "none", "No such file"),
        ("certify check @directory", "directory", "directory"),
        ("certify check @empty", "empty", "it is empty: name the file that `openrtc certify` wrote"),
        ("journal show @none", "none", "No such file"),
        ("journal verify @directory", "directory", "is this the right directory?"),
    ] {
        let (code, said) = refuse(&dir, line);
        assert_eq!(code, Some(2), "{line}: {said:?}");
        let [said] = &said[..] else { panic!("{line} should say one line: {said:?}") };
        assert!(said.contains(&format!("/{culprit}")) && said.contains(says), "{line} should say {says:?}: {said}");
    }
}

#[test]
fn what_was_read_and_is_bad_is_no_bad_usage() {
    let dir = paths();
    for line in ["audit verify @text", "certify check @text"] {
        assert_eq!(refuse(&dir, line).0, Some(1), "{line}");
    }
}

#[test]
fn a_key_file_that_cannot_be_read_is_said_once() {
    let dir = paths();
    let sign = "sign --key @none --deployment-version v1 --worker w --incarnation 1";
    for (line, says) in [
        (sign, "No such file"),
        ("verify token --allow v1 --key @none", "No such file"),
        ("keygen @directory", "File exists"),
        ("audit verify @text --key @none", "No such file"),
    ] {
        let (_, said) = refuse(&dir, line);
        let [said] = &said[..] else { panic!("{line} should say one line: {said:?}") };
        assert_eq!(said.matches(says).count(), 1, "{line}: {said}");
    }
}
