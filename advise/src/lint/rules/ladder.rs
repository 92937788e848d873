//! The ladder of deadlines in a pod: everything between SIGTERM and SIGKILL, by its sum.

use std::time::Duration;

use super::Rule;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Hint, Warning};
use crate::lint::process::{Timing, literal, say};
use crate::lint::scene::{Container, Scene, Workload};
use crate::lint::yaml::Node;

/// What Kubernetes gives a pod that asks for nothing, in seconds.
const GRACE: u64 = 30;

/// A hook that sleeps for at most so long only waits until others know that the pod goes.
const SLEEP_MAX: u64 = 60;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-K001",
        severity: Error,
        about: "pods",
        fires: "preStop + the time to leave ≥ terminationGracePeriodSeconds (30 by default)",
        why: "The grace begins before preStop and covers everything up to the exit. When it is over, SIGKILL cuts \
            the calls that are left, without an event or a metric.",
        fix: "Raise terminationGracePeriodSeconds above the sum, or shorten the drain.",
        check: |scene| {
            on_workers(scene, |workload, _, timing| {
                let (grace, line, said) = grace(workload);
                let hook = hooks(workload);
                let needed = timing.needed(&scene.options).as_secs().saturating_add(hook);
                (needed >= grace && timing.leave.is_some()).then(|| {
                    let hook = if hook > 0 { format!("preStop {hook}s + ") } else { String::new() };
                    let needs = timing.told(&scene.options);
                    Hit::new(
                        workload.object.file,
                        line,
                        format!("{}: {hook}{needs} do not fit: {said}", workload.title()),
                    )
                })
            })
        },
    },
    Rule {
        code: "ORT-K002",
        severity: Error,
        about: "pods",
        fires: "OPENRTC_PLATFORM_GRACE is another number than terminationGracePeriodSeconds",
        why: "The worker checks its times against OPENRTC_PLATFORM_GRACE at start. A wrong number makes that check \
            worthless.",
        fix: "Give both the same number.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let var = container.process.var("OPENRTC_PLATFORM_GRACE")?;
                let told = super::time::seconds(literal(var.value.as_deref()?)?)?;
                let (grace, _, said) = grace(workload);
                (told != grace).then(|| {
                    let found = format!("{}: OPENRTC_PLATFORM_GRACE is {told}s, but {said}", workload.title());
                    Hit::new(workload.object.file, var.line, found)
                })
            })
        },
    },
    Rule {
        code: "ORT-K003",
        severity: Error,
        about: "pods",
        fires: "the drain has no end of its own, and the grace is shorter than the longest call (an hour, unless \
            --longest-call says)",
        why: "A program that waits as long as its calls last is killed at the end of the grace, in the middle of \
            them.",
        fix: "Raise terminationGracePeriodSeconds above the longest call; for a worker of this project set \
            OPENRTC_DRAIN_TIMEOUT and OPENRTC_ON_DEADLINE=force.",
        check: |scene| {
            on_workers(scene, |workload, _, timing| {
                let (grace, line, said) = grace(workload);
                let hook = hooks(workload);
                let is_short = timing.needed(&scene.options).as_secs().saturating_add(hook) > grace;
                (timing.leave.is_none() && is_short).then(|| {
                    let needs = timing.told(&scene.options);
                    Hit::new(workload.object.file, line, format!("{}: needs {needs}, but {said}", workload.title()))
                })
            })
        },
    },
    Rule {
        code: "ORT-K004",
        severity: Error,
        about: "pods",
        fires: "preStop drains: a loop, or a sleep of more than a minute",
        why: "preStop runs inside the grace, and the program hears SIGTERM only after it. If a call outlasts it, \
            about 2 s are left for all that the program does on SIGTERM.",
        fix: "Drain on SIGTERM, and let preStop do no more than sleep for the seconds until others know.",
        check: |scene| {
            on_containers(scene, |workload, container| {
                let (sleep, hook) = pre_stop(container);
                let hook = hook?;
                let script = script_of(hook);
                let is_loop = script.contains("while ") || script.contains("until ");
                (is_loop || sleep > SLEEP_MAX).then(|| {
                    let what = if is_loop { "waits in a loop".to_owned() } else { format!("sleeps for {sleep}s") };
                    Hit::new(
                        workload.object.file,
                        hook.line,
                        format!("{}: preStop of {} {what}", workload.title(), container.name),
                    )
                })
            })
        },
    },
    Rule {
        code: "ORT-K005",
        severity: Warning,
        about: "pods",
        fires: "a worker of this project behind a Service leaves within less than 5 s, and no preStop sleeps",
        why: "Endpoints lag behind a deletion by seconds. Connections that arrive in them meet a closed port \
            instead of a clear no.",
        fix: "Set OPENRTC_LAME_DUCK to the time that your balancer takes to notice, such as 15s.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let settings = container.process.settings()?;
                let is_behind = scene.of_kind("Service").any(|service| {
                    service.root.at(&["spec", "selector"]).is_some_and(|labels| workload.is_selected_by(labels))
                });
                let has_ports = !container.node.list_of("ports").is_empty();
                let is_short = settings.config.lame_duck < Duration::from_secs(5) && pre_stop(container).0 < 5;
                (is_behind && has_ports && is_short).then(|| {
                    let duck = say(settings.config.lame_duck);
                    let line = container.process.var("OPENRTC_LAME_DUCK").map_or(container.node.line, |var| var.line);
                    Hit::new(workload.object.file, line, format!("{}: OPENRTC_LAME_DUCK is {duck}", workload.title()))
                })
            })
        },
    },
    Rule {
        code: "ORT-K006",
        severity: Hint,
        about: "pods",
        fires: "preStop runs a tool that images often lack (curl, wget, a shell)",
        why: "A hook that cannot start fails in silence: SIGTERM follows at once. Small images have neither shell \
            nor tools.",
        fix: "Use `sleep` of lifecycle.preStop (Kubernetes 1.30 or later), or httpGet; else try the hook in the \
            image.",
        check: |scene| {
            on_containers(scene, |workload, container| {
                let (_, hook) = pre_stop(container);
                let exec = hook?.at(&["exec", "command"])?;
                let tool = exec.words().first()?.rsplit('/').next()?.to_owned();
                ["curl", "wget", "sh", "bash", "sleep"].contains(&tool.as_str()).then(|| {
                    let found =
                        format!("{}: preStop of {} needs `{tool}` in the image", workload.title(), container.name);
                    Hit::new(workload.object.file, exec.line, found)
                })
            })
        },
    },
    Rule {
        code: "ORT-K010",
        severity: Error,
        about: "probes",
        fires: "a liveness or startup probe has a terminationGracePeriodSeconds of its own that the drain does not \
            fit into",
        why: "When such a probe fails, its own grace counts instead of the pod's.",
        fix: "Remove it from the probe.",
        check: |scene| {
            on_workers(scene, |workload, container, timing| {
                let needed = timing.needed(&scene.options).as_secs();
                ["livenessProbe", "startupProbe"].into_iter().find_map(|name| {
                    let probe = container.node.get(name)?;
                    let grace = probe.number_of("terminationGracePeriodSeconds").filter(|grace| *grace <= needed)?;
                    let line = probe.line_of("terminationGracePeriodSeconds")?;
                    let found = format!("{}: {name} has a grace of {grace}s", workload.title());
                    Some(Hit::new(workload.object.file, line, found))
                })
            })
        },
    },
    Rule {
        code: "ORT-K011",
        severity: Warning,
        about: "pods",
        fires: "a proxy is a plain container beside the worker",
        why: "All plain containers get SIGTERM at once, in no order. A proxy that leaves first takes the worker's \
            connections with it.",
        fix: "Make it a native sidecar: an init container with restartPolicy Always (Kubernetes 1.29 or later). It \
            leaves last.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                const PROXIES: &[&str] =
                    &["istio/proxyv2", "envoyproxy/envoy", "linkerd/proxy", "cloud-sql-proxy", "cloudflared"];
                let is_proxy = |other: &&Container| {
                    !other.is_sidecar
                        && other.name != container.name
                        && PROXIES.iter().any(|it| other.process.image.contains(it))
                };
                let proxy = workload.containers.iter().find(is_proxy)?;
                let found = format!("{}: {} is a plain container", workload.title(), proxy.name);
                Some(Hit::new(workload.object.file, proxy.node.line, found))
            })
        },
    },
    Rule {
        code: "ORT-K012",
        severity: Warning,
        about: "pods",
        fires: "a native sidecar has a preStop hook",
        why: "preStop hooks of all containers run at once. The order of sidecars covers SIGTERM alone, so the hook \
            drains the sidecar while the worker needs it.",
        fix: "Remove the hook: the sidecar gets SIGTERM after the worker has left.",
        check: |scene| {
            on_workers(scene, |workload, _, _| {
                let is_hooked =
                    |other: &&Container| other.is_sidecar && other.node.at(&["lifecycle", "preStop"]).is_some();
                let sidecar = workload.containers.iter().find(is_hooked)?;
                let line = sidecar.node.line_of("lifecycle").unwrap_or(sidecar.node.line);
                Some(Hit::new(workload.object.file, line, format!("{}: sidecar {}", workload.title(), sidecar.name)))
            })
        },
    },
];

/// What a check says of each worker's pod.
pub(super) fn on_workers(scene: &Scene, check: impl Fn(&Workload, &Container, &Timing) -> Option<Hit>) -> Vec<Hit> {
    scene.workers().filter_map(|(workload, container, timing)| check(workload, container, timing)).collect()
}

/// What a check says of each container of each worker's pod: a hook of any of them holds up the whole pod.
fn on_containers(scene: &Scene, check: impl Fn(&Workload, &Container) -> Option<Hit>) -> Vec<Hit> {
    let pods = scene.workers().map(|(workload, _, _)| workload);
    pods.flat_map(|workload| workload.containers.iter().filter_map(|container| check(workload, container))).collect()
}

/// For how long the hooks of a pod sleep: they run side by side.
fn hooks(workload: &Workload) -> u64 {
    workload.containers.iter().map(|container| pre_stop(container).0).max().unwrap_or(0)
}

/// A pod's grace in seconds, the line that it is on, and how it is called.
pub(super) fn grace(workload: &Workload) -> (u64, usize, String) {
    const NAME: &str = "terminationGracePeriodSeconds";
    let set = workload.pod().and_then(|pod| Some((pod.number_of(NAME)?, pod.line_of(NAME)?)));
    match set {
        Some((grace, line)) => (grace, line, format!("{NAME} is {grace}")),
        None => (GRACE, workload.pod_line(), format!("{NAME} is not set, so it is {GRACE}")),
    }
}

/// For how long a container's preStop hook sleeps, in seconds, and the hook.
pub(super) fn pre_stop(container: &Container) -> (u64, Option<&Node>) {
    let Some(hook) = container.node.at(&["lifecycle", "preStop"]) else { return (0, None) };
    if let Some(seconds) = hook.get("sleep").and_then(|sleep| sleep.number_of("seconds")) {
        return (seconds, Some(hook));
    }
    let script = script_of(hook);
    // Within a loop it is one step of an unknown number.
    let sleep =
        script.split(|char: char| char.is_whitespace() || ";&|".contains(char)).skip_while(|word| *word != "sleep");
    (sleep.skip(1).find_map(|word| word.trim_end_matches('s').parse().ok()).unwrap_or(0), Some(hook))
}

fn script_of(hook: &Node) -> String {
    hook.at(&["exec", "command"]).map(|command| command.words().join(" ")).unwrap_or_default()
}
