//! Jobs: assigned, ended, and what the server hears of it.

use openrtc_livekit::proto::{JobAssignment, JobStatus, ToWorker};

use super::cases;
use crate::stage::{JOB_TOKEN, Wire, assignment, job, offer, termination};
use crate::verdict::{Verdict, check, pass, until};

/// An assignment of `name`, altered.
fn altered(name: &str, alter: impl FnOnce(&mut JobAssignment)) -> ToWorker {
    let mut assignment = JobAssignment { job: Some(job(name, "")), url: None, token: JOB_TOKEN.to_owned() };
    alter(&mut assignment);
    ToWorker::Assignment(assignment)
}

/// The job ends as failed, with a reason.
async fn fails(wire: &Wire, job: &str) -> Verdict {
    until(8, &format!("{job}: silence"), || !wire.ends(job).is_empty()).await?;
    let ends = wire.ends(job);
    check(ends == [JobStatus::Failed], format!("{job} ends as {ends:?}"))?;
    let reason = wire.statuses(job).last().is_some_and(|status| !status.error.is_empty());
    check(reason, format!("{job} fails without a reason"))
}

cases! {
    20 "a yes, then no assignment, and SIGTERM" |program| {
        let (mut scene, wire) = program.start().await?;
        scene.offer(&wire, "j").await?;
        scene.sigterm();
        scene.leaves(20).await?;
    }

    21 "a yes, then the assignment after its expiry" |program| {
        let (scene, wire) = program.start().await?;
        scene.offer(&wire, "j").await?;
        pass(12_000).await;
        wire.say(assignment("j"));
        let known = || scene.begun("j") > 0 || !wire.ends("j").is_empty();
        until(8, "neither begun nor told as failed", known).await?;
    }

    22 "an assignment that was never offered; one that was refused" |program| {
        let (scene, wire) = program.start().await?;
        wire.say(assignment("never"));
        fails(&wire, "never").await?;
        wire.say(offer("refused", "panic"));
        until(3, "no answer", || wire.answers("refused") == [false]).await?;
        wire.say(assignment("refused"));
        fails(&wire, "refused").await?;
        check(scene.started().is_empty(), "it begins what it never promised")?;
    }

    23 "an assignment twice; again with another token" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        wire.say(assignment("j"));
        wire.say(altered("j", |assignment| "other".clone_into(&mut assignment.token)));
        pass(2_000).await;
        check(scene.begun("j") == 1, format!("it begins {} times", scene.begun("j")))?;
        scene.succeeds(&wire, "j").await?;
    }

    24 "an assignment without token or room; its url is set" |program| {
        let (scene, wire) = program.start().await?;
        scene.offer(&wire, "url").await?;
        wire.say(altered("url", |assignment| assignment.url = Some("ws://127.0.0.1:9".to_owned())));
        scene.begins("url").await?;
        check(scene.started().contains("ws://127.0.0.1:9"), "the url does not reach the handler")?;
        for (name, message) in [
            ("token", altered("token", |assignment| assignment.token.clear())),
            ("room", altered("room", |assignment| assignment.job.as_mut().expect("a job").room = None)),
        ] {
            scene.offer(&wire, name).await?;
            wire.say(message);
            fails(&wire, name).await?;
            check(scene.begun(name) == 0, format!("it begins without a {name}"))?;
        }
    }

    25 "a termination before the assignment, for an unknown job, twice, after the end" |program| {
        let (scene, wire) = program.start().await?;
        scene.offer(&wire, "early").await?;
        wire.say(termination("early"));
        wire.say(termination("unknown"));
        pass(300).await;
        wire.say(assignment("early"));
        pass(3_000).await;
        check(scene.begun("early") == 0, "a job that was ended begins")?;
        scene.call(&wire, "j").await?;
        wire.say(termination("j"));
        wire.say(termination("j"));
        until(30, "a job that was ended has no terminal status", || !wire.ends("j").is_empty()).await?;
        wire.say(termination("j"));
        pass(500).await;
        check(wire.ends("j").len() == 1, "two terminal statuses")?;
        check(wire.closed().is_none(), "it left the socket")?;
    }

    26 "a termination during a drain" |program| {
        let (mut scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        scene.drains(&wire).await?;
        wire.say(termination("j"));
        until(30, "no terminal status", || !wire.ends("j").is_empty()).await?;
        scene.leaves(15).await?;
    }

    40 "a job that ends well, fails, crashes" |program| {
        let (scene, wire) = program.start().await?;
        for (name, status) in [("ok", JobStatus::Success), ("error", JobStatus::Failed), ("panic", JobStatus::Failed)] {
            scene.call(&wire, name).await?;
            scene.tell(&format!("{name}.end"), name);
            until(30, &format!("a job that ends with {name} is not told"), || !wire.ends(name).is_empty()).await?;
            let ends = wire.ends(name);
            check(ends == [status], format!("a job that ends with {name} is told as {ends:?}"))?;
        }
    }
}
