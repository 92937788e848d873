//! Every checked-in input passes, without a fuzzer.

use std::fs;
use std::path::Path;

#[test]
fn certificates_pass() {
    replay_all("certificate", fuzz::certificate::check);
}

#[test]
fn journals_pass() {
    replay_all("journal", fuzz::journal::check);
}

#[test]
fn lives_pass() {
    replay_all("worker", fuzz::worker::check);
}

#[test]
fn sessions_pass() {
    replay_all("livekit", fuzz::livekit::check);
}

#[test]
fn rollouts_pass() {
    replay_all("rollout", fuzz::rollout::check);
}

#[test]
fn tokens_pass() {
    replay_all("token", fuzz::token::check);
}

#[test]
fn trails_pass() {
    replay_all("audit", fuzz::audit::check);
}

fn replay_all(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let inputs: Vec<_> = fs::read_dir(folder).expect("the corpus is checked in").collect();
    assert!(!inputs.is_empty(), "no input for {target}");
    for input in inputs {
        let path = input.expect("the folder can be listed").path();
        println!("{}", path.display());
        check(&fs::read(path).expect("an input can be read"));
    }
}
