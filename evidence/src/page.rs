//! The certificate as a page that needs nothing but itself.

mod chart;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use openrtc_core::time::Instant;

use crate::certificate::{Certificate, WorkerRun};
use crate::dispatch::{Dispatch, DispatchSums};
use crate::select::Role;
use chart::Chart;

/// So many names are seen at once, above the picture.
const SHOWN: usize = 20;
/// So many more can be unfolded; all others are in the file only.
const FOLDED_MAX: usize = 200;
/// How many colours there are.
const COLOURS: usize = 6;
/// The year's beginning.
const YEAR_9999: Instant = Instant::from_micros(253_370_764_800_000_000);

/// Renders the page.
pub(crate) fn render(certificate: &Certificate, digest: &str, key: Option<&str>) -> String {
    let (verdict, sentence) = (certificate.verdict.word(), certificate.verdict.sentence());
    // Writing to a string cannot fail.
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Rollout certificate: {verdict}</title><style>{}</style>\n<h1>Rollout certificate</h1>\
         <p class='verdict {verdict}'>{sentence}.</p>\n",
        include_str!("page/style.css")
    );
    sums(&mut page, certificate);
    let dropped = certificate.drops().map(|call| {
        let (worker, version) = certificate.worker(call).map_or(("?", "?"), |run| (&run.name, &run.version));
        let at = call.ended.map_or_else(String::new, |at| format!(" at {}", moment(at)));
        format!("{} on {worker} {version}{at}: {}", call.id, call.end)
    });
    list(&mut page, "Dropped calls", "drops", dropped);
    let unknown = certificate.unknown.iter().map(|untold| untold.gap.to_string());
    list(&mut page, "What the evidence does not tell", "gaps", unknown);
    dispatches(&mut page, &certificate.dispatches);
    lanes(&mut page, certificate);
    let signer = key.map_or_else(|| "not signed".into(), |key| format!("signed by key {}", escape(key)));
    let _ = writeln!(
        page,
        "<footer>SHA-256 {} · {signer} · check it: <code>openrtc certify check</code></footer>",
        escape(digest)
    );
    page
}

fn sums(page: &mut String, certificate: &Certificate) {
    let sums = &certificate.sums;
    let least = if sums.declined_exact { "" } else { "≥ " };
    page.push_str("<dl>");
    for (count, what, always) in [
        (sums.promised, "calls promised", true),
        (sums.ended, "ended", true),
        (sums.dropped, "dropped", true),
        (sums.open, "still up", false),
        (sums.in_progress, "in progress on the new version", false),
        (sums.untold, "not told", false),
    ] {
        if always || count > 0 {
            let _ = write!(page, "<div><dt>{what}</dt><dd>{count}</dd></div>");
        }
    }
    let _ = writeln!(page, "<div><dt>offers declined</dt><dd>{least}{}</dd></div></dl>", sums.declined);
}

fn dispatches(page: &mut String, all: &[Dispatch]) {
    if !all.is_empty() {
        let _ = writeln!(page, "<p class=about>Its dispatcher saw {}.</p>", DispatchSums::of(all));
    }
    list(page, "Lost before a worker took them", "losses", all.iter().filter_map(Dispatch::loss));
}

fn lanes(page: &mut String, certificate: &Certificate) {
    let chart = Chart::over(certificate);
    let versions: Vec<_> =
        certificate.workers.iter().map(|run| run.version.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let colour = |run: &WorkerRun| versions.iter().position(|version| *version == run.version).unwrap_or(0) % COLOURS;
    let _ = write!(
        page,
        "<h2>Workers</h2><p class=about>{} to {} (UTC), {}</p><p class=legend>",
        moment(chart.from),
        moment(chart.to),
        span(chart.from, chart.to)
    );
    for (place, version) in versions.iter().enumerate() {
        let _ = write!(page, "<span><i class=v{}></i>calls of {}</span>", place % COLOURS, escape(version));
    }
    if certificate.sums.open + certificate.sums.in_progress > 0 {
        page.push_str("<span><i class='v0 up'></i>paler: still up</span>");
    }
    page.push_str("<span><i class=cut></i>dropped</span><span><i class=drain></i>the worker drains</span></p>\n");
    chart.axis(page, "top");
    let verdicts = certificate.verdicts();
    let mut order: Vec<_> = (0..certificate.workers.len()).collect();
    // The worst first, as on the page as a whole.
    order.sort_by_key(|place| std::cmp::Reverse(verdicts[*place]));
    for place in order {
        let run = &certificate.workers[place];
        heading(page, run);
        chart.lane(page, place, run, colour(run));
    }
    chart.axis(page, "bottom");
}

fn heading(page: &mut String, run: &WorkerRun) {
    let role = match run.role {
        Role::Retired => "",
        Role::TakesOver => "takes over; ",
    };
    let drained = run.drain.as_ref().map_or_else(String::new, |drain| {
        let until = run.drained.unwrap_or(run.ended);
        format!("; drained by {} ({}) for {}", drain.actor, drain.cause.as_str(), span(drain.began, until))
    });
    let _ = write!(
        page,
        "<h3>{} {} <small>{role}{} {}, {}{}</small></h3>",
        escape(&run.name),
        escape(&run.version),
        run.calls,
        if run.calls == 1 { "call" } else { "calls" },
        run.standing,
        escape(&drained)
    );
}

fn list(page: &mut String, title: &str, class: &str, items: impl Iterator<Item = String>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    let _ = write!(page, "<h2>{title}</h2><ul class={class}>");
    items_of(page, items.by_ref().take(SHOWN));
    page.push_str("</ul>");
    if items.peek().is_some() {
        let _ = write!(page, "<details><summary>more of them</summary><ul class={class}>");
        items_of(page, items.by_ref().take(FOLDED_MAX));
        page.push_str("</ul></details>");
    }
    match items.count() {
        0 => page.push('\n'),
        more => drop(writeln!(page, "<p class=about>and {more} more, all of them in the certificate's file</p>")),
    }
}

fn items_of(page: &mut String, items: impl Iterator<Item = String>) {
    for item in items {
        let _ = write!(page, "<li>{}", escape(&item));
    }
}

fn moment(at: Instant) -> impl std::fmt::Display {
    // A journal may hold any number; the last moment that can be written is in the year 9999.
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(at.min(YEAR_9999).as_micros());
    humantime::format_rfc3339_seconds(at).to_string().replace('T', " ").replace('Z', "")
}

fn span(from: Instant, to: Instant) -> impl std::fmt::Display {
    humantime::format_duration(Duration::from_millis(to.since(from).as_micros() / 1_000))
}

/// Names come from outside.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
