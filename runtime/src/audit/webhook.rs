//! The webhook: hands the trail on to a collector over HTTP.
//!
//! The trail's file is its queue. It sends what the file holds beyond what was taken before, in order, a batch at a
//! time, and asks again for as long as it takes. So a collector that is down or slow costs no memory and no record, and
//! delays nobody; what a run did not get rid of, the next one sends. How far the collector is lies beside the trail.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use openrtc_core::audit::verify;
use openrtc_records::trail::{LINE_MAX, TrailError};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Delivery, Extent};
use crate::http::{Backoff, post_lines};

/// The most that is sent at once, in bytes of whole lines; also all the memory it takes.
const BATCH: u64 = 256 << 10;

/// How long to wait at most before asking again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A webhook and what it has left to do.
#[derive(Debug)]
pub(crate) struct Webhook {
    url: Uri,
    trail: File,
    taken: Taken,
    /// Where `taken` is kept.
    mark: PathBuf,
    delivery: watch::Sender<Delivery>,
}

/// What the collector took. The last line's hash tells whether it is this trail that the mark is of.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    bytes: u64,
    head: String,
}

impl Webhook {
    /// A webhook that goes on where the run before left off.
    pub(crate) fn open(url: Uri, path: &Path) -> Result<Self, TrailError> {
        let mut trail = File::open(path).map_err(|source| TrailError::Io { path: path.to_owned(), source })?;
        let mut mark = path.as_os_str().to_owned();
        mark.push(".sent");
        let mark = PathBuf::from(mark);
        let kept = fs::read(&mark).ok().and_then(|bytes| serde_json::from_slice::<Taken>(&bytes).ok());
        let found = kept.and_then(|taken| Some((records_of(&mut trail, &taken)?, taken)));
        if found.is_none() && mark.exists() {
            tracing::warn!(mark = %mark.display(), "the mark is not of this audit trail; all of it is sent again");
        }
        let (records, taken) = found.unwrap_or_default();
        let delivery = watch::channel(Delivery { records, ..Delivery::default() }).0;
        Ok(Self { url, trail, taken, mark, delivery })
    }

    /// Starts its thread, which ends when the trail is closed and delivered, or when nobody is left who would wait.
    pub(crate) fn start(self, extent: watch::Receiver<Extent>) -> io::Result<watch::Receiver<Delivery>> {
        let delivery = self.delivery.subscribe();
        std::thread::Builder::new().name("openrtc-webhook".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(async {
                    let delivery = self.delivery.clone();
                    tokio::select! {
                        () = delivery.closed() => {}
                        () = self.run(extent) => {}
                    }
                }),
                Err(error) => tracing::error!(%error, "the webhook's thread could not start: nothing will be sent"),
            }
        })?;
        Ok(delivery)
    }

    async fn run(mut self, mut extent: watch::Receiver<Extent>) {
        loop {
            let sent = self.taken.bytes;
            // The auditor is gone without closing the trail only if it panicked.
            let Ok(reached) =
                extent.wait_for(|extent| extent.bytes > sent || extent.closed).await.map(|extent| *extent)
            else {
                return;
            };
            if reached.bytes == sent {
                self.delivery.send_modify(|delivery| delivery.done = true);
                return;
            }
            self.deliver(reached.bytes - sent, &extent).await;
        }
    }

    /// Sends the next batch until it is taken. `waiting`: bytes there are to send.
    async fn deliver(&mut self, waiting: u64, extent: &watch::Receiver<Extent>) {
        let mut backoff = Backoff::up_to(PAUSE_MAX);
        loop {
            match self.send(waiting).await {
                Ok((taken, records)) => return self.note(taken, records),
                Err(problem) => self.complain(&problem, extent.borrow().records),
            }
            backoff.wait().await;
        }
    }

    /// Sends a batch once; says how far the collector is then.
    async fn send(&mut self, waiting: u64) -> Result<(Taken, u64), String> {
        let batch = self.read(waiting).map_err(|error| format!("the trail cannot be read: {error}"))?;
        let bytes = self.taken.bytes + batch.len() as u64;
        let last = batch[..batch.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = verify(&batch[last..], None, &[]).end;
        let response = post_lines(&self.url, batch).await.map_err(|error| error.to_string())?;
        match response.status {
            200..300 => Ok((Taken { bytes, head: end.head.to_string() }, end.records)),
            status => Err(format!("status {status}")),
        }
    }

    fn read(&mut self, waiting: u64) -> io::Result<Vec<u8>> {
        self.trail.seek(SeekFrom::Start(self.taken.bytes))?;
        let mut batch = Vec::new();
        self.trail.by_ref().take(waiting.min(BATCH)).read_to_end(&mut batch)?;
        let whole = batch.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        batch.truncate(whole.ok_or_else(|| io::Error::other("it has become shorter"))?);
        Ok(batch)
    }

    fn note(&mut self, taken: Taken, records: u64) {
        self.taken = taken;
        if let Err(error) = self.keep() {
            let mark = self.mark.display();
            tracing::warn!(%error, %mark, "the webhook's mark cannot be kept: the next run sends again");
        }
        self.delivery.send_modify(|delivery| {
            if delivery.failing {
                tracing::info!(url = %self.url, records, "the audit webhook takes records again");
            }
            *delivery = Delivery { records, ..Delivery::default() };
        });
    }

    fn keep(&self) -> io::Result<()> {
        let fresh = self.mark.with_extension("sent-new");
        fs::write(&fresh, serde_json::to_vec(&self.taken)?)?;
        fs::rename(fresh, &self.mark)
    }

    /// Logs the beginning of a gap; its size is in the metrics.
    fn complain(&self, problem: &str, records: u64) {
        self.delivery.send_modify(|delivery| {
            if !delivery.failing {
                let behind = records.saturating_sub(delivery.records);
                let url = &self.url;
                tracing::warn!(%url, behind, "the audit webhook takes no records, they are sent later: {problem}");
            }
            delivery.failing = true;
        });
    }
}

/// How many records the trail has up to there, if what was taken is of this trail.
fn records_of(trail: &mut File, taken: &Taken) -> Option<u64> {
    let from = taken.bytes.saturating_sub(LINE_MAX);
    trail.seek(SeekFrom::Start(from)).ok()?;
    let mut end = Vec::new();
    trail.take(taken.bytes - from).read_to_end(&mut end).ok()?;
    let before = end.split_last()?.1.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let report = verify(&end[before..], None, &[]);
    let same = report.faults.is_empty() && report.end.head.to_string() == taken.head;
    same.then_some(report.end.records)
}
