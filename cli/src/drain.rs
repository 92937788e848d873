//! `openrtc drain`, `cordon`, `uncordon` and `promote`: orders that change whether a worker takes calls.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{BadDeadline, OnDeadline, Terms};
use openrtc_runtime::parse_duration;
use serde_json::{Map, Value};

use crate::Usage;
use crate::at::order_workers;
use crate::order::{Orders, Patience};

/// Begin, cancel, extend or force the drain of workers.
///
/// Without an option the drain begins: the worker takes no more calls and leaves when the last one has ended. All
/// workers are asked at once, and what became of each is printed.
///
/// Exit codes: 0 if every worker took the order, and with --wait has drained; 1 if one refused, did not answer,
/// vanished or was not drained in time; 3 if none of these and, with --wait, calls were dropped by force; 2 for bad
/// usage.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    orders: Orders,
    /// When the drain is overdue, e.g. 30m; default: as the worker is configured.
    #[arg(long, conflicts_with = "order", value_name = "TIME", value_parser = deadline)]
    deadline: Option<Duration>,
    /// What happens then.
    #[arg(long, conflicts_with = "order", value_name = "POLICY", value_parser = policy())]
    on_deadline: Option<OnDeadline>,
    /// Take calls again.
    #[arg(long, group = "order", conflicts_with = "wait")]
    cancel: bool,
    /// Give the drain until this long from now.
    #[arg(long, group = "order", value_name = "TIME", value_parser = deadline)]
    extend: Option<Duration>,
    /// End the calls that are left, now; begins the drain if there is none.
    #[arg(long, group = "order")]
    force: bool,
    /// Wait until every worker has drained.
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this, e.g. 2h; default: for as long as calls last.
    #[arg(long, requires = "wait", value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    through: Through,
}

/// Who passes the orders on, if anybody.
#[derive(Args, Clone, Debug)]
struct Through {
    /// Ask this coordinator, and give the workers' names instead of their URLs. A worker that drains so leaves then.
    #[arg(long, env = "OPENRTC_COORDINATOR", value_name = "URL")]
    coordinator: Option<String>,
    /// Of a coordinator: take the last worker that takes new calls out of service, too. Each of them is refused then.
    #[arg(long)]
    last: bool,
}

impl Through {
    /// Gives an order: to the coordinator, if there is one, which knows it as `name`; else to the workers.
    async fn give(
        &self,
        orders: &Orders,
        (name, path): (&str, &str),
        mut body: Map<String, Value>,
        wait: Patience,
    ) -> anyhow::Result<ExitCode> {
        let Some(coordinator) = &self.coordinator else {
            if self.last {
                return Err(
                    Usage(anyhow!("--last: a worker by itself does not know whether it is the last one")).into()
                );
            }
            return orders.give(path, body, wait).await;
        };
        if self.last {
            body.insert("last".into(), true.into());
        }
        order_workers(coordinator, orders, name, &body).await
    }
}

/// Take workers out of rotation until they are uncordoned: a drain without a deadline that can be taken back.
///
/// For workers that stay up when they have drained (OPENRTC_LEAVE=parked); others refuse. Exits 1 if a worker refused
/// or did not answer; the others were still asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct CordonArgs {
    #[command(flatten)]
    orders: Orders,
    #[command(flatten)]
    through: Through,
}

/// Put cordoned workers back into rotation.
///
/// Exits 1 if a worker refused or did not answer; the others were still asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct UncordonArgs {
    #[command(flatten)]
    orders: Orders,
    /// Ask this coordinator, and give the workers' names instead of their URLs. This takes back a drain, too.
    #[arg(long, env = "OPENRTC_COORDINATOR", value_name = "URL")]
    coordinator: Option<String>,
}

/// Have workers in standby take calls.
///
/// Exits 1 if a worker refused or did not answer; the others were still asked. One that registers, or dials in to a
/// coordinator, refuses: that decides.
#[derive(Args, Clone, Debug)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    orders: Orders,
}

/// Reads what happens at a deadline.
pub(crate) fn policy() -> impl TypedValueParser<Value = OnDeadline> {
    PossibleValuesParser::new(OnDeadline::ALL.map(OnDeadline::as_str)).try_map(|text| text.parse::<OnDeadline>())
}

fn deadline(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    // Rounded up, as it is sent.
    match Terms::due(Instant::EPOCH, Span::from_secs(seconds(time))) {
        Ok(_) => Ok(time),
        Err(BadDeadline::Now) => Err("give more than 0s; `--force` ends the calls now".into()),
        Err(BadDeadline::TooFar) => Err("give at most a year".into()),
    }
}

/// Whole seconds, rounded up: a deadline may come a moment late, never early.
pub(crate) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Gives the order to every worker.
pub(crate) async fn run(args: DrainArgs) -> anyhow::Result<ExitCode> {
    let (path, body) = order(&args);
    let name = match path {
        "/drain/cancel" => "uncordon",
        "/drain/force" => "force",
        _ => "drain",
    };
    let unknown = if args.wait { Some("--wait") } else { args.extend.map(|_| "--extend") };
    if let (Some(flag), Some(_)) = (unknown, &args.through.coordinator) {
        let problem = "a coordinator (--coordinator, OPENRTC_COORDINATOR) does not do that: watch `openrtc workers`, \
                       or drain again with another --deadline";
        return Err(Usage(anyhow!("{flag}: {problem}")).into());
    }
    let wait: Patience = args.wait.then_some(args.timeout);
    args.through.give(&args.orders, (name, path), body, wait).await
}

pub(crate) async fn cordon(args: CordonArgs) -> anyhow::Result<ExitCode> {
    args.through.give(&args.orders, ("cordon", "/cordon"), Map::new(), None).await
}

pub(crate) async fn uncordon(args: UncordonArgs) -> anyhow::Result<ExitCode> {
    if let Some(coordinator) = &args.coordinator {
        return order_workers(coordinator, &args.orders, "uncordon", &Map::new()).await;
    }
    args.orders.give("/uncordon", Map::new(), None).await
}

pub(crate) async fn promote(args: PromoteArgs) -> anyhow::Result<ExitCode> {
    args.orders.give("/promote", Map::new(), None).await
}

fn order(args: &DrainArgs) -> (&'static str, Map<String, Value>) {
    let mut body = Map::new();
    if let Some(time) = args.deadline.or(args.extend) {
        body.insert("deadline_s".into(), seconds(time).into());
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
    (path, body)
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
            (&[][..], "/drain", None),
            (&["--deadline", "10m"], "/drain", Some(600)),
            (&["--deadline", "500ms", "--on-deadline", "force"], "/drain", Some(1)),
            (&["--extend", "90s 1ms"], "/drain/extend", Some(91)),
            (&["--cancel"], "/drain/cancel", None),
            (&["--force", "--wait", "--timeout", "1m"], "/drain/force", None),
        ] {
            let line = ["drain", "127.0.0.1:1", "--actor", "alice"].iter().chain(flags);
            let (asked, body) = order(&Cli::parse_from(line).args);
            assert_eq!((asked, body.get("deadline_s").and_then(Value::as_u64)), (path, deadline_s));
        }
    }

    #[test]
    fn what_contradicts_itself_or_is_a_slip_of_the_keyboard_is_refused() {
        for flags in [
            &["--cancel", "--force"][..],
            &["--force", "--extend=1s"],
            &["--cancel", "--deadline=1s"],
            &["--cancel", "--wait"],
            &["--timeout=1s"],
            &["--extend=5000000years"],
            &["--deadline=0s"],
        ] {
            assert!(Cli::try_parse_from(["drain", "127.0.0.1:1"].iter().chain(flags)).is_err(), "{flags:?}");
        }
    }
}
