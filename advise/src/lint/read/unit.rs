//! Units of systemd.

use crate::lint::process::{Process, Var};
use crate::lint::scene::{Scene, Unit};
use crate::lint::yaml::words;

pub(super) fn read(scene: &mut Scene, file: usize, name: &str, text: &str) {
    let mut entries: Vec<(String, String, String, usize)> = Vec::new();
    let mut section = String::new();
    for (line, number) in super::statements(text, &['#', ';']) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            entries.push((section.clone(), key.trim().into(), value.trim().into(), number));
        }
    }
    let start = entries.iter().rev().find(|(section, key, _, _)| section == "Service" && key == "ExecStart");
    let env = entries
        .iter()
        .filter(|(_, key, _, _)| key == "Environment")
        .flat_map(|(_, _, value, line)| words(value).into_iter().filter_map(|word| Var::of_pair(&word, *line)));
    let process = Process {
        image: String::new(),
        // What stands before the path says how it is started.
        command: start
            .map(|(_, _, value, _)| words(value.trim_start_matches(['-', '@', ':', '+', '!'])))
            .unwrap_or_default(),
        command_line: start.map_or(1, |(_, _, _, line)| *line),
        env: env.collect(),
    };
    let timing = process.timing_of(&[name, name.strip_suffix(".service").unwrap_or(name)], &scene.options);
    scene.units.push(Unit { file, name: name.to_owned(), entries, process, timing });
}
