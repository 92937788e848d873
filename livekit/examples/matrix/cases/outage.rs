//! What happens to jobs while there is no socket, and when the server says that it goes.

use openrtc_livekit::proto::{GoAway, ToServer, ToWorker, UpdateWorkerStatus, WorkerStatus};

use super::cases;
use crate::stage::{Door, Wire, assignment};
use crate::verdict::{check, pass, until};

fn go_away() -> ToWorker {
    ToWorker::GoAway(GoAway { reason: 0 })
}

/// The jobs that the worker named to a server that might take them over.
fn migrated(wire: &Wire) -> Vec<String> {
    let named = |said| match said {
        ToServer::MigrateJob(migrate) => Some(migrate.job_ids),
        _ => None,
    };
    wire.said().into_iter().filter_map(named).flatten().collect()
}

cases! {
    14 "an offer while draining, also on a new registration" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "up").await?;
        scene.drains(&wire).await?;
        scene.offer(&wire, "a").await?;
        wire.cut();
        let again = scene.stage.wire(1, 20).await?;
        until(2, "it is not full on its new registration", || again.is_full()).await?;
        scene.offer(&again, "b").await?;
        check((wire.answers("a"), again.answers("b")) == (vec![false], vec![false]), "it says yes")?;
        let first = again.told().first().map(UpdateWorkerStatus::status);
        check(first == Some(WorkerStatus::Full), "its new registration begins as available")?;
        let terminates = |said| matches!(said, ToServer::Availability(answer) if answer.terminate);
        check(![wire.said(), again.said()].concat().into_iter().any(terminates), "a refusal ends the dispatch")?;
    }

    28 "the socket drops between yes and assignment, which comes on the new one" |program| {
        let (scene, wire) = program.start().await?;
        scene.offer(&wire, "j").await?;
        wire.cut();
        let again = scene.stage.wire(1, 7).await?;
        again.say(assignment("j"));
        scene.begins("j").await?;
        scene.succeeds(&again, "j").await?;
    }

    29 "the socket drops while a job runs, for 30 s" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        scene.stage.door(Door::Status(503));
        wire.cut();
        pass(30_000).await;
        scene.stage.door(Door::Open);
        let again = scene.stage.wire(1, 20).await?;
        until(5, "it does not name its running jobs", || migrated(&again) == ["j"]).await?;
        scene.succeeds(&again, "j").await?;
    }

    30 "a call ends during an outage" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        scene.stage.door(Door::Status(503));
        wire.cut();
        pass(500).await;
        scene.end("j");
        pass(3_000).await;
        scene.stage.door(Door::Open);
        let again = scene.stage.wire(1, 20).await?;
        until(10, "its end is not told", || !again.ends("j").is_empty()).await?;
        pass(1_000).await;
        check(again.ends("j").len() == 1, "its end is told twice")?;
    }

    32 "GoAway while a job runs" |program| {
        let (scene, old) = program.start().await?;
        scene.call(&old, "up").await?;
        old.say(go_away());
        let new = scene.stage.wire(1, 10).await?;
        until(15, "the old socket is kept", || old.closed().is_some()).await?;
        scene.call(&new, "next").await?;
        scene.succeeds(&new, "up").await?;
    }

    33 "a storm of GoAways" |program| {
        let (scene, wire) = program.start().await?;
        scene.call(&wire, "up").await?;
        (0..50).for_each(|_| wire.say(go_away()));
        pass(3_000).await;
        let attempts = scene.stage.attempts().len();
        check(attempts <= 3, format!("{attempts} connections in 3 s"))?;
        let wire = scene.stage.wire(attempts - 1, 20).await?;
        scene.call(&wire, "next").await?;
    }
}
