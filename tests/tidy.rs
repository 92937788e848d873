//! The rules that every tracked file keeps and that no compiler checks. `CONTRIBUTING.md` says why each exists; a
//! function's length is clippy's to judge (`clippy.toml`).

use std::fmt;
use std::path::Path;
use std::process::Command;

use e2e::workspace::{members, root};

/// The longest line of Rust, in characters. rustfmt keeps code to it but leaves comments and strings alone.
const COLUMNS_MAX: usize = 120;

/// The longest file of Rust, in lines: one subject fits.
const LINES_MAX: usize = 400;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Crates whose roots may leave out `#![forbid(unsafe_code)]`, each with its reason.
const UNSAFE_CRATES: &[(&str, &str)] =
    &[("fleet", "std has no safe way to reset a child's signals, session and descriptors: src/child/birth.rs")];

/// Words that mark unfinished work, split so that this file does not break its own rule.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimple", "mented!("),
    concat!("dbg", "!("),
];

/// Words that stand for things that have a name, and the name; likewise split. `docs/glossary.md` has the names.
const HOMEMADE: &[(&str, &str)] = &[
    (concat!("good", "bye"), "a call ends within the grace of a force, or is dropped after it"),
    (concat!("told", " of"), "say who reports what to whom"),
    (concat!("comes", " by"), "say what runs, and when"),
    (concat!("come", " by"), "say what runs, and when"),
    (concat!("de", "sk"), "it is the gate, or the recorder"),
    (concat!("let", " in"), "a worker is admitted"),
];

/// Where one person's files live, likewise split. `deploy/` describes other machines and may name such places.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

#[test]
fn every_tracked_file_is_tidy() {
    let files = tracked();
    let rust = files.iter().filter(|file| file.is_rust()).count();
    let offences: Vec<_> = files.iter().flat_map(offences).collect();
    assert!(offences.is_empty(), "{} offences in {} files:\n{}", offences.len(), files.len(), listed(&offences));
    assert!(rust > 10, "only {rust} Rust files were found: is this the whole repository?");
}

#[test]
fn every_crate_forbids_unsafe_code_and_inherits_the_lints() {
    let files = tracked();
    let offences: Vec<_> = members().iter().flat_map(|member| crate_offences(member, &files)).collect();
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), listed(&offences));
}

#[test]
fn every_exception_is_still_needed() {
    let files = tracked();
    for (path, reason) in LONG_FILES {
        assert!(reason.len() > 20, "{path}: the exception has no reason");
        let file = files.iter().find(|file| file.path == *path);
        let lines = file.map_or(0, |file| file.text.lines().count());
        assert!(lines > LINES_MAX, "{path}: has {lines} lines, so it needs no exception");
    }
    for (member, reason) in UNSAFE_CRATES {
        assert!(reason.len() > 20, "{member}: the exception has no reason");
        let roots: Vec<_> = files.iter().filter(|file| file.is_root_of(member)).collect();
        assert!(
            roots.iter().any(|root| !root.forbids_unsafe()),
            "{member}: forbids unsafe code, so it needs no exception"
        );
    }
}

/// A file under version control.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// Whether the compiler starts here for a library or a program of the crate in folder `member`.
    fn is_root_of(&self, member: &str) -> bool {
        let inner = self.path.strip_prefix(member).and_then(|rest| rest.strip_prefix("/src/"));
        inner.is_some_and(|inner| {
            let program = inner.strip_prefix("bin/").filter(|_| self.is_rust());
            let whole = |program: &str| !program.contains('/') || program.ends_with("/main.rs");
            inner == "lib.rs" || inner == "main.rs" || program.is_some_and(whole)
        })
    }

    /// Whether people read it: code and documentation.
    fn is_prose(&self) -> bool {
        self.is_rust() || Path::new(&self.path).extension().is_some_and(|extension| extension == "md")
    }

    fn forbids_unsafe(&self) -> bool {
        self.text.lines().any(|line| line == "#![forbid(unsafe_code)]")
    }

    fn offence(&self, line: usize, what: impl Into<String>) -> Offence {
        Offence { path: self.path.clone(), line, what: what.into() }
    }
}

/// A broken rule and where; line 0 is the file as a whole.
#[derive(Debug, PartialEq)]
struct Offence {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}:{}: {}", self.path, self.line, self.what)
    }
}

fn listed(offences: &[Offence]) -> String {
    offences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The text files git knows, as they are in the work tree.
fn tracked() -> Vec<File> {
    let root = root();
    let listing = Command::new("git").args(["ls-files", "-z"]).current_dir(&root).output().expect("git runs");
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let listing = String::from_utf8(listing.stdout).expect("paths are UTF-8");
    let text = |path: &str| Some(File { path: path.to_owned(), text: std::fs::read_to_string(root.join(path)).ok()? });
    listing.split_terminator('\0').filter_map(text).collect()
}

fn crate_offences(member: &str, files: &[File]) -> Vec<Offence> {
    let mut found = Vec::new();
    let manifest = files.iter().find(|file| file.path == format!("{member}/Cargo.toml"));
    let manifest = manifest.unwrap_or_else(|| panic!("{member}/Cargo.toml is tracked"));
    if !manifest.text.contains("\n[lints]\nworkspace = true\n") {
        found.push(manifest.offence(0, "does not inherit the lints: add `[lints]` with `workspace = true`"));
    }
    if !files.iter().any(|file| file.path == format!("{member}/README.md")) {
        found.push(manifest.offence(0, "has no README.md beside it: say what the crate is for"));
    }
    let excepted = UNSAFE_CRATES.iter().any(|(name, _)| *name == member);
    for root in files.iter().filter(|file| !excepted && file.is_root_of(member) && !file.forbids_unsafe()) {
        found.push(root.offence(1, "lacks `#![forbid(unsafe_code)]`"));
    }
    found
}

fn offences(file: &File) -> Vec<Offence> {
    let mut found = Vec::new();
    let lines = file.text.lines().count();
    let excepted = LONG_FILES.iter().any(|(path, _)| *path == file.path);
    if file.is_rust() && lines > LINES_MAX && !excepted {
        found.push(file.offence(0, format!("has {lines} lines: split it by subject, to at most {LINES_MAX}")));
    }
    for (line, number) in file.text.lines().zip(1..) {
        let columns = line.chars().count();
        if file.is_rust() && columns > COLUMNS_MAX {
            found.push(file.offence(number, format!("is {columns} characters long: wrap it at {COLUMNS_MAX}")));
        }
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            found.push(file.offence(number, format!("`{word}`: finish it or leave it out")));
        }
        for (word, name) in HOMEMADE.iter().filter(|(word, _)| file.is_prose() && has_word(line, word)) {
            found.push(file.offence(number, format!("`{word}`: {name}")));
        }
        if file.is_rust() && is_bare_question(line) {
            found.push(file.offence(number, "a comment of one word: say what the field is"));
        }
        for place in MACHINE_PATHS.iter().filter(|place| names(line, place) && !file.path.starts_with("deploy/")) {
            found.push(
                file.offence(number, format!("names a place under {place}: use a path relative to the repository")),
            );
        }
    }
    found
}

/// Whether a line is a comment that asks instead of answering.
fn is_bare_question(line: &str) -> bool {
    let question = line.trim_start().strip_prefix("/// ").and_then(|comment| comment.strip_suffix('.'));
    question
        .is_some_and(|word| ["How", "What", "When", "Where", "Which", "Who", "Whom", "Whose", "Why"].contains(&word))
}

/// Whether `line` has `word` and not as a part of another one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let line = line.to_lowercase();
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}

/// Whether `line` has `place` as the beginning of a path and not in the middle of one or of a URL.
fn names(line: &str, place: &str) -> bool {
    let starts_path = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-./}".contains(c));
    line.match_indices(place).any(|(at, _)| starts_path(at))
}

/// Each rule is broken once, to see that it holds.
mod broken {
    use super::*;

    fn of(path: &str, text: String) -> Vec<(usize, String)> {
        offences(&File { path: path.to_owned(), text })
            .into_iter()
            .map(|offence| (offence.line, offence.what))
            .collect()
    }

    #[test]
    fn a_long_line_is_found_in_rust_only() {
        let text = format!("{}\n{}\n", "é".repeat(COLUMNS_MAX), "é".repeat(COLUMNS_MAX + 1));
        assert_eq!(of("a.rs", text.clone()), [(2, "is 121 characters long: wrap it at 120".to_owned())]);
        assert_eq!(of("a.md", text), []);
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(of("a.rs", "\n".repeat(LINES_MAX)), []);
        assert_eq!(of("a.rs", "\n".repeat(LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn unfinished_work_is_found() {
        for word in UNFINISHED {
            assert_eq!(of("a.sh", format!("fine\n# {word} later\n")).len(), 1, "{word}");
        }
    }

    #[test]
    fn a_home_made_word_is_found_where_people_read() {
        for (word, _) in HOMEMADE {
            assert_eq!(of("a.md", format!("it {word} there")).len(), 1, "{word}");
            assert_eq!(of("a.rs", format!("let x = \"no_{word}\";\n// un{word}s")), [], "{word}");
            assert_eq!(of("a.jsonl", format!("it {word} there")), [], "{word}");
        }
    }

    #[test]
    fn a_comment_that_only_asks_is_found() {
        assert_eq!(of("a.rs", "    /// Who.\n    /// Who asks.\n    /// Over.\n".to_owned()).len(), 1);
        assert_eq!(of("a.md", "/// Who.\n".to_owned()), []);
    }

    #[test]
    fn a_machine_path_is_found_at_the_start_of_a_path_and_outside_deploy() {
        for place in MACHINE_PATHS {
            assert_eq!(of("a.md", format!("see {place}me/x")).len(), 1, "{place}");
            assert_eq!(of("a.md", format!("see https://host{place}me/x")), [], "{place}");
            assert_eq!(of("deploy/Dockerfile", format!("COPY {place}me/x")), [], "{place}");
        }
    }

    #[test]
    fn a_crate_that_goes_its_own_way_is_found() {
        let manifest = |lints: &str| File { path: "a/Cargo.toml".to_owned(), text: format!("[package]\n{lints}") };
        let readme = File { path: "a/README.md".to_owned(), text: "# a\n".to_owned() };
        let root = |text: &str| File { path: "a/src/bin/b.rs".to_owned(), text: text.to_owned() };
        let good = [manifest("\n[lints]\nworkspace = true\n"), root("//! B\n#![forbid(unsafe_code)]\n"), readme];
        let bad = [manifest("\n[lints.rust]\n"), root("//! B\n// #![forbid(unsafe_code)]\n")];
        assert_eq!(crate_offences("a", &good), []);
        assert_eq!(crate_offences("a", &bad).len(), 3);
    }
}
