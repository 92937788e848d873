//! What a rollout will take, before it happens: when to roll, how long the drain takes, what a deadline would cut, how
//! much room is needed meanwhile.
//!
//! The answer is estimated from [call records](crate::records), from the ages of the calls that are up now, or from
//! both. `docs/plan.md` has the method and its sources. What the records cannot show is `None`, "not known".

mod curve;
mod evidence;
mod forecast;
mod kinds;
mod left;
mod number;
mod picture;
mod text;
mod week;

use serde::Serialize;

use self::curve::Observation;
use self::evidence::Evidence;
pub use self::evidence::{Summary, hour_at};
pub use self::forecast::{Cut, Forecast, Number, Quantile, Waves};
use self::forecast::{Matter, workers_for};
use self::kinds::Kinds;
use self::left::{Aged, Flight, Reading};
use self::number::float;
pub use self::text::DAYS;
pub use self::week::{Hour, Week};
use crate::records::CallRecord;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Call records, ordered by their start. May be empty if there are ages.
    pub records: &'a [CallRecord],
    /// The ages of the calls that are in flight now, in seconds. `None`: the rollout is at the best hour, or at `hour`.
    pub ages: Option<&'a [f64]>,
    /// The hour of the week now, from Monday 00:00 on. With ages, it says in which hour each call began.
    pub hour: Option<usize>,
    /// What local time is ahead of the records' times, in seconds.
    pub utc_offset_s: i32,
    /// Deadlines to judge, in seconds. Empty: usual ones.
    pub deadlines: &'a [f64],
    /// How sure it is to be that the deadline cuts no call, between 0 and 1.
    pub confidence: f64,
    /// How many workers run the old version.
    pub workers: Option<u32>,
    /// How many calls one worker takes.
    pub capacity: Option<u32>,
}

impl Default for Question<'_> {
    /// No records and no ages; usual deadlines, and a confidence of 0.99.
    fn default() -> Self {
        Self {
            records: &[],
            ages: None,
            hour: None,
            utc_offset_s: 0,
            deadlines: &[],
            confidence: 0.99,
            workers: None,
            capacity: None,
        }
    }
}

/// The advice: when to roll, how long the drain takes, and what each deadline costs. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// What the records are; `None` without records.
    pub records: Option<Summary>,
    /// What local time is ahead of the records' times, in seconds.
    pub utc_offset_s: i32,
    /// How many kinds of calls are told apart by the hour in which they begin.
    pub kinds: usize,
    /// Half of the calls are over after so long, and 95 %; the longest was seen for the last.
    pub lengths_s: [Option<f64>; 3],
    /// The hours of the week; `None` without records.
    pub week: Option<Week>,
    /// The hour of the week that the forecast is for; `None`: now, with the ages that were given.
    pub hour: Option<usize>,
    /// How many calls' ages it is from.
    pub ages: Option<usize>,
    /// Of them, how many are older than every record.
    pub too_old: usize,
    /// What the drain will take.
    pub forecast: Forecast,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is nothing to estimate from.
    #[error(
        "there are neither call records nor calls in flight: give a file of records, or --from a worker with calls"
    )]
    Nothing,
    /// No record shows how a call ended.
    #[error("no record shows the end of a call: give records of calls that ended")]
    NoEnd,
    /// A number is out of its range.
    #[error("{0}")]
    Number(&'static str),
}

/// Deadlines that people set, in seconds.
const DEADLINES: [f64; 10] = [60.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0, 86_400.0];

/// Numbers of waves that are compared.
const WAVES: [u32; 5] = [1, 2, 4, 8, 16];

/// Answers.
///
/// ```
/// use openrtc_advise::plan::{Question, advise};
///
/// let csv: String = (0..2_000).map(|call| format!("{},{}\n", call * 30, 60 + call % 600)).collect();
/// let records = openrtc_advise::records::read(format!("start_s,duration_s\n{csv}").as_bytes())?;
/// let plan = advise(&Question { records: &records, ..Question::default() })?;
/// assert!(plan.forecast.quantiles[0].at_s.is_some_and(|median| median < 660.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn advise(question: &Question<'_>) -> Result<Plan, PlanError> {
    question.check()?;
    if question.records.is_empty() {
        return Ok(question.by_ages());
    }
    let evidence = Evidence::of(question.records, f64::from(question.utc_offset_s));
    if !evidence.seen.iter().any(|seen| seen.ended) {
        return Err(PlanError::NoEnd);
    }
    let kinds = Kinds::of(&evidence);
    let point = forecast::read(&evidence, &kinds, None);
    let week = Week::of(&evidence, &kinds, &point);
    let begun = question.ages.map(|ages| question.begun(ages));
    let is_too_old = |(age, hour): &&(f64, usize)| point.curves[kinds.at(*hour)].longest() <= *age;
    let too_old = begun.iter().flatten().filter(is_too_old).count();
    let best = question.hour.unwrap_or(week.best[0]);
    let (hour, flight) = match begun {
        Some(begun) => (None, Flight::of_ages(begun)),
        None => (Some(best), Flight::Expected(best)),
    };
    let all = curve::Curve::of(&evidence.seen, |_| 1.0);
    Ok(Plan {
        utc_offset_s: question.utc_offset_s,
        kinds: kinds.count(),
        lengths_s: [all.quantile(0.5), all.quantile(0.95), Some(all.longest())],
        hour,
        ages: question.ages.map(<[f64]>::len),
        too_old,
        forecast: question.forecast(&evidence, &kinds, &point, &flight, week.peak),
        week: Some(week),
        records: Some(evidence.summary),
    })
}

impl Question<'_> {
    fn check(&self) -> Result<(), PlanError> {
        let is_time = |time: &f64| (0.0..=1e9).contains(time);
        if self.records.is_empty() && self.ages.is_none_or(<[f64]>::is_empty) {
            Err(PlanError::Nothing)
        } else if !(0.5..1.0).contains(&self.confidence) {
            Err(PlanError::Number("a confidence is between 0.5 and 1, and 1 itself nobody can give"))
        } else if !self.ages.unwrap_or_default().iter().all(is_time) || !self.deadlines.iter().all(is_time) {
            Err(PlanError::Number("an age or a deadline is no time of at most 1e9 seconds"))
        } else if self.hour.is_some_and(|hour| hour >= evidence::HOURS) {
            Err(PlanError::Number("an hour of the week is from 0 to 167"))
        } else {
            Ok(())
        }
    }

    /// From ages alone: what a call still takes follows the law of what calls have had.
    fn by_ages(&self) -> Plan {
        let ages = self.ages.unwrap_or_default();
        let seen = |(block, age): (usize, &f64)| Observation { entry: 0.0, exit: *age, ended: true, block };
        let evidence = Evidence::of_lengths(ages.iter().enumerate().map(seen).collect());
        let kinds = Kinds::one();
        let point = forecast::read(&evidence, &kinds, None);
        let flight = Flight::Ages(vec![Aged { age: None, hour: 0, count: float(ages.len()) }]);
        Plan {
            records: None,
            utc_offset_s: self.utc_offset_s,
            kinds: 1,
            lengths_s: [None; 3],
            week: None,
            hour: None,
            ages: Some(ages.len()),
            too_old: 0,
            forecast: self.forecast(&evidence, &kinds, &point, &flight, float(ages.len())),
        }
    }

    /// Ages, each with the hour of the week in which the call began.
    fn begun(&self, ages: &[f64]) -> Vec<(f64, usize)> {
        let now = float(self.hour.unwrap_or(0)) + 0.5;
        let hour = |age: f64| number::whole((now - age / evidence::HOUR).rem_euclid(float(evidence::HOURS)));
        ages.iter().map(|age| (*age, hour(*age).min(evidence::HOURS - 1))).collect()
    }

    fn forecast(&self, evidence: &Evidence, kinds: &Kinds, point: &Reading, flight: &Flight, peak: f64) -> Forecast {
        let longest = evidence.seen.iter().map(|seen| seen.exit).fold(0.0, f64::max);
        let usual: Vec<_> = DEADLINES.into_iter().filter(|deadline| *deadline < longest).collect();
        let workers = self.workers.or_else(|| self.capacity.map(|capacity| workers_for(peak, capacity)));
        let waves: Vec<_> = WAVES.into_iter().filter(|waves| workers.is_none_or(|workers| *waves <= workers)).collect();
        Matter {
            evidence,
            kinds,
            point,
            flight,
            deadlines: if self.deadlines.is_empty() { &usual } else { self.deadlines },
            confidence: self.confidence,
            workers,
            waves: &waves,
        }
        .forecast()
    }
}
