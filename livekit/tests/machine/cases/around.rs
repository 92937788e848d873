//! What is around the machine: tokens, clocks, the server's choice, and what is shown.

use openrtc_livekit::dispatcher::{Asked, Dispatcher, PeerId, Progress, Why};
use openrtc_livekit::proto::{JobAssignment, JobStatus, ToServer, ToWorker, WorkerMessage, WorkerPong};
use openrtc_livekit::session::{End, Failure, Registration};
use openrtc_livekit::{ApiKey, BadToken};
use prost::Message as _;

use crate::cases::cases;
use crate::rig::{Rig, job, secs};

const HIDDEN: &str = "hidden-from-everybody";

/// The second that the rig's clock shows.
fn second(rig: &Rig) -> u64 {
    rig.now.as_micros() / 1_000_000
}

/// The stamp of the last ping on the newest socket, which the server answers with [`pong`].
fn last_ping(rig: &Rig) -> i64 {
    let stamp = |message: &ToServer| match message {
        ToServer::Ping(ping) => Some(ping.timestamp),
        _ => None,
    };
    rig.sent().iter().rev().find_map(stamp).expect("a ping was sent")
}

fn pong(rig: &mut Rig, last_timestamp: i64) {
    rig.say(rig.last(), ToWorker::Pong(WorkerPong { last_timestamp, timestamp: 0 }));
}

/// What a worker with this routing key registers with.
fn registration(deployment: &str) -> Vec<u8> {
    let registration = Registration {
        agent_name: "agent".to_owned(),
        version: "v2".to_owned(),
        deployment: deployment.to_owned(),
        ..Registration::default()
    };
    let mut rig = Rig::with(4, registration);
    rig.pump();
    rig.open(rig.last());
    let first = rig.sent()[0].clone();
    assert!(matches!(first, ToServer::Register(_)));
    WorkerMessage { message: Some(first) }.encode_to_vec()
}

/// A dispatcher with a worker for each routing key.
fn dispatcher(rig: &Rig, deployments: &[&str]) -> Dispatcher {
    let mut dispatcher = Dispatcher::new(1, Box::new(|_, _| "token".to_owned()));
    for (number, deployment) in (1..).zip(deployments) {
        dispatcher.opened(rig.now, PeerId(number));
        dispatcher.received(rig.now, PeerId(number), &registration(deployment));
    }
    dispatcher
}

/// Who is asked first for a dispatch with this routing key.
fn progress(dispatcher: &mut Dispatcher, rig: &Rig, deployment: &str) -> Progress {
    let (agent_name, deployment) = ("agent".to_owned(), deployment.to_owned());
    let id = dispatcher.dispatch(rig.now, Asked { agent_name, deployment, ..Asked::default() });
    let made = dispatcher.dispatches().find(|(known, _)| *known == id).expect("it was made");
    made.1.progress.clone()
}

cases! {
    5 c05_clock: "the clock is off by 50 s, and by 90 s" {
        let mut rig = Rig::unconnected(4);
        rig.pump();
        let (key, now) = (ApiKey::new("devkey", "secret"), second(&rig));
        let token = key.worker_token(now);
        for good in [now - 50, now + 50, now + 90] {
            assert!(key.verify(&token, good).is_ok(), "{}", good.abs_diff(now));
        }
        assert_eq!(key.verify(&token, now - 90), Err(BadToken::Early));
        let failure = |ahead: i64| Failure::Unauthorized { ahead_secs: Some(ahead), said: "not valid yet".to_owned() };
        rig.fail(failure(90));
        let trouble = rig.session.last_loss().expect("a loss").to_string();
        assert!(trouble.contains("clock skew") && trouble.contains("90 s ahead"), "{trouble}");
        let behind = failure(-90).to_string();
        assert!(behind.contains("90 s behind"), "{behind}");
        let small = failure(50).to_string();
        assert!(!small.contains("skew") && small.contains("LIVEKIT_API_SECRET"), "{small}");
    }

    6 c06_seven_hours: "reconnect after 7 h" {
        let mut rig = Rig::new(4);
        let key = ApiKey::new("devkey", "secret");
        let first = key.worker_token(second(&rig));
        rig.pass(secs(7 * 3_600));
        assert_eq!(rig.links.len(), 1, "a token that has expired ends no socket");
        rig.cut();
        rig.pass(secs(1));
        assert!(rig.session.is_registered() && rig.links.len() == 2);
        let now = second(&rig);
        assert_eq!(key.verify(&first, now), Err(BadToken::Expired), "the first would be refused");
        assert!(key.verify(&key.worker_token(now), now).is_ok());
    }

    40 c40_results: "a job's program exits 0, exits 1, dies by a signal, never starts" {
        let mut rig = Rig::new(4);
        for (job, end, status, why) in [
            ("zero", End::Succeeded, JobStatus::Success, ""),
            ("one", End::Failed("exit status: 1".to_owned()), JobStatus::Failed, "exit status: 1"),
            ("signal", End::Failed("signal: 9".to_owned()), JobStatus::Failed, "signal: 9"),
            ("never", End::Failed("no such program".to_owned()), JobStatus::Failed, "no such program"),
        ] {
            rig.call(job);
            rig.end(job, end);
            assert_eq!(rig.ends(job), [(status, why)]);
        }
        assert_eq!(rig.delivered.len(), 4);
    }

    45 c45_deployments: "routing keys that differ, that are equal, and dispatches without one" {
        let rig = Rig::unconnected(4);
        let asked = |progress| match progress {
            Progress::Offered { to, .. } => Some(to.0),
            Progress::Lost(Why::NoWorker) => None,
            other => panic!("{other:?}"),
        };
        let mut differ = dispatcher(&rig, &["blue", "green"]);
        for (deployment, worker) in [("blue", Some(1)), ("green", Some(2)), ("", None), ("other", None)] {
            assert_eq!(asked(progress(&mut differ, &rig, deployment)), worker, "{deployment:?}");
        }
        // A rollout by default has none on either side, whatever the versions are: nothing is cut off.
        let mut equal = dispatcher(&rig, &["", ""]);
        assert!(asked(progress(&mut equal, &rig, "")).is_some());
        assert_eq!(asked(progress(&mut equal, &rig, "v2")), None);
    }

    46 c46_nobody_left: "the last old worker is gone, and no new one is registered" {
        let rig = Rig::unconnected(4);
        let mut dispatcher = dispatcher(&rig, &[""]);
        dispatcher.closed(PeerId(1));
        assert_eq!(progress(&mut dispatcher, &rig, ""), Progress::Lost(Why::NoWorker));
        dispatcher.opened(rig.now, PeerId(2));
        dispatcher.received(rig.now, PeerId(2), &registration(""));
        dispatcher.wake(rig.now + secs(60));
        let lost = dispatcher.dispatches().all(|(_, seen)| seen.progress == Progress::Lost(Why::NoWorker));
        assert!(lost, "nobody is asked again");
        // So whoever rolls out waits for the new worker to say that it gets jobs. It does so once that is true.
        let mut new = Rig::unconnected(4);
        new.pump();
        new.open(new.last());
        assert!(!new.session.is_available(), "not confirmed");
        new.answers_pings = false;
        new.connect();
        assert!(!new.session.is_available(), "told, and perhaps not heard yet");
        let first = last_ping(&new);
        pong(&mut new, first - 1);
        assert!(!new.session.is_available(), "the answer to another ping");
        pong(&mut new, first);
        assert!(new.session.is_available());
        // Full, open, and full and open again while the ping behind the first of these is on its way.
        let mut second = 0;
        for load in [f32::NAN, 0.0, f32::NAN, 0.0] {
            new.session.measure(new.now, load);
            new.pump();
            assert!(!new.session.is_available());
            second = last_ping(&new);
        }
        pong(&mut new, second);
        assert!(!new.session.is_available(), "that ping was sent before the last of them");
        let third = last_ping(&new);
        assert!(third > second && second > first);
        pong(&mut new, third);
        assert!(new.session.is_available());
        new.drain();
        assert!(!new.session.is_available());
    }

    47 c47_secrets: "secrets in what is shown" {
        let mut rig = Rig::new(2);
        let assigned = |name: &str, token: &str| {
            ToWorker::Assignment(JobAssignment { job: Some(job(name)), url: None, token: token.to_owned() })
        };
        rig.offer("late");
        rig.pass(secs(12));
        rig.offer("j");
        rig.say(rig.last(), assigned("j", HIDDEN));
        // The machine holds this one until the gate has answered.
        rig.decides = false;
        rig.say(rig.last(), assigned("late", HIDDEN));
        rig.say(rig.last(), assigned("unknown", HIDDEN));
        let key = ApiKey::new("devkey", HIDDEN);
        let token = key.worker_token(second(&rig));
        let shown = format!("{:?} {:?} {:?} {key:?}", rig.session, rig.started, rig.notices);
        let said: String = rig.notices.iter().map(ToString::to_string).collect();
        assert!(rig.started.len() == 1 && shown.contains("late") && shown.contains("devkey"), "{shown}");
        for secret in [HIDDEN, &token] {
            assert!(!shown.contains(secret) && !said.contains(secret));
        }
    }
}
