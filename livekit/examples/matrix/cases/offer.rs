//! Offers, and what the worker says of itself.

use openrtc_livekit::proto::{ToServer, WorkerStatus};

use super::cases;
use crate::stage::{Door, Wire, assignment, offer};
use crate::verdict::{Flaw, check, pass, until};

/// How long a LiveKit server waits for an answer, less what it needs itself.
const WINDOW: u64 = 2_800;

/// The answers to a job, once the server's time for it is over.
async fn answers_in_time(wire: &Wire, job: &str, metadata: &str) -> Vec<bool> {
    wire.say(offer(job, metadata));
    pass(WINDOW).await;
    wire.answers(job)
}

cases! {
    13 "an offer while full by load" |program| {
        let (scene, wire) = program.start().await?;
        scene.tell("load", "NaN");
        let _ = until(4, "", || wire.is_full()).await;
        scene.offer(&wire, "j").await?;
    }

    15 "500 offers in one burst against a capacity of 100" |program| {
        let (_scene, wire) = program.start().await?;
        let names: Vec<_> = (0..500).map(|number| format!("j{number}")).collect();
        for name in &names {
            wire.say(offer(name, ""));
        }
        pass(2_500).await;
        let (mut yes, mut no) = (0, 0);
        for said in wire.said() {
            if let ToServer::Availability(answer) = said {
                *(if answer.available { &mut yes } else { &mut no }) += 1;
            }
        }
        check((yes, no) == (100, 400), format!("within 2.5 s {yes} times yes and {no} times no"))?;
    }

    16 "the decision takes 3 s" |program| {
        let (scene, wire) = program.start().await?;
        let answers = answers_in_time(&wire, "slow", "slow").await;
        check(answers == [false], format!("answers within 2.8 s: {answers:?}"))?;
        pass(1_000).await;
        check(wire.answers("slow").len() == 1, "it answers a second time")?;
        scene.call(&wire, "next").await?;
    }

    17 "the decision panics, or hangs" |program| {
        let (scene, wire) = program.start().await?;
        for how in ["panic", "hang"] {
            let answers = answers_in_time(&wire, how, how).await;
            check(answers == [false], format!("a decision that does {how}: answers within 2.8 s: {answers:?}"))?;
        }
        scene.call(&wire, "next").await?;
    }

    18 "the same offer twice on one socket" |program| {
        let (scene, wire) = program.start().await?;
        wire.say(offer("j", ""));
        wire.say(offer("j", ""));
        pass(1_000).await;
        let answers = wire.answers("j");
        check(!answers.is_empty() && answers.iter().all(|yes| *yes), format!("answers: {answers:?}"))?;
        wire.say(assignment("j"));
        scene.begins("j").await?;
        pass(500).await;
        check(scene.begun("j") == 1, "it begins twice")?;
        check(wire.told().last().is_none_or(|told| told.job_count <= 1), "two are reserved")?;
    }

    19 "a job is offered while it runs" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        wire.say(offer("j", ""));
        until(3, "no answer", || wire.answers("j").len() == 2).await?;
        check(wire.answers("j") == [true, false], "it says yes again")?;
        check(scene.begun("j") == 1, "it begins twice")?;
    }

    27 "the socket drops between offer and answer" |program| {
        let (scene, wire) = program.start().await?;
        wire.say(offer("old", "slow"));
        pass(300).await;
        wire.cut();
        let again = scene.stage.wire(1, 20).await?;
        pass(3_500).await;
        check(again.answers("old").is_empty(), "a stale answer comes on the new socket")?;
        scene.call(&again, "next").await?;
    }

    41 "a drain that is cancelled" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "up").await?;
        scene.tell("drain", "begin");
        let full = until(3, "", || wire.is_full()).await;
        full.map_err(|_| Flaw::Elsewhere("no drain but by a signal, which is final".to_owned()))?;
        scene.offer(&wire, "a").await?;
        scene.tell("drain", "cancel");
        until(3, "it stays full", || !wire.is_full()).await?;
        scene.offer(&wire, "b").await?;
        check((wire.answers("a"), wire.answers("b")) == (vec![false], vec![true]), "an offer is lost in between")?;
    }

    42 "load: below 0, above 1, no number, a gauge that hangs" |program| {
        let (scene, wire) = program.start().await?;
        for load in ["-1", "7"] {
            scene.tell("load", load);
            pass(3_500).await;
            let told = wire.told();
            let told = told.last().ok_or_else(|| Flaw::Wrong("no status".to_owned()))?;
            let right = (0.0..0.7).contains(&told.load) && !wire.is_full();
            let said = (told.load, told.status());
            check(right, format!("a measured load of {load} with free slots is told as {said:?}"))?;
        }
        scene.tell("load", "NaN");
        until(5, "no number is told as free", || wire.is_full()).await?;
        scene.tell("load", "hang");
        until(15, "a value that nobody renews counts for ever", || !wire.is_full()).await?;
    }

    43 "status at once on a change, every 2.5 s else; numbered; FULL and draining together" |program| {
        let (scene, wire) = program.start().await?;
        pass(8_000).await;
        let at = wire.moments(|said| matches!(said, ToServer::UpdateWorker(_)));
        let gap = at.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).max().unwrap_or(u128::MAX);
        check(gap <= 2_750, format!("{gap} ms between two statuses"))?;
        scene.call(&wire, "up").await?;
        scene.sigterm();
        until(3, "no FULL", || wire.is_full()).await?;
        let told = wire.told();
        // The last one: a worker is full as well until its gate has opened.
        let full = told.iter().rev().find(|told| told.status() == WorkerStatus::Full);
        check(full.is_some_and(|full| full.draining), "FULL without `draining`")?;
        let rises = told.windows(2).all(|pair| pair[0].seq < pair[1].seq);
        check(rises, "statuses are not numbered")?;
    }

    45 "routing keys: a default rollout keeps none" |program| {
        for (variables, expected) in [(&[][..], ""), (&[("LIVEKIT_AGENT_DEPLOYMENT", "green")][..], "green")] {
            let scene = program.launch(variables, Door::Open).await;
            let wire = scene.stage.wire(0, 60).await?;
            let key = wire.said().into_iter().find_map(|said| match said {
                ToServer::Register(register) => Some(register.deployment),
                _ => None,
            });
            check(key.as_deref() == Some(expected), format!("it registers for {key:?} in place of {expected:?}"))?;
        }
    }

    46 "the last old worker is gone, and no new one is registered" |_program| {
        Err(Flaw::Elsewhere("the server's loss: a rollout waits until the new worker gets jobs".to_owned()))?;
    }
}
