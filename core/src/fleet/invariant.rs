//! What must hold in every state of a fleet and across every step, by name.
//!
//! Judged from the workers' reports alone and not from the counts that the machine keeps, so that a test or the
//! simulator that calls these checks compares two ways to the same answer. The names and numbers are those of the
//! design's list of invariants; those missing here speak of calls, audit records or configuration.

use core::fmt;

use super::{Effect, Entry, Event, Fleet, Member, Rollout, Run, Standing, Task, Told, VersionInfo, VersionState, View};
use crate::id::{Epoch, Version};
use crate::time::Instant;
use crate::word::Phase;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// S3: a retired version gets no new calls, and a worker seen to drain offers no room.
    ShiftClosed,
    /// S5: weight moves and waves start only while reachable workers that do not drain have room for all demand.
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
    /// S13: no more workers drain at a time than a wave has, and no more are asked for than the surge allows.
    Bounds,
    /// S14: nothing follows from an order to drain before a report shows that it was obeyed.
    AckedDrain,
}

impl Invariant {
    /// Every invariant judged here.
    pub const ALL: [Self; 9] = [
        Self::ShiftClosed,
        Self::Capacity,
        Self::DrainedSound,
        Self::KillSafety,
        Self::SingleWriter,
        Self::KeepOut,
        Self::OneCurrent,
        Self::Bounds,
        Self::AckedDrain,
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
    /// Which.
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

type Verdict = Result<(), Breach>;

fn holds(invariant: Invariant, run: Option<Run>, holds: bool) -> Verdict {
    if holds { Ok(()) } else { Err(Breach { invariant, run }) }
}

/// Whether a state is one a fleet may be in.
pub fn state(fleet: &Fleet) -> Verdict {
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
fn one_current(fleet: &Fleet) -> Verdict {
    let count = |state| fleet.versions().values().filter(|info| info.state == state).count();
    let shares: u32 = fleet.versions().values().map(|info| u32::from(info.weight)).sum();
    let one = count(VersionState::Current) <= 1 && count(VersionState::Ramping) <= 1;
    holds(Invariant::OneCurrent, None, one && (shares == 100 || shares == 0))
}

/// S3, S6, S7 and S14 of one worker.
fn worker_state(run: Run, member: &Member) -> Verdict {
    let told = |is: fn(Task) -> bool| member.told.filter(|told| is(told.task));
    let closed = member.facts.filter(|facts| facts.phase >= Phase::Draining);
    let stop = told(|task| task == Task::Stop);
    let obeys = told(|task| matches!(task, Task::Drain(_))).is_some_and(|told| !Told::is_owed(&told));
    let heard = member.view == View::Known || stop.is_some();
    let empty = closed.is_some_and(|facts| facts.phase != Phase::Draining && facts.in_flight == 0);
    let given_up = member.standing == Standing::WrittenOff;
    holds(Invariant::AckedDrain, Some(run), !obeys || closed.is_some())?;
    holds(Invariant::ShiftClosed, Some(run), !obeys || closed.is_some_and(|facts| facts.available == 0))?;
    holds(Invariant::DrainedSound, Some(run), !member.drained || (empty && heard && !member.is_returning()))?;
    holds(Invariant::KillSafety, Some(run), stop.is_none() || member.drained || given_up)
}

/// Whether `entry` may follow `before`.
pub fn entry(before: &Fleet, entry: &Entry) -> Verdict {
    capacity(before, entry)?;
    drained_sound(before, entry)?;
    keep_out(before, entry)?;
    bounds(before, entry)?;
    acked_drain(before, entry)
}

/// Whether `entry` may have led from a coordinator in `office` to `after`, and `effects` follow from it.
pub fn outcome(office: Office, entry: &Entry, after: &Fleet, effects: &[Effect]) -> Verdict {
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

/// S5.
pub fn capacity(before: &Fleet, entry: &Entry) -> Verdict {
    let share = |version: &Version, info: &VersionInfo| match entry.event {
        Event::Shifted { to, weight } if *version == to => weight,
        Event::Shifted { weight: 100, .. } => 0,
        Event::Shifted { weight, .. } if info.weight > 0 => 100 - weight,
        _ => info.weight,
    };
    let gated = matches!(
        entry.event,
        Event::Shifted { .. } | Event::WaveStarted { .. } | Event::Ordered { task: Task::Drain(_), .. }
    );
    let routed = |version: &Version| before.versions().get(version).is_some_and(|info| share(version, info) > 0);
    let lowers = |(version, info)| share(version, info) < info.weight;
    let moves = !matches!(entry.event, Event::Shifted { .. }) || before.versions().iter().any(lowers);
    if !gated || !moves || !before.versions().keys().any(routed) {
        return Ok(());
    }
    let members = || before.members().iter().map(|(_, member)| member);
    let waited_for = members().filter(|member| member.standing != Standing::WrittenOff);
    let calls: u64 = waited_for.map(|member| u64::from(member.live())).sum();
    let headroom = before.rollout().map_or(0, |rollout| rollout.plan.policy.headroom);
    let need = calls.max(u64::from(before.demand)) * (100 + u64::from(headroom));
    let have: u64 = members().filter(|member| routed(&member.version)).map(|member| room(member, entry.at)).sum();
    holds(Invariant::Capacity, None, have > 0 && have * 100 >= need)
}

/// The calls a worker can hold if it is heard, belongs to the fleet, serves, and was not told to stop doing so.
fn room(member: &Member, at: Instant) -> u64 {
    let reachable = member.view == View::Known && at < member.silent_at && member.standing == Standing::Member;
    let stays = member.told.is_none_or(|told| matches!(told.task, Task::Serve));
    let serving = member.facts.filter(|facts| facts.phase == Phase::Serving && reachable && stays);
    serving.map_or(0, |facts| u64::from(facts.in_flight) + u64::from(facts.available))
}

/// S6 of a version.
pub fn drained_sound(before: &Fleet, entry: &Entry) -> Verdict {
    let Event::VersionDrained { version } = entry.event else { return Ok(()) };
    let mut workers = before.members().iter().filter(|(_, member)| member.version == version);
    let waited_for = workers.find(|(_, member)| !member.drained && member.standing != Standing::WrittenOff);
    let run = waited_for.map(|(worker, member)| member.run(worker));
    holds(Invariant::DrainedSound, run, run.is_none())
}

/// S7 of what the platform is asked.
pub fn kill_safety(after: &Fleet, effects: &[Effect]) -> Verdict {
    for effect in effects {
        let Effect::StopWorker { run, .. } = *effect else { continue };
        let member = after.members().get(run.worker).filter(|member| member.incarnation == run.incarnation);
        let may = member.is_some_and(|member| member.drained || member.standing == Standing::WrittenOff);
        holds(Invariant::KillSafety, Some(run), may)?;
    }
    Ok(())
}

/// S8.
pub fn single_writer(office: Office, entry: &Entry, after: &Fleet, effects: &[Effect]) -> Verdict {
    let in_office = !office.is_fenced || matches!(entry.event, Event::TookOver { .. });
    let forward = after.epoch() >= office.epoch;
    let own_term = effects.iter().filter_map(Effect::epoch).all(|epoch| epoch == after.epoch());
    let silent = after.fenced_by().is_none() || effects.iter().all(|effect| effect.epoch().is_none());
    holds(Invariant::SingleWriter, None, in_office && forward && own_term && silent)
}

/// S9.
pub fn keep_out(before: &Fleet, entry: &Entry) -> Verdict {
    let (run, version) = match entry.event {
        Event::WorkerRegistered { run, version, .. } => (run, version),
        Event::WorkerReported(report) => {
            let known = before.members().get(report.run.worker);
            let same = known
                .is_some_and(|member| member.incarnation == report.run.incarnation && member.version == report.version);
            let leased = known.is_some_and(|member| member.view != View::Lost);
            return holds(Invariant::KeepOut, Some(report.run), same && leased);
        }
        _ => return Ok(()),
    };
    let earlier = before.members().get(run.worker);
    let returns = earlier.is_some_and(|member| member.incarnation == run.incarnation && member.version == version);
    let overtaken = earlier.is_some_and(|member| member.incarnation > run.incarnation);
    let may = before.versions().get(&version).is_some_and(|info| info.state.admits());
    holds(Invariant::KeepOut, Some(run), !overtaken && (returns || may))
}

/// S13.
pub fn bounds(before: &Fleet, entry: &Entry) -> Verdict {
    let Some(Rollout { plan, .. }) = before.rollout() else { return Ok(()) };
    match entry.event {
        Event::Ordered { task: Task::Drain(_), .. } => {
            let retired = |version: &Version| before.versions().get(version).is_some_and(|info| !info.state.admits());
            let drains = |member: &Member| {
                let told = member.told.is_some_and(|told| matches!(told.task, Task::Drain(_) | Task::Force));
                told && retired(&member.version) && member.standing == Standing::Member && !member.drained
            };
            let draining = before.members().iter().filter(|(_, member)| drains(member)).count();
            holds(Invariant::Bounds, None, draining < plan.policy.wave as usize)
        }
        Event::ProvisionOrdered { version, workers } => {
            let there = before.members().iter().filter(|(_, member)| member.version == version).count();
            holds(Invariant::Bounds, None, workers as usize <= there + plan.policy.surge as usize)
        }
        _ => Ok(()),
    }
}

/// S14.
pub fn acked_drain(before: &Fleet, entry: &Entry) -> Verdict {
    let (Event::Acked { run, task: Task::Drain(_) } | Event::WorkerDrained { run }) = entry.event else {
        return Ok(());
    };
    let member = before.members().get(run.worker).filter(|member| member.incarnation == run.incarnation);
    let seen = member.and_then(|member| member.facts).is_some_and(|facts| facts.phase >= Phase::Draining);
    holds(Invariant::AckedDrain, Some(run), seen)
}
