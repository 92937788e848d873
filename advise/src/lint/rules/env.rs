//! Settings of a worker of this project, wherever they are: judged by the code that the worker itself is started with.

use std::time::Duration;

use openrtc_runtime::ConfigError;

use super::Rule;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Warning};
use crate::lint::process::{Process, Settings, say};
use crate::lint::scene::Scene;

/// Words need so long to be said.
const LAST_WORDS: Duration = Duration::from_secs(10);

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-E001",
        severity: Error,
        about: "OPENRTC_ settings",
        fires: "the drain does not fit into OPENRTC_PLATFORM_GRACE, or nothing ends it before that",
        why: "The worker refuses to start with them: the platform would kill it in the middle of its drain.",
        fix: "Raise the platform's grace and OPENRTC_PLATFORM_GRACE with it, or shorten the drain; with a known \
            grace OPENRTC_ON_DEADLINE is force.",
        check: |scene| {
            refused(scene, |error| {
                matches!(error, ConfigError::GraceTooShort { .. } | ConfigError::GraceNeedsForce { .. })
            })
        },
    },
    Rule {
        code: "ORT-E002",
        severity: Error,
        about: "OPENRTC_ settings",
        fires: "OPENRTC_ON_DEADLINE is alert or force, and OPENRTC_DRAIN_TIMEOUT none",
        why: "The worker refuses to start with them: there is no deadline to act at.",
        fix: "Set OPENRTC_DRAIN_TIMEOUT.",
        check: |scene| refused(scene, |error| matches!(error, ConfigError::DeadlineMissing(_))),
    },
    Rule {
        code: "ORT-E003",
        severity: Warning,
        about: "OPENRTC_ settings",
        fires: "OPENRTC_ON_DEADLINE is force, and OPENRTC_FORCE_GRACE below 10 s",
        why: "An agent that says that the call must end is cut in the middle of the sentence.",
        fix: "Set OPENRTC_FORCE_GRACE to 10s, if agents speak.",
        check: |scene| {
            on_settings(scene, |process, settings| {
                let grace = settings.config.force_grace;
                let name = if process.var("OPENRTC_FORCE_GRACE").is_some() {
                    "OPENRTC_FORCE_GRACE"
                } else {
                    "OPENRTC_ON_DEADLINE"
                };
                let found = format!("a force leaves {}", say(grace));
                if settings.forces() && grace < LAST_WORDS { vec![(line(process, name), found)] } else { Vec::new() }
            })
        },
    },
    Rule {
        code: "ORT-E004",
        severity: Warning,
        about: "OPENRTC_ settings",
        fires: "OPENRTC_STALL_AFTER is below 10 s, or longer than the drain",
        why: "A call that is silent for seconds is no stalled one; and one that is flagged after the drain is \
            flagged too late.",
        fix: "Leave it at 30s.",
        check: |scene| {
            on_settings(scene, |process, settings| {
                let Some(after) = settings.config.stall_after[0] else { return Vec::new() };
                let is_late = settings.config.drain_timeout.is_some_and(|drain| after > drain);
                let is_set = process.var("OPENRTC_STALL_AFTER").is_some();
                let found = format!("calls are flagged after {} of silence", say(after));
                let is_wrong = is_set && (after < Duration::from_secs(10) || is_late);
                if is_wrong { vec![(line(process, "OPENRTC_STALL_AFTER"), found)] } else { Vec::new() }
            })
        },
    },
    Rule {
        code: "ORT-E006",
        severity: Error,
        about: "OPENRTC_ settings",
        fires: "the worker would refuse any other setting, or several of them together",
        why: "The worker refuses to start, and says the same.",
        fix: "Do as the message says; docs/configuration.md lists what is refused.",
        check: |scene| {
            let mut hits = on_settings(scene, |_, settings| settings.bad.clone());
            hits.extend(refused(scene, |error| {
                use ConfigError::{DeadlineMissing, GraceNeedsForce, GraceTooShort};
                !matches!(error, GraceTooShort { .. } | GraceNeedsForce { .. } | DeadlineMissing(_))
            }));
            hits
        },
    },
    Rule {
        code: "ORT-E008",
        severity: Error,
        about: "OPENRTC_ settings",
        fires: "a variable begins with OPENRTC_ and means nothing",
        why: "It has no effect, most likely because it is misspelt.",
        fix: "Look it up in docs/configuration.md.",
        check: |scene| {
            on_settings(scene, |_, settings| {
                settings.unknown.iter().map(|var| (var.line, format!("{} means nothing", var.name))).collect()
            })
        },
    },
];

fn on_settings(scene: &Scene, check: impl Fn(&Process, &Settings) -> Vec<(usize, String)>) -> Vec<Hit> {
    let of = |(file, title, process): (usize, String, &Process)| {
        let found = process.settings().map(|settings| check(process, &settings)).unwrap_or_default();
        found
            .into_iter()
            .map(move |(line, found)| Hit::new(file, line, format!("{title}: {found}")))
            .collect::<Vec<_>>()
    };
    scene.processes().into_iter().flat_map(of).collect()
}

/// What a worker would refuse, of the kind that is asked for.
fn refused(scene: &Scene, is: impl Fn(&ConfigError) -> bool) -> Vec<Hit> {
    on_settings(scene, |process, settings| {
        let Some(error) = settings.refused().filter(|error| is(error)) else { return Vec::new() };
        let said = error.to_string();
        // At the setting that the message names, if the file has it.
        let named = process.env.iter().find(|var| said.contains(&var.name));
        let place = named.map_or_else(|| line(process, "OPENRTC_DRAIN_TIMEOUT"), |var| var.line);
        vec![(place, said)]
    })
}

/// The line of a variable, or of the first one.
fn line(process: &Process, name: &str) -> usize {
    let first = process.env.iter().find(|var| var.name.starts_with("OPENRTC_"));
    process.var(name).or(first).map_or(1, |var| var.line)
}
