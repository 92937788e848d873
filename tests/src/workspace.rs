//! Where the workspace is, and its crates in it.

use std::fs;
use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace's folder").to_owned()
}

/// The folders of the workspace's crates.
pub fn members() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a manifest");
    let (_, list) = manifest.split_once("\nmembers = [").expect("the workspace has members");
    let (list, _) = list.split_once(']').expect("the list of members is closed");
    let names = list.split(',').map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty());
    let members: Vec<_> = names.map(str::to_owned).collect();
    assert!(members.iter().any(|member| member == "core"), "core is a member: {members:?}");
    members
}

/// The folder of the crate with this name.
pub fn folder_of(package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"\n");
    let manifest = |folder: &String| fs::read_to_string(root().join(folder).join("Cargo.toml"));
    members().into_iter().find(|folder| manifest(folder).is_ok_and(|text| text.contains(&name)))
}
