//! How a workload replaces its pods.

use super::Rule;
use super::ladder::on_workers;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Warning};
use crate::lint::scene::Workload;
use crate::lint::yaml::Node;

/// A drain that takes longer makes a rollout of a `StatefulSet` take hours, in seconds.
const LONG: u64 = 600;

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-K013",
        severity: Error,
        about: "workloads",
        fires: "hostPort or hostNetwork with maxSurge 0",
        why: "The new pod waits for the port, so each node takes no calls for as long as its old pod drains.",
        fix: "Allow a surge and have a spare node for it, or do without host ports.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let pod = workload.pod()?;
                let host = pod.text_of("hostNetwork") == Some("true");
                let port = container.node.list_of("ports").iter().any(|port| port.get("hostPort").is_some());
                let surge = workload.object.root.at(&["spec", "strategy", "rollingUpdate", "maxSurge"])?;
                let is_none = matches!(surge.text()?, "0" | "0%");
                ((host || port) && is_none && workload.kind() == "Deployment").then(|| {
                    let what = if host { "hostNetwork" } else { "a hostPort" };
                    Hit::new(workload.object.file, surge.line, format!("{}: maxSurge 0 with {what}", workload.title()))
                })
            })
        },
    },
    Rule {
        code: "ORT-K014",
        severity: Error,
        about: "workloads",
        fires: "strategy Recreate",
        why: "Every old pod is told to leave before a new one starts: nobody takes calls until the last of them has \
            drained.",
        fix: "Use RollingUpdate, or one Deployment per version.",
        check: |scene| {
            on_workers(scene, |workload, _, _| {
                let kind = workload.object.root.at(&["spec", "strategy", "type"])?;
                (kind.text() == Some("Recreate")).then(|| {
                    Hit::new(workload.object.file, kind.line, format!("{}: strategy Recreate", workload.title()))
                })
            })
        },
    },
    Rule {
        code: "ORT-K015",
        severity: Warning,
        about: "workloads",
        fires: "a rolling update may take pods away before new ones are there (maxUnavailable, 25 % by default, \
            comes to 1 or more)",
        why: "The missing pods are missing until the drain ends and the new ones are ready.",
        fix: "Set maxUnavailable to 0.",
        check: |scene| {
            on_workers(scene, |workload, _, _| {
                if workload.kind() != "Deployment" {
                    return None;
                }
                let strategy = workload.object.root.at(&["spec", "strategy"]);
                if strategy.and_then(|strategy| strategy.text_of("type")) == Some("Recreate") {
                    return None;
                }
                let set = strategy.and_then(|strategy| strategy.at(&["rollingUpdate", "maxUnavailable"]));
                let share = set.and_then(Node::text).unwrap_or("25%");
                let pods = match share.strip_suffix('%') {
                    // Of a part, Kubernetes leaves the fraction away.
                    Some(percent) => percent.parse::<u64>().ok()?.saturating_mul(workload.replicas()?) / 100,
                    None => share.parse().ok()?,
                };
                (pods > 0).then(|| {
                    let line = set.map_or_else(|| workload.line(), |set| set.line);
                    Hit::new(
                        workload.object.file,
                        line,
                        format!("{}: maxUnavailable {share} is {pods} of its pods", workload.title()),
                    )
                })
            })
        },
    },
    Rule {
        code: "ORT-K016",
        severity: Warning,
        about: "Argo Rollouts",
        fires: "progressDeadlineSeconds (600) ≤ scaleDownDelaySeconds",
        why: "The rollout counts as failed while it only waits for the delay.",
        fix: "Set progressDeadlineSeconds above the delay.",
        check: |scene| {
            on_workers(scene, |workload, _, _| {
                let spec = workload.object.root.get("spec").filter(|_| workload.kind() == "Rollout")?;
                let delay = spec.at(&["strategy", "blueGreen"])?.number_of("scaleDownDelaySeconds")?;
                let deadline = spec.number_of("progressDeadlineSeconds").unwrap_or(600);
                (deadline <= delay).then(|| {
                    let found = format!(
                        "{}: progressDeadlineSeconds {deadline}, scaleDownDelaySeconds {delay}",
                        workload.title()
                    );
                    Hit::new(workload.object.file, spec.line, found)
                })
            })
        },
    },
    Rule {
        code: "ORT-K017",
        severity: Warning,
        about: "workloads",
        fires: "neither a readiness probe nor minReadySeconds",
        why: "A pod counts as ready when it has started, so a rollout goes on before the worker has registered or \
            listens.",
        fix: "Add a readiness probe (`/readyz`).",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let has_seconds = workload.object.root.at(&["spec", "minReadySeconds"]).is_some();
                let is_rolled = ["Deployment", "StatefulSet", "DaemonSet", "Rollout"].contains(&workload.kind());
                let is_blind = container.node.get("readinessProbe").is_none() && !has_seconds;
                (is_rolled && is_blind).then(|| {
                    Hit::new(
                        workload.object.file,
                        container.node.line,
                        format!("{}: container {}", workload.title(), container.name),
                    )
                })
            })
        },
    },
    Rule {
        code: "ORT-K018",
        severity: Error,
        about: "StatefulSets, DaemonSets",
        fires: "a rolling update of several pods, each of which may drain for more than 10 minutes",
        why: "They are replaced one after the other, each after the one before has gone: the rollout takes the sum \
            of all drains.",
        fix: "Use one Deployment per version; or updateStrategy OnDelete, and delete pods that have drained.",
        check: |scene| {
            on_workers(scene, |workload, _, timing| {
                let takes = timing.needed(&scene.options).as_secs();
                let spec = workload.object.root.get("spec")?;
                let by_hand = spec.at(&["updateStrategy", "type"]).and_then(Node::text) == Some("OnDelete");
                let pods = match workload.kind() {
                    "StatefulSet" => workload.replicas().unwrap_or(2),
                    "DaemonSet" => 2,
                    _ => 1,
                };
                (pods > 1 && takes > LONG && !by_hand).then(|| {
                    let found = format!("{}: each pod needs {}", workload.title(), timing.told(&scene.options));
                    Hit::new(
                        workload.object.file,
                        spec.line_of("updateStrategy").unwrap_or_else(|| workload.line()),
                        found,
                    )
                })
            })
        },
    },
    Rule {
        code: "ORT-K034",
        severity: Warning,
        about: "pods",
        fires: "the journal or the audit trail is on an emptyDir",
        why: "It is gone with the pod, and with it what became of the calls.",
        fix: "Use a volume that outlives the pod.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let of = ["OPENRTC_JOURNAL_DIR", "OPENRTC_AUDIT_FILE"];
                of.into_iter().find_map(|name| {
                    let path = container.process.var(name)?.value.as_deref()?;
                    let mount = mount(container.node.list_of("volumeMounts"), path)?;
                    let volumes = workload.pod()?.list_of("volumes");
                    let volume = volumes.iter().find(|volume| volume.text_of("name") == mount.text_of("name"))?;
                    volume.get("emptyDir")?;
                    let found = format!("{}: {name} is on an emptyDir", workload.title());
                    Some(Hit::new(workload.object.file, volume.line, found))
                })
            })
        },
    },
    Rule {
        code: "ORT-K036",
        severity: Warning,
        about: "pods",
        fires: "a worker of this project that leaves by itself when it has drained (OPENRTC_LEAVE is not `parked`)",
        why: "Kubernetes starts a container again when it ends, so a worker that `openrtc drain` drained comes \
            back, in the old version, and takes calls.",
        fix: "Set OPENRTC_LEAVE to `parked`: it stays, and leaves on SIGTERM.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let settings = container.process.settings()?;
                let restarts = workload.pod()?.text_of("restartPolicy").is_none_or(|policy| policy == "Always");
                let leaves = settings.config.leave == openrtc_core::worker::Leave::WhenDrained;
                (restarts && leaves).then(|| {
                    Hit::new(workload.object.file, container.node.line, format!("{}: OPENRTC_LEAVE", workload.title()))
                })
            })
        },
    },
    Rule {
        code: "ORT-E007",
        severity: Error,
        about: "pods",
        fires: "a fixed OPENRTC_WORKER in several pods",
        why: "Two workers of one name are one worker to whoever counts them.",
        fix: "Take the pod's name: valueFrom fieldRef metadata.name.",
        check: |scene| {
            on_workers(scene, |workload, container, _| {
                let var = container.process.var("OPENRTC_WORKER")?;
                let is_fixed = var.value.as_deref().is_some_and(|value| !value.contains("$("));
                (is_fixed && several(workload)).then(|| {
                    Hit::new(
                        workload.object.file,
                        var.line,
                        format!("{}: OPENRTC_WORKER is the same in all pods", workload.title()),
                    )
                })
            })
        },
    },
];

/// Whether there is more than one pod, as far as the file says.
pub(super) fn several(workload: &Workload) -> bool {
    workload.kind() == "DaemonSet" || workload.kind() != "Pod" && workload.replicas().is_some_and(|pods| pods > 1)
}

/// The mount that a path is on: the longest that fits.
fn mount<'a>(mounts: &'a [Node], path: &str) -> Option<&'a Node> {
    let fits = |mount: &&Node| mount.text_of("mountPath").is_some_and(|at| path.starts_with(at));
    mounts.iter().filter(fits).max_by_key(|mount| mount.text_of("mountPath").map(str::len))
}
