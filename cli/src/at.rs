//! A coordinator as commands see it: what it is asked, and how its fleet is shown.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use openrtc_core::prose::count;
use openrtc_runtime::Exit;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::http::{self, Access};
use crate::order::{Asker, Orders};
use crate::{say, screen};

/// How often a rollout that is watched is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long a coordinator may be silent meanwhile: one that is started anew goes on with the rollout.
const SILENT: Duration = Duration::from_mins(1);

/// Which coordinator is asked.
#[derive(Args, Clone, Debug)]
pub(crate) struct At {
    /// The coordinator: 127.0.0.1:9600, or a URL.
    #[arg(long, env = "OPENRTC_COORDINATOR", value_name = "URL")]
    coordinator: String,
    #[command(flatten)]
    access: Access,
}

/// A coordinator's answer to an order.
pub(crate) struct Told {
    pub(crate) ok: bool,
    pub(crate) message: String,
    pub(crate) state: Value,
}

impl At {
    /// A coordinator that a flag names.
    pub(crate) const fn new(coordinator: String, access: Access) -> Self {
        Self { coordinator, access }
    }

    /// Gives an order on behalf of `asker`.
    pub(crate) async fn order(&self, path: &str, asker: &Asker, mut body: Map<String, Value>) -> anyhow::Result<Told> {
        body.insert("actor".into(), asker.name().as_str().into());
        let token = self.access.token()?;
        let posted = http::post(&self.coordinator, path, token.as_deref(), Value::Object(body).to_string());
        let response = posted.await.with_context(|| self.unreachable())?;
        let mut answer: Value = serde_json::from_str(&response.body).unwrap_or_default();
        match (answer["ok"].as_bool(), answer["message"].as_str().map(screen::plain)) {
            (Some(ok), Some(message)) => Ok(Told { ok, message, state: answer["state"].take() }),
            _ => bail!("{} answers {}: is this a coordinator?", self.coordinator, response.status),
        }
    }

    /// The fleet as it is now, without its workers one by one.
    pub(crate) async fn state(&self) -> anyhow::Result<Value> {
        let state = self.get("/v1/state").await?;
        if state["epoch"].is_u64() { Ok(state) } else { bail!("{}: is this a coordinator?", self.coordinator) }
    }

    /// Every worker, by name.
    pub(crate) async fn workers(&self) -> anyhow::Result<Vec<Value>> {
        let (mut workers, mut path) = (Vec::new(), "/v1/workers".to_owned());
        loop {
            let mut page = self.get(&path).await?;
            match page["workers"].take() {
                Value::Array(more) => workers.extend(more),
                _ => bail!("{}: is this a coordinator?", self.coordinator),
            }
            let Some(next) = page["next"].as_str() else { return Ok(workers) };
            path = format!("/v1/workers?after={}", percent(next));
        }
    }

    fn unreachable(&self) -> String {
        format!("no coordinator answers at {} (workers serve on without one)", self.coordinator)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = http::get(&self.coordinator, path, None).await.with_context(|| self.unreachable())?;
        let not_one = || format!("{} answers {}: is this a coordinator?", self.coordinator, response.status);
        serde_json::from_str(&response.body).with_context(not_one)
    }

    /// Shows every change of the fleet until `end` says how it went, or time is over.
    pub(crate) async fn watch(
        &self,
        json: bool,
        until: Option<Instant>,
        end: impl Fn(&Value) -> Option<(u8, String)>,
    ) -> anyhow::Result<u8> {
        let (mut shown, mut heard) = (String::new(), Instant::now());
        loop {
            match self.state().await {
                Ok(state) => {
                    heard = Instant::now();
                    let text = words(&state);
                    // What only counts on does not make another screen where nobody looks at one.
                    if !json && stable(&text) != stable(&shown) {
                        let clear = if screen::width().is_some() { "\x1b[2J\x1b[H" } else { "" };
                        print!("{clear}{text}\n");
                        shown = text;
                    }
                    let over = end(&state);
                    let late = || (Exit::FAILURE, "not done in time; it goes on all the same".to_owned());
                    if let Some((code, how)) = over.or_else(|| is_late(until).then(late)) {
                        if json {
                            println!("{}", serde_json::to_string_pretty(&state)?);
                        } else {
                            println!("{how}");
                        }
                        return Ok(code);
                    }
                }
                Err(error) if heard.elapsed() >= SILENT || is_late(until) => {
                    return Err(error.context("the coordinator does not answer: how the rollout went is open"));
                }
                Err(_) => {}
            }
            if say::is_over() {
                return Ok(Exit::CLEAN);
            }
            sleep(LOOK).await;
        }
    }
}

/// What is said of a worker that is named as another command would.
const NO_ENDPOINT: &str = " (a coordinator is asked, by --coordinator or OPENRTC_COORDINATOR: give the worker's name)";

/// Gives an order about each of several workers to a coordinator, and prints what it said of each.
pub(crate) async fn order_workers(
    coordinator: &str,
    orders: &Orders,
    order: &str,
    body: &Map<String, Value>,
) -> anyhow::Result<ExitCode> {
    let at = At::new(coordinator.to_owned(), orders.access.clone());
    let mut told = Vec::new();
    for worker in &orders.urls {
        let path = format!("/v1/workers/{}/{order}", percent(worker));
        let mut answer = at.order(&path, &orders.asker, body.clone()).await?;
        if !answer.ok && worker.contains([':', '/']) {
            answer.message.push_str(NO_ENDPOINT);
        }
        told.push((worker.as_str(), answer));
    }
    if orders.json {
        let row = |(worker, told): &(&str, Told)| json!({"worker": worker, "ok": told.ok, "message": told.message});
        println!("{}", serde_json::to_string_pretty(&told.iter().map(row).collect::<Vec<_>>())?);
    } else {
        let line = |told: &Told| format!("{}{}", if told.ok { "" } else { "FAILED: " }, told.message);
        let lines: Vec<_> = told.iter().map(|(worker, told)| (*worker, line(told))).collect();
        print!("{}", screen::entries(&lines, screen::width()));
    }
    Ok(if told.iter().all(|(_, told)| told.ok) { ExitCode::SUCCESS } else { Exit::FAILURE.into() })
}

fn is_late(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// The text without how long something lasts.
fn stable(text: &str) -> String {
    text.lines().map(|line| line.split(", for ").next().unwrap_or_default()).collect()
}

/// A name as a part of a URL's query: names are printable ASCII.
fn percent(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}

/// A fleet in words: the rollout, what it waits for, the versions.
pub(crate) fn words(state: &Value) -> String {
    let mut lines = vec![("rollout", rollout_words(state))];
    for gone in state["given_up"].as_array().into_iter().flatten() {
        let calls = gone["calls"].as_u64().unwrap_or_default();
        lines.push(("given up", format!("{}, and {} with it", text(&gone["worker"]), count(calls, "call"))));
    }
    if let Some(reason) = state["paused"]["reason"].as_str() {
        lines.push(("paused", format!("by {}: {reason}", text(&state["paused"]["actor"]))));
    }
    for wait in state["waits"].as_array().into_iter().flatten() {
        lines.push(("waits", format!("{}: {}", text(&wait["what"]), text(&wait["way_out"]))));
    }
    if let Some(trouble) = state["journal"]["trouble"].as_str() {
        lines.push(("STOPPED", format!("{trouble}: nothing is decided until it can be")));
    } else if state["journal"]["failing"] == true {
        lines.push(("STOPPED", "the journal's directory was deleted: nothing is decided until it is back".into()));
    }
    let lines: Vec<_> = lines.into_iter().map(|(name, words)| (name, screen::plain(&words))).collect();
    let mut shown = screen::entries(&lines, screen::width());
    let rows: Vec<_> = state["versions"].as_array().into_iter().flatten().map(version_row).collect();
    if !rows.is_empty() {
        shown += "\n";
        shown += &screen::table(&["version", "state", "new calls", "workers", "calls", "notes"], &rows);
    }
    shown
}

fn rollout_words(fleet: &Value) -> String {
    let rollout = &fleet["rollout"];
    if rollout.is_null() {
        return format!("none yet in {}: begin one with `openrtc deploy VERSION`", text(&fleet["deployment"]));
    }
    let from = rollout["from"].as_str().map(|from| format!("{from} → ")).unwrap_or_default();
    let paused = &fleet["paused"]["for_s"];
    let since = if rollout["over"] == true || paused.is_null() { &rollout["for_s"] } else { paused };
    let seconds = Duration::from_secs(since.as_u64().unwrap_or_default());
    let (version, doing, actor) = (text(&rollout["version"]), text(&rollout["doing"]), text(&rollout["actor"]));
    format!("{from}{version}: {doing}, asked by {actor}, for {}", humantime::format_duration(seconds))
}

fn version_row(version: &Value) -> Vec<String> {
    let count = |what: &str| version[what].as_u64().unwrap_or_default();
    let notes = ["draining", "unknown", "lost"].into_iter().filter(|what| count(what) > 0);
    let notes: Vec<_> = notes.map(|what| format!("{} {what}", count(what))).collect();
    let workers = format!("{} of {} ready", count("ready"), count("workers"));
    let calls = format!("{} of {}", count("calls"), count("slots"));
    let calls = if count("slots") == 0 { count("calls").to_string() } else { calls };
    vec![
        text(&version["version"]),
        text(&version["state"]),
        format!("{} %", count("weight")),
        workers,
        calls,
        notes.join(", "),
    ]
}

/// Text from elsewhere, safe to show.
pub(crate) fn text(value: &Value) -> String {
    screen::plain(value.as_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_shown_with_what_it_waits_for_and_the_way_out() {
        let state = json!({
            "deployment": "voice",
            "rollout": {"version": "v2", "from": "v1", "actor": "alice", "stage": "draining",
                "doing": "paused", "for_s": 75},
            "paused": {"actor": "bob", "reason": "asked to", "for_s": 5},
            "given_up": [{"worker": "b9", "calls": 1}],
            "waits": [{"what": "1 worker of v1 drains, with 3 calls", "way_out": "the calls end by themselves"}],
            "versions": [
                {"version": "v1", "state": "draining", "weight": 0, "workers": 2, "ready": 0, "calls": 3, "slots": 0,
                 "draining": 1, "unknown": 1, "lost": 0},
                {"version": "v2", "state": "current", "weight": 100, "workers": 2, "ready": 2, "calls": 5, "slots": 20,
                 "draining": 0, "unknown": 0, "lost": 0},
            ],
        });
        assert_eq!(
            words(&state),
            "\
rollout   v1 → v2: paused, asked by alice, for 5s
given up  b9, and 1 call with it
paused    by bob: asked to
waits     1 worker of v1 drains, with 3 calls: the calls end by themselves

version  state     new calls  workers       calls    notes
v1       draining  0 %        0 of 2 ready  3        1 draining, 1 unknown
v2       current   100 %      2 of 2 ready  5 of 20
"
        );
        let none = json!({"deployment": "voice", "rollout": null, "versions": []});
        assert_eq!(words(&none), "rollout  none yet in voice: begin one with `openrtc deploy VERSION`\n");
    }

    #[test]
    fn only_how_long_something_lasts_is_no_news() {
        assert_eq!(stable("rollout  v2: draining, for 1s\nx"), stable("rollout  v2: draining, for 2s\nx"));
        assert_ne!(stable("rollout  v2: draining, for 1s"), stable("rollout  v2: completed, for 1s"));
    }

    #[test]
    fn a_name_stays_one_in_a_query() {
        assert_eq!(percent("a-b.c_d~1/é&="), "a-b.c_d~1%2F%C3%A9%26%3D");
    }
}
