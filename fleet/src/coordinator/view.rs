//! The fleet as the API shows it.

use openrtc_core::fleet::{Facts, Fleet, Gate, Member, MemberStatus, Run, Tally, Task, View};
use openrtc_core::id::{Actor, Deployment, Epoch, Incarnation, Seq, Version, WorkerId};
use openrtc_core::snapshot::JournalHealth;
use openrtc_core::time::{Instant, Span};
use openrtc_core::word::Phase;
use serde::Serialize;

use crate::shell::Trouble;

/// The fleet, without its workers one by one.
#[derive(Debug, Serialize)]
pub(super) struct State {
    deployment: Deployment,
    /// The coordinator's term.
    epoch: Epoch,
    /// The last decision.
    seq: Seq,
    rollout: Option<RolloutShown>,
    paused: Option<PausedShown>,
    gates: GatesShown,
    /// What the rollout waits for.
    waits: Vec<WaitShown>,
    /// Lost workers that a person gave up, with the calls that went with them, until they come back to leave.
    given_up: Vec<GivenUp>,
    versions: Vec<VersionShown>,
    tally: Tally,
    journal: JournalShown,
}

#[derive(Debug, Serialize)]
struct GivenUp {
    worker: WorkerId,
    calls: u32,
}

/// How the coordinator's journal is.
#[derive(Debug, Serialize)]
pub(super) struct JournalShown {
    #[serde(flatten)]
    health: JournalHealth,
    /// Why nothing is decided, if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

impl JournalShown {
    pub(super) fn of(health: JournalHealth, trouble: Option<Trouble>) -> Self {
        Self { health, trouble: trouble.map(|trouble| trouble.to_string()) }
    }
}

#[derive(Debug, Serialize)]
struct RolloutShown {
    version: Version,
    from: Option<Version>,
    actor: Actor,
    stage: &'static str,
    /// The same for people: where it waits for one, that.
    doing: String,
    /// Whether nothing follows.
    over: bool,
    /// For how long it has been in this stage, in seconds.
    for_s: u64,
    /// How many workers of the version there must be.
    workers: u32,
}

#[derive(Debug, Serialize)]
struct PausedShown {
    actor: Actor,
    reason: String,
    for_s: u64,
}

#[derive(Debug, Serialize)]
struct GatesShown {
    asked: Vec<&'static str>,
    passed: Vec<&'static str>,
    failed: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct WaitShown {
    /// What is waited for, in one word.
    r#for: &'static str,
    /// The same for people.
    what: String,
    /// What would end the wait.
    way_out: String,
}

#[derive(Debug, Serialize)]
struct VersionShown {
    version: Version,
    state: &'static str,
    /// Its share of new calls, per cent.
    weight: u8,
    /// How many workers there are, whatever becomes of them.
    workers: u32,
    /// Those that serve or stand by to.
    ready: u32,
    /// Those that were told to drain and have not drained.
    draining: u32,
    unknown: u32,
    lost: u32,
    /// Calls in flight, as last heard.
    calls: u64,
    /// Calls that its serving workers can hold.
    slots: u64,
}

/// One worker.
#[derive(Debug, Serialize)]
pub(super) struct WorkerShown {
    worker: WorkerId,
    incarnation: Incarnation,
    version: Version,
    /// How much is known of it: `known`, `unknown` or `lost`.
    view: &'static str,
    /// Whether it is connected.
    connected: bool,
    /// Where its last report says it is.
    phase: Option<Phase>,
    /// Calls in flight, as last heard.
    calls: u32,
    capacity: Option<u32>,
    status: &'static str,
    /// The order in force, and whether the worker was seen to obey.
    order: Option<OrderShown>,
    drained: bool,
}

#[derive(Debug, Serialize)]
struct OrderShown {
    task: &'static str,
    obeyed: bool,
    overdue: bool,
}

impl State {
    pub(super) fn of(fleet: &Fleet, deployment: Deployment, now: Instant, journal: JournalShown) -> Self {
        let for_s = |since: Instant| now.since(since).as_micros() / Span::from_secs(1).as_micros();
        let names = |gates: openrtc_core::fleet::GateSet| gates.iter().map(Gate::as_str).collect();
        let gates = fleet.gates();
        let rollout = fleet.rollout().map(|rollout| RolloutShown {
            version: rollout.green(),
            from: rollout.blue,
            actor: rollout.actor,
            stage: rollout.stage.as_str(),
            doing: fleet.doing().map(|doing| doing.to_string()).unwrap_or_default(),
            over: rollout.stage.is_over(),
            for_s: for_s(rollout.since),
            workers: rollout.spec.workers,
        });
        let paused = fleet.paused().map(|pause| PausedShown {
            actor: pause.actor,
            reason: pause.reason.to_string(),
            for_s: for_s(pause.since),
        });
        let waits = fleet.waits().into_iter().map(|wait| WaitShown {
            r#for: wait.word(),
            what: wait.to_string(),
            way_out: wait.way_out().to_string(),
        });
        Self {
            deployment,
            epoch: fleet.epoch(),
            seq: fleet.seq(),
            rollout,
            paused,
            gates: GatesShown { asked: names(gates.asked), passed: names(gates.passed), failed: names(gates.failed) },
            waits: waits.collect(),
            given_up: if fleet.tally().written_off > 0 { given_up(fleet) } else { Vec::new() },
            versions: fleet.versions().keys().map(|version| VersionShown::of(fleet, *version)).collect(),
            tally: *fleet.tally(),
            journal,
        }
    }
}

fn given_up(fleet: &Fleet) -> Vec<GivenUp> {
    let members = fleet.members().iter().filter(|(_, member)| member.status == MemberStatus::WrittenOff);
    members.map(|(worker, member)| GivenUp { worker, calls: member.live }).collect()
}

impl VersionShown {
    fn of(fleet: &Fleet, version: Version) -> Self {
        let (pool, info) = (fleet.members().pool(version), &fleet.versions()[&version]);
        Self {
            version,
            state: info.state.as_str(),
            weight: info.weight,
            workers: pool.members,
            ready: pool.ready,
            draining: pool.draining,
            unknown: pool.unknown,
            lost: pool.lost,
            calls: pool.calls,
            slots: pool.slots,
        }
    }
}

impl WorkerShown {
    pub(super) const fn name(&self) -> WorkerId {
        self.worker
    }

    pub(super) fn of(worker: WorkerId, member: &Member, is_connected: impl FnOnce(&Run) -> bool) -> Self {
        let run = Run { worker, incarnation: member.incarnation };
        Self {
            worker,
            incarnation: member.incarnation,
            version: member.version,
            view: match member.view() {
                View::Known => "known",
                View::Unknown => "unknown",
                View::Lost => "lost",
            },
            connected: is_connected(&run),
            phase: member.phase(),
            calls: member.live(),
            capacity: member.facts().map(|facts: &Facts| facts.capacity),
            status: match member.status {
                MemberStatus::Member => "member",
                MemberStatus::Fenced => "fenced",
                MemberStatus::WrittenOff => "written_off",
                MemberStatus::Cordoned => "cordoned",
                MemberStatus::Dismissed(_) => "dismissed",
            },
            order: member.order.map(|order| OrderShown {
                task: match order.task {
                    Task::Cancel => "cancel_drain",
                    Task::Drain(_) => "drain",
                    Task::Force => "force_drain",
                    Task::Serve => "serve",
                    Task::Stop => "leave",
                },
                obeyed: !order.is_owed(),
                overdue: order.overdue,
            }),
            drained: member.is_drained(),
        }
    }
}
