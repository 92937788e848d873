//! What each subcommand does. Exit codes: 0 all held, 1 an invariant is broken, 2 what was asked makes no sense.

mod explore;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) use self::explore::{ExploreArgs, explore};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sim::bug::Bug;
use sim::oracle::Verdict;
use sim::plan::Plan;
use sim::run::tell;
use sim::subject::{Level, Subject};
use sim::{generate, records, report, scenario, shrink as shrinking, swarm as swarming, timeline};

/// Where a run's plan comes from.
#[derive(Args)]
pub(crate) struct Source {
    /// A scenario by name, or a plan file.
    plan: Option<String>,
    /// The rollout of a seed.
    #[arg(long, conflicts_with = "plan")]
    seed: Option<u64>,
    #[command(flatten)]
    subject: SubjectArgs,
}

/// What is run.
#[derive(Args, Clone, Copy)]
struct SubjectArgs {
    /// A planted bug, see `sim bugs`.
    #[arg(long, value_parser = str::parse::<Bug>)]
    bug: Option<Bug>,
    /// 0: the machines alone; 1: the runtime's own gate and shell around them.
    #[arg(long, default_value_t, value_parser = str::parse::<Level>)]
    level: Level,
}

impl From<SubjectArgs> for Subject {
    fn from(args: SubjectArgs) -> Self {
        Self { level: args.level, bug: args.bug }
    }
}

impl Source {
    fn load(&self) -> anyhow::Result<Plan> {
        match (&self.plan, self.seed) {
            (_, Some(seed)) => Ok(generate::seeded(seed)),
            (Some(name), None) => load(name),
            (None, None) => load("walkthrough"),
        }
    }
}

fn load(name: &str) -> anyhow::Result<Plan> {
    if let Some(text) = scenario::find(name) {
        return text.parse().with_context(|| format!("scenario {name}"));
    }
    if !Path::new(name).exists() {
        bail!("there is neither a scenario nor a file `{name}`: `sim scenarios` lists the scenarios");
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
    text.parse().with_context(|| name.to_owned())
}

#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    source: Source,
    /// Call records instead of the plan's calls: CSV with the columns `start_s` and `duration_s`.
    #[arg(long, value_name = "FILE.csv")]
    calls: Option<PathBuf>,
    /// Where to write the timeline, as one HTML file.
    #[arg(long, value_name = "FILE.html")]
    html: Option<PathBuf>,
    /// Where to write the timeline's picture alone.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Print every event, not only seconds.
    #[arg(long)]
    story: bool,
}

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut plan = args.source.load()?;
    if let Some(path) = &args.calls {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        plan.calls = records::read(&text).with_context(|| path.display().to_string())?;
        plan.tampers.clear();
    }
    let (outcome, seconds) = report::watch(&plan, args.source.subject.into(), args.story);
    print!("{}", report::seconds(&seconds));
    if args.story {
        print!("{}", report::story(&plan, &outcome.story));
    }
    print!("{}", report::summary(&plan, &outcome));
    if let Some(path) = &args.html {
        save(path, &timeline::html(&plan, args.source.subject.into()))?;
    }
    if let Some(path) = &args.svg {
        save(path, &timeline::svg(&plan, args.source.subject.into()))?;
    }
    Ok(code(&outcome.verdict))
}

fn save(path: &Path, timeline: &str) -> anyhow::Result<()> {
    std::fs::write(path, timeline).with_context(|| format!("cannot write {}", path.display()))?;
    println!("timeline  {}", path.display());
    Ok(())
}

#[derive(Args)]
pub(crate) struct SwarmArgs {
    /// How many rollouts.
    #[arg(long, default_value_t = 50_000)]
    runs: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// On how many threads; by default on every core. The result is the same.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    #[command(flatten)]
    subject: SubjectArgs,
}

pub(crate) fn swarm(args: &SwarmArgs) -> anyhow::Result<ExitCode> {
    if args.seed.checked_add(args.runs).is_none() {
        bail!("--seed {} and --runs {} lead past the last seed there is", args.seed, args.runs);
    }
    let (bar, threads) = (progress(args.runs), args.threads.unwrap_or_else(swarming::every_core));
    let done = swarming::swarm(args.seed, args.runs, args.subject.into(), threads, |_| bar.inc(1));
    let (runs, took) = (bar.position(), bar.elapsed());
    bar.finish_and_clear();
    // Apart from the result, which is the same every time.
    let rate = u128::from(runs) * 1_000 / took.as_millis().max(1);
    eprintln!("{runs} rollouts in {:.1} s, {rate} a second; threads: {threads}", took.as_secs_f64());
    match done {
        Ok(tally) => {
            println!("rollouts  {:>10}", tally.runs);
            println!("proven    {:>10}", tally.proven);
            println!(
                "dropped   {:>10}   (every invariant held, and what dropped a call is recorded)",
                tally.with_drops
            );
            println!("unknown   {:>10}   (something waits for a person, or evidence was lost)", tally.unknown);
            println!(
                "calls     {:>10}   {} dropped, every one by a recorded force or the platform",
                tally.calls, tally.dropped
            );
            println!("steps     {:>10}", tally.steps);
            println!("digest    {:016x}", tally.digest);
            Ok(ExitCode::SUCCESS)
        }
        Err(found) => {
            let subject = Subject::from(args.subject);
            let (seed, options) = (found.seed, subject.options());
            println!("seed {seed} broke {} after {} rollouts", found.violation.invariant, found.tried);
            println!("as it was: `sim run --seed {seed}{options} --story`; the shortest like it:");
            explain(&generate::seeded(seed), subject)
        }
    }
}

fn progress(runs: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} rollouts  {per_sec}  {eta} left");
    ProgressBar::new(runs).with_style(style.expect("the template is well formed"))
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// The plan file, or a scenario's name.
    plan: String,
    #[command(flatten)]
    subject: SubjectArgs,
}

pub(crate) fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let plan = load(&args.plan)?;
    let outcome = tell(&plan, args.subject.into());
    print!("{}", report::story(&plan, &outcome.story));
    print!("{}", report::summary(&plan, &outcome));
    Ok(code(&outcome.verdict))
}

#[derive(Args)]
pub(crate) struct ShrinkArgs {
    #[command(flatten)]
    source: Source,
    /// Where to write the shortest plan.
    #[arg(long, value_name = "FILE.plan")]
    out: Option<PathBuf>,
}

pub(crate) fn shrink(args: &ShrinkArgs) -> anyhow::Result<ExitCode> {
    let plan = args.source.load()?;
    let Some(invariant) = sim::run::run(&plan, args.source.subject.into()).verdict.broken() else {
        bail!("this plan breaks nothing: there is nothing to shrink");
    };
    let short = shrinking::shrink(&plan, args.source.subject.into(), invariant);
    if let Some(path) = &args.out {
        std::fs::write(path, short.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
        println!("plan      {}", path.display());
    }
    explain(&plan, args.source.subject.into())
}

/// One page on why a plan fails, for somebody who has not read the code.
fn explain(plan: &Plan, subject: Subject) -> anyhow::Result<ExitCode> {
    print!("{}", report::failure(plan, subject).context("the plan breaks nothing when it is run again")?);
    Ok(ExitCode::FAILURE)
}

pub(crate) fn scenarios() -> anyhow::Result<ExitCode> {
    for (name, text) in scenario::ALL {
        let plan: Plan = text.parse().with_context(|| format!("scenario {name}"))?;
        println!("{name:32} {}", plan.title);
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Args)]
pub(crate) struct BugsArgs {
    /// At most so many seeds for each.
    #[arg(long, default_value_t = 5_000)]
    seeds: u64,
}

pub(crate) fn bugs(args: &BugsArgs) -> ExitCode {
    let mut missed = 0;
    println!("{:24} {:24} {:>6}  what it does", "bug", "caught by", "seeds");
    for bug in Bug::ALL {
        let (by, seeds) = match swarming::swarm(0, args.seeds, Subject::with(*bug), swarming::every_core(), |_| {}) {
            Err(found) => (found.violation.invariant.as_str(), found.tried),
            Ok(tally) => ("NOT CAUGHT", tally.runs),
        };
        missed += u32::from(by == "NOT CAUGHT");
        println!("{bug:24} {by:24} {seeds:>6}  {}", bug.meaning().trim());
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn code(verdict: &Verdict) -> ExitCode {
    match verdict {
        Verdict::Proven | Verdict::Unknown(_) => ExitCode::SUCCESS,
        Verdict::Violated(_) => ExitCode::FAILURE,
    }
}
