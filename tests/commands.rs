//! The commands for a person at night, against real workers.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::process::{Command, Output, Stdio};

use e2e::{Caller, TOKEN, Worker, http, keygen, kind, openrtc, run, said};
use rustix::process::Signal;
use tempfile::tempdir;

/// A command at work in the background.
fn start(args: &[&str]) -> std::process::Child {
    let mut command = Command::new(openrtc());
    command.env("OPENRTC_OPS_TOKEN", TOKEN).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn drain_waits_until_every_worker_has_drained_and_says_how_each_left() {
    let workers = [Worker::start(&[]), Worker::start(&[("OPENRTC_LEAVE", "parked")])];
    let calls = [0, 1].map(|place| Caller::call(workers[place].calls, "call"));
    let urls = [0, 1].map(|place| workers[place].ops.to_string());
    let waits = start(&["drain", &urls[0], &urls[1], "--actor", "Alice Smith", "--wait"]);
    for worker in &workers {
        worker.wait_until(|snapshot| snapshot["drain"]["actor"] == "Alice-Smith");
    }
    let watches = start(&["status", &urls[0], &urls[1], "--watch"]);
    calls.into_iter().for_each(Caller::hang_up);
    let waited = waits.wait_with_output().unwrap();
    assert_eq!(code(&waited), Some(0), "{}", said(&waited));
    for says in [
        "\"Alice Smith\" goes by the name Alice-Smith here",
        "done: draining, 1 of 1000 calls, api by Alice-Smith",
        &format!("{}  drained, and has left", urls[0]),
        &format!("{}  drained\n", urls[1]),
    ] {
        assert!(said(&waited).contains(says), "{says:?} is missing in {}", said(&waited));
    }
    // It may have been too late for the first one, which it then calls unknown.
    let shown = watches.wait_with_output().unwrap();
    let [first, second] = workers;
    let (status, log) = first.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(code(&shown) == Some(0) || said(&shown).contains("unknown"), "{}", said(&shown));
    second.signal(Signal::TERM);
    assert_eq!(second.end().0.code(), Some(0));
}

#[test]
fn whoever_waits_hears_of_calls_that_were_dropped_of_a_kill_of_a_cancel_and_of_the_time_being_over() {
    let worker = Worker::start(&[("OPENRTC_FORCE_GRACE", "50ms")]);
    let call = Caller::call(worker.calls, "cut");
    let ops = worker.ops.to_string();
    let late = run(&["drain", &ops, "--wait", "--timeout", "10ms"]);
    assert!(code(&late) == Some(1) && said(&late).contains("not drained in time"), "{}", said(&late));
    let waits = start(&["drain", &ops, "--wait"]);
    worker.wait_until(|snapshot| snapshot["phase"] == "draining");
    // The order has been given once it is printed, and only then is it taken back.
    let mut waits = waits;
    let mut out = std::io::BufReader::new(waits.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert!(line.contains("already"), "{line}");
    assert_eq!(code(&run(&["drain", &ops, "--cancel"])), Some(0));
    std::io::Read::read_to_string(&mut out, &mut line).unwrap();
    assert_eq!(waits.wait().unwrap().code(), Some(1), "{line}");
    assert!(line.contains("taken back"), "{line}");

    let forced = run(&["drain", &ops, "--force", "--wait"]);
    assert_eq!(code(&forced), Some(3), "{}", said(&forced));
    assert!(said(&forced).contains("1 calls were dropped by force"), "{}", said(&forced));
    assert_eq!(worker.end().0.code(), Some(3));
    drop(call);

    let killed = Worker::start(&[]);
    let call = Caller::call(killed.calls, "taken");
    let mut watches = start(&["status", &killed.ops.to_string(), "--watch"]);
    let mut out = std::io::BufReader::new(watches.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("serving") {
        assert!(std::io::BufRead::read_line(&mut out, &mut shown).unwrap() > 0, "{shown}");
    }
    killed.signal(Signal::KILL);
    killed.end();
    std::io::Read::read_to_string(&mut out, &mut shown).unwrap();
    assert_eq!(watches.wait().unwrap().code(), Some(1), "{shown}");
    assert!(shown.contains("VANISHED") && shown.contains("last seen serving"), "{shown}");
    drop(call);
}

#[test]
fn a_person_lists_calls_ends_one_and_the_others_go_on() {
    let journal = tempdir().unwrap();
    let dir = journal.path().to_str().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", dir)]);
    let ops = worker.ops.to_string();
    assert!(said(&run(&["calls", &ops])).contains("no calls in flight"));
    let mut stays = Caller::call(worker.calls, "stays");
    let mut ends = Caller::call(worker.calls, "a84b4c76e66710@pc33.example.com");
    stays.talk(1);
    ends.talk(1);
    let listed = run(&["calls", &ops, "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let calls = listed[0]["calls"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["id"], &calls[1]["state"]), (2, &"stays".into(), &"active".into()), "{listed}");
    let first = run(&["calls", &ops, "--limit", "1"]);
    assert!(said(&first).contains("there are more") && !said(&first).contains("a84b"), "{}", said(&first));

    let number = calls[1]["number"].to_string();
    let ended = run(&["calls", &ops, "--end", &number, "--actor", "alice"]);
    assert_eq!(code(&ended), Some(0), "{}", said(&ended));
    assert_eq!(ends.receive().unwrap().0, kind::CUT, "it hears a last word");
    worker.wait_until(|snapshot| snapshot["active_sessions"] == 1);
    assert_eq!(worker.snapshot()["totals"]["ended"]["operator_hangup"], 1);
    stays.talk(2);
    let again = run(&["calls", &ops, "--end", &number]);
    assert!(code(&again) == Some(1) && said(&again).contains("there is no call"), "{}", said(&again));
    let nobody = Command::new(openrtc()).args(["calls", &ops]).env_remove("OPENRTC_OPS_TOKEN").output().unwrap();
    assert!(code(&nobody) == Some(1) && said(&nobody).contains("--token-file"), "{}", said(&nobody));
    worker.signal(Signal::TERM);
    stays.hang_up();
    assert_eq!(worker.end().0.code(), Some(0), "a call that a person ended was not dropped by the drain");
    assert!(said(&run(&["journal", "show", dir])).contains("operator"));
}

#[test]
fn orders_go_through_the_socket_without_a_token_and_a_worker_is_cordoned_uncordoned_and_promoted() {
    let dir = tempdir().unwrap();
    let socket = dir.path().join("ops.sock");
    let url = format!("unix:{}", socket.display());
    let settings =
        [("OPENRTC_OPS_SOCKET", socket.to_str().unwrap()), ("OPENRTC_LEAVE", "parked"), ("OPENRTC_START", "standby")];
    let worker = Worker::start(&settings);
    let order = |args: &[&str], says: &str| {
        let done = Command::new(openrtc()).args(args).env_remove("OPENRTC_OPS_TOKEN").output().unwrap();
        assert!(code(&done) == Some(0) && said(&done).contains(says), "{args:?}: {}", said(&done));
    };
    order(&["status", &url], "standby");
    order(&["promote", &url], "done: serving, 0 of 1000 calls");
    order(&["cordon", &url, "--actor", "alice"], "done: ");
    worker.wait_until(|snapshot| snapshot["phase"] == "drained" && snapshot["drain"]["actor"] == "alice");
    order(&["uncordon", &url], "done: serving");
    order(&["calls", &url], "no calls in flight");
    let elsewhere = run(&["status", &format!("unix:{}", dir.path().join("none").display())]);
    assert!(code(&elsewhere) == Some(1) && said(&elsewhere).contains("OPENRTC_OPS_SOCKET"), "{}", said(&elsewhere));
    worker.signal(Signal::KILL);
    worker.end();
    // What the dead worker left is replaced.
    let next = Worker::start(&settings);
    order(&["status", socket.to_str().unwrap()], "standby");
    next.signal(Signal::TERM);
    assert_eq!(next.end().0.code(), Some(0));
}

/// P8: what a forced drain cut can be scraped when its process is gone.
#[test]
fn the_next_run_shows_what_the_run_before_dropped_and_lost() {
    let journal = tempdir().unwrap();
    let settings = [("OPENRTC_JOURNAL_DIR", journal.path().to_str().unwrap()), ("OPENRTC_FORCE_GRACE", "50ms")];
    let metric = |worker: &Worker, name: &str| {
        let page = http(worker.ops, "GET", "/metrics", "");
        let line = page.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let dropped = |worker: &Worker| metric(worker, "openrtc_previous_run_calls_dropped{");
    let lost = |worker: &Worker| metric(worker, "openrtc_previous_run_calls_lost{");

    let worker = Worker::start(&settings);
    assert_eq!((dropped(&worker), lost(&worker)), (0, 0));
    let _cut = [Caller::call(worker.calls, "one"), Caller::call(worker.calls, "two")];
    let forced = run(&["drain", &worker.ops.to_string(), "--force"]);
    assert_eq!(code(&forced), Some(0), "{}", said(&forced));
    assert_eq!(worker.end().0.code(), Some(3));

    let worker = Worker::start(&settings);
    assert_eq!((dropped(&worker), lost(&worker)), (2, 0));
    let mut taken = Caller::call(worker.calls, "three");
    taken.talk(1);
    assert_eq!(metric(&worker, "openrtc_calls_active{"), 0, "none is only reserved");
    worker.signal(Signal::KILL);
    worker.end();
    let worker = Worker::start(&settings);
    assert_eq!((dropped(&worker), lost(&worker)), (0, 1));
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0.code(), Some(0));
}

#[test]
fn no_command_panics_on_a_closed_pipe_and_each_does_its_work() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (journal, trail, key, made) = (path("journal"), path("trail.jsonl"), path("key"), path("made"));
    keygen(key.as_ref());
    let worker = Worker::start(&[
        ("OPENRTC_JOURNAL_DIR", &journal),
        ("OPENRTC_AUDIT_FILE", &trail),
        ("OPENRTC_LEAVE", "parked"),
    ]);
    let ops = worker.ops.to_string();
    let commands: &[&[&str]] = &[
        &["--help"],
        &["--version"],
        &["audit", "verify", &trail],
        &["calls", &ops],
        &["certify", "--help"],
        &["completions", "zsh"],
        &["cordon", &ops],
        &["drain", &ops, "--wait"],
        &["journal", "show", &journal],
        &["journal", "verify", &journal],
        &["keygen", &made],
        &["nonsense"],
        &["promote", &ops],
        &["sign", "--help"],
        &["status", &ops, "--watch"],
        &["status", &ops],
        &["status", &ops, "--json"],
        &["uncordon", &ops],
        &["verify", "--help"],
    ];
    for args in commands {
        // The reader is gone before the command has begun: `| head -0`, without the race.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(openrtc());
        command.args(*args).env("OPENRTC_OPS_TOKEN", TOKEN).stdout(writer.try_clone().unwrap()).stderr(writer);
        let status = command.status().unwrap();
        assert!(matches!(status.code(), Some(0..=3)), "{args:?}: {status}");
        assert_ne!(status.code(), Some(101), "{args:?}");
    }
    assert!(std::fs::exists(made).unwrap(), "the key was made");
    assert_eq!(worker.snapshot()["phase"], "serving", "the last order was given");
    // A full disk is no reader that has seen enough.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Command::new(openrtc()).args(["status", &ops]).stdout(full).output().unwrap();
    assert!(
        code(&status) == Some(1) && said(&status).contains("standard output cannot be written"),
        "{}",
        said(&status)
    );
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0.code(), Some(0));
}

#[test]
fn audit_verify_looks_across_workers_with_a_verdict_for_each() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for name in ["w1", "w2"] {
        let (journal, trail) = (path(name), path(&format!("{name}.jsonl")));
        let settings = [("OPENRTC_WORKER", name), ("OPENRTC_JOURNAL_DIR", &journal), ("OPENRTC_AUDIT_FILE", &trail)];
        let worker = Worker::start(&settings);
        worker.signal(Signal::TERM);
        assert_eq!(worker.end().0.code(), Some(0));
    }
    let all = dir.path().to_str().unwrap();
    let verified = run(&["audit", "verify", all]);
    assert_eq!(code(&verified), Some(0), "{}", said(&verified));
    for says in ["default/w1\n", "default/w2\n", "2 trails, 0 of them NOT whole"] {
        assert!(said(&verified).contains(says), "{says:?} is missing in {}", said(&verified));
    }
    let both = run(&["audit", "verify", all, "--journal", &path("w1")]);
    assert!(code(&both) == Some(2) && said(&both).contains("name one worker's trail"), "{}", said(&both));

    let trail = std::fs::read_to_string(path("w2.jsonl")).unwrap();
    std::fs::write(path("w2.jsonl"), trail.replacen("SIGTERM", "SIGQUIT", 1)).unwrap();
    let verified = run(&["audit", "verify", &path("w1.jsonl"), &path("w2.jsonl"), "--json"]);
    assert_eq!(code(&verified), Some(1), "{}", said(&verified));
    let verdicts: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    let verdict = |place: usize| (verdicts[place]["trail"].clone(), verdicts[place]["whole"].clone());
    assert_eq!(verdict(0), ("default/w1".into(), true.into()));
    assert_eq!(verdict(1), ("default/w2".into(), false.into()));
    let none = tempdir().unwrap();
    let empty = run(&["audit", "verify", none.path().to_str().unwrap()]);
    assert!(code(&empty) == Some(2) && said(&empty).contains("holds no audit trail"), "{}", said(&empty));
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert_eq!(code(&script), Some(0), "{shell}");
        assert!(said(&script).contains("uncordon") && said(&script).contains("token-file"), "{shell}");
    }
}
