//! Every invariant of the oracle can fail: for each, planted bugs make it. `docs/checkers.md` lists them.

use std::fmt::Write;

use sim::bug::Bug;
use sim::generate::seeded;
use sim::oracle::Invariant;
use sim::run::run;
use sim::subject::{Level, Subject};
use sim::swarm::{every_core, swarm};

const DOCUMENTED: &str = include_str!("../../docs/checkers.md");

/// No proof may need more seeds than this.
const SEEDS_MAX: u64 = 4_000;

/// A planted bug, and part of what the oracle says when it is caught so: an invariant that is judged in several places
/// has a proof for each.
type Proof = (Bug, &'static str);

/// What makes an invariant fail. The match is exhaustive: an invariant without a proof does not compile.
const fn proofs(invariant: Invariant) -> &'static [Proof] {
    match invariant {
        Invariant::ZeroDrop => &[(Bug::SignalKillsCalls, "was cut on"), (Bug::SecondSignalKills, "was dropped by")],
        Invariant::NoMove => &[(Bug::AssignsElsewhere, "runs on")],
        Invariant::ShiftClosed => &[(Bug::SilentDrain, "takes no calls and the dispatcher was not told")],
        Invariant::OfferConservation => {
            &[(Bug::RefusesReserved, "said yes to call"), (Bug::DoubleReserve, "by what it said and")]
        }
        Invariant::Capacity => &[(Bug::OverCapacity, "more than it may hold")],
        Invariant::DrainedSound => &[
            (Bug::CountsFromActive, "left as drained with"),
            (Bug::DrainingIsDrained, "counts as drained and holds"),
            (Bug::AnyIncarnation, "was taken for run"),
        ],
        Invariant::KillSafety => &[(Bug::TimerForDrained, "is stopped while it holds")],
        Invariant::SingleWriter => &[(Bug::EpochIgnored, "obeys a coordinator of term")],
        Invariant::KeepOut => &[(Bug::NoRegistration, "is offered calls and never joined")],
        Invariant::OneCurrent => &[(Bug::HalfTheShare, "the coordinator: S10")],
        Invariant::AuditFaithful => &[
            (Bug::ForcedIsClean, "and said"),
            (Bug::ExitsUnflushed, "left before its records were flushed"),
            (Bug::EffectsFirst, "the journal of"),
            (Bug::ReportsServing, "and reports"),
            (Bug::WaveMiscounted, "the coordinator's entry cannot follow"),
            (Bug::DrainedLost, "the coordinator's decisions do not give its state"),
        ],
        Invariant::Bounds => {
            &[(Bug::AsksForTooMany, "the coordinator: S13"), (Bug::ScaleInMiscounted, "the coordinator: S13")]
        }
        Invariant::AckedDrain => &[(Bug::UnsentIsObeyed, "the coordinator: S14")],
        Invariant::CordonHolds => {
            &[(Bug::CordonOverruled, "the coordinator: S15"), (Bug::CordonUnsent, "is cordoned and takes calls")]
        }
        Invariant::GatesHold => {
            &[(Bug::ResultMisfiled, "the coordinator: S16"), (Bug::GateFailsOpen, "failed and counts as passed")]
        }
        Invariant::DrainEnds => &[
            (Bug::NoTimers, "a drain or a reservation did not end"),
            (Bug::SignalSwallowed, "was told to leave and goes on"),
            (Bug::HangupLost, "drains and still holds call"),
            (Bug::FailureUnrecorded, "still holds call"),
        ],
        Invariant::DrainedLeaves => &[(Bug::NeverExits, "is drained and does not leave")],
        Invariant::RolloutEnds => &[(Bug::CoordinatorStaysDown, "and says nothing")],
        Invariant::OverdueAlerts => &[(Bug::NoTimers, "an overdue drain went unnoticed")],
        Invariant::CancelServes => &[(Bug::CancelStaysClosed, "takes calls and the dispatcher was not told")],
        Invariant::StallFlagged => &[(Bug::NoTimers, "a stalled call went unnoticed")],
        Invariant::CallsFollow => &[(Bug::RollbackUnrouted, "of new calls")],
        Invariant::OldVersionLeaves => &[(Bug::OldNeverStopped, "still runs")],
        Invariant::LevelsAgree => {
            &[(Bug::GateReservesTwice, "the gate says"), (Bug::GateMishears, "the shell journals")]
        }
        Invariant::MailBounded => &[(Bug::MailBreeds, "messages are on their way at once")],
    }
}

#[test]
fn every_invariant_can_fail() {
    let mut missed = Vec::new();
    for invariant in Invariant::ALL {
        assert!(!proofs(*invariant).is_empty(), "{invariant} is never seen to fail");
        for (bug, says) in proofs(*invariant) {
            match first_seed(Subject::with(*bug), *invariant, says) {
                Some(seed) => {
                    println!("{invariant:24} {bug:24} seed {seed}");
                    let sound = run(&seeded(seed), Subject::sound(bug.level())).verdict;
                    assert_eq!(sound.broken(), None, "seed {seed} breaks {invariant} without {bug} too: {sound}");
                }
                None => missed.push(format!("{invariant} by {bug}, which says `{says}`")),
            }
        }
    }
    assert!(missed.is_empty(), "not seen to fail within {SEEDS_MAX} seeds: {missed:#?}");
}

/// The first seed that is caught so.
fn first_seed(subject: Subject, invariant: Invariant, says: &str) -> Option<u64> {
    let mut next = 0;
    while next < SEEDS_MAX {
        let found = swarm(next, SEEDS_MAX - next, subject, every_core(), |_| {}).err()?;
        if found.violation.invariant == invariant && found.violation.what.contains(says) {
            return Some(found.seed);
        }
        next = found.seed + 1;
    }
    None
}

#[test]
fn the_documented_proofs_are_these() {
    let mut table = String::from("| number | name | planted bugs that it catches |\n|---|---|---|\n");
    for invariant in Invariant::ALL {
        let bugs: Vec<_> = proofs(*invariant).iter().map(|(bug, _)| name(*bug)).collect();
        writeln!(table, "| {} | {} | {} |", invariant.number(), invariant.name(), bugs.join(", ")).expect("a string");
    }
    assert!(DOCUMENTED.contains(&table), "docs/checkers.md must have this table:\n{table}");
}

fn name(bug: Bug) -> String {
    let level = if bug.level() == Level::Shell { " (level 1)" } else { "" };
    format!("`{bug}`{level}")
}
