//! Finds what in a user's files would cut calls: deadlines that do not fit into one another, known traps, limits of
//! platforms. Pure: files come in as text.

mod finding;
mod process;
mod read;
mod report;
mod rules;
mod scene;
mod yaml;

use std::time::Duration;

use self::finding::{Allowance, Hit, allowances};
pub use self::finding::{Finding, Severity};
pub use self::read::{File, is_known};
pub use self::report::{catalogue, sarif};
use self::rules::limits::{NO_REASON, UNKNOWN_DRAIN, UNKNOWN_FILE, UNREAD, UNUSED};
pub use self::rules::{Rule, all as rules};
use self::scene::Scene;

/// What the files do not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long the workers' drain takes, if neither settings nor known programs say it.
    pub drain: Option<Duration>,
    /// The longest call that is expected.
    pub longest_call: Option<Duration>,
    /// The workers among what the files start, by name. Empty: with [`drain`](Self::drain), all are.
    pub workers: Vec<String>,
    /// The cloud that the files are for.
    pub target: Option<Cloud>,
}

/// A cloud whose limits are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cloud {
    /// Google's.
    Gke,
    /// Amazon's.
    Eks,
    /// Microsoft's.
    Aks,
    /// Oracle's.
    Oke,
}

/// What was found, by file and line.
///
/// ```
/// use openrtc_advise::lint::{File, Options, lint};
///
/// let text = "apiVersion: v1
/// kind: Pod
/// spec:
///   terminationGracePeriodSeconds: 60
///   containers:
///     - name: worker
///       env: [{name: OPENRTC_DRAIN_TIMEOUT, value: 10m}]
/// ";
/// let findings = lint(&[File { path: "pod.yaml".into(), text: text.into() }], &Options::default());
/// assert!(findings.iter().any(|finding| (finding.code, finding.line) == ("ORT-K001", 4)));
/// ```
#[must_use]
pub fn lint(files: &[File], options: &Options) -> Vec<Finding> {
    let (scene, unread) = read::read(files, options);
    let mut hits: Vec<(&Rule, Hit)> = Vec::new();
    for rule in rules() {
        hits.extend((rule.check)(&scene).into_iter().map(|hit| (rule, hit)));
    }
    hits.extend(unread.broken.into_iter().map(|hit| (rule(UNREAD), hit)));
    hits.extend(unread.unknown.into_iter().map(|hit| (rule(UNKNOWN_FILE), hit)));
    hits.extend(unjudged(&scene).into_iter().map(|hit| (rule(UNKNOWN_DRAIN), hit)));
    hits.extend(unmatched(&scene).into_iter().map(|hit| (rule(UNKNOWN_DRAIN), hit)));
    let mut findings = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let allowed = allowances(&file.text);
        let mut used = vec![false; allowed.len()];
        let of_file = hits.iter().filter(|(_, hit)| hit.file == number);
        findings.extend(of_file.map(|(rule, hit)| finding(file, rule, hit, &allowed, &mut used)));
        findings.extend(allowed.iter().zip(used).filter_map(|(allowance, used)| judged(file, allowance, used)));
    }
    findings.sort_by(|a, b| (&a.path, a.line, a.code).cmp(&(&b.path, b.line, b.code)));
    findings.dedup();
    findings
}

fn rule(code: &str) -> &'static Rule {
    rules().find(|rule| rule.code == code).expect("the codes of limits are rules")
}

fn finding(file: &File, rule: &Rule, hit: &Hit, allowed: &[Allowance], used: &mut [bool]) -> Finding {
    let place = allowed.iter().position(|allowance| allowance.allows(rule.code, hit.line));
    if let Some(place) = place {
        used[place] = true;
    }
    Finding {
        path: file.path.clone(),
        line: hit.line,
        code: rule.code,
        severity: hit.severity.unwrap_or(rule.severity),
        found: hit.found.clone(),
        why: rule.why,
        fix: rule.fix,
        allowed: place.map(|place| allowed[place].reason.clone()),
    }
}

/// What is wrong with an allowance itself.
fn judged(file: &File, allowance: &Allowance, used: bool) -> Option<Finding> {
    let is_known = rules().any(|rule| rule.code == allowance.code);
    let (code, found) = match (is_known, allowance.reason.is_empty(), used) {
        (false, _, _) => (NO_REASON, format!("there is no rule {}", allowance.code)),
        (true, true, _) => (NO_REASON, format!("{} is allowed without a reason", allowance.code)),
        (true, false, false) => (UNUSED, format!("{} was not found here", allowance.code)),
        (true, false, true) => return None,
    };
    Some(finding(file, rule(code), &Hit::new(0, allowance.at, found), &[], &mut []))
}

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
    missing.map(|name| Hit::new(0, 1, format!("there is no worker {name}")).with_severity(Severity::Error)).collect()
}

/// What starts something of which nothing says how long its drain takes: one finding for each file.
fn unjudged(scene: &Scene) -> Vec<Hit> {
    let workloads = scene.workloads.iter().filter(|workload| workload.worker.is_none());
    let workloads = workloads.map(|workload| (workload.object.file, workload.line(), workload.title()));
    let units = scene.units.iter().filter(|unit| unit.timing.is_none()).map(|unit| (unit.file, 1, unit.name.clone()));
    let services = scene.services.iter().filter(|service| service.timing.is_none());
    let services = services.map(|service| (service.file, service.line, format!("service {}", service.name)));
    let hosts = scene.hosts.iter().filter(|host| host.timing.is_none());
    let hosts = hosts.map(|host| (host.file, host.line, host.platform.to_owned()));
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
