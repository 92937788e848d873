//! What stands between callers and workers: load balancers, and platforms that have a grace of their own.

use super::Rule;
use super::time::seconds_or;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Warning};
use crate::lint::process::{literal, say};
use crate::lint::scene::{Balancer, Scene};
use crate::lint::yaml::Node;

/// Silence on a call's connection may last so long, in seconds.
const SILENCE: u64 = 3_600;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-L001",
        severity: Warning,
        about: "HAProxy",
        fires: "no `timeout tunnel`, and `timeout client` or `timeout server` below an hour; or a `timeout tunnel` \
            below it",
        why: "It ends a WebSocket or TCP connection on which nobody sends for so long. Once a connection is a \
            tunnel, `timeout tunnel` replaces the other two.",
        fix: "Set `timeout tunnel 1h` or more, or have both ends ping more often.",
        check: |scene| {
            of(scene, "HAProxy", |balancer| {
                let is_short = |name: &str| {
                    let (text, line) = balancer.get(name)?;
                    (seconds_or(text, 1)? < SILENCE).then(|| Hit::new(balancer.file, line, format!("{name} {text}")))
                };
                match balancer.get("timeout tunnel") {
                    Some(_) => is_short("timeout tunnel"),
                    None => ["timeout client", "timeout server"].into_iter().find_map(is_short),
                }
            })
        },
    },
    Rule {
        code: "ORT-L002",
        severity: Error,
        about: "HAProxy",
        fires: "hard-stop-after is shorter than the longest call",
        why: "At each reload the old process ends its connections when it is over.",
        fix: "Raise it above the longest call, or change servers through the runtime API without a reload.",
        check: |scene| {
            of(scene, "HAProxy", |balancer| {
                let (text, line) = balancer.get("hard-stop-after")?;
                let longest = scene.longest_call_s();
                (seconds_or(text, 1)? < longest).then(|| {
                    Hit::new(balancer.file, line, format!("hard-stop-after {text}; calls last up to {longest}s"))
                })
            })
        },
    },
    Rule {
        code: "ORT-L003",
        severity: Warning,
        about: "nginx, Ingress of nginx",
        fires: "a location that upgrades connections has a proxy_read_timeout below an hour (60 s by default); or \
            worker_shutdown_timeout is shorter than the longest call",
        why: "nginx ends a connection on which the worker sends nothing for so long; and at a reload, old processes \
            end theirs when worker_shutdown_timeout is over.",
        fix: "Set proxy_read_timeout and proxy_send_timeout to 1h or more, or ping more often than every 60 s; \
            leave worker_shutdown_timeout out.",
        check: |scene| {
            let mut hits: Vec<_> =
                scene.balancers.iter().filter(|it| it.program == "nginx").flat_map(upgrades).collect();
            hits.extend(of(scene, "nginx", |balancer| {
                let (text, line) = balancer.get("worker_shutdown_timeout")?;
                let longest = scene.longest_call_s();
                (seconds_or(text, 1_000)? < longest).then(|| {
                    Hit::new(balancer.file, line, format!("worker_shutdown_timeout {text}")).with_severity(Error)
                })
            }));
            hits
        },
    },
    Rule {
        code: "ORT-L005",
        severity: Error,
        about: "BackendConfigs of GKE",
        fires: "timeoutSec or connectionDraining.drainingTimeoutSec is shorter than the longest call",
        why: "For WebSockets timeoutSec is the longest that a connection may last. Draining cuts what is left when \
            its time is over.",
        fix: "Raise both above the longest call.",
        check: |scene| {
            let longest = scene.longest_call_s();
            let paths: [&[&str]; 2] = [&["spec", "timeoutSec"], &["spec", "connectionDraining", "drainingTimeoutSec"]];
            let of = |path: &[&str]| {
                scene
                    .of_kind("BackendConfig")
                    .filter_map(|config| {
                        let node = config.root.at(path)?;
                        let text = node.text()?;
                        (text.parse::<u64>().ok()? < longest).then(|| {
                            let found =
                                format!("{}: {} is {text}; calls last up to {longest}s", config.name, path.join("."));
                            Hit::new(config.file, node.line, found)
                        })
                    })
                    .collect::<Vec<_>>()
            };
            paths.into_iter().flat_map(of).collect()
        },
    },
    Rule {
        code: "ORT-P001",
        severity: Error,
        about: "Fly, Render, ECS",
        fires: "the platform's grace is shorter than the worker needs, or even the most that it gives is (Fly: 5 s, \
            at most 300 s on shared CPUs and 24 h on dedicated ones; Render: 30 s, at most 300 s; ECS: 30 s, at \
            most 120 s)",
        why: "The platform kills the worker when its grace is over, and no setting makes it longer than its most.",
        fix: "Raise it as far as it goes. If that is not enough: task scale-in protection on ECS, another platform \
            elsewhere.",
        check: |scene| {
            scene
                .hosts
                .iter()
                .filter_map(|host| {
                    let timing = host.timing.as_ref()?;
                    let needed = timing.needed(&scene.options).as_secs();
                    let grace = host.grace_s.unwrap_or(host.platform.default_s);
                    (grace <= needed).then(|| {
                        let most = if needed >= host.platform.cap_s {
                            format!("; {} gives {}s at most", host.platform.name, host.platform.cap_s)
                        } else {
                            String::new()
                        };
                        let found = format!(
                            "{} is {grace}s, it needs {}{most}",
                            host.platform.setting,
                            timing.told(&scene.options)
                        );
                        Hit::new(host.file, host.line, found)
                    })
                })
                .collect()
        },
    },
    Rule {
        code: "ORT-P002",
        severity: Error,
        about: "Fly",
        fires: "auto_stop_machines is on",
        why: "Fly stops machines that its proxy takes for idle. Calls that do not go through the proxy do not count \
            there.",
        fix: "Set auto_stop_machines to off for workers.",
        check: |scene| {
            scene
                .hosts
                .iter()
                .filter_map(|host| {
                    Some(Hit::new(host.file, host.stops_idle?, "machines are stopped when they look idle"))
                })
                .collect()
        },
    },
    Rule {
        code: "ORT-L006",
        severity: Warning,
        about: "Ingress of nginx",
        fires: "an Ingress that names a worker's Service has no proxy-read-timeout of an hour or more",
        why: "nginx ends a connection on which the worker sends nothing for 60 s.",
        fix: "Annotate it with nginx.ingress.kubernetes.io/proxy-read-timeout and proxy-send-timeout: \"3600\".",
        check: |scene| {
            scene
                .of_kind("Ingress")
                .filter_map(|ingress| {
                    let class = ingress
                        .root
                        .at(&["spec", "ingressClassName"])
                        .and_then(Node::text)
                        .filter(|it| it.contains("nginx"))?;
                    let serves = scene.of_kind("Service").any(|service| {
                        let labels = service.root.at(&["spec", "selector"]);
                        let is_workers =
                            scene.workers().any(|(it, _, _)| labels.is_some_and(|labels| it.is_selected_by(labels)));
                        is_workers && names(&ingress.root, &service.name)
                    });
                    let set =
                        ingress.root.at(&["metadata", "annotations", "nginx.ingress.kubernetes.io/proxy-read-timeout"]);
                    let time =
                        set.and_then(Node::text).and_then(literal).and_then(|text| text.parse().ok()).unwrap_or(60_u64);
                    (serves && time < SILENCE).then(|| {
                        let found =
                            format!("{} ({class}): {}", ingress.name, say(std::time::Duration::from_secs(time)));
                        Hit::new(ingress.file, set.map_or(ingress.root.line, |set| set.line), found)
                    })
                })
                .collect()
        },
    },
];

/// Whether a service of this name is among the backends.
fn names(ingress: &Node, service: &str) -> bool {
    let rules = ingress.at(&["spec", "rules"]).map(Node::list).unwrap_or_default();
    rules
        .iter()
        .flat_map(|rule| rule.at(&["http", "paths"]).map(Node::list).unwrap_or_default())
        .any(|path| path.at(&["backend", "service", "name"]).and_then(Node::text) == Some(service))
}

fn of(scene: &Scene, program: &str, check: impl Fn(&Balancer) -> Option<Hit>) -> Vec<Hit> {
    scene.balancers.iter().filter(|balancer| balancer.program == program).filter_map(check).collect()
}

/// Locations that upgrade connections and let them go too soon.
fn upgrades(balancer: &Balancer) -> Vec<Hit> {
    let upgrade = |(_, key, value, _): &&(String, String, String, usize)| {
        key == "proxy_set_header" && value.to_lowercase().starts_with("upgrade ")
    };
    let hit = |(section, _, _, line): &(String, String, String, usize)| {
        // The nearest block that says so counts.
        let timeouts = balancer
            .entries
            .iter()
            .filter(|(block, key, _, _)| key == "proxy_read_timeout" && section.starts_with(block.as_str()));
        let nearest = timeouts.max_by_key(|(block, _, _, _)| block.len());
        match nearest {
            Some((_, _, text, line)) => (seconds_or(text, 1_000)? < SILENCE)
                .then(|| Hit::new(balancer.file, *line, format!("proxy_read_timeout {text}"))),
            None => Some(Hit::new(balancer.file, *line, "proxy_read_timeout is not set, so it is 60s")),
        }
    };
    balancer.entries.iter().filter(upgrade).filter_map(hit).collect()
}
