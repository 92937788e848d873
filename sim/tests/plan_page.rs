//! The page that describes plans (`README.md`): what it shows can be read, and it leaves nothing out.

use std::collections::BTreeSet;

use sim::plan::Plan;

const PAGE: &str = include_str!("../README.md");

/// What a row's line cannot do without: workers and calls that it names.
const BASE: &str = "sim-plan 1\nload 9 from 0s over 9s lasting 1s..2s\n";

fn parse(text: &str) -> Plan {
    text.parse().unwrap_or_else(|bad| panic!("{bad}\n{text}"))
}

/// The first column of each row that shows a line.
fn lines() -> impl Iterator<Item = &'static str> {
    let rows = PAGE.lines().skip_while(|line| *line != "| line | says |").skip(2);
    rows.map_while(|row| row.strip_prefix("| `")?.split_once("` |").map(|(line, _)| line))
}

#[test]
fn the_whole_plan_on_the_page_can_be_read_and_run() {
    let plan = PAGE.split_once("```plan\n").and_then(|(_, rest)| rest.split_once("```")).expect("a plan").0;
    let plan = parse(plan);
    assert_eq!((plan.title.as_str(), plan.seed, plan.calls.len()), (plan.title.trim(), 7, 41));
    assert!(plan.title.starts_with("Two workers") && plan.tampers.len() == 1 && plan.happenings.len() == 2);
}

#[test]
fn every_line_on_the_page_can_be_read() {
    let read = lines().inspect(|line| drop(parse(&format!("{BASE}{line}\n")))).count();
    assert!(read > 20, "only {read} rows were found");
}

#[test]
fn whatever_may_begin_a_line_or_happen_is_on_the_page() {
    let page: BTreeSet<_> = PAGE.split(|c: char| c != '-' && !c.is_ascii_alphanumeric()).collect();
    let patterns = include_str!("../src/plan/parse.rs").lines().filter_map(|line| line.trim().strip_prefix("[\""));
    let words = patterns.filter_map(|pattern| pattern.split('"').next());
    let missing: Vec<_> = words.filter(|word| !page.contains(word)).collect();
    assert!(missing.is_empty(), "the page does not speak of {missing:?}");
}
