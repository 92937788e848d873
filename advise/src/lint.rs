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
use self::rules::limits::{NO_REASON, UNKNOWN_FILE, UNREAD, UNUSED};
pub use self::rules::{Rule, all as rules};

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
