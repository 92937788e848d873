//! Files, by what is in them.

mod balancer;
mod container;
mod host;
mod kubernetes;
mod unit;

use super::finding::Hit;
use super::scene::Scene;
use super::{Options, yaml};

/// A file that is to be judged.
#[derive(Clone, Debug)]
pub struct File {
    /// How it is called in findings; its name's end says what it is.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Files that could not be read, or that say too little to be judged.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Templates that must be rendered first, and files that are broken.
    pub(super) broken: Vec<Hit>,
    /// Files of no known kind.
    pub(super) unknown: Vec<Hit>,
}

/// What a file is, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Yaml,
    Unit,
    Image,
    Env,
    Fly,
    /// Settings of a load balancer.
    Balancer,
}

/// Whether a file of this name is of a kind that is judged.
#[must_use]
pub fn is_known(name: &str) -> bool {
    kind(&name.to_lowercase()).is_some()
}

fn kind(name: &str) -> Option<Kind> {
    let is = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let env = is(&[".env"]) || name.starts_with(".env") || name.starts_with("env.");
    let image = name.starts_with("dockerfile") || is(&["dockerfile", "containerfile"]);
    let kinds = [
        (is(&[".yaml", ".yml", ".json", ".tpl"]), Kind::Yaml),
        (is(&[".service"]), Kind::Unit),
        (image, Kind::Image),
        (env, Kind::Env),
        (is(&["fly.toml"]), Kind::Fly),
        (is(&[".cfg", ".conf", ".conf.template", ".nginx"]), Kind::Balancer),
    ];
    kinds.into_iter().find_map(|(is, kind)| is.then_some(kind))
}

/// Reads all files.
pub(super) fn read(files: &[File], options: &Options) -> (Scene, Unread) {
    let mut scene = Scene { options: options.clone(), ..Scene::default() };
    let mut unread = Unread::default();
    for (number, file) in files.iter().enumerate() {
        let name = file.path.rsplit(['/', '\\']).next().unwrap_or_default();
        let text = &file.text;
        match kind(&name.to_lowercase()) {
            Some(Kind::Yaml) => match template(text) {
                Some(line) => unread.broken.push(Hit::new(number, line, TEMPLATE)),
                None => documents(&mut scene, &mut unread, number, text),
            },
            Some(Kind::Unit) => unit::read(&mut scene, number, name, text),
            Some(Kind::Image) => container::read_image(&mut scene, number, text),
            Some(Kind::Env) => container::read_env_file(&mut scene, number, text),
            Some(Kind::Fly) => host::read_fly(&mut scene, number, text),
            Some(Kind::Balancer) if balancer::is_haproxy(text) => balancer::read_haproxy(&mut scene, number, text),
            Some(Kind::Balancer) if text.contains('{') => balancer::read_nginx(&mut scene, number, text),
            Some(Kind::Balancer) | None => unread.unknown.push(Hit::new(number, 1, "it was not judged")),
        }
    }
    kubernetes::settle(&mut scene);
    (scene, unread)
}

/// Lines that say something, with their numbers: trimmed, without comments, one that ends in `\` with the next.
fn statements(text: &str, comments: &[char]) -> Vec<(String, usize)> {
    let mut lines = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.starts_with(comments));
    let mut statements = Vec::new();
    while let Some((line, number)) = lines.next() {
        let mut whole = line.to_owned();
        while let Some(open) = whole.strip_suffix('\\') {
            let Some((more, _)) = lines.next() else { break };
            whole = format!("{open} {more}");
        }
        if !whole.is_empty() {
            statements.push((whole, number));
        }
    }
    statements
}

const TEMPLATE: &str = "it is a template, and was not judged: render it first (`helm template`, `kustomize build`)";

/// The line of a template's first instruction.
fn template(text: &str) -> Option<usize> {
    let is_instruction =
        |line: &str| line.trim_start().starts_with("{{") || line.contains(": {{") || line.contains("{{-");
    text.lines().position(is_instruction).map(|line| line + 1)
}

fn documents(scene: &mut Scene, unread: &mut Unread, file: usize, text: &str) {
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(bad) => return unread.broken.push(Hit::new(file, bad.line, format!("it cannot be read: {}", bad.why))),
    };
    let known = |scene: &Scene| scene.workloads.len() + scene.objects.len() + scene.services.len() + scene.hosts.len();
    let before = known(scene);
    for document in documents {
        if document.get("apiVersion").is_some() && document.get("kind").is_some() {
            kubernetes::read(scene, file, document);
        } else if document.get("services").is_some_and(|services| services.pairs().count() > 0) {
            container::read_compose(scene, file, &document);
        } else {
            host::read(scene, file, &document);
        }
    }
    if known(scene) == before {
        unread.unknown.push(Hit::new(file, 1, "nothing in it is known here, and it was not judged"));
    }
}
