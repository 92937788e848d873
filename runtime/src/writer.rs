//! A machine's journal, written on a thread of its own: a disk that stalls must not stall the calls, and one that is
//! full must not end them. Whoever runs a control loop appends here, for every machine.

#[cfg(test)]
pub(crate) mod stalled;

use std::io;
use std::mem;
use std::time::Duration;

use openrtc_core::id::IdLog;
use openrtc_core::journal::{Batch, Journaled};
use openrtc_core::snapshot::JournalHealth;
use openrtc_records::journal::{Journal, Sync};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::log::say;

/// How long the control loop waits for a disk before it goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether what was written is still there.
const CHECK_EVERY: Duration = Duration::from_secs(1);

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
    pub const fn health(&self) -> JournalHealth {
        self.health
    }

    /// Appends the decisions of a batch; `before` is the state that it follows, `last` that nothing follows. It waits
    /// for the disk, but not for longer than a second.
    ///
    /// # Errors
    /// If they are not written. That is said, once; whoever runs goes on. What was missed is covered by the state that
    /// the journal goes on with.
    ///
    /// # Cancellation
    /// Dropped, it is not known whether the batch is written.
    pub async fn append(&mut self, before: &M, batch: &Batch<M>, last: bool) -> io::Result<()> {
        let Some(thread) = &mut self.thread else { return Ok(()) };
        let mut decisions = batch.entries.iter().filter(|entry| !M::is_observation(&entry.event));
        let Some(decision) = decisions.next_back().map(|entry| entry.seq) else { return Ok(()) };
        let missed = decisions.count() as u64 + 1;
        let written = thread.append(before, batch, last).await;
        match &written {
            Ok(()) => {
                if self.health.failing {
                    let missed = self.health.missed;
                    say(move || tracing::info!(missed, "the journal is written again"));
                }
                self.health.failing = false;
                self.health.written = decision;
            }
            Err(error) => {
                if !self.health.failing {
                    let error = error.to_string();
                    say(move || {
                        tracing::error!(error, "the journal cannot be written; calls and drain go on without it");
                    });
                }
                self.health.failing = true;
                self.health.missed += missed;
            }
        }
        written
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
}

#[derive(Debug)]
struct Job<M: Journaled> {
    before: Option<Box<M>>,
    missed: IdLog,
    batch: Batch<M>,
    last: bool,
    done: oneshot::Sender<Written<M>>,
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
        let wants_state = journal.wants_state();
        std::thread::Builder::new().name("openrtc-journal".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            match runtime {
                Ok(runtime) => runtime.block_on(write_all(&mut journal, &mut queue)),
                Err(error) => tracing::error!(%error, "the journal thread could not start: nothing will be journaled"),
            }
        })?;
        Ok(Self { jobs, stuck: None, wants_state, missed: IdLog::default(), spare: Batch::default() })
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
        let given = self.wants_state;
        match self.give(given.then(|| Box::new(before.clone())), batch, last).await {
            // It was taken away since it was last written to. Nothing of the batch was written yet.
            Err(error) if !given && error.kind() == io::ErrorKind::NotConnected => {
                self.give(Some(Box::new(before.clone())), batch, last).await
            }
            done => done,
        }
    }

    /// Gives a batch to the thread, and waits for it within reason.
    async fn give(&mut self, before: Option<Box<M>>, batch: &Batch<M>, last: bool) -> io::Result<()> {
        let (done, mut answer) = oneshot::channel();
        let mut copy = mem::take(&mut self.spare);
        copy.copy_from(batch);
        let job = Job { before, missed: mem::take(&mut self.missed), batch: copy, last, done };
        if self.jobs.send(job).await.is_err() {
            return Err(io::Error::other("the journal thread is gone"));
        }
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

async fn write_all<M: Journaled>(journal: &mut Journal<M>, queue: &mut mpsc::Receiver<Job<M>>) {
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
                journal.check();
                check_at = now + CHECK_EVERY;
            }
            continue;
        };
        let Some(job) = job else { break };
        if job.last {
            // What is gone now nobody would write anew.
            journal.check();
        }
        let mut result = journal.append(job.before.map(|before| *before), &job.missed, &job.batch);
        match journal.sync_policy() {
            Sync::Every(period) if !job.last => sync_at = Some(sync_at.unwrap_or_else(|| Instant::now() + period)),
            Sync::Every(_) | Sync::Always => result = result.and_then(|()| journal.sync()),
        }
        // The control loop may have lost patience; it learns of the outcome from the next batch.
        let _ = job.done.send(Written { result, wants_state: journal.wants_state(), spare: job.batch });
    }
    journal.check();
    report(journal.sync());
}

fn report(synced: io::Result<()>) {
    if let Err(error) = synced {
        say(move || tracing::error!(%error, "the journal could not be forced to the disk"));
    }
}
