//! Slow work on the disk, on a thread of its own: an entry that only has to be written does not wait for it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use crate::directory;

/// Dropped, it finishes what it was given.
#[derive(Debug)]
pub(super) struct Keeper {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Whether something could not be forced to the disk since last asked.
    failed: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(super) enum Job {
    /// Force a file to the disk, and that it is there.
    Sync { file: File, dir: PathBuf },
    /// Delete oldest segments, never `current`, until all together take at most `total` bytes.
    Trim { current: PathBuf, total: u64 },
}

impl Keeper {
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, queue) = channel();
        let failed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&failed);
        let thread = thread::Builder::new().name("openrtc-keeper".into()).spawn(move || work(&queue, &told))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), failed })
    }

    pub(super) fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread ends only after this sender has gone.
            let _ = jobs.send(job);
        }
    }

    /// After a failed sync nobody knows what is on the disk.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// What was not on the disk is covered again.
    pub(super) fn forgive(&self) {
        self.failed.store(false, Ordering::Release);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        // It has reported its errors itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn work(queue: &Receiver<Job>, failed: &AtomicBool) {
    for job in queue {
        let done = match job {
            Job::Sync { file, dir } => {
                let synced = file.sync_data().and_then(|()| File::open(dir)?.sync_all());
                failed.fetch_or(synced.is_err(), Ordering::Release);
                synced.map_err(|error| ("forced to the disk", error))
            }
            Job::Trim { current, total } => directory::trim(&current, total).map_err(|error| ("trimmed", error)),
        };
        if let Err((what, error)) = done {
            tracing::error!(%error, "the journal could not be {what}");
        }
    }
}
