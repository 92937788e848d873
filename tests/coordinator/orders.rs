//! What people ask of a coordinator, and what it answers.

use std::fs::File;
use std::process::{Command, Output};

use e2e::{Caller, TOKEN, openrtc, said};
use serde_json::Value;

use crate::rig::{Coordinator, is, waits_for};

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

#[test]
fn a_rollout_waits_for_a_person_and_is_paused_and_resumed_and_the_second_of_two_hears_of_the_first() {
    let coordinator = Coordinator::start();
    let blue = coordinator.serving("v1", ["b1", "b2"]);
    coordinator.order(&["deploy", "v2", "--manual"]);

    let second = coordinator.ask(&["deploy", "v3", "--json"]);
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    let message = json(&second)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("a rollout to v2, asked by alice, is under way"), "{message}");
    assert!(coordinator.order(&["deploy", "v2", "--manual"]).contains("already"), "whoever repeats it hears so");

    coordinator.order(&["rollout", "pause"]);
    let green = ["g1", "g2"].map(|name| coordinator.worker(name, "v2"));
    let state = coordinator.wait_until(|state| state["versions"][1]["ready"] == 2);
    assert_eq!((&state["rollout"]["stage"], &state["paused"]["actor"]), (&"provisioning".into(), &"alice".into()));
    let shown = coordinator.order(&["rollout", "status"]);
    assert!(shown.contains("it is paused, by alice: asked to: resume it"), "{shown}");
    assert!(shown.contains("v1 → v2: paused, asked by alice"), "{shown}");
    assert!(green.iter().all(|worker| is("standby")(&worker.snapshot())));

    coordinator.order(&["rollout", "resume"]);
    let state = coordinator.wait_until(|state| waits_for(state, "gate"));
    assert_eq!(state["waits"][0]["way_out"], "promote it, or take it back");
    let shown = coordinator.order(&["rollout", "status"]);
    assert!(shown.contains("v1 → v2: waits for promote, asked by alice"), "{shown}");
    for worker in green.iter().chain(&blue) {
        worker.wait_until(is("serving"));
    }
    coordinator.order(&["rollout", "promote"]);
    coordinator.wait_for("completed");
    for worker in blue {
        assert!(worker.end().0.success());
    }
    let late = coordinator.ask(&["rollout", "undo"]);
    assert_eq!(late.status.code(), Some(1), "{}", said(&late));
    assert!(said(&late).contains("the rollout is over"), "{}", said(&late));
}

#[test]
fn one_worker_is_cordoned_put_back_and_drained_by_its_name() {
    let coordinator = Coordinator::start();
    let [one, other] = coordinator.serving("v1", ["w1", "w2"]);
    let call = Caller::call(one.calls, "a");
    coordinator.order(&["cordon", "w1"]);
    one.wait_until(is("draining"));
    coordinator.wait_until(|state| state["versions"][0]["calls"] == 1);
    let workers = json(&coordinator.ask(&["workers", "--json"]));
    let shown = |name: &str| workers.as_array().unwrap().iter().find(|row| row["worker"] == name).unwrap().clone();
    assert_eq!((&shown("w1")["status"], &shown("w2")["status"]), (&"cordoned".into(), &"member".into()));
    assert_eq!((&shown("w1")["calls"], &shown("w1")["connected"]), (&1.into(), &true.into()));
    coordinator.order(&["uncordon", "w1"]);
    one.wait_until(is("serving"));

    coordinator.order(&["drain", "w1"]);
    one.wait_until(is("draining"));
    call.hang_up();
    let (status, log) = one.end();
    assert!(status.success(), "{log}");
    coordinator.wait_until(|state| state["versions"][0]["workers"] == 1);

    for takes_out in ["drain", "cordon"] {
        let last = coordinator.ask(&[takes_out, "w2"]);
        assert_eq!(last.status.code(), Some(1), "{}", said(&last));
        let told = "w2 is the last worker of v1 that takes new calls: without it each is refused";
        assert!(said(&last).contains(told) && said(&last).contains("--last"), "{}", said(&last));
        assert!(is("serving")(&other.snapshot()));
    }
    let nobody = coordinator.ask(&["drain", "w1", "w2", "--last"]);
    assert_eq!(nobody.status.code(), Some(1), "{}", said(&nobody));
    assert!(said(&nobody).contains("w1  FAILED: no worker has this name"), "{}", said(&nobody));
    assert!(other.end().0.success(), "the other one was asked all the same");
}

/// With a coordinator in the environment an argument is a worker's name, as everywhere else.
#[test]
fn a_coordinator_in_the_environment_is_asked_about_workers_by_name() {
    let coordinator = Coordinator::start();
    let [one, _other] = coordinator.serving("v1", ["w1", "w2"]);
    let ask = |args: &[&str]| {
        let mut command = Command::new(openrtc());
        command.args(args).env("OPENRTC_COORDINATOR", coordinator.url()).env("OPENRTC_OPS_TOKEN", TOKEN);
        command.output().unwrap()
    };
    for (order, drains) in [("cordon", true), ("uncordon", false), ("drain", true)] {
        let told = ask(&[order, "w1"]);
        assert!(told.status.success(), "{order}: {}", said(&told));
        if order != "drain" {
            one.wait_until(|snapshot| snapshot["draining"] == drains);
        }
    }
    assert!(one.end().0.success());
    let endpoint = ask(&["cordon", "127.0.0.1:1"]);
    assert!(said(&endpoint).contains("no worker has this name (a coordinator is asked"), "{}", said(&endpoint));
    let wait = ask(&["drain", "w2", "--wait"]);
    assert!(wait.status.code() == Some(2) && said(&wait).contains("--wait: a coordinator"), "{}", said(&wait));
    let alone = Command::new(openrtc()).args(["drain", "127.0.0.1:1", "--last"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2), "{}", said(&alone));
}

#[test]
fn the_log_says_by_default_and_in_words_who_ordered_what_and_how_a_connection_ended() {
    let mut coordinator = Coordinator::start();
    coordinator.kill();
    let log = coordinator.path("log");
    let mut command = coordinator.command();
    command.env_remove("RUST_LOG").stderr(File::create(&log).unwrap());
    coordinator.come_back_as(command);
    let [worker, _other] = coordinator.serving("v1", ["w1", "w2"]);
    coordinator.order(&["rollout", "pause"]);
    coordinator.order(&["rollout", "pause"]);
    coordinator.ask(&["cordon", "nobody"]);
    worker.signal(rustix::process::Signal::KILL);
    let _ = worker.end();
    let read = || std::fs::read_to_string(&log).unwrap();
    while !read().contains("a worker's connection ends") {
        std::thread::yield_now();
    }
    let log = read();
    for order in [
        "begins the rollout of v1 to 2 workers, 10 at a time, for as long as calls last, asked by alice \
         event=\"order\" actor=alice order=roll out v1 status=200",
        "pauses, by alice: asked to event=\"order\" actor=alice order=pause the rollout status=200",
        "the rollout is paused already event=\"order\" actor=alice order=pause the rollout status=200",
        "no worker has this name event=\"order\" actor=alice order=cordon nobody status=409",
        "peer=127.0.0.1:",
    ] {
        assert!(log.contains(order), "{order}: {log}");
    }
    assert!(!log.contains("Tcp(") && !log.contains("Run {"), "{log}");
}

#[test]
fn orders_need_the_token_and_bodies_are_bounded() {
    let coordinator = Coordinator::start();
    let send = |head: &str, body: &str| raw(&coordinator, head, body);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let order = |more: &str| format!("POST /v1/rollout/pause HTTP/1.1\r\nHost: c\r\n{more}");
    for (head, body, status, says) in [
        (order(""), "", 401, "present the coordinator's token"),
        (order("Authorization: Bearer wrong\r\n"), "", 401, "the token is wrong"),
        (order(&format!("{token}Origin: http://evil.example\r\n")), "", 403, "do not come from web pages"),
        (order(&token), "{\"actor\":", 400, "the body is not valid"),
        (order(&token), "{\"aktor\":\"alice\"}", 400, "unknown field `aktor`"),
        (order(&format!("{token}Content-Length: 1073741824\r\n")), "", 413, "at most 4096 bytes"),
        (order(&token).replace("pause", "dance"), "", 404, "a rollout has no order"),
        (order(&token).replace("rollout/pause", "deploy"), "", 400, "say which version"),
        (order(&token).replace("rollout/pause", "deploy"), "{\"version\":\"a b\"}", 400, "without spaces"),
        (order(&token), "", 200, "pauses, by api: asked to"),
        ("GET /v1/uplink HTTP/1.1\r\nHost: c\r\n".into(), "", 426, "WebSocket"),
    ] {
        let answer = send(&head, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(says), "{head}{body}: {answer}");
    }
}

#[test]
fn a_host_says_that_it_does_not_dial_in() {
    let run = Command::new(openrtc())
        .args(["run", "--listen", "127.0.0.1:0", "--", "true"])
        .env("OPENRTC_COORDINATOR", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert!(run.status.code() == Some(2) && said(&run).contains("a host does not dial in"), "{}", said(&run));
}

/// One request, byte by byte; the whole answer.
fn raw(coordinator: &Coordinator, head: &str, body: &str) -> String {
    use std::io::{Read, Write};

    let mut stream = std::net::TcpStream::connect(coordinator.addr).unwrap();
    let length =
        if head.contains("Content-Length") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(stream, "{head}{length}\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_coordinator_that_does_not_answer_is_named() {
    let mut coordinator = Coordinator::start();
    coordinator.kill();
    for command in [&["rollout", "status"][..], &["workers"], &["deploy", "v1"]] {
        let told = coordinator.ask(command);
        assert_eq!(told.status.code(), Some(1), "{}", said(&told));
        assert!(said(&told).contains(&format!("no coordinator answers at {}", coordinator.url())), "{}", said(&told));
    }
}
