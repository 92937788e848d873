//! Calls over time: a lane for each run, its calls packed onto as few rows as there were calls at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

use openrtc_core::time::{Instant, Span};

use super::{escape, moment};
use crate::certificate::{Call, Certificate, WorkerRun};
use crate::end::Meaning;

/// Lanes are so many units wide.
const WIDTH: u64 = 1_000;
/// All lanes together are about so high, in pixels; a row is never higher than the second.
const HEIGHT: u64 = 520;
const ROW_MAX: f64 = 7.0;
/// The lowest lane, in pixels.
const LANE_MIN: f64 = 12.0;
/// More calls than these are drawn as how many there were at a time, not one by one.
const BARS_MAX: usize = 2_000;
/// Over so many steps of time.
const STEPS: u64 = 500;
/// The shortest time that a page shows: a lane has a width.
const SHORTEST: Span = Span::from_micros(1);
/// Where the axis may have its marks, in seconds, and how many there are at most.
const TICKS: [u64; 19] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 604_800];
const TICKS_MAX: u64 = 9;

pub(super) struct Chart<'a> {
    pub(super) from: Instant,
    pub(super) to: Instant,
    lanes: Vec<Lane<'a>>,
    /// How high a row is, in pixels.
    row: f64,
    draws_bars: bool,
}

/// The calls of a run, each with its row.
#[derive(Default)]
struct Lane<'a> {
    calls: Vec<(&'a Call, usize)>,
    rows: usize,
}

impl<'a> Chart<'a> {
    pub(super) fn over(certificate: &'a Certificate) -> Self {
        let workers = &certificate.workers;
        let from = workers.iter().map(|run| run.began).min().unwrap_or_default();
        let ends = certificate.calls.iter().filter_map(|call| call.ended);
        let to = workers.iter().map(|run| run.ended).chain(ends).max().unwrap_or(from).max(from + SHORTEST);
        let mut calls = vec![Vec::new(); workers.len()];
        for call in &certificate.calls {
            if let Some(lane) = calls.get_mut(call.run) {
                lane.push(call);
            }
        }
        let lanes: Vec<_> = calls.into_iter().map(|calls| Lane::pack(calls, to)).collect();
        let rows: usize = lanes.iter().map(|lane| lane.rows).sum();
        #[expect(clippy::cast_precision_loss, reason = "a height in pixels")]
        let row = (HEIGHT as f64 / rows.max(1) as f64).min(ROW_MAX);
        Self { from, to, lanes, row, draws_bars: certificate.calls.len() <= BARS_MAX }
    }

    /// Marks at round times of day, along the whole width.
    pub(super) fn axis(&self, page: &mut String, class: &str) {
        let _ = write!(page, "<div class='axis {class}'>");
        for (at, x) in self.ticks() {
            let (tenths, text) = (x % 10, moment(at).to_string());
            let clock = text.split_once(' ').map_or("", |(_, clock)| clock);
            // The first begins at the left edge, the last ends at the right one.
            let percent = format!("{}.{tenths}%", x / 10);
            let _ = write!(page, "<span style='left:{percent};transform:translateX(-{percent})'>{clock}</span>");
        }
        page.push_str("</div>\n");
    }

    /// The lane of the run in this place.
    pub(super) fn lane(&self, page: &mut String, place: usize, run: &WorkerRun, colour: usize) {
        let lane = &self.lanes[place];
        #[expect(clippy::cast_precision_loss, reason = "a height in pixels")]
        let height = if self.draws_bars { lane.rows as f64 * self.row } else { self.share(lane) }.max(LANE_MIN);
        let _ = write!(
            page,
            "<svg viewBox='0 0 {WIDTH} {height:.1}' preserveAspectRatio=none style='height:{height:.1}px'>"
        );
        if let Some(drain) = &run.drain {
            let (began, ended) = (self.x(drain.began), self.x(run.drained.unwrap_or(run.ended)));
            let width = (ended - began).max(1);
            let _ = write!(page, "<rect class=drain x={began} width={width} height={height:.1} />");
        }
        for (_, x) in self.ticks() {
            let _ = write!(page, "<line class=grid x1={x} x2={x} y2={height:.1} />");
        }
        if self.draws_bars {
            lane.calls.iter().for_each(|(call, row)| self.bar(page, call, *row, colour));
        } else {
            self.area(page, lane, height, colour);
        }
        page.push_str("</svg>\n");
    }

    fn bar(&self, page: &mut String, call: &Call, row: usize, colour: usize) {
        let (from, to) = (self.x(call.began), self.x(call.ended.unwrap_or(self.to)));
        let class = match call.end.meaning() {
            Meaning::Dropped => "cut".into(),
            Meaning::Ended => format!("v{colour}"),
            Meaning::Open | Meaning::InProgress | Meaning::Unknown => format!("'v{colour} up'"),
        };
        #[expect(clippy::cast_precision_loss, reason = "a place in pixels")]
        let y = row as f64 * self.row;
        let _ = write!(
            page,
            "<rect class={class} x={from} y={y:.1} width={} height={:.1}><title>{}: {}</title></rect>",
            (to - from).max(1),
            self.row * 0.8,
            escape(&call.id),
            call.end
        );
    }

    /// How many calls there were at a time, and where some were dropped.
    fn area(&self, page: &mut String, lane: &Lane<'_>, height: f64, colour: usize) {
        let step = |at: Instant| usize::try_from(self.x(at) * STEPS / WIDTH).unwrap_or(0);
        let mut change = vec![0_i64; usize::try_from(STEPS).unwrap_or(0) + 2];
        let end = change.len() - 1;
        for (call, _) in &lane.calls {
            change[step(call.began)] += 1;
            change[call.ended.map_or(end, |at| step(at) + 1)] -= 1;
        }
        let _ = write!(page, "<path class=v{colour} d='M0 {height:.1}");
        let mut up = 0;
        for (at, change) in (0..).zip(change).take(usize::try_from(STEPS).unwrap_or(0) + 1) {
            up += change;
            if change != 0 || at == STEPS {
                #[expect(clippy::cast_precision_loss, reason = "a place in pixels")]
                let y = height - height * up as f64 / lane.rows.max(1) as f64;
                let _ = write!(page, "H{}V{y:.1}", at * WIDTH / STEPS);
            }
        }
        let _ = write!(page, "H{WIDTH}V{height:.1}Z'/>");
        let mut marked = None;
        for (call, _) in lane.calls.iter().filter(|(call, _)| call.end.is_drop()) {
            let x = self.x(call.ended.unwrap_or(self.to)).min(WIDTH - 2);
            if marked.replace(x) != Some(x) {
                let _ = write!(page, "<rect class=cut x={x} width=2 height={height:.1} />");
            }
        }
    }

    /// A lane's share of the height.
    #[expect(clippy::cast_precision_loss, reason = "a height in pixels")]
    fn share(&self, lane: &Lane<'_>) -> f64 {
        let rows: usize = self.lanes.iter().map(|lane| lane.rows).sum();
        HEIGHT as f64 * lane.rows as f64 / rows.max(1) as f64
    }

    fn x(&self, at: Instant) -> u64 {
        let (at, all) = (at.clamp(self.from, self.to).since(self.from), self.to.since(self.from));
        u64::try_from(u128::from(at.as_micros()) * u128::from(WIDTH) / u128::from(all.as_micros())).unwrap_or(WIDTH)
    }

    fn ticks(&self) -> impl Iterator<Item = (Instant, u64)> {
        let seconds = self.to.since(self.from).as_micros() / 1_000_000;
        let step = TICKS.into_iter().find(|step| seconds / step < TICKS_MAX).unwrap_or(seconds / TICKS_MAX + 1);
        let first = (self.from.as_micros() / 1_000_000).next_multiple_of(step);
        let at = (0..TICKS_MAX).map(move |tick| Instant::EPOCH + Span::from_secs(first + tick * step));
        at.take_while(|at| *at <= self.to).map(|at| (at, self.x(at)))
    }
}

impl<'a> Lane<'a> {
    /// Puts each call on the first row that is free when it begins.
    fn pack(mut calls: Vec<&'a Call>, to: Instant) -> Self {
        calls.sort_by_key(|call| call.began);
        // Rows that are taken, by when they are free again; and those that are free.
        let (mut taken, mut free) = (BinaryHeap::new(), BinaryHeap::new());
        let mut lane = Self::default();
        for call in calls {
            while let Some(Reverse((until, row))) = taken.peek().copied()
                && until <= call.began
            {
                taken.pop();
                free.push(Reverse(row));
            }
            let row = free.pop().map_or(lane.rows, |Reverse(row)| row);
            lane.rows = lane.rows.max(row + 1);
            taken.push(Reverse((call.ended.unwrap_or(to), row)));
            lane.calls.push((call, row));
        }
        lane
    }
}
