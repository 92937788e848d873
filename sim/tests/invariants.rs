//! The list of invariants in the documentation is the oracle's table, and core's own names agree with it.

use std::fmt::Write;

use openrtc_core::fleet::invariant::Invariant as OfFleet;
use sim::oracle::{Invariant, RETIRED};

const DESIGN: &str = include_str!("../../docs/design.md");

#[test]
fn the_documented_list_is_the_table() {
    let mut list = String::from("| number | name | what must hold |\n| --- | --- | --- |\n");
    for invariant in Invariant::ALL {
        let (number, name, statement) = (invariant.number(), invariant.name(), invariant.statement());
        writeln!(list, "| {number} | {name} | {statement} |").expect("a string takes all");
    }
    list.push('\n');
    for (number, why) in RETIRED {
        writeln!(list, "- **{number}** is retired. {why}").expect("a string takes all");
    }
    assert!(DESIGN.contains(&list), "docs/design.md must list the invariants so:\n{list}");
}

#[test]
fn every_number_up_to_the_last_is_in_use_or_retired() {
    let numbers: Vec<_> = Invariant::ALL.iter().map(|invariant| invariant.number()).collect();
    let retired: Vec<_> = RETIRED.iter().map(|(number, _)| *number).collect();
    for (kind, last) in [("S", 16), ("L", 9), ("R", 2)] {
        for number in (1..=last).map(|number| format!("{kind}{number}")) {
            let uses = numbers.iter().chain(&retired).filter(|used| **used == number).count();
            assert_eq!(uses, 1, "{number}");
        }
    }
    assert_eq!(numbers.len() + retired.len(), 16 + 9 + 2);
}

#[test]
fn core_calls_its_invariants_what_the_table_calls_them() {
    for of_fleet in OfFleet::ALL {
        assert_eq!(Invariant::from(of_fleet).as_str(), of_fleet.as_str());
    }
}
