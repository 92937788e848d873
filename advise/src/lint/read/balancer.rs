//! Settings of `HAProxy` and nginx, by their sections.

use crate::lint::scene::{Balancer, Scene};

const HAPROXY: &[&str] = &["global", "defaults", "frontend", "backend", "listen"];

/// Whether a file begins its sections as those of `HAProxy` do.
pub(super) fn is_haproxy(text: &str) -> bool {
    let begins = |line: &str| line.split_whitespace().next().is_some_and(|word| HAPROXY.contains(&word));
    text.lines().filter(|line| begins(line) && !line.contains(['{', ';'])).count() >= 2
}

pub(super) fn read_haproxy(scene: &mut Scene, file: usize, text: &str) {
    let mut entries = Vec::new();
    let mut section = String::new();
    for (line, number) in text.lines().zip(1..) {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        match words.next() {
            Some(word) if !line.starts_with([' ', '\t']) && HAPROXY.contains(&word) => {
                line.trim().clone_into(&mut section);
                entries.push((section.clone(), String::new(), String::new(), number));
            }
            Some("timeout") => {
                let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                entries.push((section.clone(), format!("timeout {name}"), value.to_owned(), number));
            }
            Some(word) => {
                entries.push((section.clone(), word.to_owned(), words.collect::<Vec<_>>().join(" "), number));
            }
            None => {}
        }
    }
    scene.balancers.push(Balancer { file, program: "HAProxy", entries });
}

/// Blocks of nginx; a section is the path of blocks that a setting stands in, each with its line.
pub(super) fn read_nginx(scene: &mut Scene, file: usize, text: &str) {
    let mut entries = Vec::new();
    let mut blocks: Vec<String> = Vec::new();
    let mut statement = (String::new(), 0);
    for (line, number) in text.lines().zip(1..) {
        for char in line.split('#').next().unwrap_or_default().chars().chain([' ']) {
            match char {
                '{' => blocks.push(format!("{} @{number}", std::mem::take(&mut statement.0).trim())),
                '}' => {
                    blocks.pop();
                    statement.0.clear();
                }
                ';' => {
                    let whole = std::mem::take(&mut statement.0);
                    let (key, value) =
                        whole.trim().split_once(char::is_whitespace).unwrap_or_else(|| (whole.trim(), ""));
                    entries.push((blocks.join(" > "), key.to_owned(), value.trim().to_owned(), statement.1));
                }
                char => {
                    if statement.0.trim().is_empty() {
                        statement.1 = number;
                    }
                    statement.0.push(char);
                }
            }
        }
    }
    scene.balancers.push(Balancer { file, program: "nginx", entries });
}
