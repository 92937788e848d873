//! Hosting platforms that have a grace of their own: Fly, Render, ECS.

use crate::lint::process::Process;
use crate::lint::rules::time::seconds;
use crate::lint::scene::{Host, Scene};
use crate::lint::yaml::{Node, Value};

/// The grace of each platform in seconds: its own, and the most that it gives.
const FLY: (u64, u64) = (5, 86_400);
const RENDER: (u64, u64) = (30, 300);
const ECS: (u64, u64) = (30, 120);

/// Reads a `fly.toml`; its few settings that matter stand on lines of their own.
pub(super) fn read_fly(scene: &mut Scene, file: usize, text: &str) {
    let setting = |name: &str| {
        text.lines().zip(1..).find_map(|(line, number)| {
            let (key, value) = line.split_once('=')?;
            let value = value.split('#').next().unwrap_or_default().trim();
            (key.trim() == name).then(|| (value.trim_matches(['"', '\'']).to_owned(), number))
        })
    };
    let grace = setting("kill_timeout");
    let stops = setting("auto_stop_machines").filter(|(value, _)| !matches!(value.as_str(), "false" | "off"));
    scene.hosts.push(Host {
        file,
        line: grace.as_ref().map_or(1, |(_, line)| *line),
        platform: "Fly",
        setting: "kill_timeout",
        grace_s: grace.and_then(|(value, _)| value.parse().ok().or_else(|| seconds(&value))),
        default_s: FLY.0,
        cap_s: FLY.1,
        stops_idle: stops.map(|(_, line)| line),
        timing: Process::default().timing(&scene.options),
    });
}

/// Reads what is neither Kubernetes nor compose: Render's blueprints, task definitions of ECS.
pub(super) fn read(scene: &mut Scene, file: usize, root: &Node) {
    for service in root.list_of("services") {
        let grace = service.get("maxShutdownDelaySeconds");
        let env = service.list_of("envVars").iter().filter_map(|var| {
            let value = var.text_of("value").map(Into::into);
            Some(crate::lint::process::Var { name: var.text_of("key")?.into(), value, line: var.line })
        });
        let process = Process { env: env.collect(), ..Process::default() };
        scene.hosts.push(Host {
            file,
            line: grace.map_or(service.line, |grace| grace.line),
            platform: "Render",
            setting: "maxShutdownDelaySeconds",
            grace_s: grace.and_then(|grace| grace.text()?.parse().ok()),
            default_s: RENDER.0,
            cap_s: RENDER.1,
            stops_idle: None,
            timing: process.timing(&scene.options),
        });
    }
    let mut found = Vec::new();
    definitions(root, &mut found);
    for container in found {
        let key = |names: [&str; 2]| names.iter().find_map(|name| container.get(name));
        let grace = key(["stopTimeout", "StopTimeout"]);
        let env = key(["environment", "Environment"]).map(Node::list).unwrap_or_default().iter().filter_map(|var| {
            let name = var.text_of("name").or_else(|| var.text_of("Name"))?;
            Some(crate::lint::process::Var { name: name.into(), value: None, line: var.line })
        });
        let secrets = key(["secrets", "Secrets"]).map(Node::list).unwrap_or_default().iter().filter_map(|var| {
            let name = var.text_of("name").or_else(|| var.text_of("Name"))?;
            Some(crate::lint::process::Var { name: name.into(), value: None, line: var.line })
        });
        let process = Process { env: env.chain(secrets).collect(), ..Process::default() };
        scene.hosts.push(Host {
            file,
            line: grace.map_or(container.line, |grace| grace.line),
            platform: "ECS",
            setting: "stopTimeout",
            grace_s: grace.and_then(|grace| grace.text()?.parse().ok()),
            default_s: ECS.0,
            cap_s: ECS.1,
            stops_idle: None,
            timing: process.timing(&scene.options),
        });
    }
}

/// Every container of every task definition, wherever in the file it is.
fn definitions<'a>(node: &'a Node, found: &mut Vec<&'a Node>) {
    match &node.value {
        Value::Map(pairs) => {
            for (key, _, value) in pairs {
                if key.eq_ignore_ascii_case("containerDefinitions") {
                    found.extend(value.list());
                } else {
                    definitions(value, found);
                }
            }
        }
        Value::List(list) => list.iter().for_each(|node| definitions(node, found)),
        Value::Text(_) => {}
    }
}
