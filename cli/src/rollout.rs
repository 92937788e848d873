//! `openrtc deploy`, `openrtc rollout` and `openrtc workers`: a rollout by a coordinator.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use openrtc_core::id::Version;
use openrtc_core::prose::count;
use openrtc_core::worker::OnDeadline;
use openrtc_runtime::{Exit, parse_duration};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::at::{At, Told, text, words};
use crate::drain::{policy, seconds};
use crate::order::Asker;
use crate::screen;

/// Roll out a version: its workers take the new calls, and the old version's workers drain and leave.
///
/// Whoever starts workers starts those of the new version once this was said: until then a coordinator does not know
/// the version, and keeps its workers out.
///
/// Exit codes: 0 the order was taken, and with --watch the rollout is done; 1 it was refused, failed, was taken back or
/// overtaken, or was not done in time; 3 with --watch, it is done and calls were dropped meanwhile; 2 bad usage.
#[derive(Args, Clone, Debug)]
#[command(disable_version_flag = true)]
pub(crate) struct DeployArgs {
    /// The version to go to.
    #[arg(value_name = "VERSION")]
    version: Version,
    /// How many workers of it there must be; default: as many as of the version before.
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// How many workers of the old version drain at a time; default: 10.
    #[arg(long, value_name = "N")]
    wave: Option<u32>,
    /// Spare capacity that must be there above the calls in flight; default: 20.
    #[arg(long, value_name = "PERCENT")]
    headroom: Option<u16>,
    /// How long the new workers may take to be there, and again to be ready; default: 5m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ready_within: Option<Duration>,
    /// When the drain of an old worker is overdue; default: never.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    drain_timeout: Option<Duration>,
    /// What happens then; default: wait.
    #[arg(long, value_name = "POLICY", value_parser = policy(), requires = "drain_timeout")]
    on_deadline: Option<OnDeadline>,
    /// Wait for `openrtc rollout promote` before the old version drains.
    #[arg(long)]
    manual: bool,
    /// Give up a rollout that is under way.
    #[arg(long)]
    supersede: bool,
    #[command(flatten)]
    follow: Follow,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    at: At,
}

/// Watch and steer the rollout.
#[derive(Args, Clone, Debug)]
pub(crate) struct RolloutArgs {
    #[command(subcommand)]
    order: Order,
}

#[derive(Clone, Debug, Subcommand)]
enum Order {
    Status(StatusArgs),
    /// Pause the rollout: no further step is taken. Calls, and drains that were begun, go on.
    ///
    /// Exit codes: 0 the order was taken, or it is paused already; 1 it was refused; 2 bad usage.
    Pause(SteerArgs),
    /// Go on with a paused rollout. Drains that were withdrawn are tried again, gates that failed are judged again.
    ///
    /// Exit codes: 0 the order was taken, or it goes on already; 1 it was refused; 2 bad usage.
    Resume(SteerArgs),
    /// Say yes to the step that waits for a person: after `openrtc deploy --manual`, the drain of the old version.
    ///
    /// Exit codes: 0 the order was taken, or nothing waits for it; 1 it was refused; 2 bad usage.
    Promote(SteerArgs),
    Undo(UndoArgs),
}

/// Show the rollout, what it waits for, and what would end the wait.
///
/// Exit codes: 0 the coordinator answered, and with --watch the rollout is done or taken back; 1 it did not answer, and
/// with --watch the rollout failed, was overtaken, or was not over in time; 3 with --watch, it is over and calls were
/// dropped meanwhile; 2 bad usage.
#[derive(Args, Clone, Debug)]
struct StatusArgs {
    #[command(flatten)]
    follow: Follow,
    #[command(flatten)]
    at: At,
}

#[derive(Args, Clone, Debug)]
struct SteerArgs {
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    at: At,
    /// Print the coordinator's answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Go back: the old version takes the new calls again, and the new one's calls run to their end.
///
/// Exit codes: 0 the order was taken, and with --watch the new version has drained; 1 it was refused, or was not done
/// in time; 3 with --watch, it is done and calls were dropped meanwhile; 2 bad usage.
#[derive(Args, Clone, Debug)]
struct UndoArgs {
    #[command(flatten)]
    follow: Follow,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    at: At,
}

/// Whether a command waits for the rollout's end.
#[derive(Args, Clone, Debug)]
struct Follow {
    /// Show every change until the rollout is over.
    #[arg(long)]
    watch: bool,
    /// Watch no longer than this.
    #[arg(long, requires = "watch", value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Print JSON: the coordinator's last answer.
    #[arg(long)]
    json: bool,
}

/// Show the workers of a coordinator.
///
/// Exits 1 if the coordinator did not answer.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkersArgs {
    #[command(flatten)]
    at: At,
    /// Print JSON: one object per worker.
    #[arg(long)]
    json: bool,
}

/// Begins a rollout.
pub(crate) async fn deploy(args: DeployArgs) -> anyhow::Result<ExitCode> {
    let mut body = Map::new();
    body.insert("version".into(), args.version.as_str().into());
    let given = [
        ("workers", args.workers.map(Value::from)),
        ("wave", args.wave.map(Value::from)),
        ("headroom", args.headroom.map(Value::from)),
        ("ready_within_s", args.ready_within.map(|time| seconds(time).into())),
        ("drain_timeout_s", args.drain_timeout.map(|time| seconds(time).into())),
        ("on_deadline", args.on_deadline.map(|policy| policy.as_str().into())),
        ("manual", args.manual.then_some(true.into())),
        ("supersede", args.supersede.then_some(true.into())),
    ];
    body.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let told = args.at.order("/v1/deploy", &args.asker, body).await?;
    finish(&args.at, &args.follow, told, &Goal { version: args.version.to_string(), stage: "completed" }).await
}

/// Watches or steers the rollout.
pub(crate) async fn run(args: RolloutArgs) -> anyhow::Result<ExitCode> {
    match args.order {
        Order::Status(StatusArgs { follow, at }) => status(&follow, &at).await,
        Order::Pause(args) => steer("pause", args).await,
        Order::Resume(args) => steer("resume", args).await,
        Order::Promote(args) => steer("promote", args).await,
        Order::Undo(UndoArgs { follow, asker, at }) => {
            let told = at.order("/v1/rollout/undo", &asker, Map::new()).await?;
            let goal = Goal { version: text(&told.state["rollout"]["version"]), stage: "rolled_back" };
            finish(&at, &follow, told, &goal).await
        }
    }
}

async fn steer(order: &str, args: SteerArgs) -> anyhow::Result<ExitCode> {
    let told = args.at.order(&format!("/v1/rollout/{order}"), &args.asker, Map::new()).await?;
    print(&told, args.json)?;
    Ok(if told.ok { ExitCode::SUCCESS } else { Exit::FAILURE.into() })
}

async fn status(follow: &Follow, at: &At) -> anyhow::Result<ExitCode> {
    let fleet = at.state().await?;
    if follow.watch {
        let rollout = &fleet["rollout"];
        // A rollout that goes back is wanted to.
        let back = rollout["stage"].as_str().is_some_and(|stage| stage.starts_with("roll"));
        let stage = if back { "rolled_back" } else { "completed" };
        let goal = Goal { version: text(&rollout["version"]), stage };
        return wait(at, follow, &fleet, &goal).await;
    }
    if follow.json {
        println!("{}", serde_json::to_string_pretty(&fleet)?);
    } else {
        print!("{}", words(&fleet));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what came of an order, and waits for the rollout's end if that is wanted.
async fn finish(at: &At, follow: &Follow, told: Told, goal: &Goal) -> anyhow::Result<ExitCode> {
    if !told.ok {
        print(&told, follow.json)?;
        return Ok(Exit::FAILURE.into());
    }
    if !follow.watch {
        print(&told, follow.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    wait(at, follow, &told.state, goal).await
}

async fn wait(at: &At, follow: &Follow, before: &Value, goal: &Goal) -> anyhow::Result<ExitCode> {
    let until = follow.timeout.map(|timeout| Instant::now() + timeout);
    let dropped = |fleet: &Value| fleet["tally"]["dropped"].as_u64().unwrap_or_default();
    let (before, given_up) = (dropped(before), before["given_up"].clone());
    let end = |fleet: &Value| goal.end(fleet, dropped(fleet).saturating_sub(before), &given_up);
    Ok(at.watch(follow.json, until, end).await?.into())
}

/// What a rollout is to come to.
struct Goal {
    version: String,
    stage: &'static str,
}

impl Goal {
    /// How it went, once that is known; `given_up` are the workers that were given up before.
    fn end(&self, fleet: &Value, dropped: u64, given_up: &Value) -> Option<(u8, String)> {
        let rollout = &fleet["rollout"];
        let (version, stage) = (text(&rollout["version"]), text(&rollout["stage"]));
        let doing = text(&rollout["doing"]);
        if rollout.is_null() {
            return Some((Exit::CLEAN, "there is no rollout".into()));
        }
        if version != self.version {
            return Some((Exit::FAILURE, format!("overtaken by the rollout to {version}")));
        }
        if rollout["over"] != true {
            return None;
        }
        let wanted = stage == self.stage;
        let words = match &*stage {
            "completed" => match rollout["from"].as_str() {
                Some(from) => format!("{version} takes all calls, and {} has drained", screen::plain(from)),
                None => format!("{version} takes all calls"),
            },
            "rolled_back" => format!("the rollout to {version} is taken back, and {version} has drained"),
            "failed" => format!("{version} was not ready in time: the version before was not touched"),
            // The rollout that takes its place begins a moment later.
            "superseded" => return None,
            _ => format!("the rollout to {version} is {doing}"),
        };
        Some(match (wanted, dropped) {
            (false, _) => (Exit::FAILURE, words),
            (true, 0) => (Exit::CLEAN, words),
            (true, dropped) => {
                let were = if dropped == 1 { "was" } else { "were" };
                let named = newly_given_up(fleet, given_up);
                (Exit::FORCED, format!("{words}; {} {were} dropped meanwhile{named}", count(dropped, "call")))
            }
        })
    }
}

/// The workers that were given up since, and the calls that went with each.
fn newly_given_up(fleet: &Value, before: &Value) -> String {
    let known = |gone: &Value| before.as_array().is_some_and(|before| before.contains(gone));
    let gone = fleet["given_up"].as_array().into_iter().flatten().filter(|gone| !known(gone));
    let named = gone.map(|gone| {
        let calls = gone["calls"].as_u64().unwrap_or_default();
        format!("; {} was given up, and {} with it", text(&gone["worker"]), count(calls, "call"))
    });
    named.collect()
}

/// Prints what a coordinator made of an order.
fn print(told: &Told, json: bool) -> anyhow::Result<()> {
    let Told { ok, message, state } = told;
    if json {
        let answer = serde_json::json!({"ok": ok, "message": message, "state": state});
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    println!("{}{message}", if *ok { "" } else { "FAILED: " });
    if *ok {
        print!("\n{}", words(state));
    }
    Ok(())
}

/// Shows the workers.
pub(crate) async fn workers(args: WorkersArgs) -> anyhow::Result<ExitCode> {
    let workers = args.at.workers().await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&workers)?);
        return Ok(ExitCode::SUCCESS);
    }
    if workers.is_empty() {
        println!("no worker has joined yet: start one with OPENRTC_COORDINATOR set to this coordinator");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = workers.iter().map(worker_row).collect();
    print!("{}", screen::table(&["worker", "version", "phase", "calls", "notes"], &rows));
    Ok(ExitCode::SUCCESS)
}

fn worker_row(worker: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    match worker["view"].as_str() {
        Some("known") => {}
        Some("lost") => notes.push("LOST: it comes back, or `drain --force` gives its calls up".to_owned()),
        _ => notes.push("unknown: it has not reported for too long".to_owned()),
    }
    if worker["connected"] == false {
        notes.push("not connected".into());
    }
    notes.extend(worker["status"].as_str().filter(|status| *status != "member").map(in_words));
    if let Some(task) = worker["order"]["task"].as_str() {
        let how = match (worker["order"]["obeyed"] == true, worker["order"]["overdue"] == true) {
            (_, true) => "overdue",
            (true, _) => "obeyed",
            (false, _) => "ordered",
        };
        notes.push(format!("{how}: {}", in_words(task)));
    }
    let calls = worker["calls"].as_u64().unwrap_or_default();
    let calls =
        worker["capacity"].as_u64().map_or_else(|| calls.to_string(), |capacity| format!("{calls} of {capacity}"));
    let phase = worker["phase"].as_str().map_or_else(|| "?".into(), screen::plain);
    vec![text(&worker["worker"]), text(&worker["version"]), phase, calls, notes.join("; ")]
}

/// One of the API's words for people.
fn in_words(word: &str) -> String {
    screen::plain(word).replace('_', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_ends_as_it_was_meant_to_or_not() {
        let state = |version: &str, stage: &str, over: bool| {
            let rollout = json!({"version": version, "stage": stage, "doing": stage, "over": over});
            json!({"rollout": rollout})
        };
        let goal = |stage| Goal { version: "v2".into(), stage };
        for (wanted, state, dropped, code) in [
            ("completed", state("v2", "draining", false), 0, None),
            ("completed", state("v2", "completed", true), 0, Some(Exit::CLEAN)),
            ("completed", state("v2", "completed", true), 2, Some(Exit::FORCED)),
            ("completed", state("v2", "rolled_back", true), 0, Some(Exit::FAILURE)),
            ("completed", state("v2", "failed", true), 0, Some(Exit::FAILURE)),
            ("completed", state("v2", "superseded", true), 0, None),
            ("completed", state("v3", "planned", false), 0, Some(Exit::FAILURE)),
            ("rolled_back", state("v2", "rolling_back", false), 0, None),
            ("rolled_back", state("v2", "rolled_back", true), 0, Some(Exit::CLEAN)),
            ("rolled_back", state("v2", "completed", true), 0, Some(Exit::FAILURE)),
        ] {
            let end = goal(wanted).end(&state, dropped, &Value::Null);
            assert_eq!(end.map(|(code, _)| code), code, "{wanted} {state}");
        }
    }

    #[test]
    fn calls_that_were_given_up_are_named_and_count_as_dropped() {
        let before = json!([{"worker": "b1", "calls": 4}]);
        let state = json!({
            "rollout": {"version": "v2", "from": "v1", "stage": "completed", "doing": "completed", "over": true},
            "given_up": [{"worker": "b1", "calls": 4}, {"worker": "b2", "calls": 1}],
        });
        let goal = Goal { version: "v2".into(), stage: "completed" };
        let (code, words) = goal.end(&state, 1, &before).expect("it is over");
        assert_eq!(code, Exit::FORCED);
        let told =
            "v2 takes all calls, and v1 has drained; 1 call was dropped meanwhile; b2 was given up, and 1 call with it";
        assert_eq!(words, told);
    }
}
