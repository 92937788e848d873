//! What the worker tells of itself and of its jobs.

use openrtc_livekit::proto::{JobStatus, WorkerStatus};
use openrtc_livekit::session::{End, Failure, Patience, Registration, Session};

use crate::cases::cases;
use crate::rig::{Rig, id, secs, told};

cases! {
    30 c30_end_in_outage: "a call ends during an outage" {
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.serves = false;
        rig.cut();
        rig.end("j", End::Succeeded);
        rig.pass(secs(20));
        rig.serves = true;
        rig.fail(Failure::TimedOut);
        rig.pass(secs(11));
        assert_eq!(rig.ends("j"), [(JobStatus::Success, "")], "sent once, on the new socket");
        assert_eq!(rig.delivered, [id("j")]);
        // Sent, and the socket died before it was proven: sent again on the next one, and nowhere twice.
        let mut rig = Rig::new(4);
        rig.call("k");
        rig.answers_pings = false;
        rig.end("k", End::Succeeded);
        rig.cut();
        rig.answers_pings = true;
        rig.pass(secs(1));
        for link in &rig.links {
            let ends = rig.statuses_on(*link, "k").into_iter().filter(|status| status.status() == JobStatus::Success);
            assert_eq!(ends.count(), 1);
        }
        assert_eq!(rig.delivered, [id("k")]);
    }

    42 c42_load: "load: slots, no number, below 0, above 1, a gauge that hangs" {
        let mut rig = Rig::new(3);
        let mut load = 0.0;
        for job in ["a", "b"] {
            rig.call(job);
            rig.pass(secs(1));
            let told = rig.told();
            let told = told.last().expect("told");
            assert!(told.load > load && told.load < 0.7 && told.status() == WorkerStatus::Available, "{told:?}");
            load = told.load;
        }
        for measured in [-1.0, 7.0, f32::INFINITY] {
            rig.session.measure(rig.now, measured);
            rig.pass(secs(3));
            let told = rig.told();
            let told = told.last().expect("told");
            let available = told.status() == WorkerStatus::Available;
            assert!((0.0..0.7).contains(&told.load) && available, "{measured}: {told:?}");
        }
        rig.session.measure(rig.now, f32::NAN);
        rig.pass(secs(1));
        assert!(rig.is_full());
        rig.pass(secs(12));
        assert!(!rig.is_full(), "a gauge that hangs ages out");
        rig.call("c");
        assert!(rig.is_full() && rig.told().last().expect("told").load >= 1.0, "no slot is left");
    }

    43 c43_cadence: "status at once on a change, every 2.5 s else; numbered for each registration" {
        let mut rig = Rig::new(4);
        rig.pass(secs(10));
        assert!((4..=6).contains(&rig.told().len()), "{}", rig.told().len());
        rig.call("j");
        let before = rig.told().len();
        rig.drain();
        let told_now: Vec<_> = rig.told()[before..].iter().map(|told| (told.status(), told.draining)).collect();
        assert_eq!(told_now, [(WorkerStatus::Full, true)]);
        rig.cut();
        rig.pass(secs(5));
        for link in &rig.links {
            let numbers: Vec<_> = told(&rig.socket(*link).sent).iter().map(|told| told.seq).collect();
            assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        }
    }

    44 c44_deployment: "a routing key with _, of 65 bytes, with a space" {
        for key in ["v1_2", &"x".repeat(65), "a b"] {
            let registration = Registration { deployment: key.to_owned(), ..Registration::default() };
            let rig = Rig::unconnected(1);
            let refused = Session::new(rig.now, registration, Patience::default(), rig.gate.standing(), 1);
            let error = refused.expect_err("refused at start").to_string();
            assert!(error.contains("routing key"), "{error}");
        }
    }
}

#[test]
fn a_worker_without_jobs_and_without_a_registration_gives_up_and_one_with_jobs_does_not() {
    for busy in [false, true] {
        let mut rig = Rig::new(4);
        if busy {
            rig.call("j");
        }
        rig.serves = false;
        rig.cut();
        for _ in 0..80 {
            rig.pass(secs(10));
            rig.fail(Failure::Unreachable("connection refused".to_owned()));
        }
        assert_eq!(rig.gave_up.is_some(), !busy);
    }
}
