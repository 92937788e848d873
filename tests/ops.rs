//! The ops endpoints of a real worker under a crowd.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::{Caller, Worker, in_shell, kind};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// What a kubelet allows a probe by default. It ends a probe that hangs; how fast the others are is not judged.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// One liveness probe, as a kubelet sends it: a connection of its own, and so much time.
fn probe(ops: SocketAddr) -> String {
    let mut stream = TcpStream::connect_timeout(&ops, PROBE_TIME).unwrap();
    stream.set_read_timeout(Some(PROBE_TIME)).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_or_else(|error| error.to_string(), |_| answer)
}

/// A worker under a crowd: `crowd` connections that say nothing, or half a request, are open all the time, and each
/// second `rate` new ones come, for `rounds` seconds. Every probe is answered in time.
fn under_a_crowd(crowd: usize, rate: u32, rounds: u32) {
    let most = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: most.maximum, ..most }).unwrap();
    let worker = Worker::start(&[]);
    let mut call = Caller::call(worker.calls, "sibling");
    let ops = worker.ops;
    let over = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut open = std::collections::VecDeque::new();
            let mut number = 0_u32;
            while !over.load(Ordering::Relaxed) {
                // One that cannot connect is one less in the crowd, and no matter.
                if let Ok(mut stream) = TcpStream::connect(ops) {
                    if number.is_multiple_of(2) {
                        let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost");
                    }
                    open.push_back(stream);
                }
                number += 1;
                if open.len() > crowd {
                    open.pop_front();
                    std::thread::park_timeout(Duration::from_secs(1) / rate);
                }
            }
        });
        let answers: Vec<_> = (0..rounds * 4)
            .map(|_| {
                std::thread::park_timeout(Duration::from_millis(250));
                probe(ops)
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        answers
    });
    call.talk(1);
    worker.signal(Signal::TERM);
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
    let failed: Vec<_> = answers.iter().filter(|answer| !answer.ends_with("live\n")).collect();
    assert!(failed.is_empty(), "{} of {} probes were not answered: {failed:?}", failed.len(), answers.len());
}

#[test]
fn liveness_is_answered_while_a_thousand_connections_are_open() {
    under_a_crowd(1_000, 500, 3);
}

#[test]
#[ignore = "needs 10,100 descriptors, and a minute"]
fn liveness_is_answered_while_ten_thousand_connections_are_open_and_a_thousand_come_each_second() {
    under_a_crowd(10_000, 1_000, 60);
}

#[test]
fn liveness_is_answered_and_offers_are_not_left_waiting_when_descriptors_run_out() {
    let worker = Worker::spawn(in_shell("ulimit -n 64; exec \"$@\""), &[("OPENRTC_CAPACITY", "16")]);
    let mut call = Caller::call(worker.calls, "sibling");
    let idle: Vec<_> = (0..200).map(|_| Caller::connect(worker.calls)).collect();
    let answered = || {
        for _ in 0..5 {
            let answer = probe(worker.ops);
            assert!(answer.ends_with("live\n"), "{answer}");
        }
    };
    // Nobody is on the ops port yet that could make room.
    answered();
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(worker.ops).unwrap()).collect();
    answered();
    let (mut next, answer) = Caller::offer(worker.calls, "next");
    // A worker without descriptors calls itself full.
    assert!([kind::ACCEPT, kind::DECLINE].contains(&answer), "{answer}");
    let taken = (answer == kind::ACCEPT).then(|| {
        next.send(kind::ASSIGN, &[]);
        next
    });
    call.talk(1);
    drop((idle, silent));
    worker.signal(Signal::TERM);
    taken.into_iter().for_each(Caller::hang_up);
    call.hang_up();
    let (status, log) = worker.end();
    assert_eq!(status.code(), Some(0), "{log}");
}
