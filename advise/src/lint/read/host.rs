//! Hosting platforms that have a grace of their own: Fly, Render, ECS.

use crate::lint::process::{Process, Var};
use crate::lint::rules::time::seconds;
use crate::lint::scene::{Host, Platform, Scene};
use crate::lint::yaml::{Node, Value};

static FLY: Platform = Platform { name: "Fly", setting: "kill_timeout", default_s: 5, cap_s: 86_400 };
static RENDER: Platform = Platform { name: "Render", setting: "maxShutdownDelaySeconds", default_s: 30, cap_s: 300 };
static ECS: Platform = Platform { name: "ECS", setting: "stopTimeout", default_s: 30, cap_s: 120 };

/// Reads a `fly.toml`; its few settings that matter stand on lines of their own.
pub(super) fn read_fly(scene: &mut Scene, file: usize, text: &str) {
    let setting = |name: &str| {
        text.lines().zip(1..).find_map(|(line, number)| {
            let (key, value) = line.split_once('=')?;
            let value = value.split('#').next().unwrap_or_default().trim();
            (key.trim() == name).then(|| (value.trim_matches(['"', '\'']).to_owned(), number))
        })
    };
    let grace = setting(FLY.setting);
    let stops = setting("auto_stop_machines").filter(|(value, _)| !matches!(value.as_str(), "false" | "off"));
    scene.hosts.push(Host {
        file,
        line: grace.as_ref().map_or(1, |(_, line)| *line),
        platform: &FLY,
        grace_s: grace.and_then(|(value, _)| value.parse().ok().or_else(|| seconds(&value))),
        stops_idle: stops.map(|(_, line)| line),
        timing: Process::default().timing(&scene.options),
    });
}

/// Reads what is neither Kubernetes nor compose: Render's blueprints, task definitions of ECS.
pub(super) fn read(scene: &mut Scene, file: usize, root: &Node) {
    for service in root.list_of("services") {
        let env = service.list_of("envVars").iter().filter_map(|var| Var::of_entry(var, ["key", "value"]));
        let host = host(scene, file, &RENDER, service, service.get(RENDER.setting), env.collect());
        scene.hosts.push(host);
    }
    let mut found = Vec::new();
    definitions(root, &mut found);
    for container in found {
        let key = |names: [&str; 2]| names.iter().find_map(|name| container.get(name));
        let lists = [["environment", "Environment"], ["secrets", "Secrets"]].map(key);
        let env = lists.into_iter().flatten().flat_map(Node::list).filter_map(|var| {
            // Task definitions have small initials, those inside CloudFormation large ones.
            Var::of_entry(var, ["name", "value"]).or_else(|| Var::of_entry(var, ["Name", "Value"]))
        });
        let grace = key([ECS.setting, "StopTimeout"]);
        let host = host(scene, file, &ECS, container, grace, env.collect());
        scene.hosts.push(host);
    }
}

/// What the node of a service says, by that of its grace and by its variables.
fn host(
    scene: &Scene,
    file: usize,
    platform: &'static Platform,
    node: &Node,
    grace: Option<&Node>,
    env: Vec<Var>,
) -> Host {
    Host {
        file,
        line: grace.unwrap_or(node).line,
        platform,
        grace_s: grace.and_then(|grace| grace.text()?.parse().ok()),
        stops_idle: None,
        timing: Process { env, ..Process::default() }.timing(&scene.options),
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
