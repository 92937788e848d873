//! Law P1: reporting cannot hurt.

use std::fs::{File, OpenOptions, read_dir, read_to_string, remove_file};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use e2e::workspace::root;
use e2e::{Caller, Worker, http, in_shell, openrtc, run, said};
use rustix::fs::OFlags;
use tempfile::tempdir;

use crate::{embedder, leaves_clean};

/// Has the worker say a line: a stranger talks nonsense.
fn provoke(worker: &Worker) {
    let mut stranger = Caller::connect(worker.calls);
    stranger.send_raw(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(stranger.receive(), None);
}

/// Has it say a line at level `debug`, where each is said.
fn provoke_ops(worker: &Worker) {
    let mut stranger = Caller::connect(worker.ops);
    stranger.send_raw(b"nonsense\r\n\r\n");
    while stranger.receive().is_some() {}
}

/// A pipe with a name, whose reader does not read: not another byte fits.
fn stalled_pipe(path: &Path) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut pipe = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path).unwrap();
    for piece in [4_096, 1] {
        while pipe.write(&vec![b'.'; piece]).is_ok() {}
    }
    pipe
}

#[test]
fn a_log_that_cannot_be_written_costs_no_call() {
    for stderr in ["2>/dev/full", "2>&-", "<&- 2>&-", "2</dev/null"] {
        let worker = Worker::spawn(in_shell(&format!("exec \"$@\" {stderr}")), &[]);
        let mut call = Caller::call(worker.calls, "call");
        for number in 0..20 {
            provoke(&worker);
            call.talk(number);
        }
        leaves_clean(worker, call);
    }
}

#[test]
fn a_reader_of_the_log_that_goes_away_costs_no_call() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("log");
    let reader = stalled_pipe(&path);
    let worker = Worker::spawn(in_shell(&format!("exec \"$@\" 2>{}", path.display())), &[]);
    let mut call = Caller::call(worker.calls, "call");
    provoke(&worker);
    drop(reader);
    provoke(&worker);
    call.talk(0);
    leaves_clean(worker, call);
}

#[test]
fn a_reader_of_the_log_that_stalls_costs_no_call_no_probe_and_no_signal() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("log");
    let reader = stalled_pipe(&path);
    let worker = Worker::spawn(in_shell(&format!("exec \"$@\" 2>{}", path.display())), &[("RUST_LOG", "trace")]);
    let mut call = Caller::call(worker.calls, "call");
    for number in 0..546 {
        provoke(&worker);
        call.talk(number);
    }
    assert_eq!(http(worker.ops, "GET", "/livez", ""), "live\n");
    leaves_clean(worker, call);
    drop(reader);
}

#[test]
fn the_control_loop_does_not_wait_for_a_subscriber_that_an_embedder_brought() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("log");
    let reader = stalled_pipe(&path);
    for stderr in [path.to_str().unwrap(), "/dev/full"] {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec \"$@\" 2>{stderr}"), "sh"])
            .arg(embedder("").get_program())
            .arg("writes-its-log-itself");
        let worker = Worker::spawn(command, &[]);
        let mut call = Caller::call(worker.calls, "call");
        assert!(http(worker.ops, "POST", "/drain", "").contains("\"ok\":true"));
        assert!(http(worker.ops, "POST", "/drain/cancel", "").contains("\"ok\":true"));
        call.talk(0);
        leaves_clean(worker, call);
    }
    drop(reader);
}

#[test]
fn journal_and_trail_do_not_wait_for_a_subscriber_that_an_embedder_brought() {
    let dir = tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (log, journal, trail) = (path("log"), path("journal"), path("trail"));
    let reader = stalled_pipe(&log);
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("exec \"$@\" 2>{}", log.display()), "sh"])
        .arg(embedder("").get_program())
        .arg("writes-its-log-itself");
    let settings = [("OPENRTC_JOURNAL_DIR", &journal), ("OPENRTC_AUDIT_FILE", &trail)];
    let worker = Worker::spawn(command, &settings.map(|(name, path)| (name, path.to_str().unwrap())));
    let call = Caller::call(worker.calls, "call");
    let segment =
        || read_dir(&journal).unwrap().map(|file| file.unwrap().path()).find(|path| path.extension().is_some());
    // Each of these makes them say a line.
    for _ in 0..2 {
        let taken = segment().unwrap();
        remove_file(&taken).unwrap();
        remove_file(&trail).unwrap();
        for order in ["/drain", "/drain/cancel"] {
            assert!(http(worker.ops, "POST", order, "").contains("\"ok\":true"));
        }
        while !(taken.exists() && trail.exists()) {
            std::thread::yield_now();
        }
    }
    leaves_clean(worker, call);
    let out = path("certificate.jsonl");
    let certified = run(&["certify", "--all", "--out", out.to_str().unwrap(), journal.to_str().unwrap()]);
    assert_eq!(certified.status.code(), Some(0), "{}", said(&certified));
    drop(reader);
}

#[test]
fn a_disk_that_journal_and_log_fill_together_costs_no_call() {
    let dir = tempdir().unwrap();
    let (disk, openrtc) = (dir.path().display(), openrtc().display());
    let script = format!(
        "mount -t tmpfs -o size=32k tmpfs {disk} && cd {disk} &&
         exec {openrtc} worker --json --deployment-version v1 2>log"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]);
    let journal = format!("{disk}/journal");
    let worker = Worker::spawn(command, &[("OPENRTC_JOURNAL_DIR", &journal), ("RUST_LOG", "trace")]);
    let call = Caller::call(worker.calls, "open-throughout");
    let mut number = 0;
    while worker.snapshot()["journal"]["failing"] == false {
        Caller::call(worker.calls, &format!("call-{number}")).hang_up();
        number += 1;
    }
    for late in 0..20 {
        provoke(&worker);
        Caller::call(worker.calls, &format!("late-{late}")).hang_up();
    }
    leaves_clean(worker, call);
}

#[test]
fn a_thousand_strangers_cause_a_few_lines_and_the_rest_is_counted() {
    let worker = Worker::start(&[]);
    let call = Caller::call(worker.calls, "call");
    (0..1_000).for_each(|_| provoke(&worker));
    let log = leaves_clean(worker, call);
    let lines = log.matches("the connection made no offer").count();
    assert!((10..500).contains(&lines), "{lines} lines: {log}");
}

#[test]
fn what_the_log_is_missing_is_told_once_it_is_read_again() {
    let dir = tempdir().unwrap();
    let (disk, openrtc) = (dir.path().display(), openrtc().display());
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {disk} && cd {disk} && head -c 60k /dev/zero >fill &&
         exec {openrtc} worker --json --deployment-version v1 2>log"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]);
    let worker = Worker::spawn(command, &[("RUST_LOG", "debug")]);
    let on_disk = |name: &str| format!("/proc/{}/root{disk}/{name}", worker.id());
    let metric = || {
        let page = http(worker.ops, "GET", "/metrics", "");
        let line = page.lines().find(|line| line.starts_with("openrtc_log_lines_dropped_total")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    while metric() == 0 {
        provoke_ops(&worker);
    }
    remove_file(on_disk("fill")).unwrap();
    while !read_to_string(on_disk("log")).unwrap().contains("log lines are missing here") {
        provoke_ops(&worker);
    }
}

/// Whatever is written in any other way than through `log` waits for its reader, and panics without one.
#[test]
fn nothing_in_a_worker_writes_past_the_log() {
    let mut files: Vec<_> =
        ["cli/src/worker.rs", "cli/src/main.rs", "demo/src/echo.rs"].map(|file| root().join(file)).into();
    for folder in ["core/src", "records/src", "runtime/src", "runtime/examples"] {
        list(&root().join(folder), &mut files);
    }
    assert!(files.len() > 80, "only {} files were found", files.len());
    let ways = ["println!", "print!", "eprint!", "dbg!", "io::stdout()", "io::stderr()"];
    let mut found = Vec::new();
    for file in files {
        for line in read_to_string(&file).unwrap().lines() {
            let code = line.split("//").next().unwrap();
            // The one looks and does not write; the other is a sink, whose errors are counted, on a thread of its own.
            let fine = ["io::stderr().is_terminal()", "write_all(&mut io::stdout().lock(), lines)"];
            if ways.iter().any(|way| code.contains(way)) && !fine.iter().any(|fine| code.contains(fine)) {
                found.push(format!("{}: {line}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn list(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
