//! A run as a picture: a lane per worker, its calls as bars coloured by version, drains, faults. An SVG that needs
//! nothing else, or an HTML page of it with the verdict on top.

use core::fmt::Write as _;

use openrtc_core::time::{Instant, Span};

use crate::clock::second;
use crate::id::{CallIndex, Colour, WorkerIndex};
use crate::ledger::Fate;
use crate::plan::Plan;
use crate::report::Badge;
use crate::run::outcome;
use crate::subject::Subject;
use crate::world::{Node, World};

/// More bars than this no screen can show.
const BARS_MAX: usize = 20_000;
/// Of more than this nobody hovers over a single one.
const TOLD_MAX: usize = 2_000;
const LEFT: u64 = 110;
const WIDTH: u64 = 1_080;
/// The highest that a row is, and how high all rows together are if they are many.
const ROW_MAX: u64 = 5;
const HEIGHT: u64 = 700;
/// Where the legend, the axis and the lanes begin.
const LEGEND: u64 = 14;
const AXIS: u64 = 34;
const TOP: u64 = 74;

/// Runs a plan and draws it.
#[must_use]
pub fn svg(plan: &Plan, subject: Subject) -> String {
    picture(plan, &finished(plan, subject))
}

/// Runs a plan and draws it, under its verdict.
#[must_use]
pub fn html(plan: &Plan, subject: Subject) -> String {
    let world = finished(plan, subject);
    let outcome = outcome(&world);
    let badge = Badge::of(&outcome);
    let mut page = String::from(HEAD);
    let planted = subject.bug.map(|bug| format!(" Planted bug: {bug}.")).unwrap_or_default();
    let _ = writeln!(page, "<h1>{}</h1>", escape(&plan.title));
    let _ = writeln!(page, "<p class='verdict {}'>{}</p>", badge.word(), escape(&badge.to_string()));
    let ledger = &outcome.ledger;
    let _ = writeln!(
        page,
        "<p>{} calls offered, {} completed, {} dropped.{planted} Seed {}, digest {:016x}, {} steps.</p>",
        ledger.lines().len(),
        ledger.count(Fate::Completed),
        ledger.dropped(),
        plan.seed,
        outcome.digest,
        outcome.steps
    );
    let _ = writeln!(page, "<div class='wide'>{}</div></html>", picture(plan, &world));
    page
}

fn finished(plan: &Plan, subject: Subject) -> World<'_> {
    let mut world = World::new(plan, subject).telling();
    world.finish_run();
    world
}

/// Time on the page.
struct Scale {
    last: Instant,
}

impl Scale {
    fn x(&self, at: Instant) -> u64 {
        LEFT + at.min(self.last).as_micros() * WIDTH / self.last.as_micros()
    }
}

/// A call on the page.
struct Bar {
    worker: WorkerIndex,
    call: CallIndex,
    row: usize,
    from: Instant,
    to: Instant,
    fate: Fate,
}

fn picture(plan: &Plan, world: &World<'_>) -> String {
    let scale = Scale { last: last_sight(plan, world) };
    let (bars, rows) = stack(world);
    let all: usize = rows.iter().map(|rows| (*rows).max(3)).sum();
    let row = (HEIGHT / (all as u64).max(1)).clamp(1, ROW_MAX);
    let mut tops = Vec::new();
    let mut y = TOP;
    for rows in &rows {
        tops.push(y);
        y += (*rows as u64).max(3) * row + 14;
    }
    let (wide, high) = (LEFT + WIDTH + 10, y + 46);
    let mut svg = format!("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {wide} {high}' width='{wide}'>\n");
    let _ = writeln!(svg, "<style>{STYLE}</style>\n<rect class='page' width='{wide}' height='{high}'/>");
    legend(LEGEND, &mut svg);
    axis(&scale, y, &mut svg);
    for (worker, node) in plan.every_worker().zip(world.workers()) {
        let (top, high) = (tops[worker], (rows[worker] as u64).max(3) * row + 4);
        lane(&plan.worker_name(worker), node, &scale, top, high, &mut svg);
    }
    let places: Vec<_> = bars.iter().map(|bar| tops[bar.worker] + 2 + bar.row as u64 * row).collect();
    let class = |bar: &Bar| match bar.fate {
        Fate::Forced | Fate::Killed | Fate::Lost => "dropped",
        _ if plan.colour(bar.worker) == Colour::Blue => "v1",
        _ => "v2",
    };
    let drawn = || bars.iter().zip(places.iter().copied()).map(|(bar, y)| (bar, class(bar), y));
    if bars.len() <= TOLD_MAX {
        for (bar, class, y) in drawn() {
            told(bar, class, &scale, y, row, &mut svg);
        }
    } else {
        for class in ["v1", "v2", "dropped"] {
            strokes(class, drawn().filter(|(_, is, _)| *is == class), &scale, row, &mut svg);
        }
    }
    marks(plan, &scale, y, &mut svg);
    if let Some(violation) = world.violation() {
        let x = scale.x(violation.at);
        let _ = writeln!(svg, "<line class='broken' x1='{x}' y1='{TOP}' x2='{x}' y2='{y}'/>");
    }
    legend(y + 38, &mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// A worker's name, when its processes ran, and its drain.
fn lane(name: &str, node: &Node, scale: &Scale, top: u64, high: u64, svg: &mut String) {
    let (x, y) = (LEFT - 8, top + high / 2 + 4);
    let _ = writeln!(svg, "<text x='{x}' y='{y}' text-anchor='end'>{}</text>", escape(name));
    let mut span = |class: &str, from: Instant, to: Option<Instant>| {
        let (from, to) = (scale.x(from), scale.x(to.unwrap_or(scale.last)));
        let wide = (to - from).max(1);
        let _ = writeln!(svg, "<rect class='{class}' x='{from}' y='{top}' width='{wide}' height='{high}'/>");
    };
    for (from, to) in node.runs() {
        span("run", *from, *to);
    }
    if let (Some(begun), Some((_, end))) = (node.drain_begun(), node.runs().last()) {
        span("drain", begun, *end);
    }
}

/// A call that says what it is when somebody hovers over it.
fn told(bar: &Bar, class: &str, scale: &Scale, y: u64, row: u64, svg: &mut String) {
    let (from, to) = (scale.x(bar.from), scale.x(bar.to));
    let _ = writeln!(
        svg,
        "<rect class='{class}' x='{from}' y='{y}' width='{}' height='{}'><title>call {}: {}</title></rect>",
        (to - from).max(1),
        (row - 1).max(1),
        bar.call,
        bar.fate.as_str()
    );
}

/// Calls of one class as one path: a tenth of the bytes.
fn strokes<'a>(
    class: &str,
    bars: impl Iterator<Item = (&'a Bar, &'static str, u64)>,
    scale: &Scale,
    row: u64,
    svg: &mut String,
) {
    let _ = write!(svg, "<path class='{class}' stroke-width='{}' d='", (row - 1).max(1));
    for (bar, _, y) in bars {
        let (from, to) = (scale.x(bar.from), scale.x(bar.to));
        let _ = write!(svg, "M{from} {y}h{}", (to - from).max(1));
    }
    svg.push_str("'/>\n");
}

fn legend(y: u64, svg: &mut String) {
    let classes = ["v1", "v2", "dropped", "drain", "run"];
    let meanings = ["call on v1", "call on v2", "call dropped", "worker drains", "process runs"];
    for ((class, meaning), x) in classes.into_iter().zip(meanings).zip((LEFT..).step_by(130)) {
        let _ = writeln!(svg, "<rect class='{class}' x='{x}' y='{}' width='14' height='10'/>", y - 9);
        let _ = writeln!(svg, "<text x='{}' y='{y}'>{meaning}</text>", x + 20);
    }
}

/// The run's end, but not long after the last thing there is to see.
fn last_sight(plan: &Plan, world: &World<'_>) -> Instant {
    let calls = world.ledger().lines().iter().filter_map(|line| line.ended);
    let runs = world.workers().iter().flat_map(Node::runs).filter_map(|(_, end)| *end);
    let happenings = plan.happenings.last().map(|happening| happening.at);
    let last = calls.chain(runs).chain(happenings).max().unwrap_or_default() + Span::from_secs(2);
    last.min(world.now()).max(Instant::EPOCH + Span::from_secs(1))
}

/// Every call that ran, on the first free row of its worker's lane; and how many rows each lane needs.
fn stack(world: &World<'_>) -> (Vec<Bar>, Vec<usize>) {
    let calls = world.ledger().lines().iter().enumerate();
    let began = calls.filter_map(|(call, line)| Some((line.began?, CallIndex::at(call), line)));
    let mut ran: Vec<_> = began.take(BARS_MAX).collect();
    ran.sort_by_key(|(began, ..)| *began);
    let mut lanes = vec![Vec::<Instant>::new(); world.workers().len()];
    let mut bars = Vec::new();
    for (from, call, line) in ran {
        let Some(worker) = line.worker else { continue };
        let to = line.ended.unwrap_or_else(|| world.now());
        let lane = &mut lanes[worker];
        let row = lane.iter().position(|busy| *busy <= from).unwrap_or(lane.len());
        if row == lane.len() {
            lane.push(Instant::EPOCH);
        }
        lane[row] = to;
        bars.push(Bar { worker, call, row, from, to, fate: line.fate });
    }
    (bars, lanes.iter().map(Vec::len).collect())
}

fn axis(scale: &Scale, bottom: u64, svg: &mut String) {
    let step = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400]
        .into_iter()
        .find(|step| second(scale.last) / step <= 16)
        .unwrap_or(86_400);
    for tick in (0..=second(scale.last)).step_by(usize::try_from(step).unwrap_or(1)) {
        let x = scale.x(Instant::EPOCH + Span::from_secs(tick));
        let _ = writeln!(svg, "<line class='grid' x1='{x}' y1='{TOP}' x2='{x}' y2='{bottom}'/>");
        let clock = format!("{}:{:02}:{:02}", tick / 3_600, tick / 60 % 60, tick % 60);
        for y in [AXIS, bottom + 14] {
            let _ = writeln!(svg, "<text class='tick' x='{x}' y='{y}' text-anchor='middle'>{clock}</text>");
        }
    }
}

/// What happened besides calls, numbered along the top; the numbers are explained on hovering.
fn marks(plan: &Plan, scale: &Scale, bottom: u64, svg: &mut String) {
    let mut free_from = 0;
    let mut low = false;
    for happening in plan.happenings.iter().take(200) {
        let x = scale.x(happening.at);
        let class = if happening.deed.is_fault() { "fault" } else { "step" };
        let told = plan.tell(happening);
        let what = escape(told.split_once(' ').and_then(|(_, rest)| rest.split_once(' ')).map_or("", |(_, what)| what));
        low = x < free_from && !low;
        free_from = x + what.len() as u64 * 6;
        let y = if low { TOP - 4 } else { TOP - 18 };
        let _ = writeln!(svg, "<line class='{class}' x1='{x}' y1='{y}' x2='{x}' y2='{bottom}'/>");
        let _ = writeln!(svg, "<text class='{class}' x='{}' y='{y}'>{what}</text>", x + 3);
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const HEAD: &str = "<!doctype html><html lang='en'><meta charset='utf-8'>
<meta name='viewport' content='width=device-width'><title>sim timeline</title><style>
:root{color-scheme:light dark}
body{font:14px/1.5 system-ui,sans-serif;margin:24px;color:#1c2430;background:#fff}
h1{font-size:19px;font-weight:600;margin:0 0 8px}
.verdict{font-weight:600;padding:6px 12px;border-radius:6px;display:inline-block;margin:0}
.proven{background:#e3f4e7;color:#14602a}.violated,.verdict.dropped{background:#fbe4e1;color:#8d1a10}
.unknown{background:#fdf1d3;color:#6f5200}.wide{overflow-x:auto}.wide svg{min-width:900px}
@media(max-width:600px){body{margin:12px}}
@media(prefers-color-scheme:dark){body{color:#e4e8ef;background:#12161d}
.proven{background:#12351f;color:#8fe0a8}.violated,.verdict.dropped{background:#451a17;color:#ffb4ab}
.unknown{background:#3d3009;color:#f1d68a}}
</style>
";

const STYLE: &str = "
svg{max-width:100%;height:auto;font-family:system-ui,sans-serif}svg text{font-size:11px;fill:#1c2430}
svg text.tick{fill:#6b7585}.page{fill:#fff}
.run{fill:#f1f3f6;stroke:#dfe3e9}.drain{fill:#f6dfb0;opacity:.75}
svg .v1{fill:#2f6fb5;stroke:#2f6fb5}svg .v2{fill:#2a9460;stroke:#2a9460}svg .dropped{fill:#c8372d;stroke:#c8372d}
svg rect.v1,svg rect.v2,svg rect.dropped{stroke:none}
.grid{stroke:#dfe3e9}line.fault{stroke:#c8372d;stroke-dasharray:3 3}line.step{stroke:#1c2430;stroke-dasharray:2 4}
svg text.fault{fill:#a3190d}svg text.step{font-weight:600}.broken{stroke:#8d1a10;stroke-width:2}
@media(prefers-color-scheme:dark){svg text{fill:#e4e8ef}svg text.tick{fill:#98a3b5}.page{fill:#12161d}
.run{fill:#1b212b;stroke:#303846}.drain{fill:#5a4719}
svg .v1{fill:#6aa9f0;stroke:#6aa9f0}svg .v2{fill:#4cc38a;stroke:#4cc38a}svg .dropped{fill:#ff6a5c;stroke:#ff6a5c}
.grid{stroke:#303846}line.fault{stroke:#ff6a5c}line.step{stroke:#98a3b5}svg text.fault{fill:#ff8f84}}
";
