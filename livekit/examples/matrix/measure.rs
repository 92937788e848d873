//! Measures worker programs beside each other: in rounds, each program in turn, and the medians of the rounds.

use std::time::Duration;

use openrtc_livekit::proto::{JobStatus, ToServer, WorkerStatus};
use tokio::time::Instant;

use crate::stage::{Door, offer, termination};
use crate::subject::{Program, Scene};
use crate::verdict::{Flaw, Verdict, pass, until};

/// Offers in each round, one after another.
const OFFERS: usize = 200;
/// Jobs that are held to see what each costs.
const HELD: usize = 20;
/// How long a worker answers before it leaves, however soon its last job ends.
const LAME_DUCK: u64 = 1_500;
/// How long a worker without jobs is watched.
const IDLE: u64 = 5_000;

/// What one round has found. Times are in microseconds, memory is in KiB.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    answer_p50: u64,
    answer_p99: u64,
    full: u64,
    exit: u64,
    idle_memory: u64,
    job_memory: u64,
    /// Processor time in five idle seconds, in milliseconds.
    idle_cpu: u64,
}

type Column = (&'static str, &'static str, fn(&Round) -> u64);

const COLUMNS: [Column; 7] = [
    ("offer to answer, p50", "µs", |round| round.answer_p50),
    ("offer to answer, p99", "µs", |round| round.answer_p99),
    ("SIGTERM to FULL", "µs", |round| round.full),
    ("last status acknowledged to exit", "µs", |round| round.exit),
    ("memory, idle", "KiB", |round| round.idle_memory),
    ("memory for each held job", "KiB", |round| round.job_memory),
    ("processor time in 5 idle seconds", "ms", |round| round.idle_cpu),
];

/// Measures the programs in interleaved rounds, and prints the medians.
pub(crate) async fn run(programs: &[(&str, Program)], rounds: usize) {
    let mut found = vec![Vec::new(); programs.len()];
    for number in 1..=rounds {
        for ((name, program), found) in programs.iter().zip(&mut found) {
            match round(program).await {
                Ok(round) => found.push(round),
                Err(flaw) => eprintln!("round {number}, {name}: left out: {flaw:?}"),
            }
        }
        eprint!("\r{number} of {rounds} rounds ");
    }
    eprintln!();
    print!("{:<38}", "medians of the rounds");
    for (name, _) in programs {
        print!("{name:>14}");
    }
    println!();
    for (name, unit, of) in COLUMNS {
        print!("{:<38}", format!("{name} ({unit})"));
        for rounds in &found {
            let median = rank(rounds.iter().map(of).collect(), 50);
            print!("{:>14}", median.map_or_else(|| "–".to_owned(), |median| median.to_string()));
        }
        println!();
    }
}

/// The number at `percent` of the way through all of them, in order.
fn rank(mut numbers: Vec<u64>, percent: usize) -> Option<u64> {
    numbers.sort_unstable();
    numbers.get(numbers.len() * percent / 100).copied()
}

fn known(moment: Option<&Instant>) -> Verdict<Instant> {
    moment.copied().ok_or_else(|| Flaw::Wrong("it was not said".to_owned()))
}

async fn round(program: &Program) -> Verdict<Round> {
    let (mut scene, wire) = program.start().await?;
    let mut round = Round::default();
    pass(1_000).await;
    let before = scene.processor_time();
    pass(IDLE).await;
    round.idle_cpu = scene.processor_time().saturating_sub(before);
    round.idle_memory = scene.memory();

    let mut answers = Vec::new();
    for number in 0..OFFERS {
        let job = format!("o{number}");
        let sent = Instant::now();
        wire.say(offer(&job, ""));
        until(5, "an offer has no answer", || !wire.answers(&job).is_empty()).await?;
        let is_it = |said: &ToServer| matches!(said, ToServer::Availability(answer) if answer.job_id == job);
        answers.push(micros(known(wire.moments(is_it).first())? - sent));
        // The place is free again before the next one.
        wire.say(termination(&job));
    }
    round.answer_p50 = rank(answers.clone(), 50).unwrap_or_default();
    round.answer_p99 = rank(answers, 99).unwrap_or_default();
    drop(wire);
    drop(scene);

    (scene, round.job_memory) = held(program).await?;
    let wire = scene.stage.wire(0, 1).await?;
    let signalled = Instant::now();
    scene.drains(&wire).await?;
    let is_full = |said: &ToServer| matches!(said, ToServer::UpdateWorker(told) if told.status() == WorkerStatus::Full);
    round.full = micros(known(wire.moments(is_full).first())? - signalled);
    // Who leaves at once still declines for a while: that is not what is measured.
    pass(LAME_DUCK).await;
    for number in 0..HELD {
        scene.end(&format!("h{number}"));
    }
    scene.exit(60).await?;
    let left = Instant::now();
    let is_end = |said: &ToServer| matches!(said, ToServer::UpdateJob(status) if status.status() != JobStatus::Running);
    round.exit = micros(left - known(wire.moments(is_end).last())?);
    Ok(round)
}

/// A worker that holds jobs, and what each of them costs.
async fn held(program: &Program) -> Verdict<(Scene, u64)> {
    let scene = program.launch(&[], Door::Open).await;
    let wire = scene.stage.wire(0, 60).await?;
    pass(1_000).await;
    let before = scene.memory();
    for number in 0..HELD {
        scene.call(&wire, &format!("h{number}")).await?;
    }
    pass(1_000).await;
    let each = scene.memory().saturating_sub(before) / u64::try_from(HELD).unwrap_or(u64::MAX);
    Ok((scene, each))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
