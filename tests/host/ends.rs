//! Programs and hosts that end when nobody asked them to: what is lost is named, and no more is lost.

use openrtc_fleet::child::session::members;
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Caller, Rig, agent, is_alive};

#[test]
fn a_crash_ends_its_calls_as_the_programs_fault_by_name_and_the_program_starts_again() {
    let mut host = Rig::new().start();
    let first = host.program();
    // They hold their end open: a program that is gone is not waited for.
    let callers: Vec<_> = (0..5).map(|_| Caller::talking(&host)).collect();
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    let line = host.wait_for_log("the program ended by itself");
    assert!(line.contains("signal: 9") && line.contains("calls=5"), "{line}");
    host.wait_until(|host| host.journaled("failed") == 5);
    drop(callers);
    // A call that comes meanwhile waits for the program.
    Caller::talking(&host).hang_up();
    assert_ne!(host.program(), first);
    assert_eq!(host.snapshot()["phase"], "serving");
}

#[test]
fn the_crash_of_a_program_that_drains_is_told_with_its_calls_and_so_is_one_while_the_host_drains() {
    // A child that outlives it gives everybody time to take its end for an ordered one.
    let mut host = Rig::new().ways("child").start();
    let callers: Vec<_> = (0..3).map(|_| Caller::talking(&host)).collect();
    let old = host.program();
    let ops = host.ops.to_string();
    assert!(e2e::run(&["upgrade", &ops, "--version", "v2"]).status.success());
    kill_process(Pid::from_raw(old).unwrap(), Signal::KILL).unwrap();
    let line = host.wait_for_log("the program ended by itself");
    assert!(line.contains("version=v1") && line.contains("calls=3"), "{line}");
    host.wait_until(|host| host.journaled("failed") == 3);
    drop(callers);
    host.wait_until(|host| host.programs().len() == 1);
    let callers: Vec<_> = (0..2).map(|_| Caller::talking(&host)).collect();
    host.signal(Signal::TERM);
    host.wait_for_log("draining");
    kill_process(Pid::from_raw(host.program()).unwrap(), Signal::KILL).unwrap();
    let line = host.wait_for_log("the program ended by itself");
    assert!(line.contains("version=v2") && line.contains("calls=2"), "{line}");
    let (status, log, _) = host.end();
    assert_eq!(status.code(), Some(0), "{log}");
    drop(callers);
}

#[test]
fn a_program_whose_first_process_died_serves_on_and_its_calls_end_as_they_do_until_the_rest_dies_too() {
    let mut host = Rig::new().ways("prefork").start();
    let first = host.program();
    let workers: Vec<_> = members(first).into_iter().filter(|process| process.pid != first).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    host.wait_for_log("its first process ended, others run on");
    // The program says its part and closes: a clean end, whoever is left.
    assert_eq!(Caller::call(&host, b'q').rest().len(), 300_000);
    host.wait_until(|host| host.journaled("agent_hangup") == 1);
    let callers: Vec<_> = (0..4).map(|_| Caller::talking(&host)).collect();
    for worker in &workers {
        worker.signal(Signal::KILL);
    }
    let line = host.wait_for_log("the program ended by itself");
    assert!(line.contains("calls=4"), "{line}");
    host.wait_until(|host| host.journaled("failed") == 4);
    drop(callers);
}

#[test]
fn a_program_that_crashes_in_a_call_again_and_again_is_started_again_and_again() {
    let mut host = Rig::new().start();
    for _ in 0..3 {
        assert!(Caller::call(&host, b'x').rest().is_empty());
        host.wait_for_log("the program is started again after a pause");
        host.wait_for_log("the program is ready");
    }
    Caller::talking(&host).hang_up();
    host.wait_until(|host| host.journaled("failed") == 3);
}

#[test]
fn a_crash_that_leaves_processes_behind_which_serve_nobody_is_a_crash_all_the_same() {
    let mut host = Rig::new().program(&["sh", "-c", "sleep 1000 & exec python3 \"$0\"", agent().as_str()]).start();
    let first = host.program();
    let left: Vec<_> = members(first).into_iter().filter(|process| process.pid != first).collect();
    let caller = Caller::talking(&host);
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    let line = host.wait_for_log("the program ended by itself");
    assert!(line.contains("calls=1"), "{line}");
    drop(caller);
    Caller::talking(&host).hang_up();
    assert_ne!(host.program(), first);
    assert!(left.len() == 1 && !is_alive(left[0].pid), "{left:?}");
    host.wait_until(|host| host.journaled("failed") == 1);
}

#[test]
fn a_killed_host_loses_its_calls_and_the_next_one_names_them_and_ends_the_program_left_behind() {
    let host = Rig::new().start();
    let caller = Caller::talking(&host);
    let program = host.program();
    host.signal(Signal::KILL);
    let (_, _, dir) = host.end();
    assert!(is_alive(program), "nobody ends it, and nobody can: its parent is gone");
    drop(caller);
    let mut host = Rig::new().again(dir).start();
    let log = host.running_log();
    assert!(log.contains("call lost in the crash of the run before"), "{log}");
    assert!(log.contains("a host that was killed left a program behind"), "{log}");
    assert!(!is_alive(program));
    Caller::talking(&host).hang_up();
    host.signal(Signal::TERM);
    let _ = host.wait_for_log("has ended");
}

#[test]
fn a_forced_drain_cuts_its_calls_counts_them_and_only_then_ends_the_program() {
    let mut host = Rig::new().start();
    let callers: Vec<_> = (0..3).map(|_| Caller::talking(&host)).collect();
    let answer = e2e::http(host.ops, "POST", "/drain/force", r#"{"actor":"alice"}"#);
    assert!(answer.contains("\"ok\":true"), "{answer}");
    for mut caller in callers {
        assert!(caller.rest().is_empty());
    }
    host.wait_for_log("the program has ended");
    let (status, log, dir) = host.end();
    assert_eq!(status.code(), Some(3), "{log}");
    assert_eq!(std::fs::read_to_string(dir.path().join("signals")).unwrap(), "SIGTERM\n");
}

#[test]
fn six_hundred_calls_at_once_are_all_served() {
    let host = Rig::new().start();
    let mut callers: Vec<_> = (0..600).map(|_| Caller::talking(&host)).collect();
    for caller in &mut callers {
        caller.talk(&[3; 320]);
    }
    assert_eq!(host.snapshot()["active_sessions"], 600);
}

#[test]
fn many_calls_leave_no_descriptor_behind() {
    let host = Rig::new().start();
    let open = |pid: i32| std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    Caller::talking(&host).hang_up();
    host.wait_until(|host| host.snapshot()["active_sessions"] == 0);
    let program = host.program();
    let before = (open(host.pid()), open(program));
    for _ in 0..50 {
        let callers: Vec<_> = (0..10).map(|_| Caller::talking(&host)).collect();
        for caller in callers {
            caller.hang_up();
        }
    }
    host.wait_until(|host| host.snapshot()["active_sessions"] == 0);
    host.wait_until(|host| (open(host.pid()), open(program)) <= before);
}
