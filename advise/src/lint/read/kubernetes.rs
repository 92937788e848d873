//! Manifests of Kubernetes: several documents in a file, lists of objects, workloads of every kind.

use crate::lint::process::{Process, Var};
use crate::lint::scene::{Container, Object, Scene, Workload};
use crate::lint::yaml::Node;

/// What makes pods, and where the pod's template is in it.
const WORKLOADS: &[(&str, &[&str])] = &[
    ("Deployment", &["spec", "template"]),
    ("StatefulSet", &["spec", "template"]),
    ("DaemonSet", &["spec", "template"]),
    ("ReplicaSet", &["spec", "template"]),
    ("Rollout", &["spec", "template"]),
    ("CloneSet", &["spec", "template"]),
    ("Pod", &[]),
];

/// Reads an object, or each object of a list.
pub(super) fn read(scene: &mut Scene, file: usize, root: Node) {
    let kind = root.text_of("kind").unwrap_or_default().to_owned();
    if kind == "List" {
        return root.list_of("items").iter().for_each(|item| read(scene, file, item.clone()));
    }
    let name = root.at(&["metadata", "name"]).and_then(Node::text).unwrap_or("without a name").to_owned();
    let path = WORKLOADS.iter().find(|(name, _)| *name == kind).map(|(_, path)| *path);
    let object = Object { file, kind, name, root };
    match path.and_then(|path| Some(object.root.at(path)?.clone())) {
        Some(template) if template.get("spec").is_some() => {
            let containers = containers(&template);
            scene.workloads.push(Workload { object, template, containers, worker: None });
        }
        _ => scene.objects.push(object),
    }
}

/// Finds the workers among the workloads, once all files are read: their environment may be in another one.
pub(super) fn settle(scene: &mut Scene) {
    let maps: Vec<_> =
        scene.of_kind("ConfigMap").map(|map| (map.name.clone(), vars_of_map(map.root.get("data")))).collect();
    let options = scene.options.clone();
    for workload in &mut scene.workloads {
        for container in &mut workload.containers {
            for source in container.node.list_of("envFrom") {
                let name = source.at(&["configMapRef", "name"]).and_then(Node::text);
                let map = maps.iter().find(|(map, _)| Some(map.as_str()) == name);
                // Lines are of the file that the container is in.
                let vars = map.iter().flat_map(|(_, vars)| vars).map(|var| Var { line: source.line, ..var.clone() });
                let vars: Vec<_> = vars.collect();
                container.process.env.splice(0..0, vars);
            }
        }
        let mut plain = workload.containers.iter().enumerate().filter(|(_, container)| !container.is_sidecar);
        workload.worker = plain.find_map(|(place, container)| {
            let names = [workload.object.name.as_str(), &container.name];
            Some((place, container.process.timing_of(&names, &options)?))
        });
    }
}

fn containers(template: &Node) -> Vec<Container> {
    let Some(pod) = template.get("spec") else { return Vec::new() };
    let plain = pod.list_of("containers").iter().map(|node| (node, false));
    let first = pod.list_of("initContainers").iter().filter(|node| node.text_of("restartPolicy") == Some("Always"));
    plain.chain(first.map(|node| (node, true))).map(|(node, is_sidecar)| container(node, is_sidecar)).collect()
}

fn container(node: &Node, is_sidecar: bool) -> Container {
    let words = |key: &str| node.get(key).map(Node::words).unwrap_or_default();
    let command_line = node.line_of("command").or_else(|| node.line_of("args")).unwrap_or(node.line);
    Container {
        name: node.text_of("name").unwrap_or_default().into(),
        process: Process {
            image: node.text_of("image").unwrap_or_default().into(),
            command: [words("command"), words("args")].concat(),
            command_line,
            env: node.list_of("env").iter().filter_map(|var| Var::of_entry(var, ["name", "value"])).collect(),
        },
        node: node.clone(),
        is_sidecar,
    }
}

/// Variables of a map of names and values.
pub(super) fn vars_of_map(map: Option<&Node>) -> Vec<Var> {
    let var =
        |(name, value): (&str, &Node)| Var { name: name.into(), value: value.text().map(Into::into), line: value.line };
    map.into_iter().flat_map(Node::pairs).map(var).collect()
}
