//! What a run shows a person: second by second, as a story, as a summary, and one page on why it failed.

use core::fmt::{self, Write as _};

use openrtc_core::word::Phase;

use crate::clock::second;
use crate::ledger::Fate;
use crate::oracle::{Verdict, Violation};
use crate::plan::{Expect, Plan};
use crate::run::{Outcome, outcome, tell};
use crate::shrink::{blame, shrink};
use crate::subject::Subject;
use crate::world::{Life, StoryLine, Who, World};

/// A run in a word, which means what it means on a certificate: a run whose invariants held and that dropped a call is
/// not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badge<'a> {
    /// Every invariant held, and no call was dropped.
    Proven,
    /// Every invariant held, and so many calls were dropped, each by what was recorded.
    Dropped(u64),
    /// Nothing broke, but this cannot be known.
    Unknown(&'a str),
    /// An invariant is broken.
    Violated(&'a Violation),
}

impl<'a> Badge<'a> {
    /// The badge of a run.
    #[must_use]
    pub const fn of(outcome: &'a Outcome) -> Self {
        match (&outcome.verdict, outcome.ledger.dropped()) {
            (Verdict::Proven, 0) => Self::Proven,
            (Verdict::Proven, dropped) => Self::Dropped(dropped),
            (Verdict::Unknown(why), _) => Self::Unknown(why.as_str()),
            (Verdict::Violated(violation), _) => Self::Violated(violation),
        }
    }

    /// The badge in a word, for a picture's style.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Dropped(_) => "dropped",
            Self::Unknown(_) => "unknown",
            Self::Violated(_) => "violated",
        }
    }
}

impl fmt::Display for Badge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven => f.write_str("PROVEN: every invariant held, no call was dropped"),
            Self::Dropped(1) => {
                f.write_str("DROPPED: every invariant held; one call was dropped, and by what is recorded")
            }
            Self::Dropped(calls) => {
                write!(f, "DROPPED: every invariant held; {calls} calls were dropped, and by what is recorded")
            }
            Self::Unknown(why) => write!(f, "UNKNOWN: {why}"),
            Self::Violated(violation) => write!(f, "VIOLATED {}: {}", violation.invariant, violation.what),
        }
    }
}

/// One second of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    /// Which, from 0.
    pub at: u64,
    /// Calls in flight on old and new version.
    pub calls: [u32; 2],
    /// Workers that serve, of each version.
    pub serving: [u32; 2],
    /// Workers that drain.
    pub draining: u32,
    /// Calls completed so far.
    pub completed: u64,
    /// Calls dropped so far.
    pub dropped: u64,
}

/// Runs a plan and looks at it once a second; the story is told only if asked for, for it is long.
#[must_use]
pub fn watch(plan: &Plan, subject: Subject, with_story: bool) -> (Outcome, Vec<Second>) {
    let world = World::new(plan, subject);
    let mut world = if with_story { world.telling() } else { world };
    let mut seconds = Vec::new();
    while world.step() {
        while seconds.len() as u64 <= second(world.now()) {
            seconds.push(look(&world, seconds.len() as u64));
        }
    }
    world.finish_run();
    seconds.push(look(&world, seconds.len() as u64));
    (outcome(&world), seconds)
}

fn look(world: &World<'_>, at: u64) -> Second {
    let mut second =
        Second { at, calls: [0; 2], serving: [0; 2], draining: 0, completed: 0, dropped: world.ledger().dropped() };
    second.completed = world.ledger().count(Fate::Completed);
    for node in world.workers().iter().filter(|node| node.life() == Life::Up) {
        let machine = node.machine();
        second.calls[node.colour()] += machine.word().in_flight();
        second.serving[node.colour()] += u32::from(machine.phase() == Phase::Serving);
        second.draining += u32::from(matches!(machine.phase(), Phase::Draining | Phase::Drained));
    }
    second
}

/// The seconds in which something changed, as a table.
#[must_use]
pub fn seconds(seconds: &[Second]) -> String {
    let mut text =
        String::from("   second   v1 calls   v2 calls   v1 serving   v2 serving   draining   completed   dropped\n");
    let mut last: Option<Second> = None;
    for second in seconds {
        let Second { at, calls, serving, draining, completed, dropped } = *second;
        if last.is_some_and(|last| Second { at, ..last } == *second) {
            continue;
        }
        let _ = writeln!(
            text,
            "{at:>9} {:>10} {:>10} {:>12} {:>12} {draining:>10} {completed:>11} {dropped:>9}",
            calls[0], calls[1], serving[0], serving[1]
        );
        last = Some(*second);
    }
    text
}

/// A run as a list of what happened.
#[must_use]
pub fn story(plan: &Plan, story: &[StoryLine]) -> String {
    let mut text = String::new();
    for StoryLine { at, who, what } in story {
        let who = match who {
            Who::Caller => "caller".to_owned(),
            Who::Coordinator => "coordinator".to_owned(),
            Who::Plan => "plan".to_owned(),
            Who::Worker(worker) => plan.worker_name(*worker),
        };
        let _ = writeln!(text, "{:>6}.{:06}  {who:>11}  {what}", second(*at), at.as_micros() % 1_000_000);
    }
    text
}

/// What became of the calls, and the verdict.
#[must_use]
pub fn summary(plan: &Plan, outcome: &Outcome) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "\n{}", plan.title);
    for fate in Fate::ALL {
        let count = outcome.ledger.count(fate);
        if count > 0 {
            let _ = writeln!(text, "{count:>9}  {}", fate.as_str());
        }
    }
    let _ = writeln!(text, "{:>9}  offered", outcome.ledger.lines().len());
    for (call, line) in outcome.ledger.lines().iter().enumerate().filter(|(_, line)| is_drop(line.fate)).take(20) {
        let worker = line.worker.map(|worker| plan.worker_name(worker)).unwrap_or_default();
        let at = line.ended.map_or(0, second);
        let _ = writeln!(text, "           call {call} on {worker}: {} at {at} s", line.fate.as_str());
    }
    let _ = writeln!(
        text,
        "verdict    {}\nseed={} digest={:016x} steps={} virtual seconds={}",
        Badge::of(outcome),
        plan.seed,
        outcome.digest,
        outcome.steps,
        second(outcome.ended)
    );
    let expected = match (&outcome.verdict, plan.expect) {
        (Verdict::Proven, Expect::Proven) | (Verdict::Unknown(_), Expect::Unknown) => true,
        (Verdict::Proven | Verdict::Unknown(_) | Verdict::Violated(_), _) => false,
    };
    if !expected {
        let _ = writeln!(text, "           which is not what the plan expects");
    }
    text
}

const fn is_drop(fate: Fate) -> bool {
    matches!(fate, Fate::Forced | Fate::Killed | Fate::Lost)
}

/// The begin and the end of a long story: what lies between is mostly the same thing over and over.
fn page(story: &str) -> String {
    const BEGIN: usize = 50;
    const END: usize = 15;
    let lines: Vec<_> = story.lines().collect();
    if lines.len() <= BEGIN + END {
        return story.to_owned();
    }
    let (begin, end) = (&lines[..BEGIN], &lines[lines.len() - END..]);
    let between = format!("{:>13}  ({} lines left out; `sim replay` tells them)", "...", lines.len() - BEGIN - END);
    [begin, &[&between], end].concat().join("\n") + "\n"
}

/// One page on a failure: what broke, the shortest plan and its story, and the faults that are necessary.
#[must_use]
pub fn failure(plan: &Plan, subject: Subject) -> Option<String> {
    let invariant = tell(plan, subject).verdict.broken()?;
    let short = shrink(plan, subject, invariant);
    let told = tell(&short, subject);
    let necessary = blame(&short, subject, invariant);
    let mut text = String::new();
    let _ = writeln!(text, "\nBROKEN     {invariant}\n           {}", invariant.statement());
    let _ = writeln!(text, "verdict    {}", told.verdict);
    let _ =
        writeln!(text, "shrunk     from {} calls, happenings and message faults to {}", plan.parts(), short.parts());
    match necessary.as_slice() {
        [] => text.push_str("necessary  no fault: it breaks in a rollout where nothing goes wrong\n"),
        faults => {
            text.push_str("necessary  (without any one of these it does not break)\n");
            for fault in faults {
                let _ = writeln!(text, "           {fault}");
            }
        }
    }
    text.push_str("\nWhat happens:\n");
    text.push_str(&page(&story(&short, &told.story)));
    let options = subject.options();
    let _ = writeln!(text, "\nThe plan; save it and run `sim replay FILE{options}`:\n\n{short}");
    Some(text)
}
