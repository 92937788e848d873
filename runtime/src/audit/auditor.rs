//! The auditor: derives records from entries, in order, and hands their lines to the sinks.

use std::cmp::Ordering;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};

use ed25519_dalek::SigningKey;
use openrtc_core::audit::{Chain, Draft, EventName, derive, derive_loss};
use openrtc_core::id::{CallNo, Identity, Ids, OpenIds};
use openrtc_core::journal::{Batch, Journaled, Replay};
use openrtc_core::machine::Machine;
use openrtc_core::worker::{Entry, Worker};
use openrtc_records::trail::{Reached, TrailFile};
use openrtc_records::{ReadError, Run, runs};
use tokio::sync::watch;

use super::recent::Recent;
use super::{AuditSink, Extent};
use crate::engine::clock::Clock;
use crate::log::say;

/// Batches that may wait for the auditor before it has to turn to the journal.
const BATCHES: usize = 256;

/// Lines that may wait for a file that cannot be written, in bytes.
const KEPT_MAX: usize = 1 << 20;

/// Records between two signed checkpoints.
const CHECKPOINT_EVERY: u64 = 1_000;

/// The control loop's end: hands over what was journaled, never waits.
#[derive(Debug)]
pub(crate) struct Feed {
    batches: SyncSender<Batch<Worker>>,
    behind: Arc<AtomicBool>,
}

impl Feed {
    /// Hands over a batch, or notes that the auditor must turn to the journal for it.
    pub(crate) fn give(&self, batch: &Batch<Worker>) {
        if let Err(TrySendError::Full(_)) = self.batches.try_send(batch.clone()) {
            self.behind.store(true, Release);
        }
    }
}

/// Derives, chains and writes.
pub(super) struct Auditor {
    journal: PathBuf,
    identity: Identity,
    clock: Clock,
    /// The worker as far as the trail goes.
    follower: Worker,
    /// What the calls in flight there are called.
    ids: OpenIds,
    chain: Chain,
    file: Option<TrailFile>,
    /// Whether the file could not be written last time.
    failing: bool,
    sinks: Vec<Listener>,
    key: Option<SigningKey>,
    /// Where the webhook finds what was written last, if there is one.
    recent: Option<Recent>,
    lines: Vec<u8>,
    /// How many bytes of them the sinks have seen.
    offered: usize,
    signed_at: u64,
    extent: watch::Sender<Extent>,
}

impl Auditor {
    /// An auditor of a worker in `state`, whose journal is in `journal`.
    pub(super) fn new(
        journal: PathBuf,
        identity: Identity,
        clock: Clock,
        state: Worker,
        file: Option<TrailFile>,
        sinks: Vec<Box<dyn AuditSink>>,
        key: Option<SigningKey>,
    ) -> Self {
        let chain = file.as_ref().map_or_else(Chain::default, |file| file.chain);
        let signed_at = chain.records;
        let (lines, offered) = (Vec::new(), 0);
        let sinks = sinks.into_iter().map(|sink| Listener { sink, failing: false }).collect();
        let extent = watch::channel(Extent { records: chain.records, ..Extent::default() }).0;
        Self {
            journal,
            identity,
            clock,
            follower: state,
            ids: OpenIds::default(),
            chain,
            file,
            failing: false,
            sinks,
            key,
            recent: None,
            lines,
            offered,
            signed_at,
            extent,
        }
    }

    /// Keeps the records that were written last in memory too, if there is a webhook to take them from there.
    pub(super) fn keeping(self, recent: Option<Recent>) -> Self {
        Self { recent, ..self }
    }

    /// Starts its thread. What is published follows the trail to its end.
    pub(super) fn start(mut self) -> io::Result<(Feed, watch::Receiver<Extent>)> {
        let (batches, queue) = sync_channel(BATCHES);
        let behind = Arc::new(AtomicBool::new(false));
        let extent = self.extent.subscribe();
        let feed = Feed { batches, behind: Arc::clone(&behind) };
        std::thread::Builder::new().name("openrtc-audit".into()).spawn(move || {
            self.resume();
            self.run(&queue, &behind);
            self.extent.send_modify(|extent| extent.closed = true);
        })?;
        Ok((feed, extent))
    }

    fn run(&mut self, queue: &Receiver<Batch<Worker>>, behind: &AtomicBool) {
        while self.follower.outcome().is_none() {
            let Some(batch) = self.next(queue) else { break };
            self.ids.learn(&batch.ids);
            for entry in &batch.entries {
                self.take(entry);
            }
            if behind.swap(false, AcqRel) {
                self.catch_up();
            }
            self.look();
            self.mark();
            self.flush();
        }
        self.sync();
    }

    /// The next batch; none once the control loop is gone.
    fn next(&mut self, queue: &Receiver<Batch<Worker>>) -> Option<Batch<Worker>> {
        while let Some(wait) = self.file.as_ref().and_then(|file| file.sync_in(self.clock.now())) {
            match queue.recv_timeout(wait) {
                Ok(batch) => return Some(batch),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        queue.recv().ok()
    }

    fn sync(&mut self) {
        if let Some(Err(error)) = self.file.as_mut().map(TrailFile::sync) {
            say(move || tracing::error!(%error, "the audit file could not be forced to the disk"));
            self.extent.send_modify(|extent| extent.errors += 1);
        }
    }

    /// Goes on where the file ends: with what earlier runs left in the journal, then with this one.
    fn resume(&mut self) {
        let reached = self.file.as_ref().map_or_else(Reached::default, |file| file.reached);
        if let Err(error) = self.finish_earlier_runs(reached) {
            say(move || tracing::error!(%error, "the journal of an earlier run could not be read for the audit trail"));
        }
        self.flush();
    }

    fn finish_earlier_runs(&mut self, reached: Reached) -> io::Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let mut earlier = Vec::new();
        for run in runs(&self.journal)? {
            if (reached.incarnation..self.identity.incarnation).contains(&run.incarnation) {
                earlier.extend(EarlierRun::read(&run)?);
            }
        }
        for run in earlier {
            self.tell(&run, reached);
        }
        Ok(())
    }

    /// Appends what the file does not have yet of an earlier run.
    fn tell(&mut self, run: &EarlierRun, reached: Reached) {
        let mut there = reached.records;
        for draft in &run.drafts {
            match (run.identity.incarnation, draft.entry).cmp(&(reached.incarnation, reached.entry)) {
                Ordering::Less => {}
                Ordering::Equal if there > 0 => there -= 1,
                Ordering::Equal | Ordering::Greater => self.chain.append(&run.identity, draft, &mut self.lines),
            }
        }
    }

    fn take(&mut self, entry: &Entry) {
        if entry.seq <= self.follower.word().seq() {
            return;
        }
        if self.follower.fits(entry).is_err() {
            return self.catch_up();
        }
        derive(&self.follower, &self.ids, entry, |draft| self.chain.append(&self.identity, &draft, &mut self.lines));
        self.follower.apply(entry);
        if let Some(call) = entry.event.ended_call() {
            self.ids.remove(call);
        }
    }

    /// Derives what was not handed over from the journal.
    fn catch_up(&mut self) {
        let Ok(runs) = runs(&self.journal) else { return };
        let Some(own) = runs.iter().find(|run| run.incarnation == self.identity.incarnation) else { return };
        let mut entries = Vec::new();
        for segment in &own.segments {
            // What cannot be read now is there at the next time, or for the next run.
            let _ =
                segment.replay::<Worker>(|_, ids, entry| entries.push((*entry, ids.id(CallNo::new(entry.seq.get())))));
        }
        for (entry, id) in entries {
            if entry.seq > self.follower.word().seq() && self.follower.fits(&entry).is_ok() {
                self.ids.extend(id.map(|id| (CallNo::new(entry.seq.get()), id)));
                self.take(&entry);
            }
        }
        self.ids.retain(|call| self.follower.has_call(call));
    }

    /// Vouches for the trail so far, and closes it when the worker has left.
    fn mark(&mut self) {
        let (at, entry) = (self.follower.now(), self.follower.word().seq());
        let left = self.follower.outcome().is_some();
        match &self.key {
            Some(key) if left => {
                self.chain.sign(&self.identity, EventName::AuditClosed, at, entry, key, &mut self.lines);
            }
            Some(key) if self.chain.records - self.signed_at >= CHECKPOINT_EVERY => {
                self.chain.sign(&self.identity, EventName::AuditCheckpoint, at, entry, key, &mut self.lines);
                self.signed_at = self.chain.records;
            }
            None if left => self.chain.close_unsigned(&self.identity, at, entry, &mut self.lines),
            Some(_) | None => {}
        }
    }

    /// Notices what somebody else did to the file, and has the trail say so.
    fn look(&mut self) {
        let Some(file) = &mut self.file else { return };
        match file.look() {
            Ok(None) => {}
            Ok(Some(disturbance)) => {
                let file = file.path().to_owned();
                say(move || tracing::error!(?file, "the audit file {disturbance}; the trail goes on there"));
                self.extent.send_modify(|extent| extent.disturbed += 1);
                let (at, entry) = (self.follower.now(), self.follower.word().seq());
                self.chain.disturbed(&self.identity, at, entry, disturbance.as_str(), &mut self.lines);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn flush(&mut self) {
        let is_full = self.is_full();
        if let Some(key) = self.key.as_ref().filter(|_| is_full && !self.failing) {
            // What is rotated away is vouched for by itself.
            let (at, entry) = (self.follower.now(), self.follower.word().seq());
            self.chain.sign(&self.identity, EventName::AuditCheckpoint, at, entry, key, &mut self.lines);
            self.signed_at = self.chain.records;
        }
        self.offer();
        let written = self.file.as_mut().map_or(Ok(()), |file| file.append(&self.lines, self.chain, self.clock.now()));
        match written {
            Ok(()) => {
                let records = self.chain.records;
                if let Some(recent) = &self.recent {
                    recent.keep(&self.lines, records);
                }
                self.lines.clear();
                self.offered = 0;
                self.extent.send_modify(|extent| extent.records = records);
                if std::mem::take(&mut self.failing) {
                    say(move || tracing::info!(records, "the audit file is written again, and has no gap"));
                }
                if is_full {
                    self.rotate();
                }
            }
            Err(error) => self.keep_for_later(&error),
        }
    }

    /// Gives the sinks what they have not seen.
    fn offer(&mut self) {
        let new = &self.lines[self.offered..];
        if !new.is_empty() {
            for sink in &mut self.sinks {
                if sink.hear(new).is_err() {
                    self.extent.send_modify(|extent| extent.errors += 1);
                }
            }
        }
        self.offered = self.lines.len();
    }

    /// Whether the file is to be rotated once the lines at hand are in it. A trail that was closed stays where it is.
    fn is_full(&self) -> bool {
        let more = self.lines.len() as u64;
        self.follower.outcome().is_none() && self.file.as_ref().is_some_and(|file| file.is_full_with(more))
    }

    fn rotate(&mut self) {
        let Some(file) = &mut self.file else { return };
        match file.rotate() {
            Ok(part) => say(move || tracing::info!(part = %part.display(), "the audit file was rotated")),
            Err(error) => {
                say(move || tracing::error!(%error, "the audit file cannot be rotated, and goes on growing"));
                self.extent.send_modify(|extent| extent.errors += 1);
            }
        }
    }

    /// Lines that the file could not take are tried again with the next ones, up to a bound; beyond it they are left to
    /// the next run, which derives them from the journal.
    fn keep_for_later(&mut self, error: &io::Error) {
        self.fail(error);
        if self.lines.len() > KEPT_MAX {
            say(|| tracing::error!("the audit file is left to the next run, which derives what is missing"));
            self.file = None;
        }
    }

    fn fail(&mut self, error: &impl std::fmt::Display) {
        if !std::mem::replace(&mut self.failing, true) {
            let error = error.to_string();
            say(move || tracing::error!(error, "the audit file cannot be written; calls and drain go on"));
        }
        self.extent.send_modify(|extent| extent.errors += 1);
    }
}

/// A sink, and whether it failed last time: only a change is logged.
struct Listener {
    sink: Box<dyn AuditSink>,
    failing: bool,
}

impl Listener {
    fn hear(&mut self, lines: &[u8]) -> io::Result<()> {
        let heard = self.sink.write(lines);
        match &heard {
            Ok(()) if self.failing => say(|| tracing::info!("the audit sink takes records again; it has a gap")),
            Err(error) if !self.failing => {
                let error = error.to_string();
                say(move || tracing::error!(error, "an audit sink failed; calls and drain go on"));
            }
            Ok(()) | Err(_) => {}
        }
        self.failing = heard.is_err();
        heard
    }
}

/// What the journal tells of an earlier run.
struct EarlierRun {
    identity: Identity,
    drafts: Vec<Draft>,
}

impl EarlierRun {
    /// Reads a run to its end; nothing if none of its segments tells anything.
    fn read(run: &Run) -> io::Result<Option<Self>> {
        let (mut drafts, mut last) = (Vec::new(), None);
        for segment in &run.segments {
            match segment.replay(|before, ids, entry| derive(before, ids, entry, |draft| drafts.push(draft))) {
                Ok(replayed) => last = Some(replayed),
                Err(ReadError::Torn { .. }) => {}
                Err(ReadError::Io { error, .. }) => return Err(error),
            }
        }
        let Some(Replay { opening, state, ids, .. }) = last else { return Ok(None) };
        derive_loss(&state, &ids, |draft| drafts.push(draft));
        Ok(Some(Self { identity: opening.about.identity, drafts }))
    }
}
