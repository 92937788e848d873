//! `sim`: run, search, shrink and show whole rollouts.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use sim::plan::Plan;
use sim::run;

fn main() -> anyhow::Result<ExitCode> {
    let path = PathBuf::from(std::env::args().nth(1).context("give a plan")?);
    let bug = std::env::args().nth(2).map(|b| b.parse::<sim::bug::Bug>()).transpose().map_err(anyhow::Error::msg)?;
    let plan: Plan = match path.to_str().and_then(|s| s.parse::<u64>().ok()) {
        Some(seed) => sim::generate::seeded(seed),
        None => std::fs::read_to_string(&path)?.parse()?,
    };
    let outcome = run::tell(&plan, bug);
    print!("{plan}");
    for told in &outcome.story {
        println!("{:>10.3} {:>9} {}", told.at as f64 / 1e6, told.worker.map(|w| plan.worker_name(w)).unwrap_or_default(), told.what);
    }
    println!("{} digest {:016x} steps {}", outcome.verdict, outcome.digest, outcome.steps);
    Ok(ExitCode::SUCCESS)
}
