//! The folders of `src` are rooms in an order: a room uses only rooms above it, so that a reader can stop at any of
//! them, and no file takes part in an import circle. A child file may use its parent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Every room, from the one that knows nothing of the others downwards.
const ROOMS: [&str; 11] =
    ["secret", "config", "log", "engine", "writer", "process", "http", "audit", "ops", "uplink", "pool"];

#[test]
fn a_room_uses_only_rooms_above_it_and_no_file_is_in_a_circle() {
    let mut files = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut Vec::new(), &mut files);
    assert!(files.len() > 20, "only {} files were found: is this the whole library?", files.len());
    let rooms: BTreeSet<_> = files.keys().map(|module| module[0].as_str()).collect();
    assert_eq!(rooms, BTreeSet::from(ROOMS), "a room is missing in the list, or is gone");
    let faults = faults(&files);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A module's name, from the crate's root.
type Module = Vec<String>;

/// The text of every module that has a file; the crate's root, which only names the rooms, is left out.
fn read(folder: &Path, module: &mut Module, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).expect("the sources") {
        let path = entry.expect("an entry").path();
        module.push(path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned());
        if path.is_dir() {
            read(&path, module, files);
        } else if *module != ["lib"] {
            files.insert(module.clone(), fs::read_to_string(&path).expect("text"));
        }
        module.pop();
    }
}

fn faults(files: &BTreeMap<Module, String>) -> Vec<String> {
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut faults = Vec::new();
    let mut imports: Imports<'_> = BTreeMap::new();
    for (module, text) in files {
        let (name, room) = (module.join("/"), &module[0]);
        for path in paths(module, text) {
            match path.first().map(|other| (other, place(other))) {
                Some((_, Some(there))) if Some(there) <= place(room) => {}
                Some((other, Some(_))) => faults.push(format!("{name}: `{room}` uses `{other}`, a room below it")),
                Some((_, None)) | None => faults.push(format!("{name}: `crate::{}` names no room", path.join("::"))),
            }
            let file = (1..=path.len()).rev().find_map(|len| files.get_key_value(&path[..len]));
            if let Some((other, _)) = file.filter(|(other, _)| !module.starts_with(other)) {
                imports.entry(module).or_default().insert(other);
            }
        }
        if let Some((parent, _)) = files.get_key_value(&module[..module.len() - 1]) {
            imports.entry(parent).or_default().insert(module);
        }
    }
    faults.extend(circle(imports).map(|names| format!("they use each other in a circle: {names}")));
    faults
}

/// What each file imports; a parent imports its children, and what a child imports of its parent is left out.
type Imports<'a> = BTreeMap<&'a Module, BTreeSet<&'a Module>>;

/// What is left once every file is taken away that imports none of those left, or that none of them imports.
fn circle(mut imports: Imports<'_>) -> Option<String> {
    loop {
        let left: BTreeSet<_> = imports.keys().copied().collect();
        let imported: BTreeSet<_> = imports.values().flatten().copied().collect();
        imports.retain(|module, others| {
            others.retain(|other| left.contains(other));
            imported.contains(module) && !others.is_empty()
        });
        if imports.len() == left.len() {
            let names: Vec<_> = left.into_iter().map(|module| module.join("/")).collect();
            return (!names.is_empty()).then(|| names.join(", "));
        }
    }
}

/// Every path in a file's code that starts at the crate's root or goes up, written from the root.
fn paths(module: &[String], text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    // Whose code it is: the file's, or that of a module written out in it.
    let mut here = module.to_vec();
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let mut line_at = 0;
    for line in code.lines() {
        match line.strip_prefix("mod ").and_then(|inner| inner.strip_suffix(" {")) {
            Some(inner) => here.push(inner.to_owned()),
            None if line == "}" => here.truncate(module.len()),
            None => {}
        }
        let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        for (at, root) in line.match_indices("crate::").filter(|(at, _)| begins(*at)) {
            expand(&[], &code[line_at + at + root.len()..], &mut found);
        }
        for (at, _) in line.match_indices("super::").filter(|(at, _)| begins(*at)) {
            let (mut tail, mut up) = (&code[line_at + at..], here.len());
            while let Some(higher) = tail.strip_prefix("super::") {
                (tail, up) = (higher, up.saturating_sub(1));
            }
            expand(&here[..up], tail, &mut found);
        }
        line_at += line.len() + 1;
    }
    found
}

/// Adds the path that `text` begins with, or each of a tree of paths, to `found`; they all start at `base`.
fn expand(base: &[String], text: &str, found: &mut Vec<Module>) {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    let (path, after) = text.split_at(end);
    let segments = path.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned);
    let path: Vec<_> = base.iter().cloned().chain(segments).collect();
    let Some(tree) = after.strip_prefix('{') else { return found.push(path) };
    let (mut depth, mut branch_at) = (1, 0);
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            expand(&path, &tree[branch_at..at], found);
            branch_at = at + 1;
        }
        if depth == 0 {
            return;
        }
    }
}

/// Each rule is broken once, to see that it holds.
mod broken {
    use super::*;

    fn of(sources: &[(&str, &str)]) -> Vec<String> {
        let module = |path: &str| path.split('/').map(str::to_owned).collect();
        faults(&sources.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect())
    }

    #[test]
    fn a_room_below_is_found_however_it_is_written() {
        for (path, text) in [
            ("ops", "use crate::pool::AgentPool;"),
            ("ops/auth", "fn f() { crate::pool::stop() }"),
            ("ops/auth", "use crate::{\n    audit::Trail,\n    pool::{self, AgentPool},\n};"),
            ("ops/auth", "use super::super::pool;"),
            ("ops", "mod tests {\n    use super::super::pool::AgentPool;\n}"),
        ] {
            let found = of(&[(path, text), ("audit", ""), ("pool", "")]);
            assert!(found.contains(&format!("{path}: `ops` uses `pool`, a room below it")), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_name_that_the_root_gives_on_hides_its_room() {
        assert_eq!(of(&[("ops", "use crate::AgentPool;")]), ["ops: `crate::AgentPool` names no room"]);
    }

    #[test]
    fn a_circle_within_a_room_is_found() {
        let circle = [
            ("pool", "mod call;\nmod source;"),
            ("pool/call", "use super::source::Offer;"),
            ("pool/source", "use super::call::CallGuard;"),
        ];
        assert_eq!(of(&circle), ["they use each other in a circle: pool/call, pool/source"]);
    }

    #[test]
    fn rooms_above_parents_and_comments_are_fine() {
        let fine = [
            ("engine", "mod gate;"),
            ("engine/gate", "// crate::pool is what `super::super::pool` uses\nuse super::super::config::Start;"),
            ("pool", "mod call;\nuse crate::engine::gate::Gate;\nmod tests {\n    use super::*;\n}"),
            ("pool/call", "use super::AgentPool;\nmod tests {\n    use super::super::AgentPool;\n}"),
        ];
        assert_eq!(of(&fine), [""; 0]);
    }
}
