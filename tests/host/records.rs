//! What a host's records say of its programs: the journal of its fleet.

use std::path::Path;

use e2e::{run, said};
use rustix::process::Signal;

use crate::rig::{Caller, Hosted, Rig};

/// The journal of the fleet of a host that keeps its records in `dir`, in words.
fn fleet(dir: &Path) -> String {
    let dir = dir.join("journal/fleet");
    let shown = run(&["journal", "show", dir.to_str().unwrap()]);
    assert!(shown.status.success(), "{}", said(&shown));
    String::from_utf8(shown.stdout).unwrap()
}

fn order(host: &Hosted, words: &[&str]) {
    let ops = host.ops.to_string();
    let done = run(&[&["upgrade", &ops], words].concat());
    assert!(done.status.success(), "{}", said(&done));
}

#[test]
fn the_journal_tells_each_step_of_an_upgrade_who_ordered_it_and_every_end_of_a_program() {
    let mut host = Rig::new().start();
    let old = Caller::talking(&host);
    order(&host, &["--actor", "alice", "--version", "v2"]);
    order(&host, &["--actor", "bob", "--cancel"]);
    old.hang_up();
    host.wait_until(|host| host.programs().len() == 1);
    Caller::call(&host, b'x').rest();
    let _ = host.wait_for_log("the program ended by itself");
    let _ = host.wait_for_log("the program is ready");
    host.signal(Signal::TERM);
    let (status, log, dir) = host.end();
    assert_eq!(status.code(), Some(0), "{log}");
    let told = fleet(dir.path());
    let expected = [
        "begins the rollout of v1 to 1 worker, 10 at a time, for as long as calls last, asked by host",
        "v1 joins with v1",
        "the rollout is done",
        "begins the rollout of v2 to 1 worker, 10 at a time, for as long as calls last, asked by alice",
        "v2 (run 2) joins with v2",
        "the new workers are ready",
        "v2 gets 100 % of new calls",
        "v1 was seen to drain",
        "goes back to the old version, asked by bob",
        "v1 gets 100 % of new calls",
        "v2 (run 2) has drained",
        "the rollout is taken back",
        "tells v2 (run 2) to leave",
        "v2 (run 2) is gone: the platform ended it",
        "v1 is gone: it vanished, last heard with 1 call",
        "v1 (run 3) joins with v1",
        "v1 (run 3) was seen to take calls",
        "v1 (run 3) is gone: it left",
    ];
    let mut rest = told.as_str();
    for words in expected {
        let found = rest.split_once(words);
        rest = found.unwrap_or_else(|| panic!("{words:?} is not told, or not in its place: {told}")).1;
    }
}

#[test]
fn a_host_killed_in_an_upgrade_says_at_the_next_start_what_was_under_way() {
    let host = Rig::new().start();
    let _old = Caller::talking(&host);
    order(&host, &["--actor", "alice", "--version", "v2"]);
    host.signal(Signal::KILL);
    let (.., dir) = host.end();
    let host = Rig::new().again(dir).start();
    let log = host.running_log();
    for words in [
        "the host before this one ended in the middle of this upgrade from=v1 to=v2 stage=\"draining\" actor=alice",
        "the host before this one did not see the end of its program version=v1",
        "the host before this one did not see the end of its program version=v2",
        "the host before this one gave new calls to another version version=v1 served=v2",
    ] {
        assert!(log.contains(words), "{words:?} is not said: {log}");
    }
    let dir = host.journal().join("fleet");
    for command in ["journal verify", "certify"] {
        let words: Vec<&str> = command.split(' ').chain([dir.to_str().unwrap()]).collect();
        let refused = run(&words);
        let said = said(&refused);
        assert!(refused.status.code() == Some(2) && said.contains("holds the journal of a fleet"), "{command}: {said}");
    }
}
