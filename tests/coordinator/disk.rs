//! A coordinator's journal that cannot be written, or holds less than was written there.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use e2e::{TOKEN, Worker, http, said};
use serde_json::Value;

use crate::rig::{Coordinator, is, may_mount};

/// Gives an order over HTTP; the status and the body.
fn post(coordinator: &Coordinator, path: &str) -> (u16, Value) {
    use std::io::Read;

    let mut stream = std::net::TcpStream::connect(coordinator.addr).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

/// Takes every byte that is left on the disk at `path`.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    loop {
        match file.write(&[0; 512]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// No order is taken while nothing can be written, each is refused with `why`, and no worker hears of any.
fn refuses_orders(coordinator: &Coordinator, workers: &[Worker], why: &str) {
    let dir = coordinator.path("coordinator").display().to_string();
    for order in ["/v1/rollout/undo", "/v1/workers/b1/cordon", "/v1/workers/b2/drain", "/v1/workers/b1/uncordon"] {
        let (status, answer) = post(coordinator, order);
        let message = answer["message"].as_str().unwrap();
        assert_eq!((status, &answer["ok"]), (503, &false.into()), "{order}: {message}");
        assert!(message.contains(&dir) && message.contains(why), "{order}: {message}");
    }
    let deploy = coordinator.ask(&["deploy", "v2"]);
    assert!(deploy.status.code() == Some(1) && said(&deploy).contains(why), "{}", said(&deploy));
    let state = coordinator.state();
    assert_eq!(state["journal"]["failing"], true, "{state}");
    assert!(state["journal"]["trouble"].as_str().unwrap().contains(why), "{state}");
    let shown = coordinator.order(&["rollout", "status"]);
    assert!(shown.contains("STOPPED") && shown.contains(why), "{shown}");
    assert!(workers.iter().all(|worker| is("serving")(&worker.snapshot())), "nobody was told to drain");
}

#[test]
fn a_coordinator_on_a_full_disk_stands_still_says_so_and_knows_after_a_restart_all_that_it_said_was_done() {
    if !may_mount() {
        return;
    }
    let coordinator = Coordinator::start_on_a_disk(256);
    let workers = coordinator.serving("v1", ["b1", "b2"]);
    fill(&coordinator.in_its_world("coordinator/fill"));
    // The page that the journal ends in has room for a few entries more.
    let (mut acknowledged, mut paused) = (0, false);
    let refused = loop {
        let order = if paused { "/v1/rollout/resume" } else { "/v1/rollout/pause" };
        match post(&coordinator, order) {
            (200, answer) => (acknowledged, paused) = (answer["state"]["seq"].as_u64().unwrap(), !paused),
            (status, answer) => break (status, answer["message"].as_str().unwrap().to_owned()),
        }
    };
    assert!(refused.0 == 503 && refused.1.contains("once it can be, this is done"), "{refused:?}");
    refuses_orders(&coordinator, &workers, "No space left on device");

    // What a coordinator knows that is started on this journal now.
    let mut again = Coordinator::start();
    again.kill();
    fs::remove_dir_all(again.path("coordinator")).unwrap();
    fs::create_dir(again.path("coordinator")).unwrap();
    for file in fs::read_dir(coordinator.in_its_world("coordinator")).unwrap().map(Result::unwrap) {
        if file.path().extension().is_some_and(|extension| extension == "orj") {
            fs::copy(file.path(), again.path("coordinator").join(file.file_name())).unwrap();
        }
    }
    again.come_back();
    let state = again.state();
    // Its own start is the one entry more.
    assert_eq!((&state["seq"], !state["paused"].is_null()), (&(acknowledged + 1).into(), paused), "{state}");

    fs::remove_file(coordinator.in_its_world("coordinator/fill")).unwrap();
    let state = coordinator.wait_until(|state| state["journal"]["failing"] == false);
    assert_eq!(!state["paused"].is_null(), !paused, "the order that met the full disk is done: {state}");
    coordinator.order(&["cordon", "b1"]);
    workers[0].wait_until(|snapshot| snapshot["draining"] == true);
}

#[test]
fn a_coordinator_whose_directory_is_gone_refuses_orders_until_it_can_be_had_again() {
    let mut coordinator = Coordinator::start();
    let workers = coordinator.serving("v1", ["b1", "b2"]);
    let dir = coordinator.path("coordinator");
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "in the way").unwrap();
    // Also before anybody asks.
    coordinator.wait_until(|state| state["journal"]["failing"] == true);
    assert_eq!(post(&coordinator, "/v1/rollout/pause").0, 503);
    refuses_orders(&coordinator, &workers, "deleted");

    fs::remove_file(&dir).unwrap();
    coordinator.wait_until(|state| state["journal"]["failing"] == false);
    coordinator.order(&["rollout", "pause"]);
    coordinator.order(&["cordon", "b1"]);
    coordinator.kill();
    coordinator.come_back();
    coordinator.wait_until(|state| state["versions"][0]["ready"] == 1);
    assert!(!coordinator.state()["paused"].is_null(), "everything that was said to be done is known");
}

#[test]
fn a_worker_whose_journal_has_no_directory_says_so_and_serves_on() {
    let coordinator = Coordinator::start();
    let workers = coordinator.serving("v1", ["b1", "b2"]);
    let failing = |is: bool| move |snapshot: &Value| snapshot["journal"]["failing"] == is;
    fs::remove_dir_all(coordinator.path("b1")).unwrap();
    fs::write(coordinator.path("b1"), "in the way").unwrap();
    workers[0].wait_until(failing(true));
    assert!(http(workers[0].ops, "GET", "/metrics", "").contains("openrtc_journal_failing"));
    assert!(is("serving")(&workers[0].snapshot()));
    fs::remove_file(coordinator.path("b1")).unwrap();
    workers[0].wait_until(failing(false));
}

#[test]
fn a_damaged_journal_is_refused_by_name_and_accepted_with_a_flag() {
    let mut coordinator = Coordinator::start();
    coordinator.order(&["deploy", "v1"]);
    coordinator.order(&["deploy", "v2", "--supersede"]);
    coordinator.kill();
    let files = fs::read_dir(coordinator.path("coordinator")).unwrap().map(|file| file.unwrap().path());
    let segment = files.filter(|path| path.extension().is_some_and(|extension| extension == "orj")).max().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() - 200;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let refused = coordinator.command().output().unwrap();
    let told = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let named = [segment.to_str().unwrap(), "at byte ", "backup", "--accept-loss"];
    assert!(named.iter().all(|name| told.contains(name)), "{told}");
    coordinator.args.push("--accept-loss".into());
    coordinator.come_back();
    assert_eq!(coordinator.ready["resumed"], true, "{}", coordinator.ready);
}
