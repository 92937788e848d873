//! What must hold in every state of a fleet and across every step, by name.
//!
//! Judged from the workers' reports alone and not from the counts that the machine keeps, so that a test or the
//! simulator that calls these checks compares two ways to the same answer. The names and numbers are those of the
//! design's list of invariants; those missing here speak of calls, audit records or configuration.

use core::fmt;

use super::{
    Effect, Entry, Event, Facts, Fleet, Gate, GatedStep, Member, MemberStatus, Rollout, Run, Stage, Task, VersionInfo,
    VersionState, View,
};
use crate::id::{Epoch, Version};
use crate::time::Instant;
use crate::word::Phase;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// S3: a retired version gets no new calls, and a worker told to leave offers no room.
    ShiftClosed,
    /// S5: weight moves and waves start only while reachable workers that do not drain have room for all demand, and no
    /// worker that may have calls is yet to be heard.
    Capacity,
    /// S6: drained means that a fresh report of the current run says so; a version is drained when each worker is.
    DrainedSound,
    /// S7: only drained workers, and those a person gave up, are stopped.
    KillSafety,
    /// S8: a coordinator that knows of a later one does nothing; orders bear the term they are given in.
    SingleWriter,
    /// S9: only runs of versions that may join, none of them overtaken by a later run, are admitted.
    KeepOut,
    /// S10: at most one version is current and at most one ramps; shares add up to 100 or nobody has one.
    OneCurrent,
    /// S13: no more workers drain at a time than a wave has, no more are asked for than the surge allows, and no fewer
    /// are left than a person asked for.
    Bounds,
    /// S14: nothing follows from an order to drain before a report shows that it was obeyed; whatever follows from a
    /// report carries it.
    AckedDrain,
    /// S15: a worker that a person cordoned or dismissed takes no calls until a person takes that back, and one that
    /// was only cordoned stays for as long as its version is in use.
    CordonHolds,
    /// S16: in a rollout with gates no share beyond the first is given and no old worker drains before each gate passed
    /// for the step reached, or a person promoted it; a result on another step counts for nothing.
    GatesHold,
}

impl Invariant {
    /// Every invariant judged here.
    pub const ALL: [Self; 11] = [
        Self::ShiftClosed,
        Self::Capacity,
        Self::DrainedSound,
        Self::KillSafety,
        Self::SingleWriter,
        Self::KeepOut,
        Self::OneCurrent,
        Self::Bounds,
        Self::AckedDrain,
        Self::CordonHolds,
        Self::GatesHold,
    ];

    /// Number and name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ShiftClosed => "S3 ShiftClosed",
            Self::Capacity => "S5 Capacity",
            Self::DrainedSound => "S6 DrainedSound",
            Self::KillSafety => "S7 KillSafety",
            Self::SingleWriter => "S8 SingleWriter",
            Self::KeepOut => "S9 KeepOut",
            Self::OneCurrent => "S10 OneCurrent",
            Self::Bounds => "S13 Bounds",
            Self::AckedDrain => "S14 AckedDrain",
            Self::CordonHolds => "S15 CordonHolds",
            Self::GatesHold => "S16 GatesHold",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The invariant that is broken.
    pub invariant: Invariant,
    /// On account of which worker, if it is one's.
    pub run: Option<Run>,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.run {
            Some(Run { worker, incarnation }) => {
                write!(f, "{} does not hold for {worker} (run {incarnation})", self.invariant)
            }
            None => write!(f, "{} does not hold", self.invariant),
        }
    }
}

impl core::error::Error for Breach {}

type Checked = Result<(), Breach>;

fn holds(invariant: Invariant, run: Option<Run>, holds: bool) -> Checked {
    if holds { Ok(()) } else { Err(Breach { invariant, run }) }
}

/// Whether a state is one a fleet may be in.
pub fn state(fleet: &Fleet) -> Checked {
    one_current(fleet)?;
    for info in fleet.versions().values() {
        holds(Invariant::ShiftClosed, None, info.state.admits() || info.weight == 0)?;
        holds(Invariant::OneCurrent, None, info.state != VersionState::Inactive || info.weight == 0)?;
    }
    for (worker, member) in fleet.members().iter() {
        worker_state(member.run(worker), member)?;
    }
    Ok(())
}

/// S10.
fn one_current(fleet: &Fleet) -> Checked {
    let (mut current, mut ramping, mut shares) = (0, 0, 0);
    for info in fleet.versions().values() {
        current += u32::from(info.state == VersionState::Current);
        ramping += u32::from(info.state == VersionState::Ramping);
        shares += u32::from(info.weight);
    }
    holds(Invariant::OneCurrent, None, current <= 1 && ramping <= 1 && (shares == 100 || shares == 0))
}

/// S3, S6, S7 and S15 of one worker.
fn worker_state(run: Run, member: &Member) -> Checked {
    let task = member.order.as_ref().map(|order| order.task);
    let stop = task == Some(Task::Stop);
    let heard = member.view() == View::Known || stop;
    let empty = member.facts().is_none_or(Facts::is_empty);
    let returns = task == Some(Task::Cancel);
    let given_up = member.status == MemberStatus::WrittenOff;
    let leaves = matches!(task, Some(Task::Drain(_) | Task::Force | Task::Stop));
    holds(Invariant::ShiftClosed, Some(run), !leaves || member.slots() == 0)?;
    holds(Invariant::DrainedSound, Some(run), !member.is_drained() || (member.drained && empty && heard && !returns))?;
    holds(Invariant::KillSafety, Some(run), !stop || member.drained || given_up)?;
    let closed = leaves && member.slots() == 0 && !member.is_usable();
    holds(Invariant::CordonHolds, Some(run), !member.status.is_cordoned() || closed)
}

/// Whether `entry` may follow `before`.
pub fn entry(before: &Fleet, entry: &Entry) -> Checked {
    capacity(before, entry)?;
    drained_sound(before, entry)?;
    keep_out(before, entry)?;
    bounds(before, entry)?;
    acked_drain(before, entry)?;
    cordon_holds(before, entry)?;
    gates_hold(before, entry)
}

/// Whether `entry` may have led from a coordinator in `office` to `after`, and `effects` follow from it.
pub fn outcome(office: Office, entry: &Entry, after: &Fleet, effects: &[Effect]) -> Checked {
    state(after)?;
    kill_safety(after, effects)?;
    single_writer(office, entry, after, effects)
}

/// What a coordinator was entitled to before an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Office {
    /// Its term.
    pub epoch: Epoch,
    /// Whether another has taken over from it.
    pub is_fenced: bool,
}

impl From<&Fleet> for Office {
    fn from(fleet: &Fleet) -> Self {
        Self { epoch: fleet.epoch(), is_fenced: fleet.fenced_by().is_some() }
    }
}

/// S5: of room counted from the reports, which the entry must state as it is.
pub fn capacity(before: &Fleet, entry: &Entry) -> Checked {
    let Some(stated) = entry.event.grounds().and_then(|grounds| grounds.room) else { return Ok(()) };
    if let Event::CapacityBlocked { .. } = entry.event {
        return Ok(());
    }
    let shift = if let Event::Shifted { to, weight, .. } = entry.event { Some((to, weight)) } else { None };
    let share = |version: &Version, info: &VersionInfo| match shift {
        Some((to, weight)) if *version == to => weight,
        Some((_, weight)) if info.weight > 0 => 100_u8.saturating_sub(weight),
        Some(_) => 0,
        None => info.weight,
    };
    let routed = |version: &Version| before.versions().get(version).is_some_and(|info| share(version, info) > 0);
    let members = || before.members().iter().map(|(_, member)| member);
    let waited_for = members().filter(|member| member.status != MemberStatus::WrittenOff);
    let calls: u64 = waited_for.map(|member| u64::from(member.live())).sum();
    let headroom = before.rollout().map_or(0, |rollout| rollout.spec.policy.headroom);
    let need = (calls.max(u64::from(before.demand)) * (100 + u64::from(headroom))).div_ceil(100);
    let leaves = if let Event::ScaleInOrdered { run, .. } = entry.event { Some(run.worker) } else { None };
    let counted = before.members().iter().filter(|(worker, _)| leaves != Some(*worker)).map(|(_, member)| member);
    let counted = counted.filter(|member| routed(&member.version));
    let have: u64 = counted.map(|member| room(before, member, entry.at)).sum();
    let unheard = members().any(Member::is_awaited);
    let lowers = |(version, info)| share(version, info) < info.weight;
    let moves = shift.is_none() || before.versions().iter().any(lowers);
    let exempt = !moves || !before.versions().keys().any(routed);
    let true_to_reports = (stated.need, stated.have) == (need, have);
    holds(Invariant::Capacity, None, true_to_reports && !unheard && (exempt || (have > 0 && have >= need)))
}

/// The calls a worker can hold if it is heard, belongs to the fleet, serves, and was not told to stop doing so.
fn room(fleet: &Fleet, member: &Member, at: Instant) -> u64 {
    let fresh = member.seen.heard.is_some_and(|heard| at < heard.at + fleet.timeouts().report_ttl);
    let reachable = fresh && member.view() == View::Known && member.status == MemberStatus::Member;
    let stays = member.order.is_none_or(|order| matches!(order.task, Task::Serve));
    let serving = member.facts().filter(|facts| facts.phase == Phase::Serving && reachable && stays);
    serving.map_or(0, |facts| u64::from(facts.in_flight) + u64::from(facts.available))
}

/// S6 of a version.
pub fn drained_sound(before: &Fleet, entry: &Entry) -> Checked {
    let Event::VersionDrained { version } = entry.event else { return Ok(()) };
    let mut workers = before.members().iter().filter(|(_, member)| member.version == version);
    let waited_for = workers.find(|(_, member)| !member.is_drained() && member.status != MemberStatus::WrittenOff);
    let run = waited_for.map(|(worker, member)| member.run(worker));
    holds(Invariant::DrainedSound, run, run.is_none())
}

/// S7 of what the platform is asked.
pub fn kill_safety(after: &Fleet, effects: &[Effect]) -> Checked {
    for effect in effects {
        let Effect::StopWorker { run, .. } = *effect else { continue };
        let may = |member: &Member| member.is_drained() || member.status == MemberStatus::WrittenOff;
        let may = after.members().of(run).is_some_and(may);
        holds(Invariant::KillSafety, Some(run), may)?;
    }
    Ok(())
}

/// S8.
pub fn single_writer(office: Office, entry: &Entry, after: &Fleet, effects: &[Effect]) -> Checked {
    let in_office = !office.is_fenced || matches!(entry.event, Event::TookOver { .. });
    let forward = after.epoch() >= office.epoch;
    let own_term = effects.iter().filter_map(Effect::epoch).all(|epoch| epoch == after.epoch());
    let silent = after.fenced_by().is_none() || effects.iter().all(|effect| effect.epoch().is_none());
    holds(Invariant::SingleWriter, None, in_office && forward && own_term && silent)
}

/// S9.
pub fn keep_out(before: &Fleet, entry: &Entry) -> Checked {
    if let Event::WorkerReported(report) = entry.event {
        let known = before.members().of(report.run);
        let may = known.is_some_and(|member| member.version == report.version && !member.is_lost());
        return holds(Invariant::KeepOut, Some(report.run), may);
    }
    let Event::WorkerRegistered { run, version, .. } = entry.event else { return Ok(()) };
    let earlier = before.members().get(run.worker);
    let returns = earlier.is_some_and(|member| member.incarnation == run.incarnation && member.version == version);
    let overtaken = earlier.is_some_and(|member| member.incarnation > run.incarnation);
    let may = before.versions().get(&version).is_some_and(|info| info.state.admits());
    holds(Invariant::KeepOut, Some(run), !overtaken && (returns || may))
}

/// S13.
pub fn bounds(before: &Fleet, entry: &Entry) -> Checked {
    let Some(Rollout { spec, .. }) = before.rollout() else { return Ok(()) };
    let drains = |member: &Member| {
        let ordered = member.order.is_some_and(|order| matches!(order.task, Task::Drain(_) | Task::Force));
        let counts = matches!(member.status, MemberStatus::Member | MemberStatus::Dismissed(_));
        ordered && counts && !member.drained
    };
    let count = |is: &dyn Fn(&Member) -> bool| before.members().iter().filter(|(_, member)| is(member)).count();
    if let Event::DrainOrdered { .. } = entry.event {
        let retired = |version: &Version| before.versions().get(version).is_some_and(|info| !info.state.admits());
        let draining = count(&|member| drains(member) && retired(&member.version));
        holds(Invariant::Bounds, None, draining < spec.policy.wave as usize)?;
    }
    if let Event::ScaleInOrdered { run, usable, .. } = entry.event
        && let Some(version) = before.members().of(run).map(|member| member.version)
    {
        let draining = count(&|member| drains(member) && member.version == version);
        let there = count(&|member| member.is_usable() && member.version == version);
        let wanted = before.versions().get(&version).map_or(0, |info| info.workers as usize);
        let right = there == usable as usize && there > wanted && draining < spec.policy.wave as usize;
        holds(Invariant::Bounds, Some(run), right)?;
    }
    if let Event::Scaled { version, workers, .. } = entry.event {
        let there = count(&|member| member.version == version);
        holds(Invariant::Bounds, None, workers as usize <= there + spec.policy.surge as usize)?;
    }
    if let Event::ProvisionOrdered { version, workers, .. } = entry.event {
        let there = before.members().iter().filter(|(_, member)| member.version == version).count();
        holds(Invariant::Bounds, None, workers as usize <= there + spec.policy.surge as usize)?;
    }
    Ok(())
}

/// S14: and whatever follows from a report carries that report.
pub fn acked_drain(before: &Fleet, entry: &Entry) -> Checked {
    let report = entry.event.grounds().and_then(|grounds| grounds.report);
    let Some((run, facts)) = report else { return Ok(()) };
    let heard = before.members().of(run).and_then(Member::fresh) == Some(&facts);
    let drains = matches!(entry.event, Event::Acked { task: Task::Drain(_), .. } | Event::WorkerDrained { .. });
    holds(Invariant::AckedDrain, Some(run), heard && (!drains || facts.phase >= Phase::Draining))
}

/// S15.
pub fn cordon_holds(before: &Fleet, entry: &Entry) -> Checked {
    let of = |run: Run| before.members().of(run);
    let cordoned = |run: Run| of(run).is_some_and(|member| member.status.is_cordoned());
    match entry.event {
        Event::CancelOrdered { run } | Event::ServeOrdered { run, .. } => {
            holds(Invariant::CordonHolds, Some(run), !cordoned(run))
        }
        Event::WorkerUncordoned { run, .. } => holds(Invariant::CordonHolds, Some(run), cordoned(run)),
        Event::StopOrdered { run, .. } => {
            let stays = of(run).filter(|member| member.status == MemberStatus::Cordoned);
            let in_use = |version| before.versions().get(&version).is_some_and(|info| info.state.admits());
            holds(Invariant::CordonHolds, Some(run), stays.is_none_or(|member| !in_use(member.version)))
        }
        _ => Ok(()),
    }
}

/// S16.
pub fn gates_hold(before: &Fleet, entry: &Entry) -> Checked {
    let Some(rollout) = before.rollout() else { return Ok(()) };
    let gates = before.gates();
    let weight = before.versions().get(&rollout.green()).map_or(0, |info| info.weight);
    let reached = GatedStep { version: rollout.green(), weight };
    let judged = |step: GatedStep, gate: Option<Gate>| {
        let asked = gate.is_none_or(|gate| gate != Gate::Person && gates.asked.has(gate));
        step == reached && weight > 0 && asked
    };
    let old = |version| rollout.stage == Stage::Draining && rollout.blue == Some(version);
    let of = |run| before.members().of(run).is_some_and(|member| old(member.version));
    let goes_on = match entry.event {
        Event::GatePassed { gate, step } => return holds(Invariant::GatesHold, None, judged(step, Some(gate))),
        Event::Promoted { step, .. } => return holds(Invariant::GatesHold, None, judged(step, None)),
        Event::Shifted { to, .. } => {
            rollout.stage == Stage::Shifting && to == rollout.green() && weight > 0 && rollout.blue.is_some()
        }
        Event::WaveStarted { version, .. } => old(version),
        Event::DrainOrdered { run, .. } => of(run),
        _ => false,
    };
    let passed = gates.asked.iter().all(|gate| gates.passed.has(gate) && !gates.failed.has(gate));
    holds(Invariant::GatesHold, None, !goes_on || passed)
}

#[cfg(test)]
mod edges;
