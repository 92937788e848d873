//! A plan read from text that a person wrote, or from call records.

use core::fmt;

use openrtc_core::fleet::{GateSet, OnGateFailure};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{BadPolicy, OnDeadline};

use super::{
    CALLS_MAX, Call, Deed, Expect, GATES, Happening, Kind, Message, MessageFate, Plan, REDIALS_MAX, TIME_MAX, Tamper,
    WORKERS_MAX,
};
use crate::choice::{Choice, Seeded};
use crate::clock::Skew;
use crate::id::{CallIndex, WorkerIndex};

/// Why a text is not a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPlan {
    /// The line, from 1; 0 for the plan as a whole.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for BadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        f.write_str(&self.what)
    }
}

impl core::error::Error for BadPlan {}

type Parsed<T> = Result<T, String>;

impl core::str::FromStr for Plan {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, BadPlan> {
        let mut plan = Self::default();
        let mut versioned = false;
        for (number, line) in text.lines().enumerate() {
            let bad = |what| BadPlan { line: number + 1, what };
            if let Some(comment) = line.strip_prefix('#') {
                if plan.title.is_empty() {
                    comment.trim().clone_into(&mut plan.title);
                }
                continue;
            }
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                ["sim-plan", "1"] => versioned = true,
                ["sim-plan", other] => {
                    return Err(bad(format!("this is a plan of version {other}; this build reads version 1")));
                }
                _ if !versioned => return Err(bad("a plan starts with the line `sim-plan 1`".to_owned())),
                words => plan.read(words).map_err(bad)?,
            }
        }
        if !versioned {
            return Err(BadPlan { line: 0, what: "the text is empty: a plan starts with `sim-plan 1`".to_owned() });
        }
        plan.sorted().check().map_err(|what| BadPlan { line: 0, what })
    }
}

impl Plan {
    fn read(&mut self, words: &[&str]) -> Parsed<()> {
        match *words {
            ["source", source] => source.clone_into(&mut self.source),
            ["seed", seed] => self.seed = number(seed, u64::MAX)?,
            ["workers", "blue", blue, "green", green, "capacity", capacity] => {
                self.blue = small(blue, WORKERS_MAX)?;
                self.green = small(green, WORKERS_MAX)?;
                self.capacity = small(capacity, openrtc_core::word::Word::IN_FLIGHT_MAX)?;
            }
            ["latency", range] => self.latency = between(range)?,
            ["drain", "wait"] => (self.on_deadline, self.drain_timeout) = (OnDeadline::Wait, None),
            ["drain", policy, after] => {
                self.on_deadline =
                    policy.parse().map_err(|fix: BadPolicy| format!("`{policy}` is no drain policy: {fix}"))?;
                self.drain_timeout = Some(time(after)?);
            }
            ["wave", wave] => self.wave = small(wave, WORKERS_MAX)?,
            ["shift", step] => self.shift = parse_shift(step)?,
            ["gates", then, ref gates @ ..] => self.gates = parse_gates(then, gates)?,
            ["flush", span] => self.flush = time(span)?,
            ["grace", span] => self.grace = Some(time(span)?),
            ["callers", "patience", span, "redial", times] => {
                (self.patience, self.redials) = (time(span)?, small(times, REDIALS_MAX)?);
            }
            ["loads", span] => self.loads = time(span)?,
            ["expect", "proven"] => self.expect = Expect::Proven,
            ["expect", "unknown"] => self.expect = Expect::Unknown,
            ["catches", bug, invariant] => self.catches.push((bug.parse()?, invariant.parse()?)),
            ["call", at, "for", lasts] => self.add_call(at, lasts, Kind::Plain)?,
            ["call", at, "for", lasts, kind] => self.add_call(at, lasts, parse_kind(kind)?)?,
            ["load", count, "from", at, "over", span, "lasting", range] => self.add_load(count, at, span, range)?,
            ["at", at, ref deed @ ..] => {
                let happening = Happening { at: moment(at)?, deed: self.parse_deed(deed)? };
                self.happenings.push(happening);
            }
            ["message", message, "of", call, ref fate @ ..] => {
                let call = CallIndex::new(small(call, u32::MAX)?);
                self.tampers.push(Tamper { call, message: parse_message(message)?, fate: parse_fate(fate)? });
            }
            [first, ..] => {
                return Err(format!("`{first}` begins no known line, or words are missing or too many after it"));
            }
            [] => {}
        }
        Ok(())
    }

    fn add_call(&mut self, at: &str, lasts: &str, kind: Kind) -> Parsed<()> {
        if self.calls.len() == CALLS_MAX {
            return Err(format!("a plan holds at most {CALLS_MAX} calls"));
        }
        self.calls.push(Call { at: moment(at)?, lasts: time(lasts)?, kind });
        Ok(())
    }

    /// Spreads `count` calls evenly over a span, each at a random moment of its share.
    fn add_load(&mut self, count: &str, at: &str, span: &str, range: &str) -> Parsed<()> {
        let room = u64::try_from(CALLS_MAX - self.calls.len()).unwrap_or(0);
        let count = number(count, room)?;
        let (at, span, (low, high)) = (moment(at)?, time(span)?.as_micros(), between(range)?);
        let mut choice = Seeded::new(self.seed ^ 0x10ad);
        for call in 0..count {
            let (begin, end) = (span * call / count, span * (call + 1) / count);
            let at = at + Span::from_micros(choice.between(begin, end));
            let lasts = Span::from_micros(choice.between(low.as_micros(), high.as_micros()));
            self.calls.push(Call { at, lasts, kind: Kind::Plain });
        }
        Ok(())
    }

    fn parse_worker(&self, name: &str) -> Parsed<WorkerIndex> {
        self.worker_named(name).ok_or_else(|| {
            let last = self.blue.max(1) - 1;
            format!("there is no worker `{name}`: use blue-0 to blue-{last}, green-0 and so on")
        })
    }

    fn parse_deed(&self, words: &[&str]) -> Parsed<Deed> {
        let worker = |name| self.parse_worker(name);
        Ok(match *words {
            ["rollout"] => Deed::Rollout,
            ["rollback"] => Deed::Rollback,
            ["promote"] => Deed::Promote,
            ["scale", workers] => Deed::Scale(small(workers, WORKERS_MAX)?),
            ["gate-fails"] => Deed::GateFails,
            ["pause"] => Deed::Pause,
            ["resume"] => Deed::Resume,
            ["second-coordinator"] => Deed::SecondCoordinator,
            ["coordinator-crash", "for", span] => Deed::CoordinatorCrash(time(span)?),
            ["cordon", name] => Deed::Cordon(worker(name)?),
            ["uncordon", name] => Deed::Uncordon(worker(name)?),
            ["dismiss", name] => Deed::Dismiss(worker(name)?),
            ["drain", name] => Deed::Drain(worker(name)?),
            ["cancel", name] => Deed::Cancel(worker(name)?),
            ["extend", name, "by", span] => Deed::Extend(worker(name)?, time(span)?),
            ["force", name] => Deed::Force(worker(name)?),
            ["give-up", name] => Deed::GiveUp(worker(name)?),
            ["sigterm", name] => Deed::Sigterm(worker(name)?),
            ["sigkill", name] => Deed::Sigkill(worker(name)?),
            ["restart", name] => Deed::Restart(worker(name)?),
            ["crash-mid-step", name] => Deed::CrashMidStep(worker(name)?),
            ["torn-disk", name] => Deed::TornDisk(worker(name)?),
            ["partition", name, "for", span] => Deed::Partition(worker(name)?, time(span)?),
            ["slow-sink", name, "for", span] => Deed::SlowSink(worker(name)?, time(span)?),
            ["clock", name, step] => Deed::ClockStep(worker(name)?, skew(step)?),
            _ => {
                return Err(format!("`{}` is nothing that can happen, or it names its parts wrongly", words.join(" ")));
            }
        })
    }

    /// Calls and happenings in the order of time; equal times keep the order they were written in.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        if self.tampers.is_empty() {
            self.calls.sort_by_key(|call| call.at);
        }
        self.happenings.sort_by_key(|happening| happening.at);
        self
    }

    fn check(self) -> Parsed<Self> {
        if self.blue == 0 || self.green == 0 || self.capacity == 0 || self.wave == 0 {
            return Err("workers, capacity and wave must be 1 or more".to_owned());
        }
        if self.on_deadline != OnDeadline::Wait && self.drain_timeout.unwrap_or_default() == Span::ZERO {
            return Err("this drain policy needs a time above 0, such as `drain force 60s`".to_owned());
        }
        if !self.calls.is_sorted_by_key(|call| call.at) {
            return Err("a plan that speaks of single messages lists its calls in the order of time".to_owned());
        }
        let strange = self.tampers.iter().find(|tamper| tamper.call.place() >= self.calls.len());
        if let Some(tamper) = strange {
            return Err(format!("`{tamper}`: there are only {} calls, counted from 0", self.calls.len()));
        }
        Ok(self)
    }
}

fn parse_shift(text: &str) -> Parsed<u8> {
    let step = text.parse().ok().filter(|step| (1..=100).contains(step));
    step.ok_or_else(|| format!("`{text}` is no share: use 1 to 100 per cent"))
}

fn parse_gates(then: &str, names: &[&str]) -> Parsed<(GateSet, OnGateFailure)> {
    let on_failure = match then {
        "pause" => OnGateFailure::Pause,
        "undo" => OnGateFailure::Undo,
        other => return Err(format!("`{other}` is nothing that follows from a failure: use pause or undo")),
    };
    let gate = |name: &&str| GATES.iter().find(|(_, known)| known == name).map(|(gate, _)| *gate);
    let gates: Option<GateSet> = names.iter().map(gate).collect();
    let gates = gates.ok_or_else(|| "a gate is error-rate, webhook or person".to_owned())?;
    Ok((gates, on_failure))
}

fn parse_kind(text: &str) -> Parsed<Kind> {
    Ok(match text {
        "plain" => Kind::Plain,
        "watched" => Kind::Watched,
        "silent" => Kind::Silent,
        "phantom" => Kind::Phantom,
        "failing" => Kind::Failing,
        other => return Err(format!("`{other}` is no kind of call: use plain, watched, silent, phantom or failing")),
    })
}

fn parse_message(text: &str) -> Parsed<Message> {
    [Message::Offer, Message::Answer, Message::Assign, Message::Started, Message::End]
        .into_iter()
        .find(|message| message.as_str() == text)
        .ok_or_else(|| format!("`{text}` is no message: use offer, answer, assign, started or end"))
}

fn parse_fate(words: &[&str]) -> Parsed<MessageFate> {
    match *words {
        ["delayed", by] => Ok(MessageFate::Delayed(time(by)?)),
        ["duplicated"] => Ok(MessageFate::Duplicated),
        ["lost"] => Ok(MessageFate::Lost),
        _ => Err("a message is `delayed TIME`, `duplicated` or `lost`".to_owned()),
    }
}

fn number(text: &str, max: u64) -> Parsed<u64> {
    let value: u64 = text.parse().map_err(|_| format!("`{text}` is not a whole number up to {max}"))?;
    if value > max { Err(format!("{value} is too many: at most {max}")) } else { Ok(value) }
}

fn small(text: &str, max: u32) -> Parsed<u32> {
    let value = number(text, max.into())?;
    u32::try_from(value).map_err(|_| format!("{value} is too many: at most {max}"))
}

/// A length of time such as `250us`, `20ms`, `5s`, `3m` or `2h`.
fn time(text: &str) -> Parsed<Span> {
    let bad = || format!("`{text}` is not a time such as 20ms, 5s, 3m or 2h, up to ten days");
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (count, unit) = text.split_at(unit);
    let scale = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(bad()),
    };
    let micros = count.parse::<u64>().ok().and_then(|count| count.checked_mul(scale));
    micros.map(Span::from_micros).filter(|span| *span <= TIME_MAX).ok_or_else(bad)
}

/// A moment, as the length of time from the begin of the run.
fn moment(text: &str) -> Parsed<Instant> {
    Ok(Instant::EPOCH + time(text)?)
}

fn skew(text: &str) -> Parsed<Skew> {
    match text.split_at_checked(1) {
        Some(("+", by)) => Ok(Skew::ahead(time(by)?)),
        Some(("-", by)) => Ok(Skew::behind(time(by)?)),
        _ => Err(format!("`{text}` needs a sign: +3s or -3s")),
    }
}

fn between(text: &str) -> Parsed<(Span, Span)> {
    let (low, high) = text.split_once("..").ok_or_else(|| format!("`{text}` is not a range such as 1ms..20ms"))?;
    let (low, high) = (time(low)?, time(high)?);
    if low > high { Err(format!("`{text}` ends before it begins")) } else { Ok((low, high)) }
}
