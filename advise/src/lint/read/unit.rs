//! Units of systemd.

use crate::lint::process::{Process, Var};
use crate::lint::scene::{Scene, Unit};
use crate::lint::yaml::words;

pub(super) fn read(scene: &mut Scene, file: usize, name: &str, text: &str) {
    let mut entries: Vec<(String, String, String, usize)> = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let mut whole = line.to_owned();
        while let Some(open) = whole.strip_suffix('\\') {
            let Some((more, _)) = lines.find(|(line, _)| !line.trim_start().starts_with(['#', ';'])) else { break };
            whole = format!("{open} {}", more.trim());
        }
        if let Some((key, value)) = whole.split_once('=') {
            entries.push((section.clone(), key.trim().into(), value.trim().into(), number));
        }
    }
    let start = entries.iter().rev().find(|(section, key, _, _)| section == "Service" && key == "ExecStart");
    let env = entries.iter().filter(|(_, key, _, _)| key == "Environment").flat_map(|(_, _, value, line)| {
        words(value).into_iter().filter_map(|word| {
            let (name, value) = word.split_once('=')?;
            Some(Var { name: name.into(), value: Some(value.into()), line: *line })
        })
    });
    let process = Process {
        image: String::new(),
        // What stands before the path says how it is started.
        command: start
            .map(|(_, _, value, _)| words(value.trim_start_matches(['-', '@', ':', '+', '!'])))
            .unwrap_or_default(),
        command_line: start.map_or(1, |(_, _, _, line)| *line),
        env: env.collect(),
    };
    let options = &scene.options;
    let is_named = options.workers.is_empty()
        || options.workers.iter().any(|worker| name == worker || name.strip_suffix(".service") == Some(worker));
    let timing = process.timing(options).filter(|timing| timing.is_openrtc || is_named);
    scene.units.push(Unit { file, name: name.to_owned(), entries, process, timing });
}
