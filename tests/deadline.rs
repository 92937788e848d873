//! A product that hangs fails its test.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::deadline::watch_for;

/// Alone in its program: the deadline is for all processes of one.
#[test]
fn a_process_that_hangs_is_killed_and_one_that_ends_is_not() {
    watch_for(Duration::from_millis(50));
    let mut hangs = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    // Open until the end, so that there is no end to read.
    let _open = hangs.stdin.take();
    assert!(Command::new("true").status().unwrap().success());
    assert_eq!(hangs.wait().unwrap().signal(), Some(9));
}
