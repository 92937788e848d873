//! Journals for tests, written by a worker machine of their own.

use std::fs;
use std::path::{Path, PathBuf};

use openrtc_core::id::{
    Actor, CallId, CallNo, Deployment, Digest, DigestKey, IdLog, Identity, Incarnation, OpenIds, Version, WorkerId,
};
use openrtc_core::journal::{Batch, Opening, Predecessor, Run, write_batch, write_opening};
use openrtc_core::machine::Machine;
use openrtc_core::time::{Instant, Span};
use openrtc_core::worker::{Cause, Class, Command, DrainOrder, EndReason, Leave, Limits, Origin, Terms, Worker};

/// One run of a worker, as far as its journal knows.
pub(crate) struct Scribe {
    dir: PathBuf,
    worker_id: WorkerId,
    version: Version,
    incarnation: u64,
    predecessor: Option<Predecessor>,
    worker: Worker,
    ids: OpenIds,
    now: Instant,
    /// The segment being written: its first entry's number and its bytes so far.
    segment: (u64, Vec<u8>),
}

impl Scribe {
    /// A serving worker's journal in `dir`.
    pub(crate) fn start(dir: &Path, incarnation: u64, predecessor: Option<Predecessor>) -> Self {
        let mut scribe = Self::begin(dir, incarnation, predecessor);
        scribe.enact(Command::Serve);
        scribe
    }

    /// A starting worker's journal in `dir`.
    pub(crate) fn begin(dir: &Path, incarnation: u64, predecessor: Option<Predecessor>) -> Self {
        Self::of(dir, "blue-1", "v1", Limits::default(), incarnation, predecessor)
    }

    /// A worker's journal in `dir` that serves after so long, and stays when it has drained.
    pub(crate) fn parking(dir: &Path, worker: &str, version: &str, after: Span) -> Self {
        let limits = Limits { leave: Leave::Parked, ..Limits::default() };
        let mut scribe = Self::of(dir, worker, version, limits, 1, None);
        scribe.wait(after);
        scribe.enact(Command::Serve);
        scribe
    }

    fn of(
        dir: &Path,
        worker_id: &str,
        version: &str,
        limits: Limits,
        incarnation: u64,
        predecessor: Option<Predecessor>,
    ) -> Self {
        let worker = Worker::new(limits).expect("valid limits");
        let (worker_id, version) = (WorkerId::new(worker_id).expect("a name"), Version::new(version).expect("a name"));
        let (dir, ids, now, segment) = (dir.to_owned(), OpenIds::default(), Instant::EPOCH, (0, Vec::new()));
        let mut scribe = Self { dir, worker_id, version, incarnation, predecessor, worker, ids, now, segment };
        scribe.roll();
        scribe
    }

    /// Nobody runs on `dir`: its lock is there and free.
    pub(crate) fn free(dir: &Path) {
        drop(openrtc_records::prepare(dir).expect("nobody has it"));
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Span) {
        self.now = self.now + time;
    }

    /// What the next run's journal says of this one.
    pub(crate) fn as_predecessor(&self) -> Predecessor {
        Predecessor {
            incarnation: Incarnation::new(self.incarnation),
            exited: self.worker.outcome().is_some(),
            open_calls: self.worker.word().in_flight(),
        }
    }

    /// Lets the worker do as told and writes it down; returns the entry's number.
    pub(crate) fn enact(&mut self, command: Command) -> CallNo {
        self.write(command, IdLog::default())
    }

    /// A call that is taken now.
    pub(crate) fn admit(&mut self, id: &str) -> CallNo {
        self.promise(id, |id, class| Command::Admit { id, class })
    }

    /// An offer that is answered with yes now.
    pub(crate) fn reserve(&mut self, id: &str) -> CallNo {
        self.promise(id, |id, class| Command::Reserve { id, class })
    }

    /// A call of an earlier run that goes on here.
    pub(crate) fn take_over(&mut self, id: &str, run: u64, call: CallNo, given: bool) -> CallNo {
        let origin = Origin { run: Incarnation::new(run), call, given };
        self.promise(id, |id, class| Command::TakeOver { id, class, origin })
    }

    /// A call that goes on in another run.
    pub(crate) fn hand_over(&mut self, call: CallNo, to: u64) {
        self.enact(Command::HandOver { call, to: Incarnation::new(to) });
    }

    /// A call that ends now.
    pub(crate) fn end(&mut self, call: CallNo, reason: EndReason) {
        self.enact(Command::End { call, reason });
    }

    /// A reservation that is taken back now.
    pub(crate) fn withdraw(&mut self, call: CallNo) {
        self.enact(Command::Withdraw { call, reason: EndReason::Withdrawn });
    }

    /// A drain without a deadline.
    pub(crate) fn drain(&mut self, cause: Cause, actor: &'static str) {
        let order = DrainOrder { cause, actor: Actor::from_static(actor), terms: Terms::PATIENT };
        self.enact(Command::BeginDrain(order));
    }

    /// SIGTERM, and the exit once nothing is in flight.
    pub(crate) fn drain_and_exit(&mut self) {
        self.drain(Cause::Signal, "SIGTERM");
        self.leave();
    }

    /// The exit of a worker that drains and has no call left.
    pub(crate) fn leave(&mut self) {
        self.enact(Command::Wake);
        self.enact(Command::Wake);
        assert!(self.worker.is_over(), "it left");
    }

    /// Writes the segment to its file and opens the next one.
    pub(crate) fn roll(&mut self) {
        self.save();
        self.segment = (self.worker.word().seq().get() + 1, Vec::new());
        let identity = Identity {
            deployment: const { Deployment::from_static("test") },
            version: self.version,
            worker: self.worker_id,
            incarnation: Incarnation::new(self.incarnation),
        };
        let about = Run { identity, predecessor: self.predecessor };
        let mut ids = IdLog::default();
        ids.extend(self.ids.iter());
        write_opening(&Opening { about, state: self.worker.clone() }, &ids, &mut self.segment.1);
    }

    /// Writes the segment to its file; returns where that is.
    pub(crate) fn save(&self) -> PathBuf {
        let path = self.dir.join(format!("{:020}-{:020}.orj", self.incarnation, self.segment.0));
        if !self.segment.1.is_empty() {
            fs::write(&path, &self.segment.1).expect("written");
        }
        path
    }

    fn promise(&mut self, id: &str, command: impl Fn(Digest, Class) -> Command) -> CallNo {
        let number = CallNo::new(self.worker.word().seq().next().get());
        let mut ids = IdLog::default();
        ids.push(number, id);
        self.ids.insert(number, CallId::new(id).expect("a valid id"));
        self.write(command(DigestKey::default().digest(id), Class::default()), ids)
    }

    fn write(&mut self, command: Command, ids: IdLog) -> CallNo {
        let entry = self.worker.step(self.now, command).expect("a legal command");
        write_batch::<Worker>(&Batch { entries: vec![entry], ids }, &mut self.segment.1);
        self.ids.retain(|call| self.worker.calls().get(call).is_some());
        CallNo::new(entry.seq.get())
    }
}
