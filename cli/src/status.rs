//! `openrtc status`: what workers say of themselves. One that does not answer is unknown, never drained.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use openrtc_core::snapshot::RuntimeSnapshot;
use openrtc_core::word::Phase;
use openrtc_core::worker::OnDeadline;
use openrtc_runtime::Exit;
use serde::Serialize;
use tokio::time::sleep;

use crate::http;

const REFRESH: Duration = Duration::from_secs(1);

/// Show version, phase and calls of workers.
///
/// Exits 1 if a worker did not answer: it is unknown, which is not drained.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    /// The workers' ops endpoints, e.g. 127.0.0.1:9464.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Print JSON: one object per worker.
    #[arg(long)]
    json: bool,
    /// Ask again every second until every worker has drained, exited or fallen silent.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

/// One worker's answer.
#[derive(Serialize)]
struct Row<'a> {
    url: &'a str,
    snapshot: Option<RuntimeSnapshot>,
    error: Option<String>,
}

/// Asks and prints.
pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    loop {
        let rows = futures_util::future::join_all(args.urls.iter().map(|url| ask(url))).await;
        if args.json {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        } else {
            let clear = if args.watch && stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
            print!("{clear}{}", table(&rows));
        }
        let over = rows.iter().all(|row| row.snapshot.is_none_or(|seen| seen.phase >= Phase::Drained));
        if !args.watch || over {
            let known = rows.iter().all(|row| row.snapshot.is_some());
            return Ok(if known { ExitCode::SUCCESS } else { Exit::FAILURE.into() });
        }
        sleep(REFRESH).await;
    }
}

async fn ask(url: &str) -> Row<'_> {
    match fetch(url).await {
        Ok(snapshot) => Row { url, snapshot: Some(snapshot), error: None },
        Err(error) => Row { url, snapshot: None, error: Some(format!("{error:#}")) },
    }
}

async fn fetch(url: &str) -> anyhow::Result<RuntimeSnapshot> {
    let response = http::get(url, "/snapshot").await?;
    ensure!(response.status == 200, "it answers {}: is this a worker's ops endpoint?", response.status);
    serde_json::from_str(&response.body).context("its answer is not a snapshot: is this a worker's ops endpoint?")
}

fn table(rows: &[Row<'_>]) -> String {
    let width = rows.iter().map(|row| row.url.len()).max().unwrap_or(0).max(3);
    let mut text = format!(
        "{:<width$}  {:<16} {:<12} {:<9} {:>6} {:>8} {:>8} {:>8}  drain\n",
        "URL", "worker", "version", "phase", "calls", "reserved", "stalled", "capacity"
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = match (&row.snapshot, &row.error) {
            (Some(seen), _) => writeln!(
                text,
                "{:<width$}  {:<16} {:<12} {:<9} {:>6} {:>8} {:>8} {:>8}  {}",
                row.url,
                seen.worker,
                seen.deployment_version,
                seen.phase,
                seen.active_sessions,
                seen.reserved_sessions,
                seen.stalled_sessions,
                seen.capacity,
                drain(seen)
            ),
            (None, error) => {
                let error = error.as_deref().unwrap_or_default();
                writeln!(text, "{:<width$}  {:<16} {:<12} {:<9} {error}", row.url, "?", "?", "unknown")
            }
        };
    }
    text
}

fn drain(seen: &RuntimeSnapshot) -> String {
    let Some(drain) = seen.drain else { return "-".into() };
    let mut text = format!("{} by {}", drain.cause.as_str(), drain.actor);
    if drain.sealed {
        text += ", final";
    }
    match drain.forced {
        // Writing to a string cannot fail.
        Some(forced) => {
            let _ = write!(text, ", forced by {} on {} calls", forced.actor, forced.live);
        }
        None => match drain.terms.on_deadline() {
            OnDeadline::Wait => {}
            policy @ (OnDeadline::Alert | OnDeadline::Force) => {
                let _ = write!(text, ", then {}", policy.as_str());
            }
        },
    }
    if drain.overdue && drain.forced.is_none() {
        text += ", OVERDUE";
    }
    if seen.obeyed.epoch.get() > 0 {
        let _ = write!(text, ", order {}.{}", seen.obeyed.epoch, seen.obeyed.order);
    }
    if seen.journal.failing {
        text += "; the journal cannot be written";
    }
    text
}

#[cfg(test)]
mod tests {
    use openrtc_core::id::{Actor, Deployment, Epoch, Identity, Incarnation, Seq, Version, WorkerId};
    use openrtc_core::machine::Machine;
    use openrtc_core::order::{Order, Stamp, Wish};
    use openrtc_core::snapshot::JournalHealth;
    use openrtc_core::time::{Instant, Span};
    use openrtc_core::worker::{Cause, Command, DrainOrder, Limits, Terms, Worker};

    use super::*;

    const SIGTERM: Command = Command::BeginDrain(DrainOrder {
        cause: Cause::Signal,
        actor: Actor::from_static("SIGTERM"),
        terms: Terms::PATIENT,
    });

    fn snapshot(drain: Command) -> RuntimeSnapshot {
        let mut worker = Worker::new(Limits::default()).expect("valid");
        for command in [Command::Serve, drain] {
            worker.step(Instant::EPOCH, command).expect("legal");
        }
        let identity = Identity {
            deployment: Deployment::from_static("demo"),
            version: Version::from_static("v1"),
            worker: WorkerId::from_static("blue-1"),
            incarnation: Incarnation::new(1),
        };
        RuntimeSnapshot::of(&worker, &identity, JournalHealth::default())
    }

    #[test]
    fn the_table_is_aligned_and_silence_is_unknown() {
        let rows = [
            Row { url: "127.0.0.1:9464", snapshot: Some(snapshot(SIGTERM)), error: None },
            Row { url: "w2:1", snapshot: None, error: Some("connection refused".into()) },
        ];
        let expected = "\
URL             worker           version      phase      calls reserved  stalled capacity  drain
127.0.0.1:9464  blue-1           v1           draining       0        0        0     1000  signal by SIGTERM, final
w2:1            ?                ?            unknown   connection refused
";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn what_a_drain_comes_to_and_whose_order_it_obeys_is_told() {
        let wish = Wish::Drain { within: Some(Span::from_secs(60)), on_deadline: OnDeadline::Force };
        let stamp = Stamp { epoch: Epoch::new(2), order: Seq::new(8) };
        let order = Order { stamp, actor: Actor::from_static("alice"), wish };
        assert_eq!(drain(&snapshot(Command::Obey(order))), "coordinator by alice, then force, order 2.8");
    }
}
