//! Offers, promises and assignments.

use openrtc_core::time::Span;
use openrtc_livekit::proto::{JobAssignment, JobStatus, JobTermination, ServerMessage, ToWorker};
use openrtc_livekit::session::{Answer, End, Joining, Notice, Output};
use prost::Message as _;

use crate::cases::cases;
use crate::rig::{Rig, id, job, offer, secs};

fn yes() -> Answer {
    Answer::Yes(Joining::default())
}

/// An assignment of `name`, altered.
fn altered(name: &str, alter: impl FnOnce(&mut JobAssignment)) -> ToWorker {
    let mut assignment = JobAssignment { job: Some(job(name)), url: None, token: "token".to_owned() };
    alter(&mut assignment);
    ToWorker::Assignment(assignment)
}

cases! {
    13 c13_full: "an offer while full by load" {
        let mut rig = Rig::new(4);
        rig.session.measure(rig.now, f32::NAN);
        rig.pump();
        assert!(rig.is_full());
        rig.offer("j");
        assert_eq!(rig.said("j"), [true], "a slot is free");
        let mut rig = Rig::new(1);
        rig.call("a");
        rig.offer("b");
        assert_eq!(rig.said("b"), [false]);
    }

    15 c15_burst: "500 offers in one burst against a capacity of 100" {
        let mut rig = Rig::new(100);
        let begun = rig.now;
        for job in 0..500 {
            rig.offer(&format!("j{job}"));
        }
        let said: Vec<_> = (0..500).flat_map(|job| rig.said(&format!("j{job}"))).collect();
        assert_eq!((said.len(), said.iter().filter(|yes| **yes).count()), (500, 100));
        assert_eq!(rig.now, begun);
    }

    16 c16_slow_decision: "the decision takes 3 s" {
        let mut rig = Rig::new(4);
        rig.decides = false;
        rig.offer("j");
        rig.pass(Span::from_millis(2_400));
        assert!(rig.said("j").is_empty());
        rig.pass(Span::from_millis(600));
        assert_eq!(rig.said("j"), [false]);
        assert_eq!(rig.withdrawn, [id("j")], "the slot is freed");
        assert!(rig.notices.contains(&Notice::DecidedTooLate(id("j"))));
        assert!(!rig.answer(yes()), "a late yes does not count");
        assert_eq!(rig.said("j"), [false]);
        // Nor does it answer a later offer of the same job.
        let (job, late) = rig.offered[0].clone();
        rig.pass(secs(3));
        rig.offer("j");
        assert_ne!(rig.offered[1].1, late);
        assert!(!rig.session.answer(rig.now, &job, late, yes()));
    }

    17 c17_decision_panics: "the decision panics: whoever drives the machine says no in its place" {
        let mut rig = Rig::new(4);
        rig.decides = false;
        rig.offer("j");
        assert!(rig.answer(Answer::No));
        assert_eq!(rig.said("j"), [false]);
    }

    18 c18_same_offer: "the same offer twice on one socket" {
        let mut rig = Rig::new(4);
        rig.offer("a");
        rig.offer("a");
        assert_eq!((rig.said("a"), rig.gate.standing().in_flight), (vec![true, true], 1));
        rig.decides = false;
        rig.offer("b");
        rig.offer("b");
        assert!(rig.answer(Answer::No));
        rig.offer("b");
        assert_eq!((rig.said("b"), rig.offered.len()), (vec![false, false, false], 2));
    }

    19 c19_offered_while_up: "a job is offered while it runs, or after its end" {
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.offer("j");
        assert_eq!(rig.said("j"), [true, false]);
        assert_eq!(rig.session.counts().repeated_offers, 1);
        assert_eq!((rig.started.len(), rig.gate.standing().in_flight), (1, 1));
        // Nor after its end, however that came: it would get a second one.
        rig.end("j", End::Succeeded);
        rig.offer("j");
        rig.assign("never offered");
        rig.offer("never offered");
        assert_eq!((rig.said("j"), rig.said("never offered")), (vec![true, false, false], vec![false]));
    }

    20 c20_no_assignment: "a yes, then no assignment" {
        let mut rig = Rig::new(4);
        rig.offer("j");
        rig.drain();
        assert_eq!(rig.left, None, "a promise is waited for");
        rig.pass(secs(11));
        assert_eq!((rig.session.counts().lapsed, rig.gate.standing().in_flight), (1, 0));
        assert!(rig.left.is_some());
        assert!(rig.ends("j").is_empty(), "it never was a job");
    }

    21 c21_late_assignment: "a yes, then the assignment after its expiry" {
        let mut rig = Rig::new(4);
        rig.offer("j");
        rig.pass(secs(12));
        assert_eq!(rig.gate.standing().in_flight, 0);
        rig.assign("j");
        assert_eq!((rig.started.len(), rig.gate.standing().in_flight), (1, 1), "there is room");
        rig.end("j", End::Succeeded);
        assert_eq!(rig.ends("j"), [(JobStatus::Success, "")]);
        // Assigned again, or ended by the server, while the gate is asked: it gets one end, whatever follows.
        for terminated in [false, true] {
            let mut rig = Rig::new(4);
            rig.offer("j");
            rig.pass(secs(12));
            rig.decides = false;
            rig.assign("j");
            rig.offer("j");
            assert_eq!(rig.said("j"), [true, false], "an offer is answered whatever else is open");
            if terminated {
                rig.terminate("j");
            }
            rig.assign("j");
            rig.pass(secs(3));
            rig.assign("j");
            assert_eq!((rig.started.len(), rig.ends("j").len()), (0, 1));
        }
        // No room, or a drain that has begun: nothing is admitted, and the server is told.
        for drains in [false, true] {
            let mut rig = Rig::new(2);
            rig.offer("j");
            rig.pass(secs(12));
            rig.call("a");
            if drains {
                rig.drain();
            } else {
                rig.call("b");
            }
            rig.assign("j");
            let [(JobStatus::Failed, why)] = rig.ends("j")[..] else { panic!("silence") };
            assert!(why.contains("takes no more calls"), "{why}");
        }
    }

    22 c22_unknown_assignment: "an assignment that was never offered; one that was refused" {
        let mut rig = Rig::new(1);
        rig.assign("never");
        let [(JobStatus::Failed, why)] = rig.ends("never")[..] else { panic!("silence") };
        assert!(why.contains("unknown assignment"), "{why}");
        rig.call("up");
        rig.offer("refused");
        rig.assign("refused");
        let [(JobStatus::Failed, why)] = rig.ends("refused")[..] else { panic!("silence") };
        assert!(why.contains("refused"), "{why}");
        assert_eq!((rig.started.len(), rig.session.counts().assignments_failed), (1, 2));
    }

    23 c23_assigned_twice: "an assignment twice; again with another token" {
        let mut rig = Rig::new(4);
        rig.call("j");
        rig.assign("j");
        rig.say(rig.last(), altered("j", |assignment| "other".clone_into(&mut assignment.token)));
        assert_eq!((rig.started.len(), rig.session.counts().repeated_assignments), (1, 2));
        rig.end("j", End::Succeeded);
        rig.assign("j");
        assert_eq!((rig.started.len(), rig.ends("j").len()), (1, 1), "not after its end either");
    }

    24 c24_incomplete_assignment: "an assignment without job, token or room; its url is garbage, or set" {
        let mut rig = Rig::new(9);
        rig.say(rig.last(), ToWorker::Assignment(JobAssignment { job: None, url: None, token: "t".to_owned() }));
        assert_eq!(rig.session.counts().assignments_failed, 1);
        for (name, says, message) in [
            ("token", "no token", altered("token", |assignment| assignment.token.clear())),
            ("room", "no room", altered("room", |assignment| assignment.job.as_mut().expect("job").room = None)),
            ("url", "url", altered("url", |assignment| assignment.url = Some("not a url".to_owned()))),
        ] {
            rig.offer(name);
            rig.say(rig.last(), message);
            let [(JobStatus::Failed, why)] = rig.ends(name)[..] else { panic!("silence") };
            assert!(why.contains(says), "{why}");
        }
        assert_eq!((rig.started.len(), rig.gate.standing().in_flight), (0, 0), "the slots are free");
        rig.offer("good");
        rig.say(rig.last(), altered("good", |assignment| assignment.url = Some("wss://elsewhere".to_owned())));
        assert_eq!(rig.started[0].url.as_deref(), Some("wss://elsewhere"));
    }

    25 c25_termination: "a termination before the assignment, for an unknown job, twice, after the end" {
        let mut rig = Rig::new(4);
        rig.offer("j");
        rig.terminate("j");
        assert_eq!((&rig.withdrawn[..], rig.gate.standing().in_flight), (&[id("j")][..], 0));
        rig.assign("j");
        assert!(rig.started.is_empty());
        assert_eq!(rig.ends("j").len(), 1, "an assigned job has its end");
        rig.terminate("unknown");
        assert_eq!(rig.session.counts().unknown_jobs, 1);
        rig.call("up");
        rig.terminate("up");
        rig.terminate("up");
        assert_eq!(rig.terminated, [id("up")]);
        rig.end("up", End::Succeeded);
        rig.terminate("up");
        assert_eq!((rig.terminated.len(), rig.ends("up").len()), (1, 1));
    }

    27 c27_cut_before_answer: "the socket drops between offer and answer" {
        let mut rig = Rig::new(4);
        rig.decides = false;
        rig.offer("j");
        assert!(rig.gate.reserve(rig.now, &id("j")));
        rig.cut();
        assert_eq!((&rig.withdrawn[..], rig.gate.standing().in_flight), (&[id("j")][..], 0));
        assert!(!rig.answer(yes()));
        rig.pass(secs(1));
        assert!(rig.session.is_registered() && rig.said("j").is_empty(), "no stale answer on the new socket");
        // The same for an answer that was given and never went out.
        rig.decides = true;
        let link = rig.last();
        rig.sockets.get_mut(&link).expect("open").blocked = true;
        rig.offer("k");
        assert_eq!(rig.gate.standing().in_flight, 1);
        rig.cut();
        rig.pass(secs(1));
        assert!(rig.said("k").is_empty() && rig.gate.standing().in_flight == 0);
    }

    28 c28_cut_before_assignment: "the socket drops between yes and assignment, which comes on the new one" {
        let mut rig = Rig::new(4);
        rig.offer("j");
        rig.cut();
        rig.pass(secs(1));
        assert_eq!((rig.links.len(), rig.gate.standing().in_flight), (2, 1), "the promise stands");
        rig.assign("j");
        assert_eq!(rig.started.len(), 1);
        rig.end("j", End::Succeeded);
        assert_eq!(rig.ends("j"), [(JobStatus::Success, "")]);
    }
}

#[test]
fn a_yes_that_waits_to_be_sent_goes_out_as_a_no_once_its_job_is_over() {
    let frame = |message| ServerMessage { message: Some(message) }.encode_to_vec();
    for is_terminated in [true, false] {
        let mut rig = Rig::new(4);
        let link = rig.last();
        rig.session.received(rig.now, link, &frame(offer("j")));
        let Some(Output::Offered(job, number, _)) = rig.session.poll() else { panic!("it is offered") };
        assert!(rig.gate.reserve(rig.now, &job) && rig.session.answer(rig.now, &job, number, yes()));
        // The socket has taken nothing yet.
        if is_terminated {
            let over = ToWorker::Termination(JobTermination { job_id: "j".to_owned() });
            rig.session.received(rig.now, link, &frame(over));
        } else {
            rig.session.ended(rig.now, &job, End::Lapsed);
        }
        rig.pump();
        assert_eq!(rig.said("j"), [false], "whoever is told yes assigns the job");
    }
}
