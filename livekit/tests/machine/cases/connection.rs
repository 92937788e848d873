//! Sockets: made, lost, silent, told to go.

use openrtc_core::time::Span;
use openrtc_livekit::proto::{AvailabilityRequest, GoAway, ToServer, ToWorker, WorkerStatus};
use openrtc_livekit::session::{Answer, FRAME_MAX, Failure, LinkId, Loss, Notice};

use crate::cases::cases;
use crate::rig::{Rig, assignment, offer, registered, secs, told};

fn go_away() -> ToWorker {
    ToWorker::GoAway(GoAway { reason: 0 })
}

/// How long it waited before each attempt but the first.
fn waits(rig: &Rig) -> Vec<Span> {
    let of = |notice: &Notice| match notice {
        Notice::Retrying(wait) => Some(*wait),
        _ => None,
    };
    rig.notices.iter().filter_map(of).collect()
}

fn lost(rig: &Rig) -> Vec<&Loss> {
    let losses = rig.notices.iter().filter_map(|notice| match notice {
        Notice::Lost(loss) => Some(loss),
        _ => None,
    });
    losses.collect()
}

fn migrated(rig: &Rig, link: LinkId) -> Vec<Vec<String>> {
    let of = |message: &ToServer| match message {
        ToServer::MigrateJob(migrate) => Some(migrate.job_ids.clone()),
        _ => None,
    };
    rig.socket(link).sent.iter().filter_map(of).collect()
}

cases! {
    1 c01_no_reply: "the registration is never confirmed" {
        let mut rig = Rig::unconnected(4);
        rig.pump();
        let first = rig.last();
        rig.open(first);
        rig.pass(secs(9));
        assert_eq!(rig.links.len(), 1);
        rig.pass(secs(2));
        assert_eq!(rig.socket(first).closed, Some(None));
        assert_eq!(rig.links.len(), 2, "it tries again");
        // A SIGTERM meanwhile ends it at once.
        rig.drain();
        assert_eq!(rig.left, Some(rig.now));
    }

    2 c02_closing: "the server closes right after the upgrade, or after the registration, 100 times" {
        for after_register in [false, true] {
            let mut rig = Rig::unconnected(4);
            rig.pump();
            for _ in 0..100 {
                let link = rig.last();
                rig.open(link);
                if after_register {
                    rig.say(link, registered("AW"));
                }
                rig.cut();
                rig.pass(*waits(&rig).last().expect("it waits"));
            }
            let waits = waits(&rig);
            assert!(waits.iter().skip(10).all(|wait| (secs(5)..=secs(10)).contains(wait)), "{waits:?}");
            assert!(waits[0] < secs(1) && waits.windows(2).any(|pair| pair[0] != pair[1]), "spread: {waits:?}");
            // A registration that holds begins the back-off anew.
            rig.connect();
            rig.pass(secs(6));
            let before = rig.links.len();
            rig.cut();
            rig.pass(Span::from_millis(250));
            assert_eq!(rig.links.len(), before + 1);
        }
    }

    3 c03_first: "the first frame is not the confirmation" {
        let mut rig = Rig::unconnected(4);
        rig.pump();
        let link = rig.last();
        rig.open(link);
        rig.say(link, offer("j"));
        rig.say(link, assignment("j"));
        assert_eq!(rig.session.counts().ignored, 2);
        assert!(rig.offered.is_empty() && rig.started.is_empty());
        rig.say(link, registered("AW"));
        assert!(rig.session.is_registered(), "the socket was kept");
        // A confirmation of a registration that has not gone out confirms nothing.
        let mut rig = Rig::unconnected(4);
        rig.pump();
        let link = rig.last();
        rig.sockets.get_mut(&link).expect("asked for").blocked = true;
        rig.open(link);
        rig.say(link, registered("AW"));
        assert!(!rig.session.is_registered());
        rig.pass(secs(11));
        assert_eq!(lost(&rig), [&Loss::NotRegistered]);
    }

    4 c04_refused: "401 and 404 are retried slowly, the rest soon; calls live on" {
        for (failure, slow) in [
            (Failure::Unauthorized { ahead_secs: None, said: "invalid token".to_owned() }, true),
            (Failure::NotFound, true),
            (Failure::Status(503), false),
            (Failure::Unreachable("no such host".to_owned()), false),
        ] {
            let mut rig = Rig::new(4);
            rig.call("j");
            rig.serves = false;
            rig.cut();
            rig.pass(secs(1));
            for _ in 0..8 {
                rig.fail(failure.clone());
                assert_eq!(rig.session.last_loss(), Some(&Loss::Failed(failure.clone())), "health says why");
                rig.pass(*waits(&rig).last().expect("it waits"));
            }
            let slowest = waits(&rig).into_iter().max().expect("waits");
            assert_eq!(slowest >= secs(15), slow, "{failure}: {slowest}");
            assert!(rig.terminated.is_empty() && rig.gate.standing().in_flight == 1);
        }
    }

    7 c07_confirmed_twice: "two confirmations; one without a worker id" {
        let mut rig = Rig::unconnected(4);
        rig.pump();
        let link = rig.last();
        rig.open(link);
        rig.say(link, registered(""));
        rig.say(link, registered("AW_2"));
        assert_eq!(rig.session.counts().ignored, 1);
        let registers = rig.sent().iter().filter(|message| matches!(message, ToServer::Register(_))).count();
        assert_eq!((registers, rig.links.len()), (1, 1));
        rig.call("j");
    }

    8 c08_unknown: "unknown message, empty message, unknown field, unknown enum value" {
        let mut rig = Rig::new(4);
        let link = rig.last();
        // Field 15, then nothing, then a pong with an unknown field 9, then an offer of job type 77.
        let (unknown, pong, offer) = ([0x7a, 2, 8, 1], [0x22, 2, 0x48, 1], [0x12, 7, 0x0a, 5, 0x0a, 1, b'j', 0x10, 77]);
        for frame in [&unknown[..], &[], &pong, &offer] {
            rig.bytes(link, frame);
        }
        // The pong answers no ping.
        assert_eq!((rig.session.counts().ignored, rig.session.counts().undecodable), (3, 0));
        assert_eq!(rig.said("j"), [true]);
        assert_eq!(rig.links.len(), 1);
    }

    9 c09_undecodable: "truncated message, text frame" {
        let mut rig = Rig::new(4);
        rig.call("j");
        let link = rig.last();
        rig.bytes(link, &[0x0a, 0x40, 1, 2]);
        rig.bytes(link, &[0xff; 11]);
        rig.session.received_text(rig.now);
        assert_eq!(rig.session.counts().undecodable, 3);
        assert!(rig.links.len() == 1 && rig.terminated.is_empty());
    }

    10 c10_large: "a frame of 3 MiB; a job with 512 KiB of metadata" {
        let mut rig = Rig::new(4);
        rig.call("up");
        let link = rig.last();
        let mut big = crate::rig::job("big");
        big.metadata = "x".repeat(512 * 1024);
        rig.say(link, ToWorker::Availability(AvailabilityRequest { job: Some(big), resuming: false }));
        assert_eq!(rig.said("big"), [true]);
        rig.bytes(link, &vec![0; 3 * 1024 * 1024]);
        assert_eq!(rig.socket(link).closed, Some(Some(1009)));
        assert_eq!(lost(&rig), [&Loss::TooLarge(3 * 1024 * 1024)]);
        const { assert!(3 * 1024 * 1024 > FRAME_MAX) };
        rig.pass(secs(1));
        assert!(rig.session.is_registered() && rig.terminated.is_empty(), "reconnected, and the call is untouched");
    }

    11 c11_blackhole: "60 s of silence" {
        let mut rig = Rig::new(4);
        rig.call("j");
        let link = rig.last();
        rig.answers_pings = false;
        rig.pass(secs(21));
        assert_eq!(lost(&rig), [&Loss::Silent]);
        assert_eq!(rig.socket(link).closed, Some(None));
        rig.answers_pings = true;
        rig.pass(secs(39));
        assert!(rig.session.is_registered() && rig.gate.standing().in_flight == 1);
    }

    12 c12_reads_nothing: "the server reads nothing" {
        let mut rig = Rig::new(4_000);
        for job in 0..1_000 {
            rig.call(&format!("j{job}"));
        }
        let link = rig.last();
        rig.sockets.get_mut(&link).expect("open").blocked = true;
        for job in 0..1_000 {
            rig.end(&format!("j{job}"), openrtc_livekit::session::End::Succeeded);
        }
        assert_eq!(rig.gate.standing().in_flight, 0, "no hang-up waits for the socket");
        let before = rig.socket(link).sent.len();
        rig.pass(secs(5));
        assert_eq!(rig.socket(link).sent.len(), before);
        rig.sockets.get_mut(&link).expect("open").blocked = false;
        rig.pump();
        let worker_statuses = told(&rig.socket(link).sent[before..]).len();
        assert!(worker_statuses <= 2, "the latest wins: {worker_statuses}");
        assert_eq!(rig.delivered.len(), 1_000, "every end was kept");
    }

    29 c29_outage: "the socket drops while a job runs, for 30 s" {
        for draining in [false, true] {
            let mut rig = Rig::new(4);
            rig.call("j");
            if draining {
                rig.drain();
            }
            rig.serves = false;
            rig.cut();
            rig.pass(secs(30));
            rig.serves = true;
            rig.fail(Failure::TimedOut);
            rig.pass(secs(11));
            let sent = rig.sent();
            assert!(matches!(sent[0], ToServer::Register(_)));
            let full = matches!(&sent[1], ToServer::UpdateWorker(told) if told.status() == WorkerStatus::Full);
            assert_eq!(full, draining);
            assert_eq!(migrated(&rig, rig.last()), [["j"]]);
            let migrate = sent.iter().position(|message| matches!(message, ToServer::MigrateJob(_))).expect("sent");
            assert_eq!(migrate, if draining { 2 } else { 1 });
            assert!(rig.terminated.is_empty() && rig.gate.standing().in_flight == 1);
        }
    }

    32 c32_go_away: "GoAway when idle, busy, draining" {
        for (busy, draining) in [(false, false), (true, false), (true, true)] {
            let mut rig = Rig::new(4);
            let old = rig.last();
            if busy {
                rig.call("up");
                rig.decides = false;
                rig.offer("open");
            }
            if draining {
                rig.drain();
            }
            rig.serves = false;
            rig.say(old, go_away());
            rig.pass(secs(1));
            let new = rig.last();
            assert_ne!(new, old);
            rig.open(new);
            assert_eq!(rig.socket(old).closed, None, "not before the new one is registered");
            rig.say(new, registered("AW_2"));
            let told_first = told(&rig.socket(new).sent)[0];
            assert_eq!(told_first.draining, draining);
            if busy {
                assert_eq!(rig.socket(old).closed, None, "an offer is open there");
                assert!(rig.answer(Answer::No));
                let last = rig.socket(old).sent.last();
                assert!(matches!(last, Some(ToServer::Availability(answer)) if !answer.available), "{last:?}");
                assert_eq!(migrated(&rig, new), [["up"]]);
            }
            assert_eq!(rig.socket(old).closed, Some(Some(1000)));
            assert!(rig.terminated.is_empty());
        }
    }

    33 c33_go_away_storm: "a storm of GoAways; GoAway, then an immediate close" {
        let mut rig = Rig::new(4);
        let old = rig.last();
        rig.serves = false;
        for _ in 0..50 {
            rig.say(old, go_away());
        }
        rig.pass(secs(5));
        assert_eq!(rig.links.len(), 2, "one attempt at a time");
        let mut rig = Rig::new(4);
        rig.pass(secs(6));
        rig.say(rig.last(), go_away());
        rig.close(rig.links[0], Some(1001));
        rig.pass(secs(1));
        assert!(rig.session.is_registered() && rig.links.len() == 2);
        // A server that tells every new socket to go does not make a busy loop.
        let mut rig = Rig::new(4);
        for _ in 0..20 {
            rig.say(rig.last(), go_away());
            rig.pass(*waits(&rig).last().expect("it waits"));
        }
        assert!(waits(&rig).iter().skip(8).all(|wait| *wait >= secs(5)), "{:?}", waits(&rig));
    }

    34 c34_codes: "close codes 1000, 1001, 1006, 1008, 1009, 1011" {
        for code in [1000, 1001, 1006, 1008, 1009, 1011] {
            let mut rig = Rig::new(4);
            rig.call("j");
            rig.close(rig.last(), Some(code));
            let said = lost(&rig)[0].to_string();
            assert!(said.contains(&code.to_string()), "{said}");
            assert_eq!(said.contains("policy"), code == 1008);
            assert_eq!(said.contains("too big"), code == 1009);
            rig.pass(secs(1));
            assert!(rig.session.is_registered() && rig.terminated.is_empty());
        }
    }
}
