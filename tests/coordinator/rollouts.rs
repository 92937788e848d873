//! Rollouts by a coordinator, with calls on both versions. None is dropped, and the workers' records say so.

use std::process::{Command, Stdio};

use e2e::{Caller, TOKEN, Worker, kind, openrtc, run, said};
use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Coordinator, is, waits_for};

/// How a worker's process ended: by itself and clean.
fn left_clean(worker: Worker) {
    let (status, log) = worker.end();
    assert!(status.success() && log.contains("0 calls dropped"), "{status}: {log}");
}

/// Ends a worker that serves on.
fn terminated(worker: Worker) {
    worker.signal(Signal::TERM);
    left_clean(worker);
}

/// Whether the worker refuses a call.
fn declines(worker: &Worker) -> bool {
    Caller::offer(worker.calls, "one-more").1 == kind::DECLINE
}

/// What the journals of workers that have left say of all calls: how many were promised, each ended and none dropped.
fn promised(coordinator: &Coordinator, workers: &[&str]) -> u64 {
    let out = coordinator.path("certificate.jsonl");
    let (out, key) = (out.to_str().unwrap().to_owned(), coordinator.path("good").to_str().unwrap().to_owned());
    let journals: Vec<_> = workers.iter().map(|name| coordinator.path(name).to_str().unwrap().to_owned()).collect();
    let mut args = vec!["certify", "--all", "--out", &out, "--signing-key", &key];
    args.extend(journals.iter().map(String::as_str));
    let issued = run(&args);
    assert!(issued.status.success(), "{}", said(&issued));
    let certificate: Value =
        serde_json::from_str(std::fs::read_to_string(&out).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!((&certificate["verdict"], &certificate["dropped"]), (&"proven".into(), &0.into()), "{certificate}");
    assert_eq!(certificate["promised"], certificate["ended"], "{certificate}");
    certificate["promised"].as_u64().unwrap()
}

#[test]
fn green_takes_the_new_calls_and_blue_drains_to_its_hang_ups() {
    let coordinator = Coordinator::start();
    let blue = coordinator.serving("v1", ["b1", "b2"]);
    let mut calls: Vec<_> =
        ["1", "2", "3"].into_iter().zip([0, 0, 1]).map(|(id, at)| Caller::call(blue[at].calls, id)).collect();

    let begun = coordinator.order(&["deploy", "v2"]);
    assert!(begun.contains("0 of 2 workers of v2 are there: start 2 more workers of v2"), "{begun}");
    let green = ["g1", "g2"].map(|name| coordinator.worker(name, "v2"));
    for worker in &blue {
        worker.wait_until(is("draining"));
    }
    let watch = Command::new(openrtc())
        .args(["rollout", "status", "--watch", "--coordinator", &coordinator.url()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    coordinator.wait_until(|state| state["waits"][0]["what"] == "2 workers of v1 drain, with 3 calls");
    assert!(blue.iter().all(declines), "blue takes no more");
    calls.extend(green.iter().zip(["4", "5"]).map(|(worker, id)| Caller::call(worker.calls, id)));
    for (number, call) in calls.iter_mut().enumerate() {
        call.talk(u32::try_from(number).unwrap());
    }

    let green_calls = calls.split_off(3);
    calls.into_iter().for_each(Caller::hang_up);
    blue.into_iter().for_each(left_clean);
    let watched = watch.wait_with_output().unwrap();
    assert!(watched.status.success() && said(&watched).contains("v2 takes all calls"), "{}", said(&watched));
    let state = coordinator.wait_until(|state| state["versions"][0]["workers"] == 0);
    assert_eq!((&state["versions"][0]["state"], &state["tally"]["lost"]), (&"drained".into(), &0.into()), "{state}");

    green_calls.into_iter().for_each(Caller::hang_up);
    green.into_iter().for_each(terminated);
    assert_eq!(promised(&coordinator, &["b1", "b2", "g1", "g2"]), 5);
}

#[test]
fn an_undo_in_the_middle_gives_blue_its_calls_back() {
    let coordinator = Coordinator::start();
    let blue = coordinator.serving("v1", ["b1", "b2"]);
    let mut old = Caller::call(blue[0].calls, "old");
    coordinator.order(&["deploy", "v2"]);
    let green = ["g1", "g2"].map(|name| coordinator.worker(name, "v2"));
    blue[0].wait_until(is("draining"));
    blue[1].wait_until(is("drained"));
    let mut new = Caller::call(green[0].calls, "new");

    let undone = coordinator.order(&["rollout", "undo"]);
    assert!(undone.contains("goes back to the old version, asked by alice"), "{undone}");
    for worker in &blue {
        worker.wait_until(is("serving"));
    }
    green[0].wait_until(is("draining"));
    assert!(green.iter().all(declines), "green takes no more");
    let mut again = Caller::call(blue[1].calls, "again");
    for call in [&mut old, &mut new, &mut again] {
        call.talk(7);
    }
    assert!(waits_for(&coordinator.state(), "calls"), "{}", coordinator.state());
    new.hang_up();
    let watched = coordinator.order(&["rollout", "status", "--watch"]);
    assert!(watched.contains("the rollout to v2 is taken back"), "{watched}");
    green.into_iter().for_each(left_clean);

    [old, again].into_iter().for_each(Caller::hang_up);
    blue.into_iter().for_each(terminated);
    assert_eq!(promised(&coordinator, &["b1", "b2", "g1", "g2"]), 3);
}

#[test]
fn a_coordinator_that_has_lost_its_records_turns_no_worker_away() {
    let mut coordinator = Coordinator::start();
    let workers = coordinator.serving("v1", ["b1", "b2"]);
    let mut call = Caller::call(workers[0].calls, "call");
    coordinator.kill();
    std::fs::remove_dir_all(coordinator.path("coordinator")).unwrap();
    coordinator.come_back();
    // Nobody joins a coordinator that knows no version; once it knows this one again, both do.
    coordinator.order(&["deploy", "v1", "--workers", "2"]);
    coordinator.wait_for("completed");
    call.talk(0);
    for worker in &workers {
        let snapshot = worker.snapshot();
        assert_eq!((&snapshot["phase"], &snapshot["draining"]), (&"serving".into(), &false.into()), "{snapshot}");
    }
}

#[test]
fn a_coordinator_that_is_killed_goes_on_where_it_was_and_calls_do_not_notice() {
    let mut coordinator = Coordinator::start();
    let blue = coordinator.serving("v1", ["b1", "b2"]);
    let mut old = Caller::call(blue[0].calls, "old");
    coordinator.order(&["deploy", "v2"]);
    coordinator.kill();
    // Its workers serve on, and new ones wait for it.
    let mut during = Caller::call(blue[1].calls, "during");
    let green = ["g1", "g2"].map(|name| coordinator.worker(name, "v2"));
    assert!(green.iter().all(|worker| is("standby")(&worker.snapshot())));
    coordinator.come_back();
    assert_eq!((&coordinator.ready["resumed"], &coordinator.ready["epoch"]), (&true.into(), &2.into()));
    coordinator.wait_for("draining");
    for worker in &blue {
        worker.wait_until(is("draining"));
    }

    coordinator.kill();
    for call in [&mut old, &mut during] {
        call.talk(3);
    }
    // What happens meanwhile is seen afterwards.
    during.hang_up();
    blue[1].wait_until(is("drained"));
    let mut new = Caller::call(green[0].calls, "new");
    coordinator.come_back();
    let state = coordinator.wait_until(|state| state["versions"][1]["ready"] == 2);
    assert_eq!((&state["rollout"]["stage"], &state["epoch"]), (&"draining".into(), &3.into()), "{state}");
    old.talk(4);
    new.talk(4);
    old.hang_up();
    coordinator.order(&["rollout", "status", "--watch"]);
    blue.into_iter().for_each(left_clean);

    new.hang_up();
    green.into_iter().for_each(terminated);
    assert_eq!(promised(&coordinator, &["b1", "b2", "g1", "g2"]), 3);
    let state = coordinator.state();
    assert_eq!((&state["tally"]["lost"], &state["tally"]["dropped"]), (&0.into(), &0.into()), "{state}");
}

#[test]
fn two_coordinators_do_not_keep_one_journal() {
    let mut coordinator = Coordinator::start();
    let addr = coordinator.addr;
    coordinator.addr = "127.0.0.1:0".parse().unwrap();
    let second = coordinator.command().output().unwrap();
    coordinator.addr = addr;
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    assert!(said(&second).contains("in use"), "{}", said(&second));
    coordinator.kill();
    let foreign = coordinator.command_for("chat").output().unwrap();
    assert_eq!(foreign.status.code(), Some(1), "{}", said(&foreign));
    assert!(said(&foreign).contains("the journal of deployment voice's fleet"), "{}", said(&foreign));
    let token = coordinator.command().env_remove("OPENRTC_OPS_TOKEN").output().unwrap();
    assert!(token.status.code() == Some(2) && said(&token).contains("--token-file"), "{}", said(&token));
    let weak = coordinator.command().env("OPENRTC_OPS_TOKEN", &TOKEN[1..]).output().unwrap();
    assert!(weak.status.code() == Some(2) && said(&weak).contains("at least 16"), "{}", said(&weak));
    coordinator.addr = "0.0.0.0:0".parse().unwrap();
    let open = coordinator.command().output().unwrap();
    assert!(open.status.code() == Some(2) && said(&open).contains("--tls-cert"), "{}", said(&open));
}
