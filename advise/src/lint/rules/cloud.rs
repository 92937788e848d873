//! Limits of clusters and clouds: nodes that go, whatever a pod's grace says.

use super::Rule;
use super::ladder::{grace, on_workers};
use super::time::seconds;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Hint, Warning};
use crate::lint::scene::{Scene, Workload};
use crate::lint::yaml::Node;
use crate::lint::{Cloud, process::say};

const EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const DISRUPT: &str = "karpenter.sh/do-not-disrupt";

/// The autoscaler gives a pod so long at most when it takes a node away, in seconds.
const AUTOSCALER: u64 = 600;

/// How to tell nodes that go with little notice, and the notice in seconds.
const SPOT: &[(&str, &str, &str, u64)] = &[
    ("cloud.google.com/gke-spot", "true", "GKE's Spot nodes", 15),
    ("cloud.google.com/gke-preemptible", "true", "GKE's preemptible nodes", 15),
    ("eks.amazonaws.com/capacityType", "SPOT", "EC2's Spot nodes", 120),
    ("karpenter.sh/capacity-type", "spot", "Spot nodes", 120),
    ("kubernetes.azure.com/scalesetpriority", "spot", "Azure's Spot nodes", 30),
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-K026",
        severity: Error,
        about: "annotations",
        fires: "safe-to-evict or do-not-disrupt is on the workload and not on its pods",
        why: "Autoscalers look at pods. On the workload it has no effect.",
        fix: "Move it to spec.template.metadata.annotations.",
        check: |scene| {
            on_workers(scene, |workload, _, _| {
                if workload.kind() == "Pod" {
                    return None;
                }
                let outside = workload.object.root.at(&["metadata", "annotations"])?;
                let name = [EVICT, DISRUPT].into_iter().find(|name| outside.get(name).is_some())?;
                annotation(workload, name).is_none().then(|| {
                    let line = outside.line_of(name).unwrap_or(outside.line);
                    Hit::new(workload.object.file, line, format!("{}: {name}", workload.title()))
                })
            })
        },
    },
    Rule {
        code: "ORT-K027",
        severity: Error,
        about: "annotations",
        fires: "safe-to-evict is \"true\"; or it is absent and the worker needs more than the 10 min that the \
            cluster autoscaler gives (a hint)",
        why: "The cluster autoscaler cuts a pod's grace to 10 minutes (--max-graceful-termination-sec) when it \
            takes a node away.",
        fix: "Annotate the pods with safe-to-evict: \"false\" while they have calls.",
        check: |scene| {
            on_workers(scene, |workload, _, timing| {
                let is_long = timing.needed(&scene.options).as_secs() > AUTOSCALER;
                match annotation(workload, EVICT) {
                    Some(node) if node.text() == Some("true") => Some(Hit::new(
                        workload.object.file,
                        node.line,
                        format!("{}: safe-to-evict is true", workload.title()),
                    )),
                    None if is_long && workload.kind() != "DaemonSet" => {
                        let needs = timing.told(&scene.options);
                        let found = format!("{}: no safe-to-evict, and it needs {needs}", workload.title());
                        Some(Hit::new(workload.object.file, workload.pod_line(), found).with_severity(Hint))
                    }
                    _ => None,
                }
            })
        },
    },
    Rule {
        code: "ORT-K028",
        severity: Error,
        about: "NodePools of Karpenter",
        fires: "terminationGracePeriod is shorter than a worker needs; or expireAfter is set without one (a warning)",
        why: "When it is over, the node goes with its pods, past budgets and do-not-disrupt; a pod with a longer \
            grace is deleted that much earlier. Without one, a node that has expired waits for its pods without an \
            end.",
        fix: "Set terminationGracePeriod above the longest drain.",
        check: |scene| {
            scene
                .of_kind("NodePool")
                .filter_map(|pool| {
                    let spec = pool.root.at(&["spec", "template", "spec"])?;
                    let (needed, worker) = longest(scene)?;
                    match (spec.get("terminationGracePeriod"), spec.get("expireAfter")) {
                        (Some(grace), _) => (seconds(grace.text()?)? <= needed).then(|| {
                            let found = format!(
                                "pool {}: {}, but {worker} needs {needed}s",
                                pool.name,
                                grace.text().unwrap_or("")
                            );
                            Hit::new(pool.file, grace.line, found)
                        }),
                        (None, Some(expire)) if expire.text() != Some("Never") => {
                            let found = format!("pool {}: expireAfter without terminationGracePeriod", pool.name);
                            Some(Hit::new(pool.file, expire.line, found).with_severity(Warning))
                        }
                        _ => None,
                    }
                })
                .collect()
        },
    },
    Rule {
        code: "ORT-K029",
        severity: Error,
        about: "pods",
        fires: "a worker is sent to nodes that go with less notice than it needs (Spot: EC2 120 s, Azure 30 s, GCP \
            15 s for pods)",
        why: "The node is gone when the notice is over, and the calls with it.",
        fix: "Run workers on nodes that stay.",
        check: |scene| {
            on_workers(scene, |workload, _, timing| {
                let needed = timing.needed(&scene.options).as_secs();
                let selector = workload.pod()?.get("nodeSelector")?;
                let (label, value, nodes, notice) =
                    SPOT.iter().find(|(label, value, _, _)| selector.text_of(label) == Some(value))?;
                (needed > *notice).then(|| {
                    let line = selector.line_of(label).unwrap_or(selector.line);
                    let needs = timing.told(&scene.options);
                    let found =
                        format!("{}: {label}={value}: {nodes} give {notice}s, it needs {needs}", workload.title());
                    Hit::new(workload.object.file, line, found)
                })
            })
        },
    },
    Rule {
        code: "ORT-K030",
        severity: Hint,
        about: "pods",
        fires: "tolerationSeconds for unreachable or not-ready nodes (300 by default) is shorter than a worker needs",
        why: "When a node does not answer for so long, its pods are marked for deletion though they run on. They \
            end when the node is back.",
        fix: "Set tolerationSeconds of node.kubernetes.io/unreachable and not-ready above the longest drain.",
        check: |scene| {
            on_workers(scene, |workload, _, timing| {
                let needed = timing.needed(&scene.options).as_secs();
                let tolerations = workload.pod()?.list_of("tolerations");
                let set = tolerations.iter().find(|it| it.text_of("key") == Some("node.kubernetes.io/unreachable"));
                let lasts = match set {
                    // It tolerates it for ever.
                    Some(set) if set.get("tolerationSeconds").is_none() => return None,
                    Some(set) => set.number_of("tolerationSeconds")?,
                    None if workload.kind() == "DaemonSet" => return None,
                    None => 300,
                };
                (lasts <= needed).then(|| {
                    let line = set.map_or_else(|| workload.pod_line(), |set| set.line);
                    Hit::new(workload.object.file, line, format!("{}: {lasts}s, it needs {needed}s", workload.title()))
                })
            })
        },
    },
    Rule {
        code: "ORT-K031",
        severity: Warning,
        about: "pods, with --target gke",
        fires: "a grace above the hour that GKE waits when it upgrades nodes",
        why: "GKE respects budgets and graces for an hour during an upgrade, and then takes the node.",
        fix: "Upgrade node pools blue-green with a soak time, or empty workers before the window.",
        check: |scene| beyond(scene, Cloud::Gke, 3_600, "GKE's upgrades wait for an hour"),
    },
    Rule {
        code: "ORT-K032",
        severity: Warning,
        about: "pods, with --target eks",
        fires: "a grace above the 15 min after which an update of a managed node group fails",
        why: "EKS gives up draining a node after 15 minutes. A forced update then takes it.",
        fix: "Replace nodes yourself, or empty workers first.",
        check: |scene| beyond(scene, Cloud::Eks, 900, "EKS gives up draining a node after 15 min"),
    },
    Rule {
        code: "ORT-K033",
        severity: Warning,
        about: "pods, with --target aks or oke",
        fires: "a grace above AKS's drain time-out (30 min by default) or the hour that OKE gives at most",
        why: "The upgrade fails or takes the node when it is over.",
        fix: "Raise drainTimeoutInMinutes of the AKS node pool; on OKE empty workers first.",
        check: |scene| {
            let mut hits = beyond(scene, Cloud::Aks, 1_800, "AKS waits for 30 min, unless the pool says more");
            hits.extend(beyond(scene, Cloud::Oke, 3_600, "OKE gives an hour at most"));
            hits
        },
    },
];

fn annotation<'a>(workload: &'a Workload, name: &str) -> Option<&'a Node> {
    workload.template.at(&["metadata", "annotations", name])
}

/// The longest that any worker needs, in seconds, and which.
fn longest(scene: &Scene) -> Option<(u64, String)> {
    let of = scene.workers().map(|(workload, _, timing)| (timing.needed(&scene.options).as_secs(), workload.title()));
    of.max_by_key(|(needed, _)| *needed)
}

fn beyond(scene: &Scene, cloud: Cloud, limit: u64, says: &str) -> Vec<Hit> {
    if scene.options.target != Some(cloud) {
        return Vec::new();
    }
    on_workers(scene, |workload, _, _| {
        let (grace, line, _) = grace(workload);
        (grace > limit).then(|| {
            let grace = say(std::time::Duration::from_secs(grace));
            Hit::new(workload.object.file, line, format!("{}: a grace of {grace}, but {says}", workload.title()))
        })
    })
}
