//! Compose files.

use super::Rule;
use super::signal::is_stop_signal;
use super::time::seconds;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Warning};
use crate::lint::process::{Timing, literal};
use crate::lint::scene::{Scene, Service};

/// What Docker gives a container that asks for nothing, in seconds.
const STOP: u64 = 10;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-C001",
        severity: Error,
        about: "compose files",
        fires: "stop_grace_period (10 s by default) ≤ the time to leave",
        why: "SIGKILL cuts the calls that are left.",
        fix: "Raise stop_grace_period above the drain.",
        check: |scene| {
            on_services(scene, |service, timing| {
                let set = service.node.get("stop_grace_period");
                let grace = grace(service)?;
                (grace <= timing.needed(&scene.options).as_secs()).then(|| {
                    let said = if set.is_some() { "is" } else { "is not set, so it is" };
                    let needs = timing.told(&scene.options);
                    let found =
                        format!("service {}: stop_grace_period {said} {grace}s, it needs {needs}", service.name);
                    Hit::new(service.file, set.map_or(service.line, |set| set.line), found)
                })
            })
        },
    },
    Rule {
        code: "ORT-C003",
        severity: Warning,
        about: "compose files",
        fires: "restart always or unless-stopped for a worker of this project that leaves by itself when it has \
            drained",
        why: "Docker starts a container again that ends, so a worker that `openrtc drain` drained comes back, in \
            the old version.",
        fix: "Set OPENRTC_LEAVE to `parked`, or restart to on-failure.",
        check: |scene| {
            on_services(scene, |service, _| {
                let settings = service.process.settings()?;
                let restart = service.node.get("restart")?;
                let returns = matches!(restart.text()?, "always" | "unless-stopped");
                let leaves = settings.config.leave == openrtc_core::worker::Leave::WhenDrained;
                (returns && leaves).then(|| {
                    let found = format!("service {}: restart {}", service.name, restart.text().unwrap_or_default());
                    Hit::new(service.file, restart.line, found)
                })
            })
        },
    },
    Rule {
        code: "ORT-C004",
        severity: Warning,
        about: "compose files",
        fires: "stop_signal is neither SIGTERM nor SIGINT",
        why: "Workers drain on SIGTERM. Another signal has another meaning, or ends the process.",
        fix: "Leave stop_signal out, or set it to SIGTERM.",
        check: |scene| {
            on_services(scene, |service, _| {
                let signal = service.node.get("stop_signal")?;
                let name = literal(signal.text()?)?;
                (!is_stop_signal(name)).then(|| {
                    Hit::new(service.file, signal.line, format!("service {}: stop_signal {name}", service.name))
                })
            })
        },
    },
    Rule {
        code: "ORT-C005",
        severity: Error,
        about: "compose files",
        fires: "OPENRTC_PLATFORM_GRACE is another time than stop_grace_period",
        why: "The worker checks its times against OPENRTC_PLATFORM_GRACE at start. A wrong number makes that check \
            worthless.",
        fix: "Give both the same time.",
        check: |scene| {
            on_services(scene, |service, _| {
                let var = service.process.var("OPENRTC_PLATFORM_GRACE")?;
                let told = seconds(literal(var.value.as_deref()?)?)?;
                let grace = grace(service)?;
                (told != grace).then(|| {
                    let found =
                        format!("service {}: OPENRTC_PLATFORM_GRACE {told}s, stop_grace_period {grace}s", service.name);
                    Hit::new(service.file, var.line, found)
                })
            })
        },
    },
];

/// What a service gives, in seconds.
fn grace(service: &Service) -> Option<u64> {
    match service.node.get("stop_grace_period") {
        Some(set) => seconds(literal(set.text()?)?),
        None => Some(STOP),
    }
}

fn on_services(scene: &Scene, check: impl Fn(&Service, &Timing) -> Option<Hit>) -> Vec<Hit> {
    scene.services.iter().filter_map(|service| check(service, service.timing.as_ref()?)).collect()
}
