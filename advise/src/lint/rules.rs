//! The rules: data and one function each, by subject.

mod balancer;
mod cloud;
mod compose;
mod disruption;
mod env;
mod ladder;
pub(super) mod limits;
mod probes;
mod signal;
pub(super) mod time;
mod unit;
mod workload;

use super::finding::{Hit, Severity};
use super::scene::Scene;

/// A rule.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Its code, which never changes and is never used again.
    pub code: &'static str,
    /// How bad it is, as a rule.
    pub severity: Severity,
    /// Which files it is about.
    pub about: &'static str,
    /// When it speaks.
    pub fires: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// What to do.
    pub fix: &'static str,
    pub(super) check: fn(&Scene) -> Vec<Hit>,
}

/// Every rule, by subject.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    let parts: [&'static [Rule]; 11] = [
        ladder::RULES,
        signal::RULES,
        probes::RULES,
        workload::RULES,
        disruption::RULES,
        cloud::RULES,
        unit::RULES,
        compose::RULES,
        env::RULES,
        balancer::RULES,
        limits::RULES,
    ];
    parts.into_iter().flatten()
}
