//! `openrtc plan`: when to roll, how long the drain takes, and what a deadline would cut.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use futures_util::future::join_all;
use openrtc_advise::plan::{DAYS, Question, advise, hour_at};
use openrtc_advise::records::{self, CallRecord};
use openrtc_runtime::parse_duration;

use crate::http::Access;
use crate::{Usage, calls};

/// A file of records may grow to so many bytes when it is unpacked.
const UNPACKED_MAX: u64 = 1 << 30;

/// No worker has more calls than are asked for.
const CALLS_MAX: u64 = 1 << 21;

/// Say when to roll, how long the drain will take, what a deadline would cut, and how much room that needs.
///
/// It is estimated from a file of call records (columns start_s and duration_s), from the calls that workers have now
/// (--from), or better from both. Past the longest record it says "not known".
#[derive(Args, Clone, Debug)]
pub(crate) struct PlanArgs {
    /// Call records: CSV, also compressed by gzip; - reads standard input.
    #[arg(value_name = "FILE.csv", required_unless_present = "from")]
    records: Option<PathBuf>,
    /// The ops endpoint of a worker that is to be drained: the plan is for now, by the ages of its calls. Repeat it for
    /// each worker.
    #[arg(long, value_name = "URL")]
    from: Vec<String>,
    #[command(flatten)]
    access: Access,
    /// Judge this deadline, e.g. 45m; repeat it for several.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    deadline: Vec<Duration>,
    /// How sure it is to be that a deadline cuts no call.
    #[arg(long, value_name = "PART", default_value_t = 0.99)]
    confidence: f64,
    /// How many workers run the old version.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// How many calls one worker takes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    capacity: Option<u32>,
    /// Plan for this hour of the week, e.g. "sun 03" (of a file without dates: "1 03" is its first day).
    #[arg(long, value_name = "HOUR", value_parser = hour_of_week, conflicts_with = "from")]
    at: Option<usize>,
    /// What local time is ahead of UTC, e.g. +02:00.
    #[arg(long, value_name = "OFFSET", default_value = "+00:00", allow_hyphen_values = true, value_parser = offset)]
    utc_offset: i32,
    /// Draw the week into this file.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Print JSON. Times are in seconds; null is "not known".
    #[arg(long)]
    json: bool,
}

/// Reads, asks, and says.
pub(crate) async fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let records = args.records.as_deref().map(read).transpose()?.unwrap_or_default();
    let ages = if args.from.is_empty() { None } else { Some(args.ages().await?) };
    let deadlines: Vec<_> = args.deadline.iter().map(Duration::as_secs_f64).collect();
    let question = Question {
        records: &records,
        ages: ages.as_deref(),
        hour: args.at.or_else(|| ages.is_some().then(|| this_hour(args.utc_offset))),
        utc_offset_s: args.utc_offset,
        deadlines: &deadlines,
        confidence: args.confidence,
        workers: args.workers.or_else(|| u32::try_from(args.from.len()).ok().filter(|workers| *workers > 0)),
        capacity: args.capacity,
    };
    let plan = advise(&question).map_err(Usage::new)?;
    if let Some(path) = &args.svg {
        let svg = plan.svg().ok_or_else(|| Usage(anyhow!("--svg draws the week, and needs a file of records")))?;
        std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&plan)?);
    } else {
        print!("{}", plan.text());
    }
    Ok(ExitCode::SUCCESS)
}

impl PlanArgs {
    /// The ages of all calls in flight, in seconds. One worker that does not answer spoils the plan: its calls count.
    async fn ages(&self) -> anyhow::Result<Vec<f64>> {
        let token = self.access.token()?;
        let listed = self.from.iter().map(async |url| {
            let listed = calls::list(url, token.as_deref(), CALLS_MAX).await.with_context(|| url.clone())?;
            let age = |call: &serde_json::Value| call["age_ms"].as_f64().map(|millis| millis / 1e3);
            listed
                .calls
                .iter()
                .map(age)
                .collect::<Option<Vec<_>>>()
                .with_context(|| format!("{url}: a call has no age"))
        });
        let listed = join_all(listed).await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        Ok(listed.concat())
    }
}

/// Call records from a file or from standard input, packed or not.
fn read(path: &Path) -> anyhow::Result<Vec<CallRecord>> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(stdin())
    } else {
        Box::new(File::open(path).map_err(|e| named(path, e))?)
    };
    let mut input = BufReader::new(input);
    let mut head = Vec::new();
    input.by_ref().take(2).read_to_end(&mut head).map_err(|error| named(path, error))?;
    let is_packed = head == [0x1f, 0x8b];
    let whole = Cursor::new(head).chain(input);
    let records = if is_packed {
        // One byte more than may be, to see whether there is more.
        let mut unpacked = flate2::read::MultiGzDecoder::new(whole).take(UNPACKED_MAX + 1);
        let records = records::read(&mut unpacked);
        if unpacked.limit() == 0 {
            bail!(Usage(anyhow!("{}: it unpacks to more than 1 GiB: give a part of it", path.display())));
        }
        records
    } else {
        records::read(whole)
    };
    Ok(records.map_err(|error| named(path, error))?)
}

fn named(path: &Path, error: impl Into<anyhow::Error>) -> Usage {
    Usage(error.into().context(path.display().to_string()))
}

/// The hour of the week by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "the ages are of now, and a plan is for people's hours")]
fn this_hour(utc_offset: i32) -> usize {
    hour_at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(), utc_offset)
}

fn hour_of_week(text: &str) -> Result<usize, String> {
    let how = || format!("{text:?} is no hour of the week: write it like \"sun 03\"");
    let (day, hour) = text.split_once(' ').ok_or_else(how)?;
    let number = DAYS.iter().position(|name| name.eq_ignore_ascii_case(day));
    let day = number.or_else(|| day.parse::<usize>().ok()?.checked_sub(1));
    let hour = hour.trim_end_matches(":00").parse::<usize>().ok();
    match (day, hour) {
        (Some(day @ 0..7), Some(hour @ 0..24)) => Ok(day * 24 + hour),
        _ => Err(how()),
    }
}

fn offset(text: &str) -> Result<i32, String> {
    let how = || format!("{text:?} is no offset: write it like +02:00");
    let digits = text.strip_prefix(['+', '-']).ok_or_else(how)?;
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    match (hours.parse::<i32>(), minutes.parse::<i32>()) {
        (Ok(hours @ 0..=14), Ok(minutes @ 0..60)) => {
            let ahead = hours * 3_600 + minutes * 60;
            Ok(if text.starts_with('-') { -ahead } else { ahead })
        }
        _ => Err(how()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_and_offsets_are_read_as_people_write_them() {
        assert_eq!(["mon 00", "Sun 03:00", "1 5", "7 23"].map(hour_of_week), [Ok(0), Ok(147), Ok(5), Ok(167)]);
        assert!(["sun", "8 0", "0 0", "sun 24", "sun -1"].iter().all(|text| hour_of_week(text).is_err()));
        assert_eq!(["+02:00", "-04:30", "+0"].map(offset), [Ok(7_200), Ok(-16_200), Ok(0)]);
        assert!(["02:00", "+15:00", "+1:60", "-"].iter().all(|text| offset(text).is_err()));
    }
}
