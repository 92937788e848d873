use openrtc_core::id::Incarnation;
use openrtc_core::time::Span;
use openrtc_core::worker::{Cause, EndReason};

use super::*;
use crate::certificate::{Call, Drain, Format, Sums, Verdict};
use crate::dispatch::Dispatch;
use crate::end::CallEnd;
use crate::gap::{Gap, Untold};
use crate::standing::Standing;

/// Text that speaks HTML wherever it is not escaped.
const NASTY: &str = "<b a='1' c=\"2\">&amp;</b><script>";

fn at(seconds: u64) -> Instant {
    Instant::from_micros(1_764_000_000_000_000) + Span::from_secs(seconds)
}

/// A worker of `version` with `calls` calls of a minute, one every second, of which every hundredth was dropped.
fn certificate(calls: u64, name: &str) -> Certificate {
    let call = |number: u64| Call {
        id: format!("{name}-{number}"),
        run: 0,
        began: at(number),
        ended: Some(at(number + 60)),
        end: if number % 100 == 7 { CallEnd::PlatformForced } else { CallEnd::Recorded(EndReason::CallerHangup) },
    };
    let drain = Drain { cause: Cause::Api, actor: name.into(), began: at(calls) };
    let worker = WorkerRun {
        name: name.into(),
        version: name.into(),
        incarnation: Incarnation::new(1),
        role: Role::Retired,
        standing: Standing::Exited,
        outcome: None,
        calls,
        declined: 0,
        began: at(0),
        ended: at(calls + 60),
        drained: None,
        drain: Some(drain),
    };
    let gap = Gap::Told { text: name.into() };
    let (room, lost) = (name.into(), Some(name.into()));
    let dispatch =
        Dispatch { dispatch: Some(name.into()), room, lost, again: Some(name.into()), ..Dispatch::default() };
    let mut certificate = Certificate {
        format: Format::V2,
        verdict: Verdict::Unknown,
        until: None,
        skew: Span::ZERO,
        sums: Sums::default(),
        workers: vec![worker],
        calls: (0..calls).map(call).collect(),
        unknown: vec![Untold { run: Some(0), gap }],
        dispatches: vec![dispatch],
    };
    certificate.sums = certificate.sum_up();
    certificate
}

#[test]
fn nothing_from_outside_can_speak_html() {
    for calls in [20, 20_000] {
        let page = render(&certificate(calls, NASTY), NASTY, Some(NASTY));
        let plain = render(&certificate(calls, "plain"), "plain", Some("plain"));
        let tags = |page: &str| page.matches('<').count();
        assert_eq!(tags(&page), tags(&plain), "{page}");
        assert!(!page.contains("<b") && !page.contains("<script") && page.contains("&lt;script&gt;"));
        assert_eq!(page.matches("&lt;script&gt;").count(), plain.matches("plain").count(), "each is there, escaped");
    }
}

#[test]
fn what_was_dropped_comes_first_and_many_calls_make_no_large_page() {
    let page = render(&certificate(20_000, "w"), "digest", None);
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text:?} is missing"));
    assert!(place("Dropped calls") < place("<h2>Workers"));
    assert_eq!(page[..place("<details>")].matches("<li>").count(), SHOWN, "the picture is on the first screen");
    assert!(page.len() < 100_000, "{} bytes for 20,000 calls", page.len());
    assert!(page.contains("class=cut"), "drops are marked whatever the number");
}

#[test]
fn calls_are_packed_onto_as_few_rows_as_there_were_calls_at_once() {
    let certificate = certificate(700, "w");
    let mut page = String::new();
    let chart = Chart::over(&certificate);
    chart.lane(&mut page, 0, &certificate.workers[0], 0);
    assert!(page.contains("height:420.0px"), "60 rows of 7 px: {}", &page[..90]);
    assert_eq!(page.matches("<rect class=v0").count() + page.matches("<rect class=cut").count(), 700);
}

#[test]
fn the_axis_has_a_few_round_times_whatever_the_span() {
    for calls in [1, 40, 3_000, 90_000, 2_000_000] {
        let mut certificate = certificate(0, "w");
        certificate.workers[0].ended = at(calls);
        let mut page = String::new();
        Chart::over(&certificate).axis(&mut page, "top");
        let marks = page.matches("<span").count();
        assert!((1..=9).contains(&marks), "{marks} marks for {calls} s: {page}");
    }
}
