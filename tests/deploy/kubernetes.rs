//! The manifests, as a cluster reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use e2e::http;
use openrtc_runtime::Config;
use serde_json::Value;
use tempfile::tempdir;

use super::{args_here, deploy, drains, here, ladder, start};

/// The worker's Deployment.
fn deployment(manifest: &str) -> Value {
    let manifest: Value = serde_saphyr::from_str(manifest).unwrap();
    assert_eq!((&manifest["apiVersion"], &manifest["kind"]), (&"apps/v1".into(), &"Deployment".into()));
    let (spec, template) = (&manifest["spec"], &manifest["spec"]["template"]);
    assert_eq!(spec["selector"]["matchLabels"], template["metadata"]["labels"], "it selects its own pods");
    manifest
}

fn pod(manifest: &str) -> Value {
    deployment(manifest)["spec"]["template"]["spec"].clone()
}

/// What all versions share, by kind.
fn common() -> BTreeMap<String, Value> {
    let text = deploy("kubernetes/common.yaml");
    let documents = text.split("\n---\n").map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    documents.map(|document| (document["kind"].as_str().unwrap().to_owned(), document)).collect()
}

/// The environment, with what the cluster fills in made up.
fn settings(container: &Value) -> Vec<(String, String)> {
    let value = |variable: &Value| match (&variable["value"], &variable["valueFrom"]) {
        (Value::String(value), Value::Null) => value.clone(),
        (Value::Null, from) if from["fieldRef"]["fieldPath"] == "metadata.name" => "voice-agent-v2-abcde".into(),
        (Value::Null, from) if from["secretKeyRef"]["name"].is_string() => "0123456789abcdef".into(),
        _ => panic!("neither a text nor a reference: {variable}"),
    };
    let env = container["env"].as_array().unwrap();
    env.iter().map(|variable| (variable["name"].as_str().unwrap().into(), value(variable))).collect()
}

/// What is wrong with the order of the pod's deadlines.
fn deadlines(pod: &Value) -> Result<(), String> {
    let container = &pod["containers"][0];
    if !container["lifecycle"]["preStop"].is_null() {
        return Err("preStop takes its time from the drain".into());
    }
    let grace = pod["terminationGracePeriodSeconds"].as_u64().map(Duration::from_secs).ok_or("30 s are too few")?;
    let settings = settings(container);
    // Kubernetes starts again whatever ends.
    if !settings.contains(&("OPENRTC_LEAVE".into(), "parked".into())) {
        return Err("a drained worker would be started again, and serve".into());
    }
    ladder(&settings, grace)
}

#[test]
fn the_deadlines_are_in_order_and_a_broken_order_is_found() {
    let manifest = deploy("kubernetes/worker.yaml");
    deadlines(&pod(&manifest)).unwrap();
    for (from, to, says) in [
        ("Seconds: 7260", "Seconds: 7261", "is told"),
        ("value: 7260s", "value: 7259s", "is told"),
        ("value: 2h", "value: 121m", "do not fit"),
        ("value: 15s", "value: 55s", "do not fit"),
        ("value: 10s", "value: 45s", "do not fit"),
        ("value: 15s", "value: 0s", "refused without a word"),
        ("value: force", "value: wait", "does nothing before the platform kills"),
        ("value: parked", "value: when_drained", "started again"),
        ("OPENRTC_CAPACITY", "OPENRTC_CAPACTIY", "unknown"),
        (
            "          livenessProbe:",
            "          lifecycle: {preStop: {sleep: {seconds: 5}}}\n          livenessProbe:",
            "preStop",
        ),
    ] {
        assert!(manifest.contains(from), "{from}");
        let problem = deadlines(&pod(&manifest.replace(from, to))).unwrap_err();
        assert!(problem.contains(says), "{problem:?} should say {says:?}");
    }
}

#[test]
fn a_worker_started_as_the_manifest_says_answers_its_probes_then_drains() {
    let pod = pod(&deploy("kubernetes/worker.yaml"));
    let container = &pod["containers"][0];
    let root = tempdir().unwrap();
    let settings = settings(container);
    let args: Vec<_> = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let mounted = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    assert!(settings.contains(&("OPENRTC_JOURNAL_DIR".into(), mounted.into())), "the journal is on the volume");
    let ports: BTreeMap<_, _> = container["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap()))
        .collect();
    // Every address: IPv4 ones, and on a host with IPv6 alone those.
    let ops = settings.iter().find(|(name, _)| name == "OPENRTC_OPS_ADDR").unwrap();
    assert_eq!(ops.1, format!("[::]:{}", ports["ops"]));
    assert_eq!(args, ["worker", "--listen", &format!("[::]:{}", ports["calls"])]);

    let worker = start(&args_here(args), &here(settings, root.path()));
    for (probe, says) in [("livenessProbe", "live\n"), ("readinessProbe", "ready\n")] {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["port"], "ops", "{probe}");
        assert_eq!(http(worker.ops, "GET", get["path"].as_str().unwrap(), ""), says, "{probe}");
    }
    assert_ne!(container["livenessProbe"]["httpGet"]["path"], container["readinessProbe"]["httpGet"]["path"]);
    drains(worker);
    let journal: PathBuf = root.path().join(mounted.trim_start_matches('/'));
    assert!(fs::read_dir(journal).unwrap().count() > 1, "the journal is on the volume");
}

#[test]
fn what_the_versions_share_fits_the_worker() {
    let (deployment, common) = (deployment(&deploy("kubernetes/worker.yaml")), common());
    let pod = &deployment["spec"]["template"];
    let (labels, spec) = (pod["metadata"]["labels"].as_object().unwrap(), &pod["spec"]);
    let container = &spec["containers"][0];
    for (kind, selector) in [
        ("Service", &common["Service"]["spec"]["selector"]),
        ("PodDisruptionBudget", &common["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]),
        ("NetworkPolicy", &common["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]),
    ] {
        let selector = selector.as_object().unwrap();
        assert!(!selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value), "{kind}");
    }
    assert_eq!(common["Service"]["spec"]["ports"][0]["targetPort"], container["ports"][0]["name"]);
    let volume = &spec["volumes"][0];
    assert_eq!(container["volumeMounts"][0]["name"], volume["name"]);
    let claim = &common["PersistentVolumeClaim"];
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], claim["metadata"]["name"], "it outlives the pod");
    assert_eq!(container["volumeMounts"][0]["subPathExpr"], "$(OPENRTC_WORKER)", "no two pods share a journal");

    let secret = &common["Secret"];
    let env = container["env"].as_array().unwrap();
    let wanted = &env.iter().find(|variable| variable["name"] == "OPENRTC_OPS_TOKEN").unwrap()["valueFrom"];
    assert_eq!(wanted["secretKeyRef"]["name"], secret["metadata"]["name"]);
    let token = secret["stringData"][wanted["secretKeyRef"]["key"].as_str().unwrap()].as_str().unwrap();
    let mut config = Config::default();
    config.merge_vars([("OPENRTC_DEPLOYMENT_VERSION", "v2"), ("OPENRTC_OPS_TOKEN", token)]).unwrap();
    assert!(
        config.check().unwrap_err().to_string().contains("OPENRTC_OPS_TOKEN"),
        "nobody runs with the one shown here"
    );
}

#[test]
fn the_pod_keeps_to_the_restricted_standard() {
    let pod = pod(&deploy("kubernetes/worker.yaml"));
    let (context, container) = (&pod["securityContext"], &pod["containers"][0]);
    assert_eq!(
        (&context["runAsNonRoot"], &context["seccompProfile"]["type"]),
        (&true.into(), &"RuntimeDefault".into())
    );
    assert_ne!(context["runAsUser"], 0);
    assert_eq!(context["fsGroup"], context["runAsGroup"], "the worker can write its journal");
    let own = &container["securityContext"];
    assert_eq!((&own["allowPrivilegeEscalation"], &own["readOnlyRootFilesystem"]), (&false.into(), &true.into()));
    assert_eq!(own["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(pod["automountServiceAccountToken"], false);
    let resources = &container["resources"];
    assert_eq!(resources["requests"]["memory"], resources["limits"]["memory"], "it is not killed for its neighbours");
    assert!(resources["limits"]["cpu"].is_null(), "throttling is heard");
}
