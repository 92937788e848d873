//! Probes: what a drain or a pause does to them.

use super::Rule;
use super::ladder::on_workers;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Hint, Warning};
use crate::lint::yaml::Node;

/// A worker that was held up for so long is not dead, in seconds.
const PAUSE: u64 = 30;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-K008",
        severity: Error,
        about: "probes",
        fires: "liveness asks `/readyz`, or asks what readiness asks (a hint: its answer may not depend on the \
            drain)",
        why: "Readiness says no while a worker drains. A liveness probe that asks the same restarts the container, \
            and every call in it is lost.",
        fix: "Ask `/livez` for liveness: it does not depend on drain or load.",
        check: |scene| {
            on_workers(scene, |workload, container, timing| {
                let asked = |name: &str| asked(container.node.get(name)?);
                let liveness = asked("livenessProbe")?;
                let line = container.node.line_of("livenessProbe")?;
                let hit =
                    Hit::new(workload.object.file, line, format!("{}: liveness asks {}", workload.title(), liveness.1));
                if liveness.1.ends_with("/readyz") {
                    return Some(hit);
                }
                let is_same = asked("readinessProbe").is_some_and(|readiness| readiness == liveness);
                (is_same && timing.probe_follows_drain)
                    .then(|| Hit { found: format!("{}, as readiness does", hit.found), ..hit }.with_severity(Hint))
            })
        },
    },
    Rule {
        code: "ORT-K009",
        severity: Warning,
        about: "probes",
        fires: "liveness gives up after less than 30 s (periodSeconds × failureThreshold)",
        why: "A pause of some seconds, of a disk or a node, then ends every call in the pod.",
        fix: "Set failureThreshold so that a minute must pass.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let probe = container.node.get("livenessProbe")?;
                let [period, failures] = [("periodSeconds", 10), ("failureThreshold", 3)]
                    .map(|(name, default)| probe.number_of(name).unwrap_or(default));
                (period.saturating_mul(failures) < PAUSE).then(|| {
                    let found = format!("{}: liveness gives up after {period} × {failures} s", workload.title());
                    Hit::new(workload.object.file, container.node.line_of("livenessProbe").unwrap_or(probe.line), found)
                })
            })
        },
    },
];

/// Whom a probe asks, and what.
fn asked(probe: &Node) -> Option<(String, String)> {
    let get = probe.get("httpGet")?;
    let text = |key: &str, default: &str| get.text_of(key).unwrap_or(default).to_owned();
    Some((text("port", ""), text("path", "/")))
}
