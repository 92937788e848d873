//! `openrtc demo`: a whole blue-green rollout with real processes, real signals and real audio streams.

mod caller;
mod dispatch;
mod ledger;
mod load;
mod membership;
mod process;
mod progress;
mod reconcile;
mod report;
mod settle;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use openrtc_runtime::{Exit, parse_duration};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};

use self::dispatch::Dispatcher;
use self::load::PlannedCall;
use self::membership::Membership;
use self::process::{Recipe, Worker};
use self::progress::Progress;
use self::report::{Rejected, Report};
use self::settle::Moments;
use crate::Usage;

const BLUE: &str = "v1";
const GREEN: &str = "v2";

/// The certificate's name in the demo's directory.
const CERTIFICATE: &str = "certificate.jsonl";

/// When, of the time in which calls arrive, the new version is started; SIGTERM follows as soon as it is ready.
const SWITCH_AT: f64 = 0.4;
/// How long after the SIGTERM --kill-one kills.
const KILL_AFTER: Duration = Duration::from_millis(500);
/// Calls made to see whether a worker still takes calls: how long, how often, how many at most.
const PROBE: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_millis(2);
const PROBES_MAX: u32 = 1_000;
/// How many of them are made after the worker has refused one, so that one it took all the same would show.
const PROBES_AFTER: u32 = 25;

/// Roll real worker processes from one version to the next under real calls, and count what was dropped.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Workers of the old version.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    blue: u8,
    /// Workers of the new version.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    green: u8,
    /// Call records to replay, columns start_s and duration_s; default: drawn at random.
    #[arg(long, value_name = "FILE.csv")]
    calls: Option<PathBuf>,
    /// Times real time at which calls arrive and end; audio always runs in real time.
    #[arg(long, default_value_t = 60.0, value_name = "X", value_parser = parse_speed)]
    speed: f64,
    /// Seed of the drawn calls.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// When the drain is overdue, e.g. 30s.
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    drain_timeout: Option<Duration>,
    /// What happens then.
    #[arg(long, value_name = "POLICY", value_parser = ["wait", "alert", "force"])]
    on_deadline: Option<String>,
    /// Kill a draining worker (SIGKILL), to see that its calls are reported.
    #[arg(long)]
    kill_one: bool,
    /// After the switch, start a worker of the old version again, to see that it is not let in.
    #[arg(long)]
    leftover: bool,
    /// Keep the workers' journals and audit trails and the callers' ledger in this directory, which must not exist yet.
    /// Without it only the certificate and the key to check it with are kept.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.01..=10_000.0).contains(&speed) => Ok(speed),
        Ok(_) => Err("give a speed from 0.01 to 10000".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        timeout if timeout < Duration::from_millis(1) => Err("give 1ms or more".into()),
        timeout => Ok(timeout),
    }
}

/// Performs the rollout and prints what it amounted to.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let mut calls = match &args.calls {
        Some(file) => load::read(file).map_err(Usage)?,
        None => load::draw(args.seed)?,
    };
    load::hurry(&mut calls, args.speed);
    let mut dir = Directory::create(args.dir.as_deref()).map_err(Usage)?;
    let membership = Membership::start(dir.path()).await?;
    let report = tokio::select! {
        report = Rollout::new(&args, dir.path(), membership).perform(calls) => report?,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted; the workers were killed"),
    };
    dir.certified = true;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("\n{report}\n{}\n  {}", certificate(&report), verdict(&report));
    }
    Ok(exit_code(&report).into())
}

/// What the certificate says, where it is and how it is checked.
fn certificate(report: &Report) -> String {
    let Report { certificate, certificate_file: file, certificate_key: key, .. } = report;
    let (page, file, key) = (file.with_extension("html"), file.display(), key.display());
    format!(
        "  certificate: {certificate}\n  to look at: {}\n  to check:   openrtc certify check {file} --key {key}\n",
        page.display()
    )
}

fn verdict(report: &Report) -> String {
    match report.calls_dropped {
        0 if report.is_spotless() => "the rollout dropped no call".into(),
        0 => "no call was dropped, but something above is not as it must be".into(),
        dropped => format!("{dropped} calls dropped"),
    }
}

fn exit_code(report: &Report) -> u8 {
    match report.calls_dropped {
        _ if !report.holds() => Exit::FAILURE,
        0 if report.is_spotless() => Exit::CLEAN,
        0 => Exit::FAILURE,
        _ => Exit::FORCED,
    }
}

/// Where the journals are: the user's directory, or one that goes with the demo but for the certificate.
struct Directory {
    path: PathBuf,
    temporary: bool,
    /// Whether there is a certificate.
    certified: bool,
}

impl Directory {
    fn create(wanted: Option<&Path>) -> anyhow::Result<Self> {
        let path = match wanted {
            Some(path) => {
                std::fs::create_dir(path).with_context(|| {
                    format!("the directory {} cannot be made: name one that does not exist yet", path.display())
                })?;
                path.to_owned()
            }
            None => tempfile::Builder::new().prefix("openrtc-demo-").tempdir()?.keep(),
        };
        Ok(Self { path, temporary: wanted.is_none(), certified: false })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// Removes everything else, the secret key above all.
    fn keep_certificate(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let kept = path.file_stem().is_some_and(|stem| stem == "certificate");
            match path.extension() {
                Some(extension) if kept || extension == "pub" => {}
                _ if path.is_dir() => std::fs::remove_dir_all(&path)?,
                _ => std::fs::remove_file(&path)?,
            }
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Left-overs in the temporary directory are the system's to clear.
        let _ = match (self.temporary, self.certified) {
            (true, true) => self.keep_certificate(),
            (true, false) => std::fs::remove_dir_all(&self.path),
            (false, _) => Ok(()),
        };
    }
}

/// A rollout in progress. Workers are known by their place in the list: first the old version's, then the new one's.
struct Rollout<'a> {
    args: &'a DemoArgs,
    dir: &'a Path,
    membership: Membership,
    dispatcher: Arc<Dispatcher>,
    workers: Vec<(String, &'static str, Worker)>,
    /// Every worker's journal, also of those that were not let in.
    journals: Vec<PathBuf>,
    rejected: Vec<Rejected>,
    calls: JoinSet<()>,
    progress: Progress,
    begun: Instant,
}

impl<'a> Rollout<'a> {
    fn new(args: &'a DemoArgs, dir: &'a Path, membership: Membership) -> Self {
        let dispatcher = Arc::new(Dispatcher::default());
        let progress = Progress::start(Arc::clone(&dispatcher));
        Self {
            args,
            dir,
            membership,
            dispatcher,
            workers: Vec::new(),
            journals: Vec::new(),
            rejected: Vec::new(),
            calls: JoinSet::new(),
            progress,
            begun: Instant::now(),
        }
    }

    /// The story: old version up, callers calling, new version up, calls shifted, old version drained, all calls ended.
    async fn perform(mut self, calls: Vec<PlannedCall>) -> anyhow::Result<Report> {
        let arriving = calls.last().map_or(Duration::ZERO, |call| call.start);
        self.membership.allow(&[BLUE]);
        self.start(self.args.blue, "blue", BLUE).await?;
        self.begun = Instant::now();
        let callers = tokio::spawn(make_calls(Arc::clone(&self.dispatcher), calls));

        sleep_until(self.begun + arriving.mul_f64(SWITCH_AT)).await;
        self.membership.allow(&[BLUE, GREEN]);
        self.start(self.args.green, "green", GREEN).await?;
        let blue = usize::from(self.args.blue);
        self.dispatcher.shift_to(blue);
        self.membership.allow(&[GREEN]);
        self.progress.say(&format!("new calls go to {GREEN}"));

        let sigterm = self.drain_blue()?;
        if self.args.kill_one {
            self.kill_one().await?;
        }
        let mut exits = self.await_exits(0..blue).await?;
        self.progress.say(&format!("every {BLUE} worker has exited"));
        if self.args.leftover {
            self.start_leftover().await?;
        }
        callers.await?.join_all().await;
        while self.calls.join_next().await.is_some() {}

        self.progress.say("all calls have ended; stopping the new version");
        for (_, _, worker) in &self.workers[blue..] {
            worker.signal(Signal::TERM)?;
        }
        exits.extend(self.await_exits(blue..self.workers.len()).await?);
        self.progress.finish();
        self.report(&Moments { sigterm, exits })
    }

    async fn start(&mut self, count: u8, colour: &str, version: &'static str) -> anyhow::Result<()> {
        let mut settings = self.membership.settings().to_vec();
        if let Some(timeout) = self.args.drain_timeout {
            settings.push(("OPENRTC_DRAIN_TIMEOUT", format!("{}ms", timeout.as_millis())));
        }
        if let Some(policy) = &self.args.on_deadline {
            settings.push(("OPENRTC_ON_DEADLINE", policy.clone()));
        }
        for number in 1..=count {
            let name = format!("{colour}-{number}");
            let journal = self.dir.join(&name);
            let recipe = Recipe { name: &name, version, journal: &journal, settings: &settings };
            let worker = process::start(recipe).await?;
            self.membership.check(&name, version)?;
            self.dispatcher.add(version, worker.calls);
            self.journals.push(worker.journal.clone());
            self.workers.push((name, version, worker));
        }
        self.progress.say(&format!("{count} workers of {version} are ready"));
        Ok(())
    }

    /// Sends SIGTERM to every old worker and, as a dispatcher with an old view would, goes on offering each of them
    /// calls, until it refuses one and for a while after.
    fn drain_blue(&mut self) -> anyhow::Result<Instant> {
        let sigterm = Instant::now();
        for worker in 0..usize::from(self.args.blue) {
            self.workers[worker].2.signal(Signal::TERM)?;
            let dispatcher = Arc::clone(&self.dispatcher);
            self.calls.spawn(async move {
                let mut late = JoinSet::new();
                let mut pace = interval(PROBE_EVERY);
                let mut after = 0;
                for number in 0..PROBES_MAX {
                    pace.tick().await;
                    if dispatcher.first_refusal(worker).is_some() {
                        after += 1;
                    }
                    if after > PROBES_AFTER {
                        break;
                    }
                    let (dispatcher, id) = (Arc::clone(&dispatcher), format!("late-{worker}-{number}"));
                    late.spawn(async move { dispatcher.call(id, PROBE, Some(worker)).await });
                }
                late.join_all().await;
            });
        }
        self.progress.say(&format!("SIGTERM to every {BLUE} worker"));
        Ok(sigterm)
    }

    async fn kill_one(&self) -> anyhow::Result<()> {
        sleep(KILL_AFTER).await;
        let (name, _, worker) = &self.workers[0];
        worker.signal(Signal::KILL)?;
        self.progress.say(&format!("SIGKILL to {name}"));
        Ok(())
    }

    /// Starts the first old worker again, as a platform would that was not told of the switch.
    async fn start_leftover(&mut self) -> anyhow::Result<()> {
        let name = self.workers[0].0.clone();
        let journal = self.dir.join(format!("{name}-leftover"));
        let settings = self.membership.settings();
        let recipe = Recipe { name: &name, version: BLUE, journal: &journal, settings: &settings };
        let status = process::run_refused(recipe).await?;
        self.journals.push(journal.clone());
        let rejected = self.membership.rejection(&name, BLUE, status.code());
        let rejected = rejected.with_context(|| format!("{name} left with {status}, but nobody refused it"))?;
        self.progress.say(&format!("{name} of {BLUE} was started again and not let in: {}", rejected.message));
        self.rejected.push(rejected);
        Ok(())
    }

    async fn await_exits(&mut self, which: std::ops::Range<usize>) -> anyhow::Result<Vec<(ExitStatus, Instant)>> {
        let waits = self.workers[which].iter_mut().map(|(_, _, worker)| worker.wait());
        futures_util::future::try_join_all(waits).await
    }
}

/// Makes every call at its time.
async fn make_calls(dispatcher: Arc<Dispatcher>, calls: Vec<PlannedCall>) -> JoinSet<()> {
    let begun = Instant::now();
    let mut made = JoinSet::new();
    for (number, call) in calls.into_iter().enumerate() {
        sleep_until(begun + call.start).await;
        let dispatcher = Arc::clone(&dispatcher);
        made.spawn(async move { dispatcher.call(format!("call-{number}"), call.talk, None).await });
    }
    made
}

#[cfg(test)]
mod tests {
    use super::Directory;

    #[test]
    fn two_demos_of_one_process_number_do_not_meet() {
        let [one, other] = [(); 2].map(|()| Directory::create(None).expect("a directory of its own"));
        let is_empty = |dir: &Directory| dir.path().read_dir().expect("it is there").next().is_none();
        assert!(one.path() != other.path() && is_empty(&one) && is_empty(&other));
    }
}
