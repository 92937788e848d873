//! One real worker process under real signals and real sockets.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use e2e::{Caller, Worker, keygen, kind, openrtc, run, said};
use rustix::process::Signal;
use tempfile::tempdir;

fn draining(snapshot: &serde_json::Value) -> bool {
    snapshot["draining"] == true
}

#[test]
fn a_call_reserved_before_sigterm_and_assigned_after_it_is_served_to_its_end() {
    let worker = Worker::start(&[]);
    let (mut classic, answer) = Caller::offer(worker.calls, "classic");
    assert_eq!(answer, kind::ACCEPT);
    worker.signal(Signal::TERM);
    worker.wait_until(draining);
    assert_eq!(Caller::offer(worker.calls, "late").1, kind::DECLINE, "it listens on, and declines");

    classic.send(kind::ASSIGN, &[]);
    (0..10).for_each(|number| classic.talk(number));
    classic.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("drained, 0 calls dropped"), "{log}");
}

#[test]
fn a_burst_of_a_hundred_sigterms_drains_once_and_drops_nothing() {
    let journal = tempdir().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", journal.path().to_str().unwrap())]);
    let mut calls: Vec<_> = (0..20).map(|n| Caller::call(worker.calls, &format!("call-{n}"))).collect();
    for _ in 0..100 {
        worker.signal(Signal::TERM);
    }
    worker.wait_until(draining);
    for (number, call) in calls.iter_mut().enumerate() {
        call.talk(u32::try_from(number).unwrap());
    }
    calls.into_iter().for_each(Caller::hang_up);
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    let shown = run(&["journal", "show", "--json", journal.path().to_str().unwrap()]);
    assert_eq!(said(&shown).matches("DrainBegun").count(), 1);
    assert_eq!(said(&shown).matches("caller_hangup").count(), 20);
}

#[test]
fn a_thousand_calls_that_hang_up_at_once_let_it_exit_clean() {
    let journal = tempdir().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", journal.path().to_str().unwrap())]);
    let mut calls: Vec<_> = (0..1_000).map(|n| Caller::call(worker.calls, &format!("call-{n}"))).collect();
    worker.wait_until(|snapshot| snapshot["active_sessions"] == 1_000 && snapshot["reserved_sessions"] == 0);
    worker.signal(Signal::TERM);
    for call in &mut calls {
        call.send(kind::HANGUP, &[]);
    }
    for call in &mut calls {
        assert_eq!(call.receive(), Some((kind::BYE, vec![])));
    }
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    let verified = run(&["journal", "verify", journal.path().to_str().unwrap()]);
    assert!(said(&verified).contains("1000 calls, drained, 0 dropped"), "{}", said(&verified));
}

#[test]
fn strangers_that_say_nothing_or_nonsense_cost_nobody_anything() {
    let worker = Worker::start(&[]);
    let mut call = Caller::call(worker.calls, "sibling");
    let silent = Caller::connect(worker.calls);
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[1, 0xff, 0xff], &[99, 0, 0], &[6, 0, 0]] {
        let mut stranger = Caller::connect(worker.calls);
        stranger.send_raw(nonsense);
        assert_eq!(stranger.receive(), None, "closed, without an answer, after {nonsense:?}");
    }
    let (mut rude, _) = Caller::offer(worker.calls, "rude");
    rude.send(kind::ASSIGN, &[]);
    rude.send_raw(&[5, 1, 2]);
    drop(rude);
    worker.wait_until(|snapshot| snapshot["active_sessions"] == 1);
    call.talk(1);
    worker.signal(Signal::TERM);
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("a frame of 65535 bytes: at most 512 are allowed"), "{log}");
    drop(silent);
}

/// SIP Call-IDs have a hundred bytes and more, and whatever characters: what fits is taken, what does not is told no.
#[test]
fn an_offer_whose_id_cannot_be_used_is_refused_and_counted() {
    let journal = tempdir().unwrap();
    let dir = journal.path().to_str().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", dir)]);
    for id in [&"x".repeat(255), "sip 0123@example.org; Ärger mit 電話"] {
        let mut taken = Caller::call(worker.calls, id);
        taken.talk(0);
        taken.hang_up();
    }
    for id in ["", "two\nlines", &"x".repeat(256), &"x".repeat(512)] {
        assert_eq!(Caller::offer(worker.calls, id).1, kind::DECLINE, "{id:?}");
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0.code(), Some(0));
    let shown = said(&run(&["journal", "show", "--json", dir]));
    assert!(
        shown.contains(r#""CallsDeclined":{"count":4,"reason":"invalid"}"#)
            || shown.contains(r#"{"reason":"invalid","count":4}"#),
        "{shown}"
    );
}

#[test]
fn a_killed_worker_leaves_a_journal_that_names_its_calls() {
    let journal = tempdir().unwrap();
    let dir = journal.path().to_str().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", dir)]);
    let _taken = Caller::call(worker.calls, "taken-by-the-kill");
    Caller::call(worker.calls, "ended-before").hang_up();
    worker.signal(Signal::KILL);
    assert_eq!(worker.end().0.signal(), Some(9));

    let verified = run(&["journal", "verify", dir]);
    assert_eq!(verified.status.code(), Some(0), "unclosed is honest, not corrupt: {}", said(&verified));
    assert!(said(&verified).contains("open at the end: taken-by-the-kill"), "{}", said(&verified));
    assert!(!said(&verified).contains("ended-before"));

    let next = Worker::start(&[("OPENRTC_JOURNAL_DIR", dir)]);
    next.signal(Signal::TERM);
    let (_, log) = next.end();
    assert!(log.contains("call lost in the crash of the run before") && log.contains("taken-by-the-kill"), "{log}");
    let verified = run(&["journal", "verify", dir]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert_eq!(said(&verified).matches("\nrun ").count(), 2);
}

#[test]
fn a_journal_that_was_altered_is_found_out() {
    let journal = tempdir().unwrap();
    let dir = journal.path().to_str().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", dir)]);
    Caller::call(worker.calls, "only").hang_up();
    worker.signal(Signal::TERM);
    worker.end();
    let segment = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some()).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let verified = run(&["journal", "verify", dir]);
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    assert!(said(&verified).contains("the journal is NOT whole"), "{}", said(&verified));
}

#[test]
fn what_cannot_work_is_refused_at_start_with_the_fix() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = busy.local_addr().unwrap().to_string();
    let long = "v".repeat(300);
    let holder = Worker::start(&[("OPENRTC_JOURNAL_DIR", dir.path().to_str().unwrap())]);
    for (args, settings, code, says) in [
        (vec!["--deployment-version", ""], vec![], 2, "deployment version is empty"),
        (vec!["--deployment-version", &long], vec![], 2, "300 bytes long: shorten it"),
        (vec!["--frobnicate"], vec![], 2, "unexpected argument '--frobnicate'"),
        (vec!["--listen", &taken], vec![("OPENRTC_DEPLOYMENT_VERSION", "v1")], 2, "port 0 picks a free one"),
        (vec![], vec![("OPENRTC_DEPLOYMENT_VERSION", "v1"), ("OPENRTC_CAPACITY", "0")], 2, "set it to 1 or more"),
        (vec![], vec![("OPENRTC_DEPLOYMENT_VERSION", "v1"), ("OPENRTC_OPS_ADDR", &taken)], 2, "OPENRTC_OPS_ADDR"),
        (
            vec![],
            vec![("OPENRTC_DEPLOYMENT_VERSION", "v1"), ("OPENRTC_JOURNAL_DIR", file.to_str().unwrap())],
            2,
            "is a file: name a directory",
        ),
        (
            vec![],
            vec![("OPENRTC_DEPLOYMENT_VERSION", "v1"), ("OPENRTC_JOURNAL_DIR", dir.path().to_str().unwrap())],
            2,
            "in use by another worker",
        ),
    ] {
        let output = Command::new(openrtc()).arg("worker").args(&args).envs(settings).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(says), "{args:?} should say {says:?}: {}", said(&output));
    }
    holder.signal(Signal::TERM);
    assert_eq!(holder.end().0.code(), Some(0));
}

#[test]
fn systemd_hears_ready_then_stopping_and_gets_asked_for_time() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let hear = || {
        let mut buffer = [0; 512];
        let read = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let hear_until = |wanted: &str| {
        let mut heard = String::new();
        while !heard.contains(wanted) {
            heard += &hear();
        }
        heard
    };
    let worker = Worker::start(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert!(!hear_until("READY=1").contains("STOPPING=1"));
    let call = Caller::call(worker.calls, "call");
    worker.wait_until(|snapshot| snapshot["reserved_sessions"] == 0);

    // A drain that can be taken back must not tell systemd that the process is going.
    let drain = run(&["drain", &worker.ops.to_string(), "--actor", "alice"]);
    assert_eq!(drain.status.code(), Some(0), "{}", said(&drain));
    worker.signal(Signal::TERM);
    let heard = hear_until("EXTEND_TIMEOUT_USEC=30000000");
    assert!(heard.contains("STOPPING=1") || hear_until("STOPPING=1").contains("STOPPING=1"));
    assert!(heard.contains("STATUS=draining, 1 calls"), "{heard}");
    call.hang_up();
    assert_eq!(worker.end().0.code(), Some(0));
}

#[test]
fn status_and_drain_speak_to_real_workers_and_silence_is_unknown() {
    let worker = Worker::start(&[]);
    let call = Caller::call(worker.calls, "call");
    let ops = worker.ops.to_string();
    let status = run(&["status", &ops, "127.0.0.1:1"]);
    assert_eq!(status.status.code(), Some(1), "{}", said(&status));
    assert!(said(&status).contains("serving") && said(&status).contains("unknown"), "{}", said(&status));

    for (args, says) in [
        (vec!["--deadline", "1h", "--on-deadline", "alert"], "done: draining, 1 of 1000 calls"),
        (vec!["--extend", "2h"], "done"),
        (vec!["--cancel"], "done"),
        (vec![], "done"),
    ] {
        let drain = run(&[&["drain", &ops, "--actor", "alice"], &args[..]].concat());
        assert!(drain.status.success() && said(&drain).contains(says), "{args:?}: {}", said(&drain));
    }
    let status = run(&["status", &ops, "--json"]);
    assert!(said(&status).contains("\"actor\": \"alice\""), "{}", said(&status));
    call.hang_up();
    assert_eq!(worker.end().0.code(), Some(0), "an API drain ends the process too");
}

#[test]
fn a_worker_alone_leaves_as_soon_as_an_api_drain_is_done() {
    let worker = Worker::start(&[]);
    let call = Caller::call(worker.calls, "last");
    let drain = run(&["drain", &worker.ops.to_string(), "--actor", "alice"]);
    assert_eq!(drain.status.code(), Some(0), "{}", said(&drain));
    assert_eq!(worker.snapshot()["phase"], "draining", "it waits for the call");
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "nobody had to tell it: {log}");
}

#[test]
fn a_parked_worker_stays_when_it_has_drained_until_it_is_cancelled_or_signalled() {
    let worker = Worker::start(&[("OPENRTC_LEAVE", "parked")]);
    let order = |flags: &[&str]| {
        let done = run(&[&["drain", &worker.ops.to_string(), "--actor", "alice"], flags].concat());
        assert_eq!(done.status.code(), Some(0), "{flags:?}: {}", said(&done));
    };
    let drained = |snapshot: &serde_json::Value| snapshot["phase"] == "drained";
    order(&[]);
    worker.wait_until(drained);
    assert_eq!(Caller::offer(worker.calls, "late").1, kind::DECLINE, "it is up, and closed");
    assert!(drained(&worker.snapshot()));

    order(&["--cancel"]);
    let mut call = Caller::call(worker.calls, "welcome-back");
    call.talk(1);
    order(&[]);
    call.hang_up();
    worker.wait_until(drained);
    worker.signal(Signal::TERM);
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("drained, 0 calls dropped"), "{log}");
}

#[test]
fn a_lame_duck_of_a_second_declines_for_a_second_before_an_idle_worker_is_gone() {
    let journal = tempdir().unwrap();
    let dir = journal.path().to_str().unwrap();
    let worker = Worker::start(&[("OPENRTC_JOURNAL_DIR", dir), ("OPENRTC_LAME_DUCK", "1s")]);
    worker.signal(Signal::TERM);
    worker.wait_until(|snapshot| snapshot["phase"] == "drained");
    for number in 0..20 {
        assert_eq!(Caller::offer(worker.calls, &format!("late-{number}")).1, kind::DECLINE, "a clear no");
    }
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");

    let shown = run(&["journal", "show", "--json", dir]);
    let entries: Vec<serde_json::Value> =
        shown.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let at = |event: &str| {
        let told = entries.iter().find(|line| !line["entry"]["event"][event].is_null());
        told.unwrap()["entry"]["at"].as_u64().unwrap()
    };
    assert!(at("Exited") - at("DrainBegun") >= 1_000_000, "{}", said(&shown));
    let declined = entries.iter().filter_map(|line| line["entry"]["event"]["CallsDeclined"]["count"].as_u64());
    assert_eq!(declined.sum::<u64>(), 20, "each is counted: {}", said(&shown));
}

#[test]
fn the_audit_trail_of_a_sigterm_says_who_and_why_and_agrees_with_the_journal() {
    let dir = tempdir().unwrap();
    let (journal, file) = (dir.path().join("journal"), dir.path().join("audit.jsonl"));
    let (journal, file) = (journal.to_str().unwrap(), file.to_str().unwrap());
    let key = dir.path().join("key");
    let key = key.to_str().unwrap();
    keygen(key.as_ref());
    let settings = [("OPENRTC_JOURNAL_DIR", journal), ("OPENRTC_AUDIT_FILE", file), ("OPENRTC_SIGNING_KEY_FILE", key)];
    let worker = Worker::start(&settings);
    let _taken = Caller::call(worker.calls, "taken-by-the-kill");
    worker.signal(Signal::KILL);
    worker.end();
    let worker = Worker::start(&settings);
    let call = Caller::call(worker.calls, "call");
    worker.signal(Signal::TERM);
    worker.wait_until(draining);
    assert_eq!(Caller::offer(worker.calls, "late").1, kind::DECLINE);
    call.hang_up();
    assert_eq!(worker.end().0.code(), Some(0));

    let public = format!("{key}.pub");
    let verified = run(&["audit", "verify", file, "--journal", journal, "--key", &public]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert!(said(&verified).contains("1 signatures hold"), "{}", said(&verified));
    let trail = std::fs::read_to_string(file).unwrap();
    for says in [
        r#""event":"call.platform_forced""#,
        r#""target":"call:taken-by-the-kill""#,
        r#""event":"deployment.drain_started""#,
        r#""actor":"SIGTERM","target":"worker","result":"success","reason":"signal","count":1"#,
        r#""event":"call.declined""#,
        r#""event":"deployment.completed""#,
    ] {
        assert!(trail.contains(says), "{says} is missing in\n{trail}");
    }
    std::fs::write(file, trail.replace("SIGTERM", "SIGKILL")).unwrap();
    let verified = run(&["audit", "verify", file, "--journal", journal]);
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    assert!(said(&verified).contains("it was altered"), "{}", said(&verified));
}
