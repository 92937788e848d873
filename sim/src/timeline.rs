//! A run as a picture: a lane per worker, its calls as bars coloured by version, drains, faults. An SVG that needs
//! nothing else, or an HTML page of it with the verdict on top.

use core::fmt::Write as _;

use openrtc_core::time::{Instant, Span};

use crate::clock::second;
use crate::id::{CallIndex, Colour, WorkerIndex};
use crate::ledger::Fate;
use crate::oracle::Verdict;
use crate::plan::Plan;
use crate::run::outcome;
use crate::subject::Subject;
use crate::world::{Node, World};

/// More bars than this no screen can show.
const BARS_MAX: usize = 20_000;
const LEFT: u64 = 110;
const WIDTH: u64 = 1_080;
const ROW: u64 = 5;
const TOP: u64 = 34;

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
    let class = match outcome.verdict {
        Verdict::Proven => "proven",
        Verdict::Violated(_) => "violated",
        Verdict::Unknown(_) => "unknown",
    };
    let mut page = String::from(HEAD);
    let planted = subject.bug.map(|bug| format!(" Planted bug: {bug}.")).unwrap_or_default();
    let _ = writeln!(page, "<h1>{}</h1>", escape(&plan.title));
    let _ = writeln!(page, "<p class='verdict {class}'>{}</p>", escape(&outcome.verdict.to_string()));
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
    page.push_str(&picture(plan, &world));
    page.push_str("</html>\n");
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
    let mut tops = Vec::new();
    let mut y = TOP;
    for rows in &rows {
        tops.push(y);
        y += (*rows as u64).max(3) * ROW + 14;
    }
    let (wide, high) = (LEFT + WIDTH + 10, y + 46);
    let mut svg = format!("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {wide} {high}' width='{wide}'>\n");
    let _ = writeln!(svg, "<style>{STYLE}</style>\n<rect class='page' width='{wide}' height='{high}'/>");
    axis(&scale, y, &mut svg);
    for (worker, node) in plan.every_worker().zip(world.workers()) {
        let (top, high) = (tops[worker], (rows[worker] as u64).max(3) * ROW + 4);
        let name = plan.worker_name(worker);
        let _ = writeln!(svg, "<text x='{}' y='{}' text-anchor='end'>{name}</text>", LEFT - 8, top + high / 2 + 4);
        for (from, to) in node.runs() {
            let (from, to) = (scale.x(*from), scale.x(to.unwrap_or(scale.last)));
            let _ = writeln!(
                svg,
                "<rect class='run' x='{from}' y='{top}' width='{}' height='{high}'/>",
                (to - from).max(1)
            );
        }
        if let (Some(begun), Some((_, end))) = (node.drain_begun(), node.runs().last()) {
            let (from, to) = (scale.x(begun), scale.x(end.unwrap_or(scale.last)));
            let _ = writeln!(
                svg,
                "<rect class='drain' x='{from}' y='{top}' width='{}' height='{high}'/>",
                (to - from).max(1)
            );
        }
    }
    for bar in &bars {
        let (from, to) = (scale.x(bar.from), scale.x(bar.to));
        let class = match bar.fate {
            Fate::Forced | Fate::Killed | Fate::Lost => "dropped",
            _ if plan.colour(bar.worker) == Colour::Blue => "v1",
            _ => "v2",
        };
        let y = tops[bar.worker] + 2 + bar.row as u64 * ROW;
        let _ = writeln!(
            svg,
            "<rect class='{class}' x='{from}' y='{y}' width='{}' height='{}'><title>call {}: {}</title></rect>",
            (to - from).max(1),
            ROW - 1,
            bar.call,
            bar.fate.as_str()
        );
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
        .find(|step| second(scale.last) / step <= 20)
        .unwrap_or(86_400);
    for tick in (0..=second(scale.last)).step_by(usize::try_from(step).unwrap_or(1)) {
        let x = scale.x(Instant::EPOCH + Span::from_secs(tick));
        let _ = writeln!(svg, "<line class='grid' x1='{x}' y1='{TOP}' x2='{x}' y2='{bottom}'/>");
        let _ = writeln!(svg, "<text class='tick' x='{x}' y='{}' text-anchor='middle'>{tick} s</text>", bottom + 14);
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

const HEAD: &str = "<!doctype html><html lang='en'><meta charset='utf-8'><title>sim timeline</title><style>
body{font:14px/1.5 system-ui,sans-serif;margin:24px;color:#1c2430;background:#fff}
h1{font-size:19px;font-weight:600;margin:0 0 8px}
.verdict{font-weight:600;padding:6px 12px;border-radius:6px;display:inline-block;margin:0}
.proven{background:#dcf3e3;color:#11612f}.violated{background:#fbdfdc;color:#8d1a10}
.unknown{background:#fdf0cd;color:#6f5200}
</style>
";

const STYLE: &str = "
svg{max-width:100%;height:auto;font-family:system-ui,sans-serif}svg text{font-size:11px;fill:#1c2430}
svg text.tick{fill:#6b7585}.page{fill:#fff}
.run{fill:#f1f3f6;stroke:#dfe3e9}.drain{fill:#f6dfb0;opacity:.75}
.v1{fill:#2f6fb5}.v2{fill:#2e9d62}.dropped{fill:#cf2e20}
.grid{stroke:#dfe3e9}line.fault{stroke:#cf2e20;stroke-dasharray:3 3}line.step{stroke:#1c2430;stroke-dasharray:2 4}
svg text.fault{fill:#a3190d}svg text.step{font-weight:600}.broken{stroke:#8d1a10;stroke-width:2}
";
