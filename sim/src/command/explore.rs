//! `sim explore`: every order of events in a small world.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use openrtc_core::worker::OnDeadline;
use sim::bug::Bug;
use sim::explore::{Counterexample, Explored, Scope, explore as exploring};

#[derive(Args)]
pub(crate) struct ExploreArgs {
    /// Workers; the first is told to drain.
    #[arg(long, default_value_t = Scope::default().workers)]
    workers: u8,
    /// Calls. Four of them take minutes and 8 GB.
    #[arg(long, default_value_t = Scope::default().calls)]
    calls: u8,
    /// The most calls a worker holds.
    #[arg(long, default_value_t = Scope::default().capacity)]
    capacity: u8,
    /// How often the dispatcher offers one call.
    #[arg(long, default_value_t = Scope::default().offers)]
    offers: u8,
    /// SIGTERMs.
    #[arg(long, default_value_t = Scope::default().signals)]
    signals: u8,
    /// Drains by a person, each of which may be taken back.
    #[arg(long, default_value_t = Scope::default().drains)]
    drains: u8,
    /// Drains have a deadline, at which they force.
    #[arg(long)]
    force: bool,
    /// Workers that are killed, or die between journal and effect.
    #[arg(long, default_value_t = Scope::default().crashes)]
    crashes: u8,
    /// Messages that arrive twice.
    #[arg(long, default_value_t = Scope::default().duplicates)]
    duplicates: u8,
    /// Messages that overtake the one before.
    #[arg(long, default_value_t = Scope::default().reorders)]
    reorders: u8,
    /// Handlers that fail.
    #[arg(long, default_value_t = Scope::default().failures)]
    failures: u8,
    /// A planted bug, in the scope given.
    #[arg(long, value_parser = str::parse::<Bug>)]
    bug: Option<Bug>,
    /// Every planted bug of the worker, each in a scope that shows it, and the shortest way to see it.
    #[arg(long, conflicts_with = "bug")]
    bugs: bool,
}

impl From<&ExploreArgs> for Scope {
    fn from(args: &ExploreArgs) -> Self {
        Self {
            workers: args.workers,
            calls: args.calls,
            capacity: args.capacity,
            offers: args.offers,
            signals: args.signals,
            drains: args.drains,
            on_deadline: if args.force { OnDeadline::Force } else { OnDeadline::Wait },
            crashes: args.crashes,
            duplicates: args.duplicates,
            reorders: args.reorders,
            failures: args.failures,
        }
    }
}

pub(crate) fn explore(args: &ExploreArgs) -> anyhow::Result<ExitCode> {
    if args.bugs {
        return bugs();
    }
    let scope = Scope::from(args);
    let explored = watched(&scope, args.bug)?;
    println!("{scope}");
    println!("states       {:>12}", explored.states);
    println!("transitions  {:>12}", explored.transitions);
    println!("depth        {:>12}", explored.depth);
    let Some(broken) = &explored.broken else {
        println!("verdict      PROVEN in this scope: every order of events keeps every invariant");
        return Ok(ExitCode::SUCCESS);
    };
    print!("{}", told(broken));
    Ok(ExitCode::FAILURE)
}

fn watched(scope: &Scope, bug: Option<Bug>) -> anyhow::Result<Explored> {
    let style = ProgressStyle::with_template("{spinner} {human_pos} states, {msg} steps deep, {elapsed}");
    let bar = ProgressBar::new_spinner().with_style(style.expect("the template is well formed"));
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut deep = None;
    let explored = exploring(scope, bug, |so_far| {
        bar.set_position(so_far.states as u64);
        if deep.replace(so_far.depth) != Some(so_far.depth) {
            bar.set_message(so_far.depth.to_string());
        }
    });
    bar.finish_and_clear();
    Ok(explored?)
}

fn told(broken: &Counterexample) -> String {
    let meaning = broken.invariant.statement();
    let head = format!("verdict      VIOLATED {}: {}\n             {meaning}\n", broken.invariant, broken.what);
    let steps = broken.steps.len();
    let lines = broken.words.iter().enumerate().map(|(number, line)| format!("{:>4}  {line}\n", number + 1));
    format!("{head}\nA shortest way there, {steps} steps:\n{}", lines.collect::<String>())
}

fn bugs() -> anyhow::Result<ExitCode> {
    let mut missed = 0;
    println!("{:24} {:24} {:>5} {:>8}  what it does", "bug", "caught by", "steps", "states");
    for bug in Bug::ALL {
        let (by, steps, states) = match Scope::showing(*bug) {
            Err(why) => {
                println!("{bug:24} {:24} {:>5} {:>8}  {why}", "out of scope", "", "");
                continue;
            }
            Ok(scope) => {
                let explored = watched(&scope, Some(*bug))?;
                match explored.broken {
                    Some(broken) => (broken.invariant.as_str(), broken.steps.len(), explored.states),
                    None => ("NOT CAUGHT", 0, explored.states),
                }
            }
        };
        missed += u32::from(steps == 0);
        println!("{bug:24} {by:24} {steps:>5} {states:>8}  {}", bug.meaning().trim());
    }
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
