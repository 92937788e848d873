//! The certificate as a page that needs nothing but itself.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use openrtc_core::time::{Instant, Span};

use crate::certificate::{Call, Certificate, Verdict, WorkerRun};
use crate::end::RunEnd;

/// Lanes are so many units wide.
const WIDTH: u64 = 1_000;
/// A call's bar, and the space to the next.
const BAR: u64 = 3;
const STEP: u64 = 4;
/// More calls per worker are not drawn one by one.
const DRAWN_MAX: usize = 400;
/// The year's beginning.
const YEAR_9999: Instant = Instant::from_micros(253_370_764_800_000_000);
/// The shortest time that a page shows: a lane has a width.
const SHORTEST: Span = Span::from_micros(1);

/// Renders the page.
pub(crate) fn render(certificate: &Certificate, digest: &str, key: Option<&str>) -> String {
    let class = match certificate.verdict {
        Verdict::Proven => "proven",
        Verdict::Dropped => "dropped",
        Verdict::Unknown => "unknown",
    };
    let sentence = certificate.verdict.sentence();
    // Writing to a string cannot fail.
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Rollout certificate</title><style>{STYLE}</style>\
         <h1>Rollout certificate</h1><p class={class}>{sentence}.</p>\
         <p><b>{}</b> calls promised, <b>{}</b> ended, <b>{}</b> dropped; <b>{}</b> offers declined.</p>",
        certificate.promised, certificate.ended, certificate.dropped, certificate.declined
    );
    let from = certificate.workers.iter().map(|worker| worker.began).min().unwrap_or_default();
    let to = certificate.workers.iter().map(|worker| worker.ended).max().unwrap_or(from).max(from + SHORTEST);
    let _ = write!(
        page,
        "<p class=about>From {} to {}: {}. <i class=call></i> a call <i class=cut></i> a dropped call \
         <i class=drain></i> the worker drains</p>",
        moment(from),
        moment(to),
        span(from, to)
    );
    for worker in &certificate.workers {
        lane(&mut page, worker, certificate, from, to);
    }
    list(
        &mut page,
        "Dropped calls",
        certificate.drops().map(|call| format!("{} on {} {}: {}", call.id, call.worker, call.version, call.end)),
    );
    list(&mut page, "What the evidence does not tell", certificate.unknown.iter().cloned());
    let signer = key.map_or_else(|| "not signed".into(), |key| format!("signed by key {}", escape(key)));
    let _ = write!(
        page,
        "<footer>SHA-256 {} · {signer} · check it: <code>openrtc certify check</code></footer>",
        escape(digest)
    );
    page
}

fn lane(page: &mut String, worker: &WorkerRun, certificate: &Certificate, from: Instant, to: Instant) {
    let calls: Vec<_> = certificate
        .calls
        .iter()
        .filter(|call| (&call.worker, &call.version) == (&worker.name, &worker.version))
        .filter(|call| call.began >= worker.began && call.began <= worker.ended)
        .collect();
    let x = |at: Instant| at.clamp(from, to).since(from).as_micros() * WIDTH / to.since(from).as_micros();
    let drained = worker.drain.as_ref().map_or_else(String::new, |drain| {
        format!("; drained by {} ({}) for {}", drain.actor, drain.cause.as_str(), span(drain.began, worker.ended))
    });
    let outcome = match worker.outcome {
        RunEnd::Clean => "left with nothing dropped",
        RunEnd::Forced => "left by force",
        RunEnd::Rejected => "was not admitted",
        RunEnd::Unclosed => "ended without a word: killed, crashed, or its node was lost",
    };
    let _ = write!(
        page,
        "<h2>{} <span>{}</span></h2><p class=about>{} calls, {}{}</p>",
        escape(&worker.name),
        escape(&worker.version),
        worker.calls,
        outcome,
        escape(&drained)
    );
    let shown = &calls[..calls.len().min(DRAWN_MAX)];
    let height = shown.len() as u64 * STEP + STEP;
    let _ = write!(page, "<svg viewBox='0 0 {WIDTH} {height}' preserveAspectRatio=none style='height:{height}px'>");
    if let Some(drain) = &worker.drain {
        let (began, ended) = (x(drain.began), x(worker.ended));
        let _ = write!(page, "<rect class=drain x={began} width={} height={height} />", (ended - began).max(1));
    }
    for (row, call) in (0..).zip(shown) {
        bar(page, call, x(call.began), x(call.ended), row * STEP + 1);
    }
    page.push_str("</svg>");
    if calls.len() > shown.len() {
        let _ = write!(page, "<p class=about>and {} more calls</p>", calls.len() - shown.len());
    }
}

fn bar(page: &mut String, call: &Call, from: u64, to: u64, y: u64) {
    let class = if call.end.is_drop() { "cut" } else { "call" };
    let _ = write!(
        page,
        "<rect class={class} x={from} y={y} width={} height={BAR}><title>{}: {}</title></rect>",
        (to - from).max(1),
        escape(&call.id),
        call.end
    );
}

fn list(page: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>{title}</h2><ul>");
    for item in items {
        let _ = write!(page, "<li>{}", escape(&item));
    }
    page.push_str("</ul>");
}

fn moment(at: Instant) -> impl std::fmt::Display {
    // A journal may hold any number; the last moment that can be written is in the year 9999.
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_micros(at.min(YEAR_9999).as_micros()))
}

fn span(from: Instant, to: Instant) -> impl std::fmt::Display {
    humantime::format_duration(Duration::from_millis(to.since(from).as_micros() / 1_000))
}

/// Names come from outside.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&quot;")
}

const STYLE: &str = "\
    body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1c2330}\
    h1{font-size:1.5rem}h2{font-size:1rem;margin:1.5rem 0 0}h2 span{color:#5b6577;font-weight:400}\
    .about{margin:0;color:#5b6577}svg{display:block;width:100%;background:#f3f5f8;margin:.4rem 0}\
    .call{fill:#3b7dd8}.cut{fill:#c8372d}.drain{fill:#f0d9a8}\
    i{display:inline-block;width:1.2rem;height:.6rem;margin-left:1rem}\
    i.call{background:#3b7dd8}i.cut{background:#c8372d}i.drain{background:#f0d9a8}\
    .proven,.dropped,.unknown{padding:.6rem 1rem;border-left:6px solid;font-weight:600}\
    .proven{background:#e7f5ea;border-color:#2c8a43}.dropped{background:#fbe9e7;border-color:#c8372d}\
    .unknown{background:#fdf4dd;border-color:#c98b12}footer{margin-top:2rem;color:#5b6577;font-size:.8rem}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_cannot_speak_html() {
        assert_eq!(escape("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }
}
