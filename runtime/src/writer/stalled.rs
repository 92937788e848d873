//! A disk that stalls, for tests.

use openrtc_core::worker::Worker;

use super::*;

/// A disk that has been given a batch and does not finish it until it is told to.
#[derive(Debug)]
pub(crate) struct Disk(mpsc::Receiver<Job<Worker>>);

/// A writer to such a disk.
pub(crate) fn writer() -> (Writer<Worker>, Disk) {
    let (jobs, queue) = mpsc::channel(1);
    let (missed, spare) = (IdLog::default(), Batch::default());
    let homeless = watch::channel(false).1;
    (Writer::to(Some(Thread { jobs, stuck: None, wants_state: false, missed, spare, homeless })), Disk(queue))
}

impl Disk {
    /// Finishes the next batch that it is given, and no other.
    pub(crate) async fn finish_one(&mut self) {
        let Some(Job { batch, done, .. }) = self.0.recv().await else { return };
        let _ = done.send(Written { result: Ok(()), wants_state: false, spare: batch });
    }

    /// Finishes everything it was given, from now on at once. Returns the state each batch came with, if any, the
    /// ids that were missed before it, and the batch.
    pub(crate) async fn finish(mut self, mut each: impl FnMut(Option<Worker>, &IdLog, &Batch<Worker>)) {
        while let Some(Job { before, missed, batch, done, .. }) = self.0.recv().await {
            each(before.map(|before| *before), &missed, &batch);
            let _ = done.send(Written { result: Ok(()), wants_state: false, spare: batch });
        }
    }
}
