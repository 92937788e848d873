//! The journal's own thread: a disk that stalls must not stall the calls.

use std::io;
use std::mem;
use std::time::Duration;

use openrtc_core::worker::{Entry, Worker};
use openrtc_records::journal::{Journal, Sync};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// How long the shell waits for a disk before it goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hands batches to the journal's thread, one at a time.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    /// The answer to a batch the disk has not finished with.
    stuck: Option<oneshot::Receiver<Written>>,
    /// Whether the next batch must come with the state before it.
    wants_state: bool,
    /// What the last batch was copied to: a large one is not allocated, and given back, again and again.
    spare: Vec<Entry>,
}

#[derive(Debug)]
struct Job {
    before: Option<Box<Worker>>,
    entries: Vec<Entry>,
    last: bool,
    done: oneshot::Sender<Written>,
}

#[derive(Debug)]
struct Written {
    result: io::Result<()>,
    wants_state: bool,
    spare: Vec<Entry>,
}

impl Writer {
    /// Starts the thread; it ends when the writer is dropped.
    pub(crate) fn start(mut journal: Journal) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel(1);
        let wants_state = journal.wants_state();
        std::thread::Builder::new().name("openrtc-journal".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            match runtime {
                Ok(runtime) => runtime.block_on(write_all(&mut journal, &mut queue)),
                Err(error) => tracing::error!(%error, "the journal thread could not start: nothing will be journaled"),
            }
        })?;
        Ok(Self { jobs, stuck: None, wants_state, spare: Vec::new() })
    }

    /// Appends a batch; `before` is the state it follows, `last` that nothing follows.
    pub(crate) async fn append(&mut self, before: &Worker, entries: &[Entry], last: bool) -> io::Result<()> {
        if let Some(mut stuck) = self.stuck.take() {
            match stuck.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.stuck = Some(stuck);
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the disk has not finished an earlier write"));
                }
                // What was missed meanwhile must be covered by the state of a new segment.
                Ok(_) | Err(oneshot::error::TryRecvError::Closed) => self.wants_state = true,
            }
        }
        let (done, mut answer) = oneshot::channel();
        let before = self.wants_state.then(|| Box::new(before.clone()));
        let mut copy = mem::take(&mut self.spare);
        copy.clear();
        copy.extend_from_slice(entries);
        let job = Job { before, entries: copy, last, done };
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

async fn write_all(journal: &mut Journal, queue: &mut mpsc::Receiver<Job>) {
    let mut sync_at = None;
    loop {
        let job = match sync_at {
            Some(due) => timeout_at(due, queue.recv()).await,
            None => Ok(queue.recv().await),
        };
        let Ok(job) = job else {
            sync_at = None;
            report(journal.sync_soon());
            continue;
        };
        let Some(job) = job else { break };
        let mut result = journal.append(job.before.map(|before| *before), &job.entries);
        match journal.sync_policy() {
            Sync::Every(period) if !job.last => sync_at = Some(sync_at.unwrap_or_else(|| Instant::now() + period)),
            Sync::Every(_) | Sync::Always => result = result.and_then(|()| journal.sync()),
        }
        // The shell may have lost patience; it learns of the outcome from the next batch.
        let _ = job.done.send(Written { result, wants_state: journal.wants_state(), spare: job.entries });
    }
    report(journal.sync());
}

fn report(synced: io::Result<()>) {
    if let Err(error) = synced {
        tracing::error!(%error, "the journal could not be forced to the disk");
    }
}

#[cfg(test)]
pub(crate) mod stalled {
    use super::*;

    /// A disk that has been given a batch and does not finish it until it is told to.
    #[derive(Debug)]
    pub(crate) struct Disk(mpsc::Receiver<Job>);

    /// A writer to such a disk.
    pub(crate) fn writer() -> (Writer, Disk) {
        let (jobs, queue) = mpsc::channel(1);
        (Writer { jobs, stuck: None, wants_state: false, spare: Vec::new() }, Disk(queue))
    }

    impl Disk {
        /// Finishes everything it was given, from now on at once. Returns the state each batch came with, if any, and
        /// the batch.
        pub(crate) async fn finish(mut self, mut each: impl FnMut(Option<Worker>, &[Entry])) {
            while let Some(Job { before, entries, done, .. }) = self.0.recv().await {
                each(before.map(|before| *before), &entries);
                let _ = done.send(Written { result: Ok(()), wants_state: false, spare: entries });
            }
        }
    }
}
