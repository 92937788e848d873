//! What README and docs/ name exists: every path, every link within the repository, and in every command the test,
//! benchmark, fuzz target or scenario. So a claim's proof cannot go without its claim.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::workspace::{folder_of, members, root};

/// Folders beside the crates that a path in the documentation starts with.
const FOLDERS: [&str; 3] = ["deploy", "docs", "fuzz"];

#[test]
fn everything_the_documentation_names_exists() {
    let mut named = 0;
    let mut missing = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).expect("a page is text");
        for name in names(&text) {
            named += 1;
            missing.extend(lack(&page, name).map(|lack| format!("{}: {lack}", page.display())));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(named > 100, "only {named} names were found: is this the documentation?");
}

#[test]
fn every_guide_that_uses_the_command_says_how_to_get_it() {
    let uses = |text: &str| text.contains("`openrtc ") || text.contains("\nopenrtc ");
    let guides: Vec<_> = pages()
        .into_iter()
        .filter(|page| page.starts_with("docs"))
        .filter_map(|page| Some((fs::read_to_string(root().join(&page)).ok().filter(|text| uses(text))?, page)))
        .collect();
    assert!(guides.len() > 4, "only {} guides were found", guides.len());
    for (text, page) in guides {
        assert!(text.contains("`cargo install --locked --path cli`"), "{}", page.display());
    }
}

/// Something a page refers to.
#[derive(Clone, Copy)]
enum Name<'a> {
    /// What stands in backticks.
    Code(&'a str),
    /// Where a link leads.
    Link(&'a str),
}

/// README and the guides, as paths from the root.
fn pages() -> Vec<PathBuf> {
    let guides = fs::read_dir(root().join("docs")).expect("the guides").map(|entry| entry.expect("an entry"));
    let mut pages: Vec<_> = guides.map(|entry| Path::new("docs").join(entry.file_name())).collect();
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.push("README.md".into());
    pages
}

fn names(text: &str) -> impl Iterator<Item = Name<'_>> {
    let mut fenced = false;
    let prose = text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    });
    prose.flat_map(|line| {
        let code = line.split('`').skip(1).step_by(2).map(Name::Code);
        let links = line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(to, _)| Name::Link(to));
        code.chain(links)
    })
}

/// What is missing of what a page names.
fn lack(page: &Path, name: Name<'_>) -> Option<String> {
    match name {
        Name::Link(to) if to.contains("://") => None,
        Name::Link(to) => {
            let file = to.split('#').next().unwrap_or_default();
            (!root().join(page.with_file_name(file)).exists()).then(|| format!("the link {to} leads nowhere"))
        }
        Name::Code(code) if code.contains("cargo ") => lack_of_command(code),
        Name::Code(code) => {
            let folder = code.split_once('/').map(|(folder, _)| folder);
            let is_path = folder.is_some_and(is_folder) && !code.contains([' ', '*', '<', ':']);
            (is_path && !root().join(code).exists()).then(|| format!("there is no {code}"))
        }
    }
}

fn is_folder(name: &str) -> bool {
    FOLDERS.contains(&name) || members().iter().any(|member| member == name)
}

fn lack_of_command(command: &str) -> Option<String> {
    let words: Vec<_> = command.split(' ').collect();
    let after = |flag: &str| words.iter().position(|word| *word == flag).and_then(|at| words.get(at + 1)).copied();
    let folder = match after("-p") {
        Some(package) => match folder_of(package) {
            Some(folder) => folder,
            None => return Some(format!("`{command}`: there is no crate {package}")),
        },
        None => String::new(),
    };
    let lacking = if let Some(target) = after("--test") {
        let last = words.last().filter(|last| **last != target && last.contains('_'));
        let code = code_of_test(&folder, target);
        match last {
            _ if code.is_empty() => Some(target.to_owned()),
            Some(test) => (!code.contains(&format!("fn {test}("))).then(|| (*test).to_owned()),
            None => None,
        }
    } else if let Some(benchmark) = after("--bench") {
        lack_of_file(&format!("benches/{benchmark}.rs"))
    } else if let Some((_, run)) = command.split_once("-p sim -- run ") {
        let plan = run.split(' ').next().unwrap_or_default();
        lack_of_file(&format!("sim/scenarios/{plan}.plan"))
    } else if command.starts_with("cargo fuzz run ") {
        after("none").and_then(|target| lack_of_file(&format!("fuzz/fuzz_targets/{target}.rs")))
    } else {
        None
    };
    lacking.map(|lacking| format!("`{command}`: there is no {lacking}"))
}

fn lack_of_file(path: &str) -> Option<String> {
    (!root().join(path).exists()).then(|| path.to_owned())
}

/// The text of a test program: one file, or all of a folder's. Those of the crate in `tests/` lie in it at the top.
fn code_of_test(folder: &str, target: &str) -> String {
    let place = root().join(folder);
    let place = if folder == "tests" { place } else { place.join("tests") };
    let inner = fs::read_dir(place.join(target)).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = inner.chain([place.join(format!("{target}.rs"))]);
    files.filter_map(|file| fs::read_to_string(file).ok()).collect()
}

#[test]
fn what_does_not_exist_is_found() {
    let text = "\
see `docs/nowhere.md` and `docs/design.md`, [here](nowhere.md) or [there](design.md#fleet), [far](https://far.example)
| `cargo test -p e2e --test nowhere a_test_of_it` | `cargo test -p e2e --test worker no_such_test` |
`cargo bench -p benches --bench nowhere`, `cargo run -p sim -- run nowhere`, `cargo run -p sim -- run walkthrough`,
`cargo fuzz run --sanitizer none nowhere`, `cargo test -p nowhere`, `GET /livez`, `sim run`, `cargo test --workspace`
```sh
cat `docs/not-looked-at.md`
```
";
    let found: Vec<_> = names(text).filter_map(|name| lack(Path::new("docs/page.md"), name)).collect();
    assert_eq!(
        found,
        [
            "there is no docs/nowhere.md",
            "the link nowhere.md leads nowhere",
            "`cargo test -p e2e --test nowhere a_test_of_it`: there is no nowhere",
            "`cargo test -p e2e --test worker no_such_test`: there is no no_such_test",
            "`cargo bench -p benches --bench nowhere`: there is no benches/nowhere.rs",
            "`cargo run -p sim -- run nowhere`: there is no sim/scenarios/nowhere.plan",
            "`cargo fuzz run --sanitizer none nowhere`: there is no fuzz/fuzz_targets/nowhere.rs",
            "`cargo test -p nowhere`: there is no crate nowhere",
        ]
    );
}

/// What defines an item in Rust, but for the variants of an enumeration.
const KEYWORDS: [&str; 7] = ["const", "enum", "fn", "mod", "struct", "trait", "type"];

#[test]
fn every_item_that_the_glossary_names_is_defined_where_it_says() {
    let text = fs::read_to_string(root().join("docs/glossary.md")).expect("the glossary is text");
    let (mut terms, mut wrong) = (0, Vec::new());
    for (term, item, path) in text.lines().filter_map(glossed) {
        terms += 1;
        let code = fs::read_to_string(root().join(path)).unwrap_or_default();
        if !defines(&code, item) {
            wrong.push(format!("{term}: {path} defines no {item}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(terms > 80, "only {terms} terms name an item: is this the glossary?");
}

#[test]
fn each_term_of_the_glossary_stands_there_once() {
    let text = fs::read_to_string(root().join("docs/glossary.md")).expect("the glossary is text");
    let mut terms: Vec<_> = text.lines().filter_map(glossed).map(|(term, ..)| term).collect();
    terms.sort_unstable();
    let twice: Vec<_> = terms.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// The term of a line of the glossary, the item that it names, and the item's file.
fn glossed(line: &str) -> Option<(&str, &str, &str)> {
    let row = line.strip_prefix("| ")?.strip_suffix("` |")?;
    let (term, _) = row.split_once(" |")?;
    let (rest, path) = row.rsplit_once('`')?;
    let (_, item) = rest.strip_suffix("` in ")?.rsplit_once('`')?;
    Some((term, item, path))
}

/// Whether a file of Rust defines an item: after a keyword, or as a variant or a macro's argument on a line of its own.
fn defines(code: &str, item: &str) -> bool {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let words: Vec<_> = line.split(|char| !is_word(char)).filter(|word| !word.is_empty()).collect();
        let is_listed = line.starts_with("    ") && words == [item];
        is_listed || words.windows(2).any(|pair| KEYWORDS.contains(&pair[0]) && pair[1] == item)
    })
}

#[test]
fn an_item_that_is_nowhere_defined_is_found() {
    let line = "| drain | the way out, see `wait` | Envoy | `Drain` in `core/src/worker.rs` |";
    assert_eq!(glossed(line), Some(("drain", "Drain", "core/src/worker.rs")));
    assert_eq!(glossed("| term | meaning | from | in code |"), None);
    let code =
        "pub struct Drain {\n    actor: Actor,\n}\nenum Leave {\n    Parked,\n    Drained {\n}\n// struct of Drain\n";
    let defined = |item| defines(code, item);
    assert!(["Drain", "Leave", "Parked", "Drained"].into_iter().all(defined));
    assert!(!["Drai", "actor", "Actor", "of", "Envoy"].into_iter().any(defined));
}
