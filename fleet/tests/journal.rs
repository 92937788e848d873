//! The journal of a fleet: what a coordinator that is started anew knows, and what a disk that fails costs.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use openrtc_core::fleet::{
    Command, Effect, Facts, Fleet, Policy, Report, Request, Rollout, Run, Spec, Stage, Stamp, Timeouts,
};
use openrtc_core::id::{Actor, Deployment, Epoch, Incarnation, Seq, Version, WorkerId};
use openrtc_core::journal::Office;
use openrtc_core::machine::Machine;
use openrtc_core::word::Phase;
use openrtc_fleet::shell::{Found, OnDamage, Performer, Running, Shell};
use openrtc_records::{LockState, lock_state};
use openrtc_runtime::journal::{JournalConfig, JournalError};
use tempfile::tempdir;
use tokio::task::JoinHandle;

const ALICE: Actor = Actor::from_static("alice");
const V1: Version = Version::from_static("v1");
const V2: Version = Version::from_static("v2");
const OFFICE: Office = Office {
    deployment: Deployment::from_static("test"),
    coordinator: WorkerId::from_static("coordinator-1"),
    incarnation: Incarnation::new(0),
};

/// Notes what it is to carry out.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Effect>>>);

impl Performer for Notes {
    fn perform(&mut self, effect: Effect) {
        self.0.lock().unwrap().push(effect);
    }
}

/// A coordinator that runs.
struct Coordinator {
    shell: Shell,
    found: Found,
    notes: Notes,
    running: JoinHandle<()>,
}

impl Coordinator {
    fn open(dir: &Path) -> Self {
        Self::go(open(dir, OnDamage::Refuse).unwrap())
    }

    fn go((shell, running, found): (Shell, Running, Found)) -> Self {
        let notes = Notes::default();
        let running = tokio::spawn(running.run(notes.clone()));
        Self { shell, found, notes, running }
    }

    fn roll_out(&self, version: Version) {
        let spec = Spec { version, workers: 1, policy: Policy { headroom: 0, ..Policy::default() } };
        self.shell.request(ALICE, Request::RollOut(spec)).unwrap();
    }

    /// A worker of a version joins and serves.
    fn join(&self, run: Run, version: Version) {
        self.shell.submit(Command::Register { run, version }).unwrap();
        self.report(run, version);
    }

    fn report(&self, run: Run, version: Version) {
        let facts = Facts {
            seq: Seq::new(1),
            phase: Phase::Serving,
            in_flight: 3,
            capacity: 10,
            available: 7,
            sealed: false,
            obeyed: Stamp::default(),
        };
        self.shell.submit(Command::Report(Report { run, version, facts })).unwrap();
    }

    async fn until(&self, stage: Stage) {
        self.shell.until(|fleet| fleet.rollout().is_some_and(|rollout| rollout.stage == stage)).await;
    }

    /// Ends it, with everything that was decided in its journal.
    async fn end(self) -> Fleet {
        self.shell.settle().await.unwrap();
        self.running.abort();
        let _ = self.running.await;
        let mut fleet = self.shell.view(Fleet::clone);
        fleet.forget();
        fleet
    }
}

fn open(dir: &Path, on_damage: OnDamage) -> Result<(Shell, Running, Found), JournalError> {
    Shell::open(JournalConfig::new(dir), OFFICE, Fleet::new(Timeouts::default()).unwrap(), on_damage)
}

fn run(worker: &str) -> Run {
    Run { worker: WorkerId::new(worker).unwrap(), incarnation: Incarnation::new(1) }
}

/// A thread that has just ended may hold the lock for a moment longer.
async fn is_let_go(dir: &Path) {
    while lock_state(dir) == LockState::Held {
        tokio::task::yield_now().await;
    }
}

/// Opens the journal of a coordinator that has just ended.
async fn again(dir: &Path) -> Coordinator {
    is_let_go(dir).await;
    Coordinator::open(dir)
}

fn newest(dir: &Path) -> PathBuf {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "orj")).max().unwrap()
}

#[tokio::test]
async fn a_coordinator_started_anew_knows_every_decision_and_no_worker_until_it_reports() {
    let dir = tempdir().unwrap();
    let first = Coordinator::open(dir.path());
    assert!(first.found.is_none());
    first.roll_out(V1);
    first.join(run("blue"), V1);
    first.until(Stage::Completed).await;
    first.roll_out(V2);
    let refused = open(dir.path(), OnDamage::Refuse).map(drop);
    assert!(matches!(refused, Err(JournalError::InUse { .. })), "two coordinators write one journal: {refused:?}");
    let left = first.end().await;

    let second = again(dir.path()).await;
    let found = second.found.as_ref().and_then(|found| found.fleet.as_ref()).unwrap();
    assert_eq!(*found, left, "what was decided is found, bit for bit");
    let (term, stage) = second.shell.view(|fleet| (fleet.epoch(), fleet.rollout().map(|rollout| rollout.stage)));
    assert_eq!((term, stage), (Epoch::new(left.epoch().get() + 1), Some(Stage::Provisioning)));
    let facts = |fleet: &Fleet| fleet.members().get(run("blue").worker).unwrap().seen.heard.is_some();
    assert!(!second.shell.view(facts), "nobody is known by what an earlier coordinator heard");
    let owed = |notes: &Notes| {
        let notes = notes.0.lock().unwrap();
        notes.iter().any(|effect| matches!(effect, Effect::Provision { version: V2, .. }))
    };
    while !owed(&second.notes) {
        tokio::task::yield_now().await;
    }
    second.report(run("blue"), V1);
    second.join(run("green"), V2);
    second.until(Stage::Draining).await;
    second.end().await;
}

#[tokio::test]
async fn of_a_torn_journal_what_is_whole_counts_and_the_lost_orders_stamps_are_not_given_again() {
    let dir = tempdir().unwrap();
    let first = Coordinator::open(dir.path());
    first.roll_out(V1);
    let before = first.shell.view(Fleet::epoch);
    let left = first.end().await;
    let segment = newest(dir.path());
    let bytes = fs::read(&segment).unwrap();
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(bytes.len() as u64 - 1).unwrap();

    let second = again(dir.path()).await;
    let found = second.found.clone().unwrap();
    assert!(found.torn.is_some());
    assert_eq!(found.fleet.unwrap().seq().get() + 1, left.seq().get(), "one entry is lost");
    assert!(second.shell.view(Fleet::epoch) > before);
    second.end().await;
}

/// Damage that no crash leaves: what was decided behind it may be all there is of a rollout.
#[tokio::test]
async fn a_damaged_journal_is_named_and_gone_on_with_only_by_somebody_who_accepts_the_loss() {
    let dir = tempdir().unwrap();
    let first = Coordinator::open(dir.path());
    first.roll_out(V1);
    first.join(run("blue"), V1);
    first.until(Stage::Completed).await;
    first.shell.settle().await.unwrap();
    let opening = fs::read(newest(dir.path())).unwrap();
    first.roll_out(V2);
    let left = first.end().await;
    let segment = newest(dir.path());
    let whole = fs::read(&segment).unwrap();
    is_let_go(dir.path()).await;

    let damage = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&segment, bytes).unwrap();
    };
    // In the middle, in the last entry, and in the state that the segment opens with.
    for at in [opening.len() + 20, whole.len() - 1, 40] {
        damage(at);
        let files = fs::read_dir(dir.path()).unwrap().count();
        let refused = open(dir.path(), OnDamage::Refuse).map(drop).unwrap_err().to_string();
        let named = [segment.to_str().unwrap(), "at byte ", "a checksum does not match", "backup", "--accept-loss"];
        assert!(named.iter().all(|name| refused.contains(name)), "{refused}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), files, "nothing is written");
    }
    // Of a term that nothing tells of any more no order's stamp is given again. (The opening is damaged.)
    let (unknown, running, _) = open(dir.path(), OnDamage::GoOn).unwrap();
    let (epoch, versions) = unknown.view(|fleet| (fleet.epoch(), fleet.versions().len()));
    assert!(epoch > left.epoch() && versions == 0);
    drop((unknown, running));
    is_let_go(dir.path()).await;
    fs::remove_file(newest(dir.path())).unwrap();

    damage(opening.len() + 20);
    let second = Coordinator::go(open(dir.path(), OnDamage::GoOn).unwrap());
    let (rollout, found) = (second.shell.view(|fleet| fleet.rollout().copied()), second.found.clone().unwrap());
    assert_eq!(rollout.map(|rollout| (rollout.green(), rollout.stage)), Some((V1, Stage::Completed)));
    assert!(found.torn.is_some() && found.fleet.unwrap().seq() < left.seq());
    second.end().await;
    again(dir.path()).await.end().await;
}

/// Until the directory is there again nothing is done and nobody is told that it is.
#[tokio::test]
async fn a_fleet_whose_disk_takes_nothing_stands_still_and_says_why() {
    let parent = tempdir().unwrap();
    let dir = parent.path().join("fleet");
    let first = Coordinator::open(&dir);
    first.roll_out(V1);
    first.join(run("blue"), V1);
    first.until(Stage::Completed).await;
    first.shell.settle().await.unwrap();
    assert!(first.shell.trouble().is_none() && !first.shell.journal().failing);
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "in the way").unwrap();

    first.shell.request(ALICE, Request::Cordon { worker: run("blue").worker }).unwrap();
    let trouble = first.shell.settle().await.unwrap_err().to_string();
    assert!(trouble.contains(dir.to_str().unwrap()) && trouble.contains("deleted"), "{trouble}");
    assert!(first.shell.journal().failing && first.shell.trouble().is_some());
    let drains =
        |notes: &Notes| notes.0.lock().unwrap().iter().any(|effect| matches!(effect, Effect::OrderDrain { .. }));
    assert!(!drains(&first.notes), "an order that is not on the disk is not sent");

    fs::remove_file(&dir).unwrap();
    while !drains(&first.notes) {
        tokio::task::yield_now().await;
    }
    first.shell.settle().await.unwrap();
    let journal = first.shell.journal();
    assert!(first.shell.trouble().is_none() && !journal.failing && journal.missed == 0, "{journal:?}");
    let left = first.end().await;
    let second = again(&dir).await;
    assert_eq!(second.found.as_ref().and_then(|found| found.fleet.as_ref()), Some(&left));
    second.end().await;
}

/// A host has calls: as with a worker's, a disk that takes nothing costs entries and no decision.
#[tokio::test]
async fn a_hosts_fleet_goes_on_without_its_disk_and_what_it_missed_is_made_up_for() {
    let parent = tempdir().unwrap();
    let dir = parent.path().join("fleet");
    let (shell, running) = Shell::new(Fleet::new(Timeouts::default()).unwrap());
    // Small segments: a directory that is gone is noticed by whoever opens the next one.
    let config = JournalConfig { segment_bytes: 1_024, ..JournalConfig::new(&dir) };
    let (running, found) = running.journaled(config, OFFICE).unwrap();
    let first = Coordinator::go((shell, running, found));
    first.roll_out(V1);
    first.shell.settle().await.unwrap();
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "in the way").unwrap();
    let mut calls = 1;
    let mut decide = async || {
        calls = 3 - calls;
        first.shell.submit(Command::Demand { calls }).unwrap();
        first.shell.settle().await.unwrap();
    };
    while first.shell.journal().missed == 0 {
        decide().await;
    }
    assert!(first.shell.journal().failing);
    first.join(run("blue"), V1);
    first.until(Stage::Completed).await;
    fs::remove_file(&dir).unwrap();
    while first.shell.journal().failing {
        decide().await;
    }
    let left = first.end().await;
    let second = again(&dir).await;
    assert_eq!(second.found.as_ref().and_then(|found| found.fleet.as_ref()), Some(&left));
    second.end().await;
}

#[tokio::test]
async fn a_fleet_that_begins_anew_is_told_what_was_before_and_goes_on_with_none_of_it() {
    let dir = tempdir().unwrap();
    for round in 0..2 {
        let (shell, running) = Shell::new(Fleet::new(Timeouts::default()).unwrap());
        is_let_go(dir.path()).await;
        let (running, found) = running.journaled(JournalConfig::new(dir.path()), OFFICE).unwrap();
        let before = found.and_then(|found| found.fleet).and_then(|fleet| fleet.rollout().map(Rollout::green));
        assert_eq!(before, (round == 1).then_some(V1));
        assert_eq!(shell.view(|fleet| fleet.versions().len()), 0);
        let coordinator = Coordinator::go((shell, running, None));
        coordinator.roll_out(V1);
        coordinator.end().await;
    }
}

#[tokio::test]
async fn the_journal_of_a_worker_is_none_of_a_fleets() {
    let dir = tempdir().unwrap();
    let pool = openrtc_runtime::AgentPool::builder()
        .deployment_version("v1")
        .signals(false)
        .journal_dir(dir.path().into())
        .build()
        .unwrap();
    let _ = (pool.begin_drain(ALICE), pool.leave());
    pool.retired().await;
    is_let_go(dir.path()).await;
    let refused = open(dir.path(), OnDamage::GoOn).map(drop).unwrap_err().to_string();
    assert!(refused.contains("holds a worker's journal"), "{refused}");
}
