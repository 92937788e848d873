//! What cannot be judged is said, not passed over. Codes without a check of their own are found by reading.

use super::Rule;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Hint, Warning};
use crate::lint::scene::Scene;

const NONE: fn(&Scene) -> Vec<Hit> = |_| Vec::new();

pub(in crate::lint) const UNREAD: &str = "ORT-I002";
pub(in crate::lint) const NO_REASON: &str = "ORT-I003";
pub(in crate::lint) const UNUSED: &str = "ORT-I004";
pub(in crate::lint) const UNKNOWN_FILE: &str = "ORT-I005";

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-I001",
        severity: Hint,
        about: "all files",
        fires: "nothing says how long the drain of what a file starts takes",
        why: "Without that no deadline can be judged.",
        fix: "If it is a worker, give --drain (and --worker NAME if other things are in the file as well).",
        check: |scene| [unjudged(scene), unmatched(scene)].concat(),
    },
    Rule {
        code: UNREAD,
        severity: Warning,
        about: "all files",
        fires: "a template that is not rendered, or a file that cannot be read",
        why: "Nothing in it was judged.",
        fix: "Render it first, or mend it.",
        check: NONE,
    },
    Rule {
        code: NO_REASON,
        severity: Error,
        about: "comments",
        fires: "a finding is allowed without a reason, or by a code that does not exist",
        why: "Whoever reads it later cannot judge whether the reason still holds.",
        fix: "Write it like `# openrtc-lint: allow ORT-K014 one pod, and it is drained by hand`.",
        check: NONE,
    },
    Rule {
        code: UNUSED,
        severity: Hint,
        about: "comments",
        fires: "a comment allows what was not found",
        why: "It hides nothing now, and may hide something later.",
        fix: "Remove it.",
        check: NONE,
    },
    Rule {
        code: UNKNOWN_FILE,
        severity: Hint,
        about: "all files",
        fires: "a file of no known kind",
        why: "Nothing in it was judged.",
        fix: "Leave it out, or give it the usual name of its kind.",
        check: NONE,
    },
];

/// Names of workers that are in no file: whoever gave one meant to have something judged.
fn unmatched(scene: &Scene) -> Vec<Hit> {
    let pods = scene.workloads.iter().flat_map(|workload| {
        let containers = workload.containers.iter().map(|container| container.name.as_str());
        containers.chain([workload.object.name.as_str()])
    });
    let units = scene.units.iter().map(|unit| unit.name.as_str());
    let services = scene.services.iter().map(|service| service.name.as_str());
    let all: Vec<_> = pods.chain(units).chain(services).collect();
    let is_there =
        |name: &String| all.iter().any(|other| other == name || other.strip_suffix(".service") == Some(name));
    let missing = scene.options.workers.iter().filter(|name| !is_there(name));
    missing.map(|name| Hit::new(0, 1, format!("there is no worker {name}")).with_severity(Error)).collect()
}

/// What starts something of which nothing says how long its drain takes: one finding for each file.
fn unjudged(scene: &Scene) -> Vec<Hit> {
    let workloads = scene.workloads.iter().filter(|workload| workload.worker.is_none());
    let workloads = workloads.map(|workload| (workload.object.file, workload.line(), workload.title()));
    let units = scene.units.iter().filter(|unit| unit.timing.is_none()).map(|unit| (unit.file, 1, unit.name.clone()));
    let services = scene.services.iter().filter(|service| service.timing.is_none());
    let services = services.map(|service| (service.file, service.line, format!("service {}", service.name)));
    let hosts = scene.hosts.iter().filter(|host| host.timing.is_none());
    let hosts = hosts.map(|host| (host.file, host.line, host.platform.name.to_owned()));
    let all: Vec<_> = workloads.chain(units).chain(services).chain(hosts).collect();
    let mut hits: Vec<Hit> = Vec::new();
    for (file, line, title) in all {
        match hits.iter_mut().find(|hit| hit.file == file) {
            Some(hit) => hit.found = format!("{}, {title}", hit.found),
            None => hits.push(Hit::new(file, line, format!("not judged: {title}"))),
        }
    }
    hits
}
