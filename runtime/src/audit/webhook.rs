//! The webhook: hands the trail on to a collector over HTTP.
//!
//! The trail's files are its queue. It sends what they hold beyond what was taken before, in order, a batch at a time,
//! and asks again for as long as it takes. So a collector that is down or slow costs no record and little memory, and
//! delays nobody; what a run did not get rid of, the next one sends. It goes by the records' numbers, so it does not
//! matter when the file is rotated, or by whom. How far the collector is lies beside the trail.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openrtc_core::audit::{Chain, verify};
use openrtc_records::trail::{Batch, TrailReader, Whose};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::recent::Recent;
use super::{Delivery, Extent};
use crate::http::{Backoff, Client, Trust, Url};

/// The most that is sent at once, in bytes of whole lines.
const BATCH: u64 = 256 << 10;

/// How long to wait at most before asking again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a collector answers to whom it is too much.
const TOO_LARGE: u16 = 413;

/// A webhook and what it has left to do.
#[derive(Debug)]
pub(crate) struct Webhook {
    client: Client,
    url: Url,
    trail: TrailReader,
    recent: Recent,
    taken: Taken,
    /// Where `taken` is kept.
    mark: PathBuf,
    /// The most that the collector takes at once, as far as is known, and the most that it has taken.
    most: u64,
    most_taken: u64,
    delivery: watch::Sender<Delivery>,
}

/// What the collector took. The last line's hash tells whether it is this trail that the mark is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    records: u64,
    head: String,
}

/// What became of a batch.
enum Sent {
    Taken,
    /// It is one record, and the collector will not have it.
    PassedOver,
    /// Half of it may do.
    TooLarge,
}

impl Webhook {
    /// A webhook of the trail at `path`, which is at `end`. It goes on where the run before left off.
    pub(crate) fn open(url: Url, trust: &Trust, path: &Path, whose: Whose, end: Chain) -> Self {
        let mut trail = TrailReader::new(path.to_owned(), whose);
        let mut mark = path.as_os_str().to_owned();
        mark.push(".sent");
        let mark = PathBuf::from(mark);
        let kept = fs::read(&mark).ok().and_then(|bytes| serde_json::from_slice::<Taken>(&bytes).ok());
        let found = kept.filter(|taken| is_of(&mut trail, taken, end));
        if found.is_none() && mark.exists() {
            tracing::warn!(mark = %mark.display(), "the mark is not of this audit trail; all of it is sent again");
        }
        // What was archived before there was a webhook is not missed.
        let mut before = || match trail.read(1, 1) {
            Ok(first) => first.map_or(end.records, |batch| batch.first - 1),
            Err(_) => 0,
        };
        let taken = found.unwrap_or_else(|| Taken { records: before(), ..Taken::default() });
        let delivery = watch::channel(Delivery { records: taken.records, ..Delivery::default() }).0;
        let (recent, most, most_taken) = (Recent::default(), BATCH, 0);
        Self { client: Client::new(trust), url, trail, recent, taken, mark, most, most_taken, delivery }
    }

    /// Where the records go that are written from now on.
    pub(crate) fn recent(&self) -> Recent {
        self.recent.clone()
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
            let sent = self.taken.records;
            // The auditor is gone without closing the trail only if it panicked.
            let Ok(reached) =
                extent.wait_for(|extent| extent.records > sent || extent.closed).await.map(|extent| *extent)
            else {
                return;
            };
            if reached.records <= sent {
                self.delivery.send_modify(|delivery| delivery.done = true);
                return;
            }
            self.deliver(&extent).await;
        }
    }

    /// Sends the next batch until it is taken, or is a record that the collector will never take.
    async fn deliver(&mut self, extent: &watch::Receiver<Extent>) {
        let mut backoff = Backoff::up_to(PAUSE_MAX);
        loop {
            let written = extent.borrow().records;
            let problem = match self.next(written) {
                Ok(Some(batch)) => match self.send(&batch).await {
                    Ok(Sent::Taken) => return self.note(&batch),
                    Ok(Sent::PassedOver) => return self.pass_over(&batch),
                    Ok(Sent::TooLarge) => continue,
                    Err(problem) => problem,
                },
                // Nothing is left of what was written after what was taken.
                Ok(None) => return self.miss(written),
                Err(error) => format!("the trail cannot be read: {error}"),
            };
            self.complain(&problem, written);
            backoff.wait().await;
        }
    }

    /// The records after those that were taken, as far as they are written.
    fn next(&mut self, written: u64) -> io::Result<Option<Batch>> {
        let next = self.taken.records + 1;
        if let Some(batch) = self.recent.read(next, self.most) {
            return Ok(Some(batch));
        }
        let batch = self.trail.read(next, self.most)?.filter(|batch| batch.first <= written);
        if let Some(first) = batch.as_ref().map(|batch| batch.first).filter(|first| *first > next) {
            self.miss(first - 1);
        }
        Ok(batch)
    }

    /// Sends a batch once.
    async fn send(&mut self, batch: &Batch) -> Result<Sent, String> {
        let response =
            self.client.post_lines(&self.url, batch.lines.clone()).await.map_err(|error| error.to_string())?;
        let length = batch.lines.len() as u64;
        match response.status {
            200..300 => {
                self.most_taken = self.most_taken.max(length);
                Ok(Sent::Taken)
            }
            TOO_LARGE if batch.first < batch.last => {
                self.most = length / 2;
                Ok(Sent::TooLarge)
            }
            TOO_LARGE => Ok(Sent::PassedOver),
            300..400 => Err(format!("status {}: {}", response.status, response.body)),
            status => Err(format!("status {status}")),
        }
    }

    /// A batch was taken.
    fn note(&mut self, batch: &Batch) {
        self.taken = Taken { records: batch.last, head: head_of_last(&batch.lines) };
        self.go_on();
        self.delivery.send_modify(|delivery| {
            if delivery.failing {
                tracing::info!(url = %self.url, records = batch.last, "the audit webhook takes records again");
            }
            (delivery.records, delivery.failing) = (batch.last, false);
        });
    }

    /// A record is larger than anything the collector takes.
    fn pass_over(&mut self, batch: &Batch) {
        let (url, record, bytes) = (&self.url, batch.first, batch.lines.len());
        tracing::error!(%url, record, bytes, "the collector finds this audit record too large: it is passed over");
        self.delivery.send_modify(|delivery| delivery.refused += 1);
        // What is too large alone says nothing of how much may be sent at once.
        self.most = if self.most_taken > 0 { self.most_taken } else { BATCH };
        self.note(batch);
    }

    /// Records up to this one are nowhere any more.
    fn miss(&mut self, last: u64) {
        let (first, url) = (self.taken.records + 1, &self.url);
        tracing::error!(%url, first, last, "audit records were taken away before they were sent");
        self.delivery.send_modify(|delivery| {
            delivery.missing += last + 1 - first;
            delivery.records = last;
        });
        self.taken = Taken { records: last, ..Taken::default() };
        self.go_on();
    }

    fn go_on(&self) {
        self.recent.forget(self.taken.records);
        if let Err(error) = self.keep() {
            let mark = self.mark.display();
            tracing::warn!(%error, %mark, "the webhook's mark cannot be kept: the next run sends again");
        }
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

/// Whether what was taken is of the trail that is at `end`.
fn is_of(trail: &mut TrailReader, taken: &Taken, end: Chain) -> bool {
    if taken.records >= end.records {
        return taken.records == end.records && taken.head == end.head.to_string();
    }
    let mut record = |number| trail.read(number, 1).ok().flatten().filter(|batch| batch.first == number);
    match (record(taken.records), record(taken.records + 1)) {
        (Some(last), _) => head_of_last(&last.lines) == taken.head,
        (None, Some(next)) => link_of(&next.lines) == Some(taken.head.clone()),
        (None, None) => false,
    }
}

fn head_of_last(lines: &[u8]) -> String {
    let last = lines[..lines.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    verify(&lines[last..], None, &[]).end.head.to_string()
}

/// The hash of the line before it that a record bears.
fn link_of(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Link {
        prev: String,
    }

    serde_json::from_slice::<Link>(line).ok().map(|link| link.prev)
}
