//! `sim`: run, search, shrink and show whole rollouts.
#![forbid(unsafe_code)]

mod command;

use std::process::ExitCode;

use clap::Parser;

/// Whole blue-green rollouts in virtual time, over the machines that run in production.
#[derive(Parser)]
#[command(name = "sim", version)]
enum Sim {
    /// Run one plan, scenario or seed; print the switchover second by second.
    Run(command::RunArgs),
    /// Run many seeds, each with its own load and faults.
    Swarm(command::SwarmArgs),
    /// Take every order of events in a small world; print a shortest way to whatever breaks.
    Explore(command::ExploreArgs),
    /// Run a plan file as `run` does, and compare its verdict with the one it expects.
    Replay(command::ReplayArgs),
    /// Shrink a failing seed or plan to the shortest one that fails the same way.
    Shrink(command::ShrinkArgs),
    /// List the scenario library.
    Scenarios,
    /// Plant every bug in turn and show what catches it.
    Bugs(command::BugsArgs),
}

/// It asks for large pages: a rollout of a million calls spends its time finding them all over the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Sim::parse() {
        Sim::Run(args) => command::run(&args),
        Sim::Swarm(args) => command::swarm(&args),
        Sim::Explore(args) => command::explore(&args),
        Sim::Replay(args) => command::replay(&args),
        Sim::Shrink(args) => command::shrink(&args),
        Sim::Scenarios => command::scenarios(),
        Sim::Bugs(args) => Ok(command::bugs(&args)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::from(2)
        }
    }
}
