//! Slow work on the disk, on a thread of its own: an entry that only has to be written does not wait for it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::Say;
use super::disk::{self, Loss};
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
    /// Look whether what this run wrote before the current segment is still there, and write anew what is not.
    Check,
    /// Force a segment to the disk to which nothing is added any more, and keep an eye on it.
    Close { file: File, path: PathBuf, bytes: u64 },
    /// Force a file to the disk, and that it is there.
    Sync { file: File, dir: PathBuf },
    /// Take away the oldest segments, never `current`, until all together take at most `total` bytes.
    Trim { current: PathBuf, total: u64 },
}

/// A segment of this run to which nothing is added any more. While it is open its bytes can be had, whoever deletes it.
#[derive(Debug)]
struct Closed {
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Whether it is known, and told, that it cannot be had back.
    is_lost: bool,
}

impl Keeper {
    pub(super) fn start(say: Say) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let failed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&failed);
        let thread = thread::Builder::new().name("openrtc-keeper".into()).spawn(move || work(&queue, &told, say))?;
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

fn work(queue: &Receiver<Job>, failed: &AtomicBool, say: Say) {
    let mut closed: Vec<Closed> = Vec::new();
    for job in queue {
        let done = match job {
            Job::Check => {
                for segment in &mut closed {
                    segment.check(say);
                }
                Ok(())
            }
            Job::Close { file, path, bytes } => {
                let synced = force(&file, path.parent(), failed);
                closed.push(Closed { file, path, bytes, is_lost: false });
                synced
            }
            Job::Sync { file, dir } => force(&file, Some(&dir), failed),
            Job::Trim { current, total } => {
                let taken = |path: &Path| closed.retain(|closed: &Closed| closed.path != path);
                directory::trim(&current, total, taken).map_err(|error| ("trimmed", error))
            }
        };
        if let Err((what, error)) = done {
            say(Box::new(move || tracing::error!(%error, "the journal could not be {what}")));
        }
    }
}

fn force(file: &File, dir: Option<&Path>, failed: &AtomicBool) -> Result<(), (&'static str, io::Error)> {
    let listed = |dir: &Path| match File::open(dir) {
        // It is tried again with the next one, and at the end.
        Err(error) if disk::lacks_descriptors(&error) => Ok(()),
        opened => opened?.sync_all(),
    };
    let synced = file.sync_data().and_then(|()| dir.map_or(Ok(()), listed));
    failed.fetch_or(synced.is_err(), Ordering::Release);
    synced.map_err(|error| ("forced to the disk", error))
}

impl Closed {
    fn check(&mut self, say: Say) {
        if self.is_lost {
            return;
        }
        let (segment, loss) = (self.path.display().to_string(), disk::loss(&self.file, &self.path, self.bytes));
        let put_back = match loss {
            None => return,
            Some(Loss::Gone) => disk::put_back(&self.file, &self.path, self.bytes),
            Some(Loss::Shorter) => Err(io::Error::other("what was cut off is not there any more")),
        };
        let loss = loss.map(|loss| loss.to_string()).unwrap_or_default();
        match put_back {
            Ok(file) => {
                say(Box::new(move || tracing::error!(segment, "a closed segment {loss}: it is written anew")));
                self.file = file;
            }
            Err(error) => {
                say(Box::new(move || tracing::error!(segment, %error, "a closed segment {loss}")));
                self.is_lost = true;
            }
        }
    }
}
