//! Drains and exits.

use openrtc_livekit::proto::{JobStatus, ToServer};
use rustix::process::Signal;

use super::cases;
use crate::stage::{Door, assignment, offer};
use crate::verdict::{Flaw, check, pass, until};

/// How many jobs end at once: each may be a thread of its own.
const CROWD: usize = 50;

cases! {
    31 "the socket drops in a drain, and the server is gone for ever" |program| {
        let (mut scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        scene.drains(&wire).await?;
        scene.stage.door(Door::Status(503));
        wire.cut();
        pass(3_000).await;
        check(scene.is_alive(), "it exits with a job up")?;
        scene.end("j");
        scene.exit(20).await?;
        let said = scene.output();
        let named = said.lines().any(|line| line.contains("status") && line.contains('j'));
        check(named, "that a status was not delivered is not said")?;
    }

    35 "SIGTERM while connecting, registering, backing off, with an offer open, reserved" |program| {
        for door in [Door::Hang, Door::Open, Door::Status(503)] {
            let mut scene = program.launch(&[], door).await;
            scene.stage.registers(false);
            scene.first_attempt().await?;
            pass(1_500).await;
            scene.sigterm();
            scene.exit(8).await.map_err(|flaw| when(door, flaw))?;
        }
        let (mut scene, wire) = program.start().await?;
        wire.say(offer("open", "hang"));
        scene.offer(&wire, "reserved").await?;
        scene.sigterm();
        pass(500).await;
        wire.say(assignment("reserved"));
        scene.begins("reserved").await?;
        check(!wire.answers("open").contains(&true), "it says yes to an offer that was open")?;
        scene.succeeds(&wire, "reserved").await?;
        scene.exit(15).await?;
    }

    36 "SIGTERM twice, then SIGINT" |program| {
        let (mut scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        for signal in [Signal::TERM, Signal::TERM, Signal::INT] {
            scene.signal(signal);
            pass(300).await;
        }
        pass(1_000).await;
        check(scene.is_alive(), "a repeated signal ends it with a job up")?;
        scene.succeeds(&wire, "j").await?;
        scene.leaves(15).await?;
    }

    37 "a drain's last call ends: its status, a ping behind it, then a clean close" |program| {
        let (mut scene, wire) = program.start().await?;
        scene.call(&wire, "j").await?;
        scene.drains(&wire).await?;
        scene.succeeds(&wire, "j").await?;
        scene.leaves(15).await?;
        until(2, "it leaves without a close frame", || wire.closed() == Some(1000)).await?;
        let is_end = |said: &ToServer| matches!(said, ToServer::UpdateJob(end) if end.status() == JobStatus::Success);
        let mut behind = wire.said().into_iter().skip_while(|said| !is_end(said));
        let behind = behind.any(|said| matches!(said, ToServer::Ping(_)));
        check(behind, "nothing proves that the last status has arrived")?;
    }

    38 "50 jobs end in one instant while draining" |program| {
        let (mut scene, wire) = program.start().await?;
        let names: Vec<_> = (0..CROWD).map(|number| format!("j{number}")).collect();
        for name in &names {
            scene.call(&wire, name).await?;
        }
        scene.drains(&wire).await?;
        for name in &names {
            scene.end(name);
        }
        let exit = scene.exit(60).await?;
        let told = names.iter().filter(|name| wire.ends(name) == [JobStatus::Success]).count();
        check(told == CROWD && exit.success(), format!("{told} of {CROWD} ends are told; it exits with {exit}"))?;
    }

    39 "the deadline cuts three calls" |program| {
        let mut scene = program.launch(&[("MATRIX_DRAIN_SECS", "2")], Door::Open).await;
        let wire = scene.stage.wire(0, 60).await?;
        for name in ["a", "b", "c"] {
            scene.call(&wire, name).await?;
        }
        scene.sigterm();
        let exit = scene.exit(40).await?;
        for name in ["a", "b", "c"] {
            let ends = wire.ends(name);
            let wrong = format!("a job that was cut is told as {ends:?}, and it exits with {exit}");
            check(ends == [JobStatus::Failed], wrong)?;
        }
        check(!exit.success(), "it exits as if nothing had been cut")?;
    }
}

fn when(door: Door, flaw: Flaw) -> Flaw {
    match flaw {
        Flaw::Wrong(why) => Flaw::Wrong(format!("{door:?}: {why}")),
        elsewhere @ Flaw::Elsewhere(_) => elsewhere,
    }
}
