//! `openrtc status`: what workers say of themselves. One that does not answer is unknown, never drained.

use std::process::ExitCode;

use clap::Args;
use futures_util::future::join_all;
use openrtc_runtime::Exit;
use serde_json::{Value, json};

use crate::follow::{Known, follow};
use crate::snapshot::Seen;
use crate::{say, screen};

/// Show version, phase and calls of workers.
///
/// Exit codes: 0 if every worker answered, and with --watch has drained or left in good order; 1 if one did not answer,
/// which makes it unknown and not drained, or vanished while it was watched; 3 if none of these and, with --watch,
/// calls were dropped by force; 2 for bad usage.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatusArgs {
    /// The workers' ops endpoints: 127.0.0.1:9464, a URL, or unix:PATH for a Unix socket.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Print JSON: one object per worker, with its snapshot as it came.
    #[arg(long)]
    json: bool,
    /// Show every change until each worker has drained, left or vanished.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

/// Asks and prints.
pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    if args.watch {
        return Ok(watch(&args.urls).await.into());
    }
    let known = join_all(args.urls.iter().map(|url| async {
        match Seen::ask(url, "/snapshot").await {
            Ok(seen) => Known::Now(seen),
            Err(error) => Known::Gone(None, format!("{error:#}")),
        }
    }));
    let known = known.await;
    if args.json {
        let rows: Vec<_> = args.urls.iter().zip(&known).map(|(url, known)| row_json(url, known)).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", table(&args.urls, &known));
    }
    Ok(if known.iter().all(|known| known.seen().is_some()) { ExitCode::SUCCESS } else { Exit::FAILURE.into() })
}

async fn watch(urls: &[String]) -> u8 {
    let mut known: Vec<_> = urls.iter().map(|_| Known::Nothing).collect();
    let mut news = follow(urls);
    let mut shown = String::new();
    while let Some((place, heard)) = news.recv().await {
        known[place] = heard;
        // One screen for all that came in together, and none before everybody was heard once.
        if !news.is_empty() || known.iter().any(|known| matches!(known, Known::Nothing)) {
            continue;
        }
        let text = table(urls, &known);
        if text != shown {
            let clear = if screen::width().is_some() { "\x1b[2J\x1b[H" } else { "" };
            print!("{clear}{text}");
            shown = text;
        }
        if say::is_over() {
            break;
        }
    }
    let gone = known.iter().any(|known| matches!(known, Known::Gone(..) | Known::Nothing));
    let dropped = known.iter().filter_map(Known::seen).any(|seen| seen.dropped() > 0);
    match (gone && !say::is_over(), dropped) {
        (true, _) => Exit::FAILURE,
        (false, true) => Exit::FORCED,
        (false, false) => Exit::CLEAN,
    }
}

fn row_json(url: &str, known: &Known) -> Value {
    let error = if let Known::Gone(_, error) = known { Some(error) } else { None };
    json!({"url": url, "snapshot": known.seen().map(Seen::raw), "error": error})
}

fn table(urls: &[String], known: &[Known]) -> String {
    let rows: Vec<_> = urls.iter().zip(known).map(|(url, known)| row(url, known)).collect();
    let text = screen::table(&["URL", "worker", "version", "phase", "calls", "notes"], &rows);
    let width = screen::width();
    if screen::fits(&text, width) {
        text
    } else {
        screen::entries(&rows.iter().map(|row| entry(row)).collect::<Vec<_>>(), width)
    }
}

/// A row in words.
fn entry(row: &[String]) -> (&str, String) {
    match row {
        [url, worker, version, phase, calls, notes] => {
            let told = [format!("{calls} calls"), notes.clone()];
            let told = if calls.is_empty() { notes.clone() } else { told.join(", ") };
            (url, format!("{worker} {version} {phase}, {}", told.trim_end_matches(", ")))
        }
        others => (others.first().map_or("", String::as_str), String::new()),
    }
}

fn row(url: &str, known: &Known) -> Vec<String> {
    let cells = |seen: &Seen, phase: &str, notes: Vec<String>| {
        let (worker, version) = (seen.text("worker").to_owned(), seen.text("deployment_version").to_owned());
        vec![url.into(), worker, version, phase.into(), seen.calls(), notes.join(", ")]
    };
    let row = match known {
        Known::Now(seen) | Known::Last(seen) => {
            // Left, as a person says it; the last phase of a worker that dropped calls is the same.
            let phase = if seen.has_left() { "left" } else { seen.phase() };
            cells(seen, phase, seen.notes())
        }
        Known::Gone(Some(seen), error) => {
            let last = format!("last seen {} ({error}); its journal says the rest", seen.phase());
            cells(seen, "VANISHED", vec![last])
        }
        Known::Gone(None, error) => {
            vec![url.into(), "?".into(), "?".into(), "unknown".into(), String::new(), error.clone()]
        }
        Known::Nothing => vec![url.into()],
    };
    row.iter().map(|cell| screen::plain(cell)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_left_one_that_vanished_and_one_that_never_answered_are_told_apart() {
        let seen = |phase: &str, dropped: u64| {
            let outcome = json!({"forced": {"dropped": dropped}});
            let outcome = if dropped > 0 { outcome } else { json!("clean") };
            let snapshot = json!({"phase": phase, "worker": "blue-1", "deployment_version": "v1",
                "active_sessions": 0, "capacity": 9, "drain": null, "outcome": outcome});
            Seen::of(snapshot).expect("a snapshot")
        };
        let known = [
            Known::Last(seen("exited", 0)),
            Known::Last(seen("exited", 3)),
            Known::Gone(Some(seen("draining", 0)), "connection refused".into()),
            Known::Gone(None, "connection refused".into()),
        ];
        let urls = ["w1:1", "w2:1", "w3:1", "w4:1"].map(str::to_owned);
        let expected = "\
URL   worker  version  phase     calls   notes
w1:1  blue-1  v1       left      0 of 9  no call dropped
w2:1  blue-1  v1       left      0 of 9  3 calls dropped
w3:1  blue-1  v1       VANISHED  0 of 9  last seen draining (connection refused); its journal says the rest
w4:1  ?       ?        unknown           connection refused
";
        assert_eq!(table(&urls, &known), expected);
    }
}
