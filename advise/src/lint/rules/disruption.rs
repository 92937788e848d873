//! Who else takes pods away: budgets, autoscalers.

use super::Rule;
use super::ladder::on_workers;
use super::workload::several;
use crate::lint::finding::Hit;
use crate::lint::finding::Severity::{Error, Hint, Warning};
use crate::lint::scene::{Object, Scene, Workload};
use crate::lint::yaml::Node;

const BUDGET: &str = "PodDisruptionBudget";

pub(super) const RULES: &[Rule] = &[
    Rule {
        code: "ORT-K020",
        severity: Error,
        about: "PodDisruptionBudgets",
        fires: "a budget allows no pod of a worker to go: minAvailable of all of them, or maxUnavailable 0",
        why: "Nodes can then never be emptied: upgrades hang, until somebody deletes pods by force.",
        fix: "Set maxUnavailable to 1. To protect calls alone, put the budget on a label that pods have while they \
            have calls.",
        check: |scene| {
            on_budgets(scene, |budget, selected| {
                let workload = selected.first()?;
                let spec = budget.root.get("spec")?;
                let (key, text) =
                    ["minAvailable", "maxUnavailable"].iter().find_map(|key| Some((*key, spec.text_of(key)?)))?;
                let pods = workload.replicas();
                let closes = match (key, text.strip_suffix('%').map(str::parse::<u64>), text.parse::<u64>()) {
                    ("maxUnavailable", Some(percent), _) => percent == Ok(0),
                    ("maxUnavailable", None, number) => number == Ok(0),
                    (_, Some(percent), _) => percent.is_ok_and(|percent| percent >= 100),
                    (_, None, number) => number.is_ok_and(|least| pods.is_some_and(|pods| least >= pods)),
                };
                closes.then(|| {
                    let pods = pods.map_or_else(String::new, |pods| format!(" of {pods}"));
                    let found = format!("budget {}: {key} {text}{pods} for {}", budget.name, workload.title());
                    Hit::new(budget.file, spec.line_of(key).unwrap_or(budget.root.line), found)
                })
            })
        },
    },
    Rule {
        code: "ORT-K021",
        severity: Error,
        about: "PodDisruptionBudgets",
        fires: "two budgets select the pods of one worker",
        why: "The eviction of such a pod fails with an error, so its node can never be emptied.",
        fix: "Keep one of them.",
        check: |scene| {
            scene
                .workers()
                .filter_map(|(workload, _, _)| {
                    let budgets: Vec<_> = scene.of_kind(BUDGET).filter(|budget| selects(budget, workload)).collect();
                    let second = budgets.get(1)?;
                    let found = format!("budgets {} and {} for {}", budgets[0].name, second.name, workload.title());
                    Some(Hit::new(second.file, second.root.line, found))
                })
                .collect()
        },
    },
    Rule {
        code: "ORT-K022",
        severity: Warning,
        about: "PodDisruptionBudgets",
        fires: "unhealthyPodEvictionPolicy AlwaysAllow for a worker whose readiness follows its drain",
        why: "A worker that drains is not ready, so an eviction may take it at any time, past the budget, and start \
            the clock of its grace.",
        fix: "Leave the policy at IfHealthyBudget.",
        check: |scene| {
            on_budgets(scene, |budget, selected| {
                let follows = |workload: &&&Workload| workload.worker().is_some_and(|(_, it)| it.probe_follows_drain);
                let workload = selected.iter().find(follows)?;
                let policy = budget.root.at(&["spec", "unhealthyPodEvictionPolicy"])?;
                (policy.text() == Some("AlwaysAllow")).then(|| {
                    Hit::new(budget.file, policy.line, format!("budget {} for {}", budget.name, workload.title()))
                })
            })
        },
    },
    Rule {
        code: "ORT-K023",
        severity: Hint,
        about: "workloads",
        fires: "a worker of several pods has no budget in these files",
        why: "Whoever empties nodes may take all pods at once.",
        fix: "Add a PodDisruptionBudget with maxUnavailable 1, or give it to this command as well.",
        check: |scene| {
            on_workers(scene, |workload, _, _| {
                let has_budget = scene.of_kind(BUDGET).any(|budget| selects(budget, workload));
                (several(workload) && workload.kind() != "DaemonSet" && !has_budget)
                    .then(|| Hit::new(workload.object.file, workload.line(), workload.title()))
            })
        },
    },
    Rule {
        code: "ORT-K024",
        severity: Warning,
        about: "HorizontalPodAutoscalers, ScaledObjects",
        fires: "scale-in of a worker is not slowed (behavior.scaleDown), or goes to 0",
        why: "By default all surplus pods go at once after 5 minutes. A fleet that drains looks idle, so the next \
            wave of calls meets too few workers.",
        fix: "Set behavior.scaleDown: a window of 300 s or more, and one pod per minute; or Disabled.",
        check: |scene| {
            scalers(scene)
                .filter_map(|(scaler, workload, behavior)| {
                    let down = behavior.and_then(|behavior| behavior.get("scaleDown"));
                    let idle = scaler.kind == "ScaledObject"
                        && scaler
                            .root
                            .at(&["spec", "minReplicaCount"])
                            .and_then(Node::text)
                            .is_none_or(|least| least == "0");
                    let found = match down {
                        None => format!("{}: scale-in of {} is not set", scaler.name, workload.title()),
                        Some(_) if idle => format!("{}: {} may be scaled to 0", scaler.name, workload.title()),
                        Some(_) => return None,
                    };
                    Some(Hit::new(scaler.file, down.map_or(scaler.root.line, |down| down.line), found))
                })
                .collect()
        },
    },
];

/// Whether a budget is for the pods of a workload.
fn selects(budget: &Object, workload: &Workload) -> bool {
    budget.root.at(&["spec", "selector", "matchLabels"]).is_some_and(|labels| workload.is_selected_by(labels))
}

fn on_budgets(scene: &Scene, check: impl Fn(&Object, &[&Workload]) -> Option<Hit>) -> Vec<Hit> {
    let of = |budget: &Object| {
        let workers = scene.workers().map(|(workload, _, _)| workload);
        let selected: Vec<_> = workers.filter(|workload| selects(budget, workload)).collect();
        check(budget, &selected)
    };
    scene.of_kind(BUDGET).filter_map(of).collect()
}

/// Every autoscaler of a worker, with its behavior.
fn scalers(scene: &Scene) -> impl Iterator<Item = (&Object, &Workload, Option<&Node>)> {
    scene.objects.iter().filter_map(|object| {
        let spec = object.root.get("spec")?;
        let behavior = match object.kind.as_str() {
            "HorizontalPodAutoscaler" => spec.get("behavior"),
            "ScaledObject" => spec.at(&["advanced", "horizontalPodAutoscalerConfig", "behavior"]),
            _ => return None,
        };
        let target = spec.at(&["scaleTargetRef", "name"])?.text()?;
        let workload = scene.workers().map(|(workload, _, _)| workload).find(|it| it.object.name == target)?;
        Some((object, workload, behavior))
    })
}
