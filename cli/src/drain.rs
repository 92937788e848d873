//! `openrtc drain`: orders to workers over their ops endpoints.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use openrtc_core::id::Actor;
use openrtc_core::worker::OnDeadline;
use openrtc_runtime::{Exit, parse_duration};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Usage, http};

/// Begin, cancel, extend or force the drain of workers.
///
/// Without an option the drain begins: the worker takes no more calls and leaves when the last one has ended. Exits 1
/// if a worker refused or did not answer; the others were still asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrainArgs {
    /// The workers' ops endpoints, e.g. 127.0.0.1:9464.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// When the drain is overdue, e.g. 30m; default: as the worker is configured.
    #[arg(long, conflicts_with = "order", value_name = "TIME", value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// What happens then.
    #[arg(long, conflicts_with = "order", value_name = "POLICY", value_parser = policy())]
    on_deadline: Option<OnDeadline>,
    /// Who asks; it is written into the journal. Default: this user's name.
    #[arg(long, value_name = "NAME")]
    actor: Option<Actor>,
    /// Take calls again.
    #[arg(long, group = "order")]
    cancel: bool,
    /// Give the drain until this long from now.
    #[arg(long, group = "order", value_name = "TIME", value_parser = parse_duration)]
    extend: Option<Duration>,
    /// End the calls that are left, now.
    #[arg(long, group = "order")]
    force: bool,
    /// A file with the token that orders from outside loopback need; or set OPENRTC_OPS_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[arg(long, env = "OPENRTC_OPS_TOKEN", hide = true, hide_env_values = true)]
    token: Option<String>,
    /// Print JSON: one object per worker.
    #[arg(long)]
    json: bool,
}

/// What a worker answers to an order.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    message: String,
}

/// Reads what happens at a deadline.
pub(crate) fn policy() -> impl TypedValueParser<Value = OnDeadline> {
    PossibleValuesParser::new(OnDeadline::ALL.map(OnDeadline::as_str)).try_map(|text| text.parse::<OnDeadline>())
}

/// Sends the order to every worker.
pub(crate) async fn run(args: DrainArgs) -> anyhow::Result<ExitCode> {
    let token = match &args.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("the token file {}", file.display()));
            Some(text.map_err(Usage)?.trim().to_owned())
        }
        None => args.token.clone(),
    };
    let (path, body) = order(&args);
    let width = args.urls.iter().map(String::len).max().unwrap_or(0);
    let mut all_done = true;
    let mut answers = Vec::new();
    for url in &args.urls {
        let (ok, message) = match send(url, path, token.as_deref(), body.to_string()).await {
            Ok(message) => (true, message),
            Err(error) => (false, format!("{error:#}")),
        };
        all_done &= ok;
        if args.json {
            answers.push(json!({ "url": url, "ok": ok, "message": message }));
        } else {
            println!("{url:<width$}  {}{message}", if ok { "" } else { "FAILED: " });
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&answers)?);
    }
    Ok(if all_done { ExitCode::SUCCESS } else { Exit::FAILURE.into() })
}

fn order(args: &DrainArgs) -> (&'static str, Value) {
    let mut body = Map::new();
    body.insert("actor".into(), args.actor.unwrap_or_else(user).as_str().into());
    if let Some(time) = args.deadline.or(args.extend) {
        // Rounded up: a deadline may come a moment late, never early.
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        body.insert("deadline_s".into(), seconds.into());
    }
    if let Some(policy) = args.on_deadline {
        body.insert("on_deadline".into(), policy.as_str().into());
    }
    let path = match args {
        DrainArgs { cancel: true, .. } => "/drain/cancel",
        DrainArgs { extend: Some(_), .. } => "/drain/extend",
        DrainArgs { force: true, .. } => "/drain/force",
        _ => "/drain",
    };
    (path, Value::Object(body))
}

/// This user's name; an order is not refused for lack of one.
#[expect(clippy::disallowed_methods, reason = "a name for the journal, not a setting")]
fn user() -> Actor {
    let name = std::env::var("USER").unwrap_or_default();
    Actor::new(&name).unwrap_or(const { Actor::from_static("openrtc-cli") })
}

async fn send(url: &str, path: &str, token: Option<&str>, body: String) -> anyhow::Result<String> {
    let response = http::post(url, path, token, body).await?;
    match serde_json::from_str(&response.body) {
        Ok(Answer { ok: true, message }) => Ok(message),
        Ok(Answer { ok: false, message }) => bail!("{message}"),
        Err(_) => bail!("it answers {}: is this a worker's ops endpoint?", response.status),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: DrainArgs,
    }

    #[test]
    fn each_order_has_its_endpoint_and_no_deadline_comes_early() {
        for (flags, path, deadline_s) in [
            (&[][..], "/drain", Value::Null),
            (&["--deadline", "10m"], "/drain", 600.into()),
            (&["--deadline", "500ms", "--on-deadline", "force"], "/drain", 1.into()),
            (&["--extend", "90s 1ms"], "/drain/extend", 91.into()),
            (&["--cancel"], "/drain/cancel", Value::Null),
            (&["--force"], "/drain/force", Value::Null),
        ] {
            let line = ["drain", "127.0.0.1:1", "--actor", "alice"].iter().chain(flags);
            let (asked, body) = order(&Cli::parse_from(line).args);
            assert_eq!((asked, &body["deadline_s"], &body["actor"]), (path, &deadline_s, &"alice".into()));
        }
    }

    #[test]
    fn two_orders_at_once_are_refused() {
        for flags in [["--cancel", "--force"], ["--force", "--extend=1s"], ["--cancel", "--deadline=1s"]] {
            assert!(Cli::try_parse_from(["drain", "127.0.0.1:1"].iter().chain(&flags)).is_err(), "{flags:?}");
        }
    }
}
