//! Two processes under one worker's name.

use e2e::Caller;
use serde_json::Value;

use crate::refusals::{End, left, token_of};
use crate::rig::{Coordinator, is};

/// A second process by mistake: it may not take the place of one that has calls, and a rollout waits for that one.
#[test]
fn a_second_worker_of_a_name_is_put_off_while_the_first_is_there_and_nothing_completes_without_the_first() {
    let mut coordinator = Coordinator::start();
    let [first, other] = coordinator.serving("v1", ["b1", "b2"]);
    let mut call = Caller::call(first.calls, "a");
    let journal = coordinator.path("b1-again");
    let settings = [("OPENRTC_JOURNAL_DIR", journal.to_str().unwrap())];
    let mut second = coordinator.worker_with("b1", "v1", &settings);
    let told = second.wait_for_log("is connected already");
    assert!(told.contains("worker b1") && told.contains("OPENRTC_WORKER"), "{told}");
    coordinator.order(&["deploy", "v2", "--workers", "1"]);
    let green = coordinator.worker("g1", "v2");
    first.wait_until(is("draining"));
    green.wait_until(is("serving"));
    assert_eq!(coordinator.state()["rollout"]["stage"], "draining", "it waits for the first one's call");

    // Whoever is there first after a restart, the place stays the first one's.
    coordinator.kill();
    coordinator.come_back();
    coordinator.wait_until(|state| state["versions"][0]["calls"] == 1);
    call.talk(1);
    assert_eq!((&second.snapshot()["phase"], &coordinator.state()["tally"]["lost"]), (&"standby".into(), &0.into()));
    call.hang_up();
    coordinator.wait_for("completed");
    [first, other].into_iter().for_each(left);
}

/// A run whose place was taken while it was away is no part of the fleet any more: it must not serve on unseen.
#[test]
fn a_run_that_comes_back_to_a_place_that_is_taken_is_told_to_go_for_good() {
    let coordinator = Coordinator::start();
    coordinator.order(&["deploy", "v1", "--workers", "1"]);
    let join = |run: u64| -> (End, Value) {
        let (mut end, hello) = End::dial(&coordinator);
        end.say(&token_of(run, &coordinator, "good", "v1", &hello));
        let told = end.hear();
        (end, told)
    };
    let (first, told) = join(7);
    assert_eq!(told["type"], "joined", "{told}");
    let (_, told) = join(8);
    assert!(told["type"] == "not_now" && told["message"].as_str().unwrap().contains("as run 7 from 127."), "{told}");
    drop(first);
    // It may take a moment until the coordinator has seen that.
    let _second = loop {
        match join(8) {
            (end, told) if told["type"] == "joined" => break end,
            (_, told) => assert_eq!(told["type"], "not_now", "{told}"),
        }
    };
    let (mut first, told) = join(7);
    assert_eq!(told["type"], "notice", "{told}");
    assert_eq!(first.hear()["wish"], "reject");
}
