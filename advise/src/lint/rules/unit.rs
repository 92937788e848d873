//! Units of systemd.

use super::Rule;
use super::signal::is_stop_signal;
use super::time::seconds_or;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Warning};
use crate::lint::process::{Timing, say, script};
use crate::lint::scene::{Scene, Unit};

/// What systemd gives a unit that asks for nothing, in seconds.
const STOP: u64 = 90;

/// A watchdog must leave a busy worker so long, in seconds.
const WATCHDOG: u64 = 30;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-S001",
        severity: Error,
        about: "systemd units",
        fires: "TimeoutStopSec (90 s by default) ≤ the time to leave, and the worker does not ask for more (this \
            project's do, under Type=notify)",
        why: "SIGKILL cuts the calls that are left.",
        fix: "Raise TimeoutStopSec above the drain, or set it to infinity.",
        check: |scene| {
            on_units(scene, |unit, timing| {
                let set = unit.get("TimeoutStopSec").or_else(|| unit.get("TimeoutSec"));
                let asks = timing.is_openrtc && unit.get("Type").is_some_and(|(kind, _)| kind.starts_with("notify"));
                let limit = match set {
                    Some(("infinity" | "0", _)) => return None,
                    Some((text, _)) => seconds_or(text, 1_000)?,
                    None => STOP,
                };
                (limit <= timing.needed(&scene.options).as_secs() && !asks).then(|| {
                    let line = set.map_or(unit.process.command_line, |(_, line)| line);
                    let needs = timing.told(&scene.options);
                    Hit::new(unit.file, line, format!("{}: TimeoutStopSec is {limit}s, it needs {needs}", unit.name))
                })
            })
        },
    },
    Rule {
        code: "ORT-S002",
        severity: Warning,
        about: "systemd units",
        fires: "KillMode is not mixed",
        why: "control-group, the default, signals every process of the unit at once, those that handle calls too. \
            process and none leave processes behind.",
        fix: "Set KillMode=mixed: the main process gets SIGTERM, and what is left at the end is killed.",
        check: |scene| {
            on_units(scene, |unit, timing| {
                let mode = unit.get("KillMode").unwrap_or(("control-group", unit.process.command_line));
                // Whether a program has processes for its calls, a unit does not say.
                let matters = timing.is_openrtc || mode.0 == "process" || mode.0 == "none";
                (mode.0 != "mixed" && matters)
                    .then(|| Hit::new(unit.file, mode.1, format!("{}: KillMode={}", unit.name, mode.0)))
            })
        },
    },
    Rule {
        code: "ORT-S003",
        severity: Warning,
        about: "systemd units",
        fires: "SendSIGHUP=yes, or a KillSignal that is neither SIGTERM nor SIGINT",
        why: "Workers drain on SIGTERM. Another signal has another meaning, or ends the process.",
        fix: "Remove the line.",
        check: |scene| {
            on_units(scene, |unit, _| {
                let (key, (value, line)) = ["SendSIGHUP", "KillSignal"].iter().find_map(|key| {
                    let got = unit.get(key)?;
                    let is_wrong = if *key == "KillSignal" { !is_stop_signal(got.0) } else { got.0 == "yes" };
                    is_wrong.then_some((key, got))
                })?;
                Some(Hit::new(unit.file, line, format!("{}: {key}={value}", unit.name)))
            })
        },
    },
    Rule {
        code: "ORT-S004",
        severity: Warning,
        about: "systemd units",
        fires: "a worker of this project is started again when it left on purpose: Restart=always, or no \
            RestartPreventExitStatus=2 3, and 4 for one that registers",
        why: "A worker that was drained, forced or rejected comes back, in the old version.",
        fix: "Set Restart=on-failure and RestartPreventExitStatus=2 3 4.",
        check: |scene| {
            on_units(scene, |unit, timing| {
                let (restart, line) = unit.get("Restart").filter(|_| timing.is_openrtc)?;
                let prevented = unit.get("RestartPreventExitStatus").map_or("", |(codes, _)| codes);
                // Only a worker that registers can be rejected.
                let registers = unit.process.var("OPENRTC_REGISTER_URL").is_some();
                let codes: &[&str] = if registers { &["2", "3", "4"] } else { &["2", "3"] };
                let is_prevented = codes.iter().all(|code| prevented.split_whitespace().any(|it| it == *code));
                let returns = restart == "always" || restart == "on-success" || restart != "no" && !is_prevented;
                returns.then(|| Hit::new(unit.file, line, format!("{}: Restart={restart}", unit.name)))
            })
        },
    },
    Rule {
        code: "ORT-S005",
        severity: Error,
        about: "systemd units",
        fires: "WatchdogSec below 30 s; or Type=notify with a shell in between, without NotifyAccess=all",
        why: "A short watchdog kills a worker that is busy. Of a shell's child systemd takes no message: it never \
            becomes ready, and cannot ask for time.",
        fix: "Set WatchdogSec to 30 or more; start the program without a shell, or by `exec`.",
        check: |scene| {
            on_units(scene, |unit, _| {
                if let Some((text, line)) = unit.get("WatchdogSec")
                    && seconds_or(text, 1_000).is_some_and(|time| time > 0 && time < WATCHDOG)
                {
                    return Some(Hit::new(unit.file, line, format!("{}: WatchdogSec={text}", unit.name)));
                }
                let is_notify = unit.get("Type").is_some_and(|(kind, _)| kind.starts_with("notify"));
                let takes_all = unit.get("NotifyAccess").is_some_and(|(whose, _)| matches!(whose, "all" | "exec"));
                let is_apart = script(&unit.process.command).is_some_and(|script| !script.contains("exec "));
                (is_notify && is_apart && !takes_all).then(|| {
                    Hit::new(
                        unit.file,
                        unit.process.command_line,
                        format!("{}: a shell is the main process", unit.name),
                    )
                })
            })
        },
    },
    Rule {
        code: "ORT-S006",
        severity: Error,
        about: "systemd units",
        fires: "LimitNOFILE is below what the capacity of a worker of this project takes (capacity × \
            OPENRTC_CALL_DESCRIPTORS + 48)",
        why: "The worker refuses to start: offers beyond its descriptors would hang.",
        fix: "Raise LimitNOFILE, or lower OPENRTC_CAPACITY.",
        check: |scene| {
            on_units(scene, |unit, _| {
                let settings = unit.process.settings()?;
                let (text, line) = unit.get("LimitNOFILE")?;
                // The hard limit: the worker raises its own up to that.
                let limit: u64 = text.rsplit(':').next()?.parse().ok()?;
                let calls = u64::from(settings.config.capacity) * u64::from(settings.config.call_descriptors);
                (settings.config.call_descriptors > 0 && limit < calls + 48).then(|| {
                    Hit::new(unit.file, line, format!("{}: LimitNOFILE={text}, it takes {}", unit.name, calls + 48))
                })
            })
        },
    },
    Rule {
        code: "ORT-S007",
        severity: Error,
        about: "systemd units",
        fires: "RuntimeMaxSec is set",
        why: "The unit is ended when it is over, whatever calls it has.",
        fix: "Remove it.",
        check: |scene| {
            on_units(scene, |unit, _| {
                let (text, line) = unit.get("RuntimeMaxSec").filter(|(text, _)| *text != "infinity")?;
                Some(Hit::new(unit.file, line, format!("{}: RuntimeMaxSec={text}", unit.name)))
            })
        },
    },
    Rule {
        code: "ORT-S009",
        severity: Error,
        about: "systemd units",
        fires: "ExecStop ends the program without a drain: `compose down`, `docker stop` with a short time or \
            without one, `kill -9`, `pkill`",
        why: "It runs before SIGTERM, and its own time-out, such as Docker's 10 s, counts.",
        fix: "Remove ExecStop: systemd sends SIGTERM to the main process. Around containers, stop with a time above \
            the drain.",
        check: |scene| {
            on_units(scene, |unit, timing| {
                let needed = timing.needed(&scene.options).as_secs();
                let (command, line) = unit.get("ExecStop")?;
                let kills = ["kill -9", "kill -KILL", "kill -s KILL", "rm -f", "pkill", "killall"]
                    .iter()
                    .any(|it| command.contains(it));
                let words: Vec<_> = command.split_whitespace().collect();
                let stops = command.contains("docker") && (words.contains(&"stop") || words.contains(&"down"));
                let flags = ["-t", "--time", "--timeout"];
                let time =
                    words.windows(2).find(|pair| flags.contains(&pair[0])).and_then(|pair| pair[1].parse::<u64>().ok());
                let is_short = stops && time.unwrap_or(10) <= needed;
                (kills || is_short).then(|| {
                    Hit::new(
                        unit.file,
                        line,
                        format!("{}: ExecStop={command} (it needs {})", unit.name, say(timing.needed(&scene.options))),
                    )
                })
            })
        },
    },
];

fn on_units(scene: &Scene, check: impl Fn(&Unit, &Timing) -> Option<Hit>) -> Vec<Hit> {
    scene.units.iter().filter_map(|unit| check(unit, unit.timing.as_ref()?)).collect()
}
