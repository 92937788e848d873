//! The second reader of a fleet's records: its types are written from `docs/journal-format.md`, and decoding is
//! wincode's. What it reads is compared by the names of the fields.

mod gates;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, to_value};
use wincode::SchemaRead;
use wincode::config::{Configuration, deserialize_exact};

use self::gates::{Gate, GatedStep, OnGateFailure, told_opening};

/// A record as the second reader tells it.
pub(super) fn told(kind: u8, payload: &[u8]) -> Value {
    let config = Configuration::default().with_varint_encoding();
    let readable = "the payload is of this format";
    let value = match kind {
        4 => Ok(told_opening(payload)),
        5 => to_value(deserialize_exact::<Entry, _>(payload, config).expect(readable)),
        kind => panic!("kind {kind} is no fleet's"),
    };
    value.expect("names are text")
}

/// A value of an enumeration that only a state holds.
pub(super) fn name(name: &str, bytes: &[u8]) -> Value {
    let config = Configuration::default().with_varint_encoding();
    let readable = "it is of this format";
    let value = match name.split_once('/').map(|(what, _)| what) {
        Some("Lease") => to_value(deserialize_exact::<Lease, _>(bytes, config).expect(readable)),
        Some("Stage") => to_value(deserialize_exact::<Stage, _>(bytes, config).expect(readable)),
        Some("MemberStatus") => to_value(deserialize_exact::<MemberStatus, _>(bytes, config).expect(readable)),
        Some("VersionState") => to_value(deserialize_exact::<VersionState, _>(bytes, config).expect(readable)),
        _ => panic!("{name} is not written down"),
    };
    value.expect("a name")
}

type Epoch = u64;
type Incarnation = u64;
type Instant = u64;
type Seq = u64;
type Span = u64;

#[derive(SchemaRead, Serialize)]
pub(super) struct Opening {
    about: Office,
    pub(super) state: Fleet,
}

impl Opening {
    pub(super) fn read(payload: &[u8]) -> Self {
        let config = Configuration::default().with_varint_encoding();
        deserialize_exact(payload, config).expect("the payload is of this format")
    }
}

#[derive(SchemaRead, Serialize)]
struct Office {
    deployment: String,
    coordinator: String,
    incarnation: Incarnation,
}

#[derive(SchemaRead, Serialize)]
pub(super) struct Fleet {
    pub(super) timeouts: Timeouts,
    seq: Seq,
    now: Instant,
    epoch: Epoch,
    in_office: Instant,
    latest_epoch: Epoch,
    demand: u32,
    #[serde(serialize_with = "as_map")]
    versions: Vec<(String, VersionInfo)>,
    members: Vec<(String, Member)>,
    rollout: Option<Rollout>,
    queued: Option<(String, Spec)>,
    paused: Option<Pause>,
    wave: Option<Wave>,
    blocked: [bool; 2],
    tally: Tally,
}

fn as_map<S: Serializer>(pairs: &[(String, VersionInfo)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (version, info) in pairs {
        map.serialize_entry(version, info)?;
    }
    map.end()
}

#[derive(SchemaRead, Serialize)]
pub(super) struct Timeouts {
    lease_ttl: Span,
    pub(super) report_ttl: Span,
    resend_after: Span,
}

#[derive(SchemaRead, Serialize)]
struct VersionInfo {
    state: VersionState,
    weight: u8,
    workers: u32,
    since: Instant,
}

#[derive(SchemaRead, Serialize)]
struct Member {
    version: String,
    incarnation: Incarnation,
    joined: Instant,
    status: MemberStatus,
    lease: Lease,
    drained: bool,
    withdrawn: bool,
    order: Option<OrderInForce>,
    seq: Seq,
    live: u32,
}

#[derive(SchemaRead, Serialize)]
struct OrderInForce {
    task: Task,
    stamp: Stamp,
    given: Instant,
    stands_for: Option<Span>,
    acked: Option<Instant>,
    overdue_at: Option<Instant>,
    overdue: bool,
}

#[derive(SchemaRead, Serialize)]
struct Rollout {
    actor: String,
    spec: Spec,
    blue: Option<String>,
    stage: Stage,
    since: Instant,
    asked: u32,
}

#[derive(SchemaRead, Serialize)]
struct Spec {
    version: String,
    workers: u32,
    policy: Policy,
}

#[derive(SchemaRead, Serialize)]
struct Policy {
    ack_timeout: Span,
    drain_timeout: Option<Span>,
    on_deadline: OnDeadline,
    headroom: u16,
    shift_step: u8,
    surge: u32,
    verify_timeout: Span,
    wave: u32,
}

#[derive(SchemaRead, Serialize)]
struct Pause {
    actor: String,
    reason: PauseReason,
    since: Instant,
}

#[derive(SchemaRead, Serialize)]
struct Wave {
    version: String,
    number: u32,
    left: u32,
}

#[derive(SchemaRead, Serialize)]
struct Tally {
    clock_steps: u64,
    dropped: u64,
    lost: u64,
    registered: u64,
    rejected: u64,
    withdrawn: u64,
    written_off: u64,
}

#[derive(SchemaRead, Serialize)]
struct Entry {
    seq: Seq,
    at: Instant,
    behind: Span,
    event: Event,
}

#[derive(SchemaRead, Serialize)]
enum Event {
    TookOver { epoch: Epoch, actor: String },
    FencedOff(Report),
    DemandStated { calls: u32 },
    Planned { actor: String, spec: Spec },
    Superseded { actor: String, spec: Spec },
    ProvisionOrdered { version: String, workers: u32, usable: u32 },
    VerifyingBegan { usable: u32 },
    VerifyFailed { ready: u32 },
    ShiftingBegan { ready: u32 },
    Shifted { to: String, weight: u8, room: Room },
    CapacityBlocked { step: StepKind, room: Room },
    WaveStarted { version: String, wave: u32, size: u32, room: Room },
    VersionDrained { version: String },
    Completed,
    RollbackStarted { actor: String },
    RolledBack,
    Paused { actor: String, reason: PauseReason },
    Resumed { actor: String },
    WorkerRegistered { run: Run, version: String, lost_before: Option<Incarnation> },
    WorkerRejected { run: Run, version: String, reason: RejectReason },
    WorkerLost { run: Run, heard: Instant, live: u32 },
    WorkerFenced { run: Run, actor: String },
    WorkerDrained { run: Run, facts: Facts },
    WorkerGone { run: Run, departure: Departure },
    WorkerWrittenOff { run: Run, actor: String, live: u32 },
    DrainOrdered { run: Run, terms: DrainTerms, facts: Facts, room: Room },
    CancelOrdered { run: Run },
    ServeOrdered { run: Run, facts: Facts },
    StopOrdered { run: Run, facts: Facts },
    ForceOrdered { run: Run, actor: String, facts: Facts },
    Acked { run: Run, task: Task, facts: Facts },
    CancelRefused { run: Run, facts: Facts },
    DrainUndone { run: Run, facts: Facts },
    DrainWithdrawn { run: Run },
    DrainOverdue { run: Run, live: u32 },
    WatchBegan,
    WorkerReported(Report),
    WorkerSilent { run: Run },
    Reissued { run: Run },
    WorkerCordoned { run: Run, actor: String },
    WorkerUncordoned { run: Run, actor: String },
    WorkerDismissed { run: Run, actor: String, terms: DrainTerms },
    GatesSet { actor: String, asked: u8, on_failure: OnGateFailure },
    GatePassed { gate: Gate, step: GatedStep },
    GateFailed { gate: Gate, step: GatedStep },
    Promoted { actor: String, step: GatedStep },
    Scaled { actor: String, version: String, workers: u32 },
    ScaleInOrdered { run: Run, facts: Facts, room: Room, usable: u32 },
}

#[derive(SchemaRead, Serialize)]
struct Run {
    worker: String,
    incarnation: Incarnation,
}

#[derive(SchemaRead, Serialize)]
struct Report {
    run: Run,
    version: String,
    facts: Facts,
}

#[derive(SchemaRead, Serialize)]
struct Facts {
    seq: Seq,
    phase: Phase,
    in_flight: u32,
    capacity: u32,
    available: u32,
    sealed: bool,
    obeyed: Stamp,
}

#[derive(SchemaRead, Serialize)]
struct Stamp {
    epoch: Epoch,
    order: Seq,
}

#[derive(SchemaRead, Serialize)]
struct Room {
    need: u64,
    have: u64,
    own: u64,
}

#[derive(SchemaRead, Serialize)]
struct DrainTerms {
    within: Option<Span>,
    on_deadline: OnDeadline,
}

#[derive(SchemaRead, Serialize)]
enum Task {
    Cancel,
    Drain(DrainTerms),
    Force,
    Serve,
    Stop,
}

#[derive(SchemaRead, Serialize)]
enum Departure {
    Exited { dropped: u32 },
    Stopped,
    Vanished { live: u32 },
}

#[derive(SchemaRead, Serialize)]
enum StepKind {
    Shift,
    Wave,
}

#[derive(SchemaRead, Serialize)]
enum Lease {
    Held,
    Void,
    Expired,
}

#[derive(SchemaRead, Serialize)]
#[serde(rename_all = "snake_case")]
enum OnDeadline {
    Wait,
    Alert,
    Force,
}

#[derive(SchemaRead, Serialize)]
enum PauseReason {
    Asked,
    DrainWithdrawn,
    GateFailed,
}

#[derive(SchemaRead, Serialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Starting,
    Standby,
    Serving,
    Draining,
    Drained,
    Exited,
}

#[derive(SchemaRead, Serialize)]
enum RejectReason {
    StaleIncarnation,
    VersionNotAllowed,
    WrittenOff,
}

#[derive(SchemaRead, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Planned,
    Provisioning,
    Verifying,
    Shifting,
    Draining,
    Completed,
    RollingBack,
    RolledBack,
    Superseded,
    Failed,
}

#[derive(SchemaRead, Serialize)]
enum MemberStatus {
    Member,
    Fenced,
    WrittenOff,
    Cordoned,
    Dismissed(DrainTerms),
}

#[derive(SchemaRead, Serialize)]
#[serde(rename_all = "snake_case")]
enum VersionState {
    Inactive,
    Ramping,
    Current,
    Draining,
    Drained,
    Failed,
}
