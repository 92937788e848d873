//! `openrtc upgrade`: a new program behind a host, without dropping a call of the old one.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use openrtc_runtime::{Exit, parse_duration};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::http::{self, Access};
use crate::order::Asker;

/// How often a host is asked how far it is.
const ASK: Duration = Duration::from_millis(200);
/// How long a host may be silent. One that is started anew in that time tells so.
const SILENT: Duration = Duration::from_secs(30);

/// Upgrade the program behind a host (`openrtc run`).
///
/// The new program starts beside the old one. Once it is ready it gets the new calls; the old one's calls run to their
/// end, and then it is ended. Waits until the new program takes calls, or is given up, which leaves the old one
/// untouched.
///
/// Exit codes: 0 done; 1 refused, not ready, taken back, or not in time; 2 bad usage.
#[derive(Args, Clone, Debug)]
#[command(disable_version_flag = true)]
pub(crate) struct UpgradeArgs {
    /// The host's ops endpoint: 127.0.0.1:9464, a URL, or unix:PATH for a Unix socket.
    #[arg(value_name = "URL")]
    url: String,
    /// The new version's name; default: the next number.
    #[arg(long, value_name = "TAG", conflicts_with = "cancel")]
    version: Option<String>,
    /// Give new calls back to the old program, while that still drains.
    #[arg(long)]
    cancel: bool,
    /// Wait until the program that gets no more calls has ended.
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    access: Access,
    /// Print the host's last answer as JSON.
    #[arg(long)]
    json: bool,
    /// The new program and its arguments; default: the command that runs, started anew.
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "cancel")]
    command: Vec<String>,
}

/// Gives the order and waits for what comes of it.
pub(crate) async fn run(args: UpgradeArgs) -> anyhow::Result<ExitCode> {
    let token = args.access.token()?;
    let mut body = json!({"actor": args.asker.name().as_str()});
    if let Some(version) = &args.version {
        body["version"] = json!(version);
    }
    if !args.command.is_empty() {
        body["command"] = json!(args.command);
    }
    let path = if args.cancel { "/upgrade/cancel" } else { "/upgrade" };
    let response = http::post(&args.url, path, token.as_deref(), body.to_string()).await?;
    let answer: Value = serde_json::from_str(&response.body).unwrap_or_default();
    match (answer["ok"].as_bool(), answer["message"].as_str()) {
        (Some(true), Some(message)) if !args.json => println!("{message}"),
        (Some(true), Some(_)) => {}
        (Some(false), Some(message)) => anyhow::bail!("{}: {message}", args.url),
        _ if response.status == 404 => anyhow::bail!("{}: it is no host: is it a worker of its own?", args.url),
        _ => anyhow::bail!("{} answers {}: is this a host's ops endpoint?", args.url, response.status),
    }
    let until = args.timeout.map(|timeout| Instant::now() + timeout);
    let cancelled = args.cancel.then(|| text(&answer["upgrade"]["version"]));
    let order = Order { version: text(&answer["ordered"]), cancelled };
    let (code, last) = follow(&args, token.as_deref(), &order, until).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&last)?);
    }
    Ok(code.into())
}

/// What was ordered, and of which host's life.
struct Order {
    /// The version that is to take new calls.
    version: String,
    /// The upgrade that is taken back, if that was the order.
    cancelled: Option<String>,
}

/// Asks until the upgrade is where it is waited for.
async fn follow(
    args: &UpgradeArgs,
    token: Option<&str>,
    order: &Order,
    until: Option<Instant>,
) -> anyhow::Result<(u8, Value)> {
    let mut heard = Instant::now();
    loop {
        let answer = match http::get(&args.url, "/programs", token).await {
            Ok(response) => serde_json::from_str(&response.body)?,
            Err(_) if heard.elapsed() < SILENT && !is_late(until) => {
                sleep(ASK).await;
                continue;
            }
            Err(error) => return Err(error.context("the host does not answer any more: how the upgrade went is open")),
        };
        heard = Instant::now();
        let end = order.end(&answer, args.wait);
        let stage = text(&answer["upgrade"]["stage"]);
        let late =
            || (Exit::FAILURE, format!("the upgrade is still {stage}: {} does not take calls yet", order.version));
        if let Some((code, words)) = end.or_else(|| is_late(until).then(late)) {
            if !args.json {
                println!("{words}");
            }
            return Ok((code, answer));
        }
        sleep(ASK).await;
    }
}

fn is_late(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

impl Order {
    /// What came of it, once that is known. It is done when the version that it was for takes the new calls, and never
    /// before.
    fn end(&self, answer: &Value, wait: bool) -> Option<(u8, String)> {
        let wanted = &self.version;
        let upgrade = &answer["upgrade"];
        let (stage, version) = (text(&upgrade["stage"]), text(&upgrade["version"]));
        let serves = answer["serving"] == wanted.as_str();
        if version != *self.cancelled.as_ref().unwrap_or(wanted) {
            // While an earlier upgrade drains, the host shows that one as superseded first.
            let what = match upgrade["from"].as_str() {
                _ if stage == "superseded" => return None,
                None => format!("the host was started anew, and runs {version}"),
                Some(_) => format!("overtaken by the upgrade to {version}"),
            };
            return Some((Exit::FAILURE, format!("{what}: the order for {wanted} is not done")));
        }
        if self.cancelled.is_some() {
            let is_over = stage == "rolled_back" && !others_run(answer, wanted);
            return match stage.as_str() {
                "rolling_back" | "rolled_back" if serves && (is_over || !wait) => {
                    Some((Exit::CLEAN, format!("the upgrade to {version} is taken back: {wanted} takes the new calls")))
                }
                _ => None,
            };
        }
        match stage.as_str() {
            "draining" if serves && !wait => Some((Exit::CLEAN, format!("{version} takes the new calls"))),
            // The old program has drained, and its process ends a moment later.
            "completed" if serves && (!wait || !others_run(answer, version.as_str())) => {
                Some((Exit::CLEAN, format!("{version} takes all calls, and the old program has drained")))
            }
            "rolled_back" => {
                let why = upgrade["failure"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
                Some((Exit::FAILURE, format!("the upgrade to {version} was taken back{why}")))
            }
            "failed" => Some((Exit::FAILURE, format!("the upgrade to {version} has failed"))),
            _ => None,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

/// Whether a program of another version is still there.
fn others_run(answer: &Value, version: &str) -> bool {
    answer["programs"].as_array().into_iter().flatten().any(|program| program["version"] != version)
}
