//! A machine's journal, written on a thread of its own. Whoever runs a control loop appends here, for every machine,
//! by one of two rules:
//!
//! - [`Writer::append`], for whoever has calls: a disk that stalls must not stall them, and one that is full must not
//!   end them.
//! - [`Writer::insist`], for whoever gives orders: what is not on the disk is not done.

#[cfg(test)]
pub(crate) mod stalled;

use std::future::pending;
use std::io;
use std::mem;
use std::time::Duration;

use openrtc_core::id::{IdLog, Seq};
use openrtc_core::journal::{Batch, Journaled};
use openrtc_core::snapshot::JournalHealth;
use openrtc_records::journal::{Journal, Sync};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::log::say;

/// How long the control loop waits for a disk before it goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether what was written is still there.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How soon a write that must not be missed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Writes what a control loop appends, and says how that goes. Dropped, the thread finishes what it was given.
#[derive(Debug)]
pub struct Writer<M: Journaled> {
    /// `None` if no journal is kept.
    thread: Option<Thread<M>>,
    health: JournalHealth,
}

impl<M> Writer<M>
where
    M: Journaled<Event: Send, About: Send> + Send + 'static,
{
    /// Starts the journal's thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(journal: Journal<M>) -> io::Result<Self> {
        Thread::start(journal).map(|thread| Self::to(Some(thread)))
    }

    /// Keeps no journal.
    #[must_use]
    pub fn none() -> Self {
        Self::to(None)
    }

    fn to(thread: Option<Thread<M>>) -> Self {
        let health = JournalHealth { kept: thread.is_some(), ..JournalHealth::default() };
        Self { thread, health }
    }

    /// How the journal is.
    #[must_use]
    pub fn health(&self) -> JournalHealth {
        let homeless = self.thread.as_ref().is_some_and(|thread| *thread.homeless.borrow());
        JournalHealth { failing: self.health.failing || homeless, ..self.health }
    }

    /// Resolves when the journal's health has changed without anything being appended. Cancel-safe.
    pub async fn changed(&mut self) {
        if let Some(thread) = &mut self.thread
            && thread.homeless.changed().await.is_ok()
        {
            return;
        }
        pending::<()>().await;
    }

    /// Appends the decisions of a batch; `before` is the state that it follows, `last` that nothing follows. It waits
    /// for the disk, but not for longer than a second.
    ///
    /// # Errors
    /// If they are not written. That is said, once; whoever runs goes on. What was missed is covered by the state that
    /// the journal goes on with.
    ///
    /// # Cancellation
    /// If this is dropped, it is unknown whether the batch was written.
    pub async fn append(&mut self, before: &M, batch: &Batch<M>, last: bool) -> io::Result<()> {
        let Some(thread) = &mut self.thread else { return Ok(()) };
        let mut decisions = batch.entries.iter().filter(|entry| !M::is_observation(&entry.event));
        let Some(decision) = decisions.next_back().map(|entry| entry.seq) else { return Ok(()) };
        let missed = decisions.count() as u64 + 1;
        let written = thread.append(before, batch, last).await;
        self.note(&written, decision, "the journal cannot be written; calls and drain go on without it");
        self.health.missed += if written.is_ok() { 0 } else { missed };
        written
    }

    /// Appends the decisions of a batch, and returns once they are on the disk, in a directory that is there. As long
    /// as the disk does not take them it is tried again, and `tell` hears why, a second later at the latest.
    ///
    /// # Cancellation
    /// If this is dropped, it is unknown whether the batch was written: append nothing afterwards.
    pub async fn insist(&mut self, before: &M, batch: &Batch<M>, mut tell: impl FnMut(JournalHealth, &io::Error)) {
        let Some(thread) = &mut self.thread else { return };
        let mut decisions = batch.entries.iter().filter(|entry| !M::is_observation(&entry.event));
        let Some(decision) = decisions.next_back().map(|entry| entry.seq) else { return };
        let mut written = thread.insist(before, batch).await;
        while let Err(error) = &written {
            self.note(&written, decision, "the journal cannot be written: nothing is decided or done until it can be");
            tell(self.health(), error);
            sleep(AGAIN).await;
            let Some(thread) = &mut self.thread else { return };
            written = thread.insist(before, batch).await;
        }
        self.note(&written, decision, "");
    }

    /// Notes whether the entries up to `decision` were written. Each change is said once, the bad one in these `words`.
    fn note(&mut self, written: &io::Result<()>, decision: Seq, words: &'static str) {
        let was_failing = mem::replace(&mut self.health.failing, written.is_err());
        match written {
            Ok(()) => {
                self.health.written = decision;
                if was_failing {
                    let missed = self.health.missed;
                    say(move || tracing::info!(missed, "the journal is written again"));
                }
            }
            Err(error) if !was_failing => {
                let error = error.to_string();
                say(move || tracing::error!(error, "{words}"));
            }
            Err(_) => {}
        }
    }
}

/// Hands batches to the journal's thread, one at a time.
#[derive(Debug)]
struct Thread<M: Journaled> {
    jobs: mpsc::Sender<Job<M>>,
    /// The answer to a batch the disk has not finished with.
    stuck: Option<oneshot::Receiver<Written<M>>>,
    /// Whether the next batch must come with the state before it.
    wants_state: bool,
    /// The ids of calls that began in batches which were never handed over.
    missed: IdLog,
    /// What the last batch was copied to: a large one is not allocated, and given back, again and again.
    spare: Batch<M>,
    /// Whether the journal's directory is gone and cannot be had again.
    homeless: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Job<M: Journaled> {
    before: Option<Box<M>>,
    missed: IdLog,
    batch: Batch<M>,
    end: End,
    done: oneshot::Sender<Written<M>>,
}

/// What follows a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More batches.
    GoesOn,
    /// Nothing.
    Last,
    /// What must not happen before the batch is on the disk.
    Deeds,
}

#[derive(Debug)]
struct Written<M: Journaled> {
    result: io::Result<()>,
    wants_state: bool,
    spare: Batch<M>,
}

impl<M> Thread<M>
where
    M: Journaled<Event: Send, About: Send> + Send + 'static,
{
    /// Starts the thread; it ends when this is dropped.
    fn start(mut journal: Journal<M>) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel(1);
        let (told, homeless) = watch::channel(false);
        let wants_state = journal.wants_state();
        std::thread::Builder::new().name("openrtc-journal".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            match runtime {
                Ok(runtime) => runtime.block_on(write_all(&mut journal, &mut queue, &told)),
                Err(error) => tracing::error!(%error, "the journal thread could not start: nothing will be journaled"),
            }
        })?;
        Ok(Self { jobs, stuck: None, wants_state, missed: IdLog::default(), spare: Batch::default(), homeless })
    }

    async fn append(&mut self, before: &M, batch: &Batch<M>, last: bool) -> io::Result<()> {
        if let Some(mut stuck) = self.stuck.take() {
            match stuck.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.stuck = Some(stuck);
                    self.missed.append(&batch.ids);
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the disk has not finished an earlier write"));
                }
                // What was missed meanwhile must be covered by the state of a new segment.
                Ok(_) | Err(oneshot::error::TryRecvError::Closed) => self.wants_state = true,
            }
        }
        self.put(before, batch, if last { End::Last } else { End::GoesOn }).await
    }

    /// The same for whoever comes with this batch again until it is written: what the disk has not finished with is
    /// waited for once more.
    async fn insist(&mut self, before: &M, batch: &Batch<M>) -> io::Result<()> {
        match self.stuck.take() {
            Some(answer) => self.answered(answer).await,
            None => self.put(before, batch, End::Deeds).await,
        }
    }

    async fn put(&mut self, before: &M, batch: &Batch<M>, end: End) -> io::Result<()> {
        let given = self.wants_state;
        match self.give(given.then(|| Box::new(before.clone())), batch, end).await {
            // It was taken away since it was last written to. Nothing of the batch was written yet.
            Err(error) if !given && error.kind() == io::ErrorKind::NotConnected => {
                self.give(Some(Box::new(before.clone())), batch, end).await
            }
            done => done,
        }
    }

    /// Gives a batch to the thread, and waits for it within reason.
    async fn give(&mut self, before: Option<Box<M>>, batch: &Batch<M>, end: End) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let mut copy = mem::take(&mut self.spare);
        copy.copy_from(batch);
        let job = Job { before, missed: mem::take(&mut self.missed), batch: copy, end, done };
        if self.jobs.send(job).await.is_err() {
            return Err(io::Error::other("the journal thread is gone"));
        }
        self.answered(answer).await
    }

    async fn answered(&mut self, mut answer: oneshot::Receiver<Written<M>>) -> io::Result<()> {
        match timeout(PATIENCE, &mut answer).await {
            Ok(Ok(written)) => {
                self.wants_state = written.wants_state;
                self.spare = written.spare;
                written.result
            }
            Ok(Err(_)) => Err(io::Error::other("the journal thread is gone")),
            Err(_) => {
                self.stuck = Some(answer);
                Err(io::Error::new(io::ErrorKind::TimedOut, "the disk takes longer than a second"))
            }
        }
    }
}

async fn write_all<M: Journaled>(
    journal: &mut Journal<M>,
    queue: &mut mpsc::Receiver<Job<M>>,
    homeless: &watch::Sender<bool>,
) {
    let check = |journal: &mut Journal<M>| {
        journal.check();
        homeless.send_if_modified(|told| mem::replace(told, journal.is_homeless()) != journal.is_homeless());
    };
    let mut sync_at: Option<Instant> = None;
    let mut check_at = Instant::now() + CHECK_EVERY;
    loop {
        let due = sync_at.map_or(check_at, |due| due.min(check_at));
        let Ok(job) = timeout_at(due, queue.recv()).await else {
            let now = Instant::now();
            if sync_at.take_if(|due| *due <= now).is_some() {
                report(journal.sync_soon());
            }
            if check_at <= now {
                check(journal);
                check_at = now + CHECK_EVERY;
            }
            continue;
        };
        let Some(job) = job else { break };
        if job.end != End::GoesOn {
            // What is gone now nobody would write anew.
            check(journal);
        }
        let mut result = if job.end == End::Deeds && journal.is_homeless() {
            Err(io::Error::new(io::ErrorKind::NotFound, "the directory was deleted, and cannot be created anew"))
        } else {
            journal.append(job.before.map(|before| *before), &job.missed, &job.batch)
        };
        match (journal.sync_policy(), job.end) {
            (Sync::Every(period), End::GoesOn) => {
                sync_at = Some(sync_at.unwrap_or_else(|| Instant::now() + period));
            }
            (Sync::Every(_) | Sync::Always, _) => result = result.and_then(|()| journal.sync()),
        }
        // The control loop may have lost patience; it learns of the outcome from the next batch.
        let _ = job.done.send(Written { result, wants_state: journal.wants_state(), spare: job.batch });
    }
    check(journal);
    report(journal.sync());
}

fn report(synced: io::Result<()>) {
    if let Err(error) = synced {
        say(move || tracing::error!(%error, "the journal could not be forced to the disk"));
    }
}
