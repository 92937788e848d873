//! Whether the worker hears SIGTERM at all.

use super::Rule;
use super::ladder::on_workers;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Warning};
use crate::lint::process::{Passes, passes, script};
use crate::lint::scene::{Image, Scene};

const WHY: &str = "A shell that is process 1 does not pass SIGTERM on. The worker never drains, and is killed at the \
                   end of the grace.";

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-K007",
        severity: Error,
        about: "pods",
        fires: "the command is `sh -c SCRIPT`, and its last command has no `exec` (a warning if it is one simple \
            command, which some shells become)",
        why: WHY,
        fix: "Put `exec` before the last command, or name the program without a shell.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let process = &container.process;
                let hit = shell(script(&process.command)?, workload.object.file, process.command_line)?;
                Some(Hit { found: format!("{}: {}", workload.title(), hit.found), ..hit })
            })
        },
    },
    Rule {
        code: "ORT-D001",
        severity: Error,
        about: "Dockerfiles",
        fires: "ENTRYPOINT, or CMD without an ENTRYPOINT, is in shell form, or is `sh -c` without `exec` (a warning \
            for one simple command)",
        why: WHY,
        fix: "Write it in exec form: [\"program\", \"argument\"].",
        check: |scene| scene.images.iter().filter_map(shell_form).collect(),
    },
    Rule {
        code: "ORT-D002",
        severity: Warning,
        about: "Dockerfiles",
        fires: "STOPSIGNAL is neither SIGTERM nor SIGINT",
        why: "Workers drain on SIGTERM. Another signal has another meaning, or ends the process.",
        fix: "Leave STOPSIGNAL out, or set it to SIGTERM.",
        check: |scene| {
            let signal = |image: &Image| {
                let (_, signal, line) = image.instructions.iter().rev().find(|(name, _, _)| name == "STOPSIGNAL")?;
                let is_fine = is_stop_signal(signal) || signal.contains('$');
                (!is_fine).then(|| Hit::new(image.file, *line, format!("STOPSIGNAL is {signal}")))
            };
            scene.images.iter().filter_map(signal).collect()
        },
    },
    Rule {
        code: "ORT-C002",
        severity: Error,
        about: "compose files",
        fires: "a worker's command is `sh -c SCRIPT`, and its last command has no `exec` (a warning for one simple \
            command)",
        why: WHY,
        fix: "Put `exec` before the last command, or name the program without a shell. `init: true` does not help: \
            it signals the shell.",
        check: |scene: &Scene| {
            let of = scene.services.iter().filter(|service| service.timing.is_some());
            of.filter_map(|service| {
                let hit = shell(script(&service.process.command)?, service.file, service.process.command_line)?;
                Some(Hit { found: format!("service {}: {}", service.name, hit.found), ..hit })
            })
            .collect()
        },
    },
];

/// Signals on which workers drain, as files write them.
pub(super) fn is_stop_signal(signal: &str) -> bool {
    ["SIGTERM", "TERM", "15", "SIGINT", "INT", "2"].contains(&signal)
}

fn shell(script: &str, file: usize, line: usize) -> Option<Hit> {
    let start: String = script.trim().chars().take(40).collect();
    let hit = Hit::new(file, line, format!("a shell runs `{}`", start.trim_end().replace('\n', " ")));
    match passes(script) {
        Passes::Yes => None,
        Passes::Perhaps => Some(hit.with_severity(Warning)),
        Passes::No => Some(hit),
    }
}

fn shell_form(image: &Image) -> Option<Hit> {
    let of = |wanted: &str| image.instructions.iter().rev().find(|(name, _, _)| name == wanted);
    let (name, command, line) = of("ENTRYPOINT").or_else(|| of("CMD"))?;
    let words: Option<Vec<String>> = command.starts_with('[').then(|| serde_json::from_str(command).ok()).flatten();
    let script = match &words {
        Some(words) => script(words)?.to_owned(),
        None => command.clone(),
    };
    let hit = shell(&script, image.file, *line)?;
    let found = if words.is_some() { hit.found } else { format!("{name} is in shell form: {}", hit.found) };
    Some(Hit { found, ..hit })
}
