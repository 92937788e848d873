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

/// A run of a hundred seconds with these calls: name, when it began and ended, how.
fn drawn(calls: &[(&str, u64, Option<u64>, CallEnd)]) -> Certificate {
    let mut certificate = certificate(0, "w");
    certificate.workers[0].ended = at(100);
    certificate.workers[0].drain = None;
    let call = |(id, began, ended, end): &(&str, u64, Option<u64>, CallEnd)| Call {
        id: (*id).into(),
        run: 0,
        began: at(*began),
        ended: ended.map(at),
        end: *end,
    };
    certificate.calls = calls.iter().map(call).collect();
    certificate
}

fn lane(certificate: &Certificate, place: usize) -> String {
    let mut page = String::new();
    Chart::over(certificate).lane(&mut page, place, &certificate.workers[place], 0);
    page
}

const HUNG_UP: CallEnd = CallEnd::Recorded(EndReason::CallerHangup);

/// A thousand units are a hundred seconds, and a row is 7 px.
#[test]
fn a_call_is_drawn_where_it_was_in_time_and_on_a_row_that_was_free() {
    let mut certificate = drawn(&[
        ("ended", 0, Some(10), HUNG_UP),
        ("up", 5, None, CallEnd::Open),
        ("cut", 10, Some(10), CallEnd::PlatformForced),
    ]);
    let page = lane(&certificate, 0);
    for bar in [
        "<svg viewBox='0 0 1000 14.0'",
        "<rect class=v0 x=0 y=0.0 width=100 height=5.6><title>ended: ",
        "<rect class='v0 up' x=50 y=7.0 width=950 height=5.6><title>up: ",
        "<rect class=cut x=100 y=0.0 width=1 height=5.6><title>cut: ",
        "<line class=grid x1=150 x2=150 y2=14.0 />",
    ] {
        assert!(page.contains(bar), "{bar} is missing in {page}");
    }
    assert!(!page.contains("class=drain"));
    certificate.workers[0].drain = Some(Drain { cause: Cause::Api, actor: "alice".into(), began: at(50) });
    assert!(lane(&certificate, 0).contains("<rect class=drain x=500 width=500 height=14.0 />"), "it drains to its end");
    certificate.workers[0].drained = Some(at(75));
    assert!(lane(&certificate, 0).contains("<rect class=drain x=500 width=250 height=14.0 />"));
    assert!(lane(&drawn(&[]), 0).contains("height:12.0px"), "an empty lane is seen too");
}

/// Lanes share 520 px by their rows, and each step of time is as high as there were calls.
#[test]
fn many_calls_are_drawn_as_how_many_there_were() {
    let of = |run, ended: Option<u64>, end| Call { id: "c".into(), run, began: at(0), ended: ended.map(at), end };
    let mut certificate = drawn(&[]);
    certificate.workers.push(certificate.workers[0].clone());
    for (count, call) in [
        (1_500, of(0, Some(50), HUNG_UP)),
        (1_500, of(0, None, CallEnd::Open)),
        (500, of(1, Some(80), CallEnd::PlatformForced)),
        (500, of(1, Some(100), CallEnd::PlatformForced)),
    ] {
        certificate.calls.extend(std::iter::repeat_n(call, count));
    }
    let [first, second] = [0, 1].map(|place| lane(&certificate, place));
    assert!(first.contains("d='M0 390.0H0V0.0H502V195.0H1000V195.0H1000V390.0Z'/></svg>"), "{first}");
    let marks = "<rect class=cut x=800 width=2 height=130.0 /><rect class=cut x=998 width=2 height=130.0 /></svg>";
    assert!(second.contains(&format!("d='M0 130.0H0V0.0H802V65.0H1000V65.0H1000V130.0Z'/>{marks}")), "{second}");
}

#[test]
fn the_axis_marks_round_times_where_they_are() {
    let axis = |from: u64, to: u64| {
        let mut certificate = drawn(&[]);
        (certificate.workers[0].began, certificate.workers[0].ended) = (at(from), at(to));
        let mut page = String::new();
        Chart::over(&certificate).axis(&mut page, "top");
        page.matches("<span").count().to_string() + &page
    };
    let mark = |percent: &str, clock: &str| {
        format!("<span style='left:{percent};transform:translateX(-{percent})'>{clock}</span>")
    };
    let page = axis(0, 40);
    assert!(page.starts_with("9<div class='axis top'>") && page.ends_with("</div>\n"), "{page}");
    for mark in [mark("0.0%", "16:00:00"), mark("12.5%", "16:00:05"), mark("100.0%", "16:00:40")] {
        assert!(page.contains(&mark), "{mark} is missing in {page}");
    }
    let page = axis(3, 43);
    assert!(page.starts_with('8') && page.contains(&mark("5.0%", "16:00:05")), "{page}");
    assert!(axis(0, 45).starts_with('5'), "ten seconds apart: nine marks are enough");
}

#[test]
fn the_page_says_what_there_is_and_nothing_of_what_there_is_not() {
    let page = |change: fn(&mut Certificate)| {
        let mut certificate = drawn(&[("one", 0, Some(90), HUNG_UP)]);
        certificate.workers[0].calls = 1;
        certificate.sums.declined_exact = true;
        change(&mut certificate);
        render(&certificate, "digest", None)
    };
    let plain = page(|_| {});
    for text in ["1 call,", "<dd>0</dd>", "2025-11-24 16:00:00 to 2025-11-24 16:01:40 (UTC), 1m 40s", "not signed"] {
        assert!(plain.contains(text), "{text} is missing in {plain}");
    }
    for text in ["still up", "in progress", "not told", "≥", "takes over", "drained by"] {
        assert!(!plain.contains(text), "{text} is in {plain}");
    }
    let up = page(|certificate| {
        (certificate.sums.in_progress, certificate.sums.declined_exact) = (1, false);
        (certificate.workers[0].calls, certificate.workers[0].role) = (2, Role::TakesOver);
        certificate.workers[0].drain = Some(Drain { cause: Cause::Api, actor: "alice".into(), began: at(10) });
    });
    let drained = "drained by alice (api) for 1m 30s";
    for text in ["paler: still up", "in progress on the new version</dt><dd>1<", "≥ ", "takes over; 2 calls,", drained]
    {
        assert!(up.contains(text), "{text} is missing in {up}");
    }
    assert!(page(|certificate| certificate.sums.open = 1).contains("paler: still up"));
}

#[test]
fn what_is_left_out_is_counted_and_colours_come_again() {
    let drops = |calls| render(&certificate(calls, "w"), "digest", None);
    assert!(drops(30_000).contains("and 80 more, all of them in the certificate's file"), "of 300, 220 are named");
    assert!(!drops(20_000).contains("more, all of them") && drops(20_000).contains("more of them"));
    assert!(!drops(2_000).contains("more of them"), "twenty are seen at once");
    let mut many = drawn(&[]);
    many.workers =
        (0..7).map(|number| WorkerRun { version: format!("v{number}"), ..many.workers[0].clone() }).collect();
    let page = render(&many, "digest", None);
    assert!(page.contains("<i class=v5></i>calls of v5") && page.contains("<i class=v0></i>calls of v6"), "{page}");
    assert_eq!(moment(Instant::from_micros(u64::MAX)).to_string(), "9999-01-01 00:00:00");
}
