//! Compose files, Dockerfiles and files of variables.

use super::kubernetes::vars_of_map;
use crate::lint::process::{Process, Var};
use crate::lint::scene::{EnvFile, Image, Scene, Service};
use crate::lint::yaml::{Node, Value, words};

/// Reads a compose file.
pub(super) fn read_compose(scene: &mut Scene, file: usize, root: &Node) {
    for (name, node) in root.get("services").into_iter().flat_map(Node::pairs) {
        let line = root.get("services").and_then(|services| services.line_of(name)).unwrap_or(node.line);
        let command = |key: &str| node.get(key).map(Node::words).unwrap_or_default();
        let env = match node.get("environment") {
            Some(Node { value: Value::List(list), .. }) => list.iter().filter_map(pair).collect(),
            map => vars_of_map(map),
        };
        let process = Process {
            image: node.text_of("image").unwrap_or_default().into(),
            command: [command("entrypoint"), command("command")].concat(),
            command_line: node.line_of("entrypoint").or_else(|| node.line_of("command")).unwrap_or(line),
            env,
        };
        let timing = process.timing_of(&[name], &scene.options);
        let service = Service { file, name: name.into(), line, node: node.clone(), process, timing };
        scene.services.push(service);
    }
}

/// `NAME=value`, or a name alone that the shell's value is taken for.
fn pair(node: &Node) -> Option<Var> {
    let text = node.text()?;
    let alone = || Var { name: text.into(), value: None, line: node.line };
    Some(Var::of_pair(text, node.line).unwrap_or_else(alone))
}

/// Reads the last stage of a Dockerfile.
pub(super) fn read_image(scene: &mut Scene, file: usize, text: &str) {
    let mut instructions: Vec<(String, String, usize)> = Vec::new();
    for (line, number) in super::statements(text, &['#']) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        if name.eq_ignore_ascii_case("FROM") {
            instructions.clear();
        }
        instructions.push((name.to_uppercase(), rest.trim().to_owned(), number));
    }
    let env = instructions
        .iter()
        .filter(|(name, _, _)| name == "ENV")
        .flat_map(|(_, rest, line)| words(rest).into_iter().filter_map(|word| Var::of_pair(&word, *line)));
    let process = Process { env: env.collect(), ..Process::default() };
    scene.images.push(Image { file, instructions, process });
}

/// Reads a file of variables, as systemd, Docker and shells have them.
pub(super) fn read_env_file(scene: &mut Scene, file: usize, text: &str) {
    let var = |(line, number): (&str, usize)| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))?;
        let value = value.trim().trim_matches(['"', '\'']);
        Some(Var { name: name.trim().into(), value: Some(value.into()), line: number })
    };
    let env = text.lines().zip(1..).filter_map(var).collect();
    scene.env_files.push(EnvFile { file, process: Process { env, ..Process::default() } });
}
