//! Drains.

use openrtc_core::worker::Cause;
use openrtc_livekit::proto::{JobStatus, ToServer, ToWorker, WorkerPong, WorkerStatus};
use openrtc_livekit::session::{End, Failure, Notice};

use crate::cases::cases;
use crate::rig::{Rig, id, secs};

cases! {
    14 c14_draining: "an offer while draining, also on a new registration" {
        let mut rig = Rig::new(4);
        rig.call("up");
        rig.drain();
        rig.offer("a");
        rig.cut();
        rig.pass(secs(1));
        rig.offer("b");
        for job in ["a", "b"] {
            let [answer] = rig.answers(job)[..] else { panic!("one answer") };
            assert!(!answer.available && !answer.terminate, "a refusal that the server can retry");
        }
        assert!(rig.is_full());
    }

    26 c26_terminated_in_drain: "a termination during a drain" {
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.drain();
        rig.terminate("j");
        assert_eq!(rig.terminated, [id("j")]);
        rig.end("j", End::Succeeded);
        assert_eq!(rig.ends("j"), [(JobStatus::Success, "")]);
        assert!(rig.left.is_some());
    }

    31 c31_gone_for_ever: "the socket drops in a drain, and the server is gone for ever" {
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.drain();
        rig.serves = false;
        rig.cut();
        for _ in 0..60 {
            rig.pass(secs(10));
            if rig.sockets.len() > 1 {
                rig.fail(Failure::TimedOut);
            }
        }
        assert!(rig.left.is_none() && rig.gave_up.is_none(), "a job is up");
        rig.end("j", End::Succeeded);
        rig.pass(secs(2));
        assert!(rig.left.is_some(), "it leaves all the same");
        assert!(rig.notices.contains(&Notice::Undelivered(id("j"))));
        assert_eq!(rig.session.counts().undelivered, 1);
        // One that is back before the farewell is over gets the status.
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.drain();
        rig.cut();
        rig.end("j", End::Succeeded);
        assert!(rig.left.is_none(), "a status is owed, and no socket is there");
        rig.pass(secs(1));
        assert_eq!((&rig.delivered[..], rig.session.counts().undelivered), (&[id("j")][..], 0));
        assert!(rig.left.is_some());
    }

    35 c35_sigterm: "SIGTERM while connecting, registering, with an offer open, reserved, running, backing off" {
        let mut connecting = Rig::unconnected(4);
        connecting.pump();
        let mut registering = Rig::unconnected(4);
        registering.pump();
        registering.open(registering.last());
        let mut backing_off = Rig::new(4);
        backing_off.serves = false;
        backing_off.cut();
        let mut offered = Rig::new(4);
        offered.decides = false;
        offered.offer("j");
        for mut rig in [connecting, registering, backing_off, offered] {
            rig.drain();
            assert_eq!(rig.left, Some(rig.now), "nothing is promised");
            assert!(rig.said("j").iter().all(|yes| !yes));
        }
        let mut reserved = Rig::new(4);
        reserved.offer("j");
        reserved.drain();
        reserved.assign("j");
        assert_eq!(reserved.started.len(), 1, "a promise is kept");
        let mut running = Rig::new(4);
        running.call("j");
        running.drain();
        for mut rig in [reserved, running] {
            rig.pass(secs(3_600));
            assert!(rig.left.is_none());
            rig.end("j", End::Succeeded);
            assert_eq!(rig.left, Some(rig.now));
            assert_eq!(rig.delivered, [id("j")]);
        }
    }

    36 c36_repeated: "SIGTERM twice, then SIGINT" {
        let mut rig = Rig::new(4);
        rig.call("j");
        for _ in 0..3 {
            rig.drain();
        }
        let fulls = rig.told().iter().filter(|told| told.status() == WorkerStatus::Full).count();
        assert_eq!((fulls, rig.gate.standing().in_flight), (1, 1));
    }

    37 c37_last_end: "a drain's last call ends: its status is proven to have arrived, then a clean close" {
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.drain();
        rig.answers_pings = false;
        rig.end("j", End::Succeeded);
        let sent = rig.sent();
        assert!(matches!(&sent[sent.len() - 2], ToServer::UpdateJob(status) if status.status() == JobStatus::Success));
        let Some(ToServer::Ping(ping)) = sent.last() else { panic!("a ping follows: {:?}", sent.last()) };
        let stamp = ping.timestamp;
        assert_eq!((rig.left, rig.session.unproven()), (None, 1));
        let link = rig.last();
        rig.say(link, ToWorker::Pong(WorkerPong { last_timestamp: stamp, timestamp: 0 }));
        assert_eq!((rig.socket(link).closed, rig.left), (Some(Some(1000)), Some(rig.now)));
        assert_eq!(rig.delivered, [id("j")]);
        // A ping that was sent before the status proves nothing.
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.answers_pings = false;
        rig.pass(secs(11));
        let pings = |rig: &Rig| {
            let stamp = |message: &ToServer| match message {
                ToServer::Ping(ping) => Some(ping.timestamp),
                _ => None,
            };
            rig.sent().iter().filter_map(stamp).collect::<Vec<_>>()
        };
        let before = pings(&rig);
        rig.end("j", End::Succeeded);
        let link = rig.last();
        let waits = *before.last().expect("a ping waits for its answer");
        rig.say(link, ToWorker::Pong(WorkerPong { last_timestamp: waits, timestamp: 0 }));
        assert_eq!((pings(&rig).len(), rig.delivered.len()), (before.len() + 1, 0), "another ping follows");
    }

    38 c38_all_at_once: "1,000 calls end in one instant while draining" {
        let mut rig = Rig::new(1_000);
        for job in 0..1_000 {
            rig.call(&format!("j{job}"));
        }
        rig.drain();
        for job in 0..1_000 {
            rig.end(&format!("j{job}"), End::Succeeded);
        }
        let link = rig.last();
        assert_eq!((rig.delivered.len(), rig.left), (1_000, Some(rig.now)));
        assert!((0..1_000).all(|job| rig.ends(&format!("j{job}")).len() == 1));
        assert_eq!(rig.socket(link).closed, Some(Some(1000)));
    }

    39 c39_forced: "the deadline cuts three calls" {
        let mut rig = Rig::new(4);
        for job in ["a", "b", "c"] {
            rig.call(job);
        }
        rig.drain();
        for job in ["a", "b", "c"] {
            rig.end(job, End::Failed("drain deadline".to_owned()));
        }
        for job in ["a", "b", "c"] {
            assert_eq!(rig.ends(job), [(JobStatus::Failed, "drain deadline")]);
        }
        assert_eq!((rig.delivered.len(), rig.left), (3, Some(rig.now)));
        // What still runs when the worker leaves was cut as well.
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.session.leave(rig.now);
        rig.pump();
        assert_eq!(rig.ends("j"), [(JobStatus::Failed, "the worker has left")]);
    }

    41 c41_cancelled: "a drain that is cancelled" {
        let mut rig = Rig::new(4);
        rig.call("up");
        rig.gate.drain(rig.now, Cause::Api);
        rig.pump();
        assert!(rig.is_full());
        rig.offer("a");
        assert!(rig.gate.cancel_drain(rig.now));
        rig.pump();
        assert!(!rig.is_full() && !rig.told().last().expect("told").draining);
        rig.offer("b");
        assert_eq!((rig.said("a"), rig.said("b")), (vec![false], vec![true]));
    }
}
