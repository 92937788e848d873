//! From a failing plan to the shortest one that fails the same way, and which of its faults are necessary.

use crate::id::CallIndex;
use crate::oracle::Invariant;
use crate::plan::{Plan, Tamper};
use crate::run::run;
use crate::subject::Subject;

/// One thing that can be taken out of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Call(usize),
    Happening(usize),
    Tamper(usize),
}

/// Takes out of a failing plan whatever it does not need to break `invariant`: ddmin (Zeller and Hildebrandt 2002).
#[must_use]
pub fn shrink(plan: &Plan, subject: Subject, invariant: Invariant) -> Plan {
    let fails = |parts: &[Part]| run(&keep(plan, parts), subject).verdict.broken() == Some(invariant);
    let mut parts = parts_of(plan);
    let mut pieces = 2;
    while parts.len() >= 2 {
        let size = parts.len().div_ceil(pieces);
        let without = (0..pieces).map(|piece| {
            let (from, to) = (piece * size, ((piece + 1) * size).min(parts.len()));
            let rest: Vec<_> =
                parts.iter().enumerate().filter(|(at, _)| *at < from || *at >= to).map(|(_, part)| *part).collect();
            rest
        });
        match without.into_iter().find(|rest| rest.len() < parts.len() && fails(rest)) {
            Some(rest) => {
                parts = rest;
                pieces = pieces.saturating_sub(1).max(2);
            }
            None if size == 1 => break,
            None => pieces = (pieces * 2).min(parts.len()),
        }
    }
    keep(plan, &parts)
}

/// The faults without which a plan does not break `invariant`, each by itself.
#[must_use]
pub fn blame(plan: &Plan, subject: Subject, invariant: Invariant) -> Vec<String> {
    let all = parts_of(plan);
    let necessary = |part: &Part| {
        let rest: Vec<_> = all.iter().copied().filter(|other| other != part).collect();
        run(&keep(plan, &rest), subject).verdict.broken() != Some(invariant)
    };
    let faults = all.iter().filter(|part| match part {
        Part::Call(_) => false,
        Part::Happening(at) => plan.happenings[*at].deed.is_fault(),
        Part::Tamper(_) => true,
    });
    faults.filter(|part| necessary(part)).map(|part| describe(plan, *part)).collect()
}

fn describe(plan: &Plan, part: Part) -> String {
    match part {
        Part::Call(at) => plan.calls[at].to_string(),
        Part::Happening(at) => plan.tell(&plan.happenings[at]),
        Part::Tamper(at) => plan.tampers[at].to_string(),
    }
}

fn parts_of(plan: &Plan) -> Vec<Part> {
    let calls = (0..plan.calls.len()).map(Part::Call);
    let happenings = (0..plan.happenings.len()).map(Part::Happening);
    calls.chain(happenings).chain((0..plan.tampers.len()).map(Part::Tamper)).collect()
}

/// The plan with these parts only; what happens to the messages of a call goes with it.
fn keep(plan: &Plan, parts: &[Part]) -> Plan {
    let mut kept = Plan { calls: Vec::new(), happenings: Vec::new(), tampers: Vec::new(), ..plan.clone() };
    let mut number_of = vec![None; plan.calls.len()];
    for part in parts {
        match *part {
            Part::Call(at) => {
                number_of[at] = Some(CallIndex::at(kept.calls.len()));
                kept.calls.push(plan.calls[at]);
            }
            Part::Happening(at) => kept.happenings.push(plan.happenings[at]),
            Part::Tamper(at) => {
                let tamper = plan.tampers[at];
                kept.tampers.extend(number_of[tamper.call].map(|call| Tamper { call, ..tamper }));
            }
        }
    }
    kept
}
