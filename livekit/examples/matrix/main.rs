//! The conformance matrix over sockets: 47 cases that agent workers meet in the field, each played to a worker program
//! by a server whose every word is scripted. The same cases run in virtual time on the protocol's machine:
//! `livekit/tests/machine`.
//!
//! ```sh
//! cargo run -p openrtc-livekit --example matrix                                    # ours
//! cargo run -p openrtc-livekit --example matrix -- python3 livekit/examples/matrix/worker.py
//! cargo run -p openrtc-livekit --example matrix -- --measure 5 -- PROGRAM ARGUMENTS    # ours beside it, in rounds
//! cargo run -p openrtc-livekit --example matrix -- --only 14,37 -- PROGRAM ARGUMENTS   # and show what it says
//! ```
//!
//! `subject` says what a program must do to take part. It ends with 0 if the worker is right in all cases that apply.

mod cases;
mod measure;
mod stage;
mod subject;
mod verdict;
mod worker;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use cases::Case;
use subject::Program;
use verdict::{Flaw, Verdict};

/// How many workers are tested at a time.
const AT_ONCE: usize = 3;
/// No case takes longer.
const PATIENCE: Duration = Duration::from_mins(4);
/// The argument that makes this program our worker.
const OURS: &str = "--be-the-worker";

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<_> = env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == OURS) {
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false).init();
        return worker::run().await.unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        });
    }
    let rounds: usize = option(&mut arguments, "--measure").map_or(0, |rounds| rounds.parse().unwrap_or(5));
    let only = option(&mut arguments, "--only");
    let only: Option<Vec<u32>> = only.map(|list| list.split(',').filter_map(|number| number.parse().ok()).collect());
    subject::SHOWS.store(only.is_some(), Ordering::Relaxed);
    if arguments.first().is_some_and(|first| first == "--") {
        arguments.remove(0);
    }
    let ours = || vec![env::current_exe().expect("the path of this program").into_os_string(), OsString::from(OURS)];
    if rounds > 0 {
        let named = [("ours", ours()), ("the other", arguments)];
        let programs = named.map(|(name, words)| (name, Program(Arc::from(words))));
        let there: Vec<_> = programs.into_iter().filter(|(_, program)| !program.0.is_empty()).collect();
        measure::run(&there, rounds).await;
        return ExitCode::SUCCESS;
    }
    let program = if arguments.is_empty() { ours() } else { arguments };
    let program = Program(Arc::from(program));
    let cases = cases::all().into_iter().filter(|case| only.as_ref().is_none_or(|only| only.contains(&case.number)));
    let verdicts = play(cases.collect(), &program).await;
    print(&verdicts)
}

/// Takes an option and its value from the front.
fn option(arguments: &mut Vec<OsString>, name: &str) -> Option<String> {
    arguments.first().filter(|first| *first == name)?;
    let value = arguments.get(1).and_then(|value| value.to_str()).unwrap_or_default().to_owned();
    arguments.drain(..2.min(arguments.len()));
    Some(value)
}

/// Plays the cases, a few at a time.
async fn play(cases: Vec<Case>, program: &Program) -> Vec<(Case, Verdict)> {
    let (room, mut playing) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let (begun, count) = (Instant::now(), cases.len());
    for case in cases {
        let (room, program) = (Arc::clone(&room), program.clone());
        playing.spawn(async move {
            let _place = room.acquire_owned().await;
            let late = Flaw::Wrong(format!("not over within {} s", PATIENCE.as_secs()));
            (case, timeout(PATIENCE, (case.run)(program)).await.unwrap_or(Err(late)))
        });
    }
    let mut verdicts = Vec::new();
    while let Some(played) = playing.join_next().await {
        verdicts.push(played.expect("a case does not panic"));
        eprint!("\r{} of {count} after {} s ", verdicts.len(), begun.elapsed().as_secs());
    }
    eprintln!();
    verdicts.sort_by_key(|(case, _)| case.number);
    verdicts
}

fn print(verdicts: &[(Case, Verdict)]) -> ExitCode {
    let (mut right, mut wrong) = (0, 0);
    for (case, verdict) in verdicts {
        let said = match verdict {
            Ok(()) => {
                right += 1;
                "right".to_owned()
            }
            Err(Flaw::Wrong(why)) => {
                wrong += 1;
                format!("WRONG: {why}")
            }
            Err(Flaw::Elsewhere(why)) => format!("does not apply: {why}"),
        };
        println!("{:>2}  {:<88} {said}", case.number, case.title);
    }
    println!("{right} right, {wrong} wrong, {} do not apply", verdicts.len() - right - wrong);
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
