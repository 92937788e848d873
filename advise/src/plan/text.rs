//! A plan in words, for a terminal.

use std::fmt::Write;

use super::evidence::Summary;
use super::forecast::{Cut, Number, Quantile, Waves};
use super::number::whole;
use super::week::{Hour, Week};
use super::{Forecast, Plan};

/// The days of the week, as [`Plan::hour_name`] has them.
pub const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// From little to much.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What stands where nothing is known.
const UNKNOWN: &str = "not known";

impl Plan {
    /// The plan as a person reads it: what it rests on, when to roll, and what the drain will take.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(records) = &self.records {
            text += &self.rests_on(records);
        }
        if let Some(ages) = self.ages {
            let _ = writeln!(text, "in flight now  {ages} calls, by their ages");
            if self.too_old > 0 {
                let _ = writeln!(
                    text,
                    "               {} of them are older than every record: when they end, nobody knows",
                    self.too_old
                );
            }
            if self.records.is_none() {
                text +=
                    "               without records: a call is taken to last for as long again as calls have by now\n";
            }
        }
        if let Some(week) = &self.week {
            text += &self.when(week);
        }
        text += &self.forecast.text(&self.start());
        text
    }

    /// The name of an hour of the week.
    #[must_use]
    pub fn hour_name(&self, hour: usize) -> String {
        format!("{} {:02}:00", self.day_name(hour), hour % 24)
    }

    pub(super) fn day_name(&self, hour: usize) -> String {
        let day = hour / 24 % 7;
        let has_times = self.records.as_ref().is_some_and(|records| records.has_times);
        if has_times { DAYS[day].to_owned() } else { format!("day {}", day + 1) }
    }

    fn start(&self) -> String {
        self.hour.map_or_else(|| "now".into(), |hour| format!("at {}", self.hour_name(hour)))
    }

    fn rests_on(&self, records: &Summary) -> String {
        let mut text = format!("records        {} calls in {}", records.calls, time(records.span_s));
        if records.censored > 0 {
            let _ = write!(text, ", {} of them without their end", records.censored);
        }
        if records.left_out > 0 {
            let _ = write!(
                text,
                "; the last {} are left out, since longer ones beside them are not in the file",
                records.left_out
            );
        }
        let [half, most, longest] = self.lengths_s.map(|length| length.map_or_else(|| UNKNOWN.into(), time));
        let _ = write!(text, "\nlengths        half at most {half}, 95 % at most {most}, the longest {longest}\n");
        if self.kinds > 1 {
            let _ = writeln!(
                text,
                "kinds          {} kinds by the hour in which they begin, each counted apart",
                self.kinds
            );
        }
        if records.is_short {
            text += "careful        the file is short for calls so long: they may be longer than it shows\n";
        }
        if !records.by_days {
            text += "careful        fewer than 5 days: ranges take calls as independent, and may be too narrow\n";
        }
        text
    }

    fn when(&self, week: &Week) -> String {
        let what = match week.part {
            Some(part) => format!("how long a drain takes, at {}", percent(part)),
            None => "calls in flight".into(),
        };
        let zone = self.zone();
        let mut text = format!("\nwhen to roll   {what}; hours {zone}\n               0     6     12    18\n");
        let (_, _, place) = week.scale();
        let bar = |hour: &Hour| if hour.is_seen { BARS[whole(place(hour) * 7.999).min(7)] } else { '·' };
        for (day, hours) in week.hours.chunks(24).enumerate() {
            let bars: String = hours.iter().map(bar).collect();
            let _ = writeln!(text, "  {:<11}  {bars}", self.day_name(day * 24));
        }
        let named = |hour: usize| {
            let is = &week.hours[hour];
            let takes = is.drain_s.map(|drain| format!(", {}", time(drain))).unwrap_or_default();
            format!("{} ({} calls{takes})", self.hour_name(hour), number(is.in_flight))
        };
        let best: Vec<_> = week.best.iter().map(|hour| named(*hour)).collect();
        let _ = writeln!(text, "best           {}\nworst          {}", best.join(", "), named(week.worst));
        text
    }

    pub(super) fn zone(&self) -> String {
        let minutes = self.utc_offset_s / 60;
        match &self.records {
            Some(records) if !records.has_times => "from the file's first start on".into(),
            _ if minutes == 0 => "in UTC".into(),
            _ => format!("in UTC{:+03}:{:02}", minutes / 60, (minutes % 60).abs()),
        }
    }
}

impl Forecast {
    fn text(&self, start: &str) -> String {
        let mut text = format!("\nrolling {start}: {} calls in flight\n\n", range(&self.in_flight));
        let until = self.known_until_s;
        let to = self.to_s.map_or_else(|| unknown(until), time);
        let _ = writeln!(text, "time to drain  9 of 10 take from {} to {to}", time(self.from_s));
        for quantile in &self.quantiles {
            let _ =
                writeln!(text, "  {:<11}  {}", format!("p{}", number(quantile.part * 100.0)), told(quantile, until));
        }
        text += "\ndeadline       calls cut             none cut\n";
        for cut in &self.deadlines {
            let Cut { deadline_s, calls, none } = cut;
            let calls = calls.as_ref().map_or_else(|| UNKNOWN.into(), range);
            let none = none.map_or_else(|| UNKNOWN.into(), percent);
            let _ = writeln!(text, "  {:<11}  {calls:<20}  {none}", time(*deadline_s));
        }
        let sure = percent(self.none_cut.part);
        let _ = writeln!(text, "to cut none    {} (with {sure})", told(&self.none_cut, until));
        let _ = writeln!(
            text,
            "\nroom           {} call-hours on the old version beside the new one",
            number(self.call_hours)
        );
        text += "waves          spare workers  drained: p50  p95\n";
        for Waves { waves, spare_workers, p50_s, p95_s } in &self.waves {
            let spare = spare_workers.map_or_else(|| format!("1/{waves} of them"), |workers| workers.to_string());
            let [half, most] = [p50_s, p95_s].map(|time_s| time_s.map_or_else(|| UNKNOWN.into(), time));
            let _ = writeln!(text, "  {waves:<11}  {spare:<13}  {half:<12}  {most}");
        }
        text
    }
}

fn told(quantile: &Quantile, until: f64) -> String {
    let Some(at) = quantile.at_s else { return unknown(until) };
    let low = quantile.low_s.unwrap_or(at).min(at);
    match quantile.high_s {
        Some(high) => format!("{} ({} to {})", time(at), time(low), time(high.max(at))),
        None => format!("{} (from {}; at most: {UNKNOWN})", time(at), time(low)),
    }
}

fn unknown(until: f64) -> String {
    format!("{UNKNOWN}: past the longest record ({})", time(until))
}

fn range(value: &Number) -> String {
    format!("{} ({} to {})", number(value.mean), number(value.low), number(value.high))
}

/// A number with the digits that matter.
fn number(value: f64) -> String {
    match value {
        value if value >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value if value >= 0.095 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

/// A part in per cent. What is not certain is never rounded to certainty.
fn percent(part: f64) -> String {
    match part * 100.0 {
        most if part < 1.0 && most > 99.9 => ">99.9 %".into(),
        least if part > 0.0 && least < 0.1 => "<0.1 %".into(),
        percent => format!("{} %", format!("{percent:.1}").trim_end_matches(".0")),
    }
}

/// A time as a person says it: two units at most.
pub(super) fn time(seconds: f64) -> String {
    let total = whole(seconds.round());
    let (days, hours, minutes, rest) = (total / 86_400, total / 3_600 % 24, total / 60 % 60, total % 60);
    let two = |one: usize, unit: &str, other: usize, small: &str| match other {
        0 => format!("{one}{unit}"),
        other => format!("{one}{unit} {other}{small}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10.0 && seconds.fract() != 0.0 => format!("{seconds:.1}s"),
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, minutes) => two(minutes, "m", rest, "s"),
        (0, hours, minutes) => two(hours, "h", minutes, "m"),
        (days, hours, _) => two(days, "d", hours, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_said_as_people_do() {
        let times = [0.0, 0.25, 42.4, 90.0, 3_600.0, 5_445.0, 200_000.0].map(time);
        assert_eq!(times, ["0s", "0.2s", "42s", "1m 30s", "1h", "1h 30m", "2d 7h"]);
        assert_eq!([0.0, 0.004, 0.5, 7.0, 123.4].map(number), ["0", "0.004", "0.5", "7", "123"]);
        assert_eq!(
            [0.0, 0.0001, 0.5, 0.999, 0.9999, 1.0].map(percent),
            ["0 %", "<0.1 %", "50 %", "99.9 %", ">99.9 %", "100 %"]
        );
    }
}
