//! Connections: made, refused, and what comes on them.

use openrtc_livekit::ApiKey;
use openrtc_livekit::proto::{AvailabilityRequest, ServerMessage, ToServer, ToWorker};
use prost::Message as _;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::cases;
use crate::stage::{Door, Wire, assignment, job, now_secs, offer, registered};
use crate::subject::{KEY, SECRET};
use crate::verdict::{check, pass, until};

/// How many attempts a worker may make in twelve seconds at a server that closes each at once.
const ATTEMPTS_MAX: usize = 12;

fn registrations(wire: &Wire) -> usize {
    wire.said().iter().filter(|said| matches!(said, ToServer::Register(_))).count()
}

/// The longest time between two neighbours.
fn longest(attempts: &[Instant]) -> u128 {
    attempts.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).max().unwrap_or_default()
}

cases! {
    1 "the registration is never confirmed" |program| {
        let mut scene = program.launch(&[], Door::Open).await;
        scene.stage.registers(false);
        let first = scene.stage.wire(0, 60).await?;
        until(15, "it waits for the confirmation without limit", || first.closed().is_some()).await?;
        scene.stage.wire(1, 5).await?;
        scene.sigterm();
        scene.exit(5).await?;
    }

    2 "the server closes right after the upgrade, or after the registration" |program| {
        for door in [Door::Slam, Door::SlamAfterRegister] {
            let scene = program.launch(&[], door).await;
            scene.first_attempt().await?;
            pass(12_000).await;
            let attempts = scene.stage.attempts();
            check(attempts.len() <= ATTEMPTS_MAX, format!("{} attempts in 12 s", attempts.len()))?;
            check(longest(&attempts) > 1_500, format!("the wait grows to {} ms", longest(&attempts)))?;
        }
    }

    3 "the first frame is not the confirmation" |program| {
        let scene = program.launch(&[], Door::Open).await;
        scene.stage.registers(false);
        let wire = scene.stage.wire(0, 60).await?;
        wire.say(offer("early", ""));
        wire.say(assignment("early"));
        pass(1_000).await;
        let quiet = wire.answers("early").is_empty() && scene.begun("early") == 0;
        check(quiet, "it acts on an offer before it is registered")?;
        scene.stage.registers(true);
        scene.stage.wires().iter().for_each(|wire| wire.say(registered("AW_1")));
        pass(500).await;
        let wire = if wire.closed().is_some() { scene.stage.wire(1, 20).await? } else { wire };
        scene.call(&wire, "j").await?;
    }

    4 "401, 404, 503, a redirect, no HTTP, no answer; a job lives on" |program| {
        let (mut scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        scene.stage.door(Door::Status(503));
        wire.cut();
        let doors = [Door::Status(302), Door::Garbage, Door::Status(401), Door::Status(404), Door::Open];
        for (number, next) in (2..).zip(doors) {
            scene.attempt(number, 40).await?;
            pass(20).await;
            scene.stage.door(next);
        }
        let again = scene.stage.wire(1, 40).await?;
        check(scene.is_alive(), "it ended")?;
        let said = scene.output();
        check(said.contains("401") || said.contains("LIVEKIT_API_KEY"), "the 401 is not named")?;
        scene.succeeds(&again, "j").await?;
    }

    5 "the clock is off by 50 s, and by 90 s" |program| {
        let (_scene, wire) = program.start().await?;
        for theirs in [now_secs() - 50, now_secs() + 50] {
            let verdict = ApiKey::new(KEY, SECRET).verify(&wire.token, theirs);
            check(verdict.is_ok(), format!("at 50 s: {verdict:?}"))?;
        }
        let skewed = program.launch(&[], Door::Skewed(90)).await;
        skewed.first_attempt().await?;
        let named = || skewed.output().to_lowercase().contains("clock");
        until(3, "a 401 from a server whose clock is 90 s off is not named as clock skew", named).await?;
    }

    6 "reconnect: a new token" |program| {
        let (scene, wire) = program.start().await?;
        pass(1_200).await;
        wire.cut();
        let again = scene.stage.wire(1, 20).await?;
        check(again.token != wire.token, "the token of the first connection is used again")?;
        check(ApiKey::new(KEY, SECRET).verify(&again.token, now_secs()).is_ok(), "the token is not good")?;
    }

    7 "two confirmations; one without a worker id" |program| {
        let scene = program.launch(&[], Door::Open).await;
        scene.stage.registers(false);
        let wire = scene.stage.wire(0, 60).await?;
        wire.say(registered(""));
        wire.say(registered("AW_2"));
        pass(500).await;
        scene.call(&wire, "j").await?;
        check(registrations(&wire) == 1 && scene.stage.attempts().len() == 1, "it registers again")?;
    }

    8 "an unknown message, an empty one, unknown fields, an unknown job type" |program| {
        let (scene, wire) = program.start().await?;
        for frame in [&[0x7a, 2, 8, 1][..], &[], &[0x22, 2, 0x48, 1]] {
            wire.frame(frame.to_vec());
        }
        let mut strange = job("strange", "");
        strange.r#type = 77;
        wire.say(ToWorker::Availability(AvailabilityRequest { job: Some(strange), resuming: false }));
        pass(500).await;
        scene.call(&wire, "j").await?;
        check(scene.stage.attempts().len() == 1, "it left the socket")?;
        check(wire.answers("strange").len() == 1, "the offer of an unknown type is not answered")?;
    }

    9 "a truncated message, a text frame, a message in fragments" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "up").await?;
        let whole = ServerMessage { message: Some(offer("parts", "")) }.encode_to_vec();
        let (first, second) = whole.split_at(5);
        wire.message(Message::Frame(Frame::message(first.to_vec(), OpCode::Data(Data::Binary), false)));
        wire.message(Message::Frame(Frame::message(second.to_vec(), OpCode::Data(Data::Continue), true)));
        until(3, "an offer in two fragments is not answered", || wire.answers("parts") == [true]).await?;
        wire.frame(vec![0x0a, 0x40, 1, 2]);
        wire.frame(vec![0xff; 11]);
        wire.message(Message::text("{}"));
        pass(1_000).await;
        let attempts = scene.stage.attempts().len();
        check(attempts <= 2, format!("{attempts} connections"))?;
        let wire = scene.stage.wire(attempts - 1, 20).await?;
        scene.call(&wire, "next").await?;
        scene.succeeds(&wire, "up").await?;
    }

    10 "a frame of 3 MiB; a job with 512 KiB of metadata" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "up").await?;
        wire.say(offer("big", &"x".repeat(512 * 1024)));
        until(3, "a job with 512 KiB of metadata is not answered", || wire.answers("big") == [true]).await?;
        wire.frame(vec![0; 3 * 1024 * 1024]);
        pass(2_000).await;
        let attempts = scene.stage.attempts().len();
        let wire = scene.stage.wire(attempts - 1, 20).await?;
        scene.call(&wire, "next").await?;
        scene.succeeds(&wire, "up").await?;
    }

    11 "60 s of silence" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "up").await?;
        wire.mute();
        let wire = scene.stage.wire(1, 60).await?;
        scene.succeeds(&wire, "up").await?;
    }

    12 "the server reads nothing" |program| {
        let (scene, wire) = program.start().await?;
        for number in 0..10 {
            scene.call(&wire, &format!("j{number}")).await?;
        }
        wire.mute();
        (0..10).for_each(|number| scene.end(&format!("j{number}")));
        let wire = scene.stage.wire(1, 60).await?;
        let told = || (0..10).all(|number| wire.ends(&format!("j{number}")).len() == 1);
        until(10, "the ends of jobs are lost with the socket", told).await?;
    }

    34 "close codes 1000, 1001, 1008, 1009, 1011" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "up").await?;
        let mut wire = wire;
        for (number, code) in [1000, 1001, 1008, 1009, 1011].into_iter().enumerate() {
            wire.close(code);
            wire = scene.stage.wire(number + 1, 20).await?;
        }
        let said = scene.output();
        check(said.contains("1008") && said.contains("1009"), "1008 and 1009 are not named")?;
        scene.succeeds(&wire, "up").await?;
    }


    44 "a routing key that the server would refuse" |program| {
        for key in ["v1_2", &"x".repeat(65), "a b"] {
            let mut scene = program.launch(&[("LIVEKIT_AGENT_DEPLOYMENT", key)], Door::Open).await;
            let exit = scene.exit(30).await;
            let tried = scene.stage.attempts().len();
            check(tried == 0, format!("it goes to the server with {key:?}"))?;
            check(!exit?.success() && scene.output().contains("deployment"), "the key is not named")?;
        }
    }

    47 "secrets in what is shown" |program| {
        let (mut scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        wire.say(assignment("unknown"));
        scene.succeeds(&wire, "j").await?;
        let leaks = scene.leaks(&wire.token);
        check(leaks.is_empty(), format!("it shows {}", leaks.join(", ")))?;
        let refused = program.launch(&[], Door::Status(401)).await;
        refused.first_attempt().await?;
        pass(500).await;
        let leaks = refused.leaks("token.that.nobody-has");
        check(leaks.is_empty(), format!("refused, it shows {}", leaks.join(", ")))?;
        check(scene.is_alive(), "it ended")?;
    }
}
