//! supervisord's file.

use std::collections::BTreeMap;
use std::time::Duration;

use tempfile::tempdir;

use super::{args_here, deploy, drains, here, ladder, start};

const FILE: &str = "supervisor/openrtc-worker.conf";

/// The program's settings; a line that begins with a semicolon is a comment.
fn program(file: &str) -> BTreeMap<String, String> {
    let lines = file.lines().filter(|line| !line.starts_with(';') && !line.starts_with('['));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn settings(program: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let pairs = program["environment"].split(',').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

#[test]
fn the_deadlines_are_in_order_and_an_exit_on_purpose_is_not_repeated() {
    let program = program(&deploy(FILE));
    ladder(&settings(&program), Duration::from_secs(program["stopwaitsecs"].parse().unwrap())).unwrap();
    assert_eq!((program["autorestart"].as_str(), program["exitcodes"].as_str()), ("unexpected", "0,2,3,4"));
    assert_eq!((program["stopasgroup"].as_str(), program["killasgroup"].as_str()), ("false", "false"));
    assert_eq!(program["stopsignal"], "TERM");
}

#[test]
fn a_worker_started_as_the_file_says_drains() {
    let program = program(&deploy(FILE));
    let root = tempdir().unwrap();
    let args = program["command"].strip_prefix("/usr/local/bin/openrtc ").expect("the program").split(' ');
    drains(start(&args_here(args), &here(settings(&program), root.path())));
}
