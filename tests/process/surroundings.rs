//! What is around a worker when it starts, and is not as it should be.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use e2e::{Caller, Worker, http, in_shell, openrtc, said};
use rustix::process::Signal;
use tempfile::tempdir;

use crate::leaves_clean;

#[test]
fn a_limit_on_the_size_of_files_costs_the_journal_and_no_call() {
    let journal = tempdir().unwrap();
    let settings = [("OPENRTC_JOURNAL_DIR", journal.path().to_str().unwrap())];
    // In blocks of 512 bytes or of 1024, as the shell has it.
    let worker = Worker::spawn(in_shell("ulimit -f 8; exec \"$@\""), &settings);
    let call = Caller::call(worker.calls, "open-throughout");
    let mut number = 0;
    while worker.snapshot()["journal"]["failing"] == false {
        Caller::call(worker.calls, &format!("call-{number}")).hang_up();
        number += 1;
    }
    (0..20).for_each(|late| Caller::call(worker.calls, &format!("late-{late}")).hang_up());
    leaves_clean(worker, call);
}

#[test]
fn variables_that_are_not_text_and_a_directory_that_is_gone_harm_nothing() {
    let (gone, journal) = (tempdir().unwrap(), tempdir().unwrap());
    let line = format!("cd {0}; rmdir {0}; exec \"$@\"", gone.path().display());
    let mut command = in_shell(&line);
    for name in ["SOME_NAME", "RUST_LOG", "USER", "HOME"] {
        command.env(name, OsStr::from_bytes(b"\xff\xfe"));
    }
    let worker = Worker::spawn(command, &[("OPENRTC_JOURNAL_DIR", journal.path().to_str().unwrap())]);
    let call = Caller::call(worker.calls, "call");
    leaves_clean(worker, call);

    let mut command = Command::new(openrtc());
    command.args(["worker", "--deployment-version", "v1"]).env("OPENRTC_CAPACITY", OsStr::from_bytes(b"\xff"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("OPENRTC_CAPACITY") && said(&output).contains("UTF-8"), "{}", said(&output));
}

#[test]
fn a_worker_without_standard_output_serves() {
    for (number, stdout) in [">&-", ">/dev/full"].into_iter().enumerate() {
        // Nobody else uses this address, so the ports are free.
        let host = format!("127.77.0.{}", number + 1);
        let (calls, ops) = (format!("{host}:7001"), format!("{host}:7002"));
        let mut command = in_shell(&format!("exec \"$@\" --listen {calls} {stdout}"));
        command.env("OPENRTC_OPS_ADDR", &ops).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        while std::net::TcpStream::connect(&ops).is_err() {
            std::thread::yield_now();
        }
        let mut call = Caller::call(calls.parse().unwrap(), "call");
        call.talk(0);
        e2e::signal(&child, Signal::TERM);
        while !http(ops.parse().unwrap(), "GET", "/snapshot", "").contains("\"draining\":true") {
            std::thread::yield_now();
        }
        call.hang_up();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{stdout}: {}", said(&output));
    }
}

#[test]
fn an_error_at_start_keeps_its_exit_code_when_it_cannot_be_said() {
    let output = in_shell("exec \"$@\" 2>/dev/full").env("OPENRTC_CAPACITY", "0").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn a_umask_that_takes_everything_is_an_error_at_start_or_harms_nothing() {
    let dir = tempdir().unwrap();
    let journal = dir.path().join("journal");
    let worker =
        Worker::spawn(in_shell("umask 777; exec \"$@\""), &[("OPENRTC_JOURNAL_DIR", journal.to_str().unwrap())]);
    let call = Caller::call(worker.calls, "call");
    leaves_clean(worker, call);
}

#[test]
fn a_host_name_that_cannot_name_the_worker_is_refused() {
    let name = "h".repeat(64);
    let line = format!("hostname {name} && exec {} worker --deployment-version v1", openrtc().display());
    let mut command = Command::new("unshare");
    let output = command.args(["--uts", "--map-root-user", "sh", "-c", &line]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains(&name) && said(&output).contains("set OPENRTC_WORKER"), "{}", said(&output));
}

#[test]
fn a_worker_in_standby_does_not_say_that_it_takes_calls() {
    for (start, says) in [("standby", "is in standby, and will take calls on"), ("serving", "takes calls on")] {
        let mut command = Command::new(openrtc());
        command.args(["worker", "--deployment-version", "v1"]).env("OPENRTC_START", start).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert!(line.contains(says), "{line}");
        e2e::signal(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_supervisor_whose_patience_is_not_known_is_warned_of() {
    for (settings, warns) in [
        (vec![("SUPERVISOR_ENABLED", "1")], true),
        (
            vec![
                ("SUPERVISOR_ENABLED", "1"),
                ("OPENRTC_PLATFORM_GRACE", "2h"),
                ("OPENRTC_DRAIN_TIMEOUT", "1h"),
                ("OPENRTC_ON_DEADLINE", "force"),
            ],
            false,
        ),
    ] {
        let worker = Worker::start(&settings);
        worker.signal(Signal::TERM);
        let (status, log) = worker.end();
        assert_eq!(status.code(), Some(0), "{log}");
        assert_eq!(log.contains("supervisord kills a worker"), warns, "{log}");
    }
}

#[test]
fn a_filter_for_the_log_that_cannot_be_read_is_said() {
    let worker = Worker::start(&[("RUST_LOG", "in=fo=")]);
    let call = Caller::call(worker.calls, "call");
    let log = leaves_clean(worker, call);
    assert!(log.contains("RUST_LOG is not understood"), "{log}");
}

#[test]
fn systemd_hears_that_the_control_loop_lives() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let worker = Worker::start(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "50000")]);
    let mut beats = 0;
    while beats < 5 {
        let mut buffer = [0; 512];
        let read = socket.recv(&mut buffer).unwrap();
        beats += String::from_utf8_lossy(&buffer[..read]).matches("WATCHDOG=1").count();
    }
    let call = Caller::call(worker.calls, "call");
    leaves_clean(worker, call);
}

#[test]
fn a_supervisor_that_does_not_listen_to_what_it_is_told_delays_nothing_and_is_told_again() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"full", &path).is_ok() {}
    let worker = Worker::start(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "50000")]);
    let mut call = Caller::call(worker.calls, "call");
    for number in 0..20 {
        assert!(http(worker.ops, "POST", "/drain", "").contains("\"ok\":true"));
        assert!(http(worker.ops, "POST", "/drain/cancel", "").contains("\"ok\":true"));
        call.talk(number);
    }
    let mut heard = String::new();
    while !heard.contains("READY=1") {
        let mut buffer = [0; 512];
        let read = socket.recv(&mut buffer).unwrap();
        heard = String::from_utf8_lossy(&buffer[..read]).into_owned();
    }
    leaves_clean(worker, call);
}
