//! What a worker says of itself, as far as this build understands it: a build before it may say less, and one after it
//! more or other things, and neither may keep a person from seeing the rest.

use anyhow::{Context, ensure};
use openrtc_core::time::Instant;
use openrtc_runtime::Clock;
use serde_json::Value;

use crate::http;

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen(Value);

impl Seen {
    /// Asks the worker at `host`. `path` is `/snapshot` with what it waits for, if it does.
    pub(crate) async fn ask(host: &str, path: &str) -> anyhow::Result<Self> {
        let response = http::get(host, path, None).await?;
        ensure!(response.status == 200, "it answers {}: is this a worker's ops endpoint?", response.status);
        let value: Value = serde_json::from_str(&response.body).ok().context(NOT_A_WORKER)?;
        Self::of(value).context(NOT_A_WORKER)
    }

    /// A snapshot, if it is one.
    pub(crate) fn of(value: Value) -> Option<Self> {
        value["phase"].is_string().then_some(Self(value))
    }

    /// All of it, as it came.
    pub(crate) const fn raw(&self) -> &Value {
        &self.0
    }

    /// A text in it, such as `worker`; a question mark if it says nothing of that.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or("?")
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or(0)
    }

    pub(crate) fn phase(&self) -> &str {
        self.text("phase")
    }

    /// Whether no call is left and none will come, unless somebody takes that back.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(self.phase(), "drained" | "exited")
    }

    pub(crate) fn has_left(&self) -> bool {
        self.phase() == "exited"
    }

    /// How many calls a forced drain cut.
    pub(crate) fn dropped(&self) -> u64 {
        let cut = &self.0["totals"]["ended"]["drain_forced"];
        self.0["outcome"]["forced"]["dropped"].as_u64().or_else(|| cut.as_u64()).unwrap_or(0)
    }

    /// The calls in flight, of how many.
    pub(crate) fn calls(&self) -> String {
        match self.0["capacity"].as_u64() {
            Some(capacity) => format!("{} of {capacity}", self.number("active_sessions")),
            None => self.number("active_sessions").to_string(),
        }
    }

    /// What else there is to say, in a few words each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (count, what) in [("reserved_sessions", "reserved"), ("stalled_sessions", "stalled")] {
            if self.number(count) > 0 {
                notes.push(format!("{} {what}", self.number(count)));
            }
        }
        if self.has_left() {
            notes.push(match self.dropped() {
                _ if self.0["outcome"] == "rejected" => "the fleet did not want it".into(),
                0 => "no call dropped".into(),
                dropped => format!("{dropped} calls dropped"),
            });
        }
        notes.extend(self.drain());
        let obeyed = &self.0["obeyed"];
        if let (Some(epoch @ 1..), Some(order)) = (obeyed["epoch"].as_u64(), obeyed["order"].as_u64()) {
            notes.push(format!("order {epoch}.{order}"));
        }
        if self.0["journal"]["failing"] == true {
            notes.push("its journal cannot be written".into());
        }
        notes
    }

    fn drain(&self) -> Vec<String> {
        let drain = &self.0["drain"];
        if drain.is_null() {
            return Vec::new();
        }
        let word = |of: &Value| of.as_str().unwrap_or("?").to_owned();
        let mut words = vec![format!("{} by {}", word(&drain["cause"]), word(&drain["actor"]))];
        if drain["sealed"] == true {
            words.push("final".into());
        }
        if let Some(live) = drain["forced"]["live"].as_u64() {
            words.push(format!("forced by {} on {live} calls", word(&drain["forced"]["actor"])));
        } else if !self.is_drained() {
            words.extend(deadline(drain));
        }
        words
    }
}

/// How long the drain may take, and what happens then.
fn deadline(drain: &Value) -> Vec<String> {
    let terms = if drain["terms"].is_object() { &drain["terms"] } else { drain };
    let Some(deadline) = terms["deadline"].as_u64() else { return vec!["no deadline".into()] };
    // By this machine's clock: a person wants to know how long to wait, not what the worker's says.
    let left = Instant::from_micros(deadline).since(Clock::wall()).as_micros() / 1_000_000;
    let mut words = vec![match left {
        0 => "OVERDUE".into(),
        left => format!("{} left", humantime::format_duration(std::time::Duration::from_secs(left))),
    }];
    let policy = match (terms["force_at"].as_u64(), terms["alert_at"].as_u64()) {
        (Some(_), _) => Some("force"),
        (None, Some(_)) => Some("alert"),
        (None, None) => drain["on_deadline"].as_str().filter(|policy| *policy != "wait"),
    };
    words.extend(policy.map(|policy| format!("then {policy}")));
    words
}

const NOT_A_WORKER: &str = "its answer is not a snapshot: is this a worker's ops endpoint?";

#[cfg(test)]
mod tests {
    use openrtc_core::id::{Actor, Deployment, Epoch, Identity, Incarnation, Seq, Version, WorkerId};
    use openrtc_core::machine::Machine;
    use openrtc_core::order::{Order, Stamp, Wish};
    use openrtc_core::snapshot::{JournalHealth, RuntimeSnapshot};
    use openrtc_core::time::Span;
    use openrtc_core::worker::{Cause, Command, DrainOrder, Limits, OnDeadline, Terms, Worker};
    use serde_json::json;

    use super::*;

    fn seen(commands: &[Command]) -> Seen {
        let mut worker = Worker::new(Limits::default()).expect("valid");
        for command in commands {
            worker.step(Instant::EPOCH, *command).expect("legal");
        }
        let identity = Identity {
            deployment: Deployment::from_static("demo"),
            version: Version::from_static("v1"),
            worker: WorkerId::from_static("blue-1"),
            incarnation: Incarnation::new(1),
        };
        let snapshot = RuntimeSnapshot::of(&worker, &identity, JournalHealth::default());
        Seen::of(serde_json::to_value(snapshot).expect("JSON")).expect("a snapshot")
    }

    #[test]
    fn what_a_drain_comes_to_and_whose_order_it_obeys_is_told() {
        let wish = Wish::Drain { within: None, on_deadline: OnDeadline::Wait };
        let stamp = Stamp { epoch: Epoch::new(2), order: Seq::new(8) };
        let order = Order { stamp, actor: Actor::from_static("alice"), wish };
        let id = openrtc_core::id::Digest::new(7);
        let admit = Command::Admit { id, class: openrtc_core::worker::Class::default() };
        let drains = seen(&[Command::Serve, admit, Command::Obey(order)]);
        assert_eq!(drains.notes(), ["coordinator by alice", "no deadline", "order 2.8"]);
        assert_eq!((drains.calls().as_str(), drains.is_drained()), ("1 of 1000", false));

        let terms = Terms::new(Some(Instant::EPOCH + Span::from_secs(1)), OnDeadline::Force).expect("a deadline");
        let order = DrainOrder { cause: Cause::Signal, actor: Actor::from_static("SIGTERM"), terms };
        let late = seen(&[Command::Serve, admit, Command::BeginDrain(order)]);
        assert_eq!(late.notes(), ["signal by SIGTERM", "final", "OVERDUE", "then force"]);

        let left = seen(&[Command::Serve, Command::BeginDrain(order), Command::Wake, Command::Wake]);
        assert!(left.has_left() && left.is_drained() && left.dropped() == 0);
        assert_eq!(left.notes(), ["no call dropped", "signal by SIGTERM", "final"]);
    }

    #[test]
    fn builds_before_and_after_this_one_are_understood_as_far_as_they_go() {
        let before = json!({"phase": "draining", "worker": "w", "active_sessions": 3, "capacity": 10,
            "totals": {"ended": [0, 0, 0]}, "drain": {"actor": "bob", "cause": "api", "deadline": null,
            "on_deadline": "wait", "forced": null, "sealed": false}});
        let before = Seen::of(before).expect("a snapshot");
        assert_eq!((before.calls().as_str(), before.dropped()), ("3 of 10", 0));
        assert_eq!(before.notes(), ["api by bob", "no deadline"]);

        let after = json!({"phase": "hibernating", "active_sessions": {"voice": 3}, "drain": {"cause": "moon"},
            "stalled_sessions": 2, "totals": {"ended": {"drain_forced": 4, "abducted": 1}}, "new": [1]});
        let after = Seen::of(after).expect("a snapshot");
        assert_eq!((after.phase(), after.text("worker"), after.dropped()), ("hibernating", "?", 4));
        assert_eq!(after.notes(), ["2 stalled", "moon by ?", "no deadline"]);

        assert_eq!(Seen::of(json!({"status": "ok"})), None, "something else answers there");
        assert_eq!(Seen::of(json!([1, 2])), None);
    }
}
