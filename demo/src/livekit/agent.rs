//! The worker's side: takes jobs, and has each caller on a connection of its own.

use std::net::SocketAddr;

use openrtc_core::word::Refusal;
use openrtc_core::worker::Availability;
use openrtc_livekit::{JobOffer, JobReporter, Unregistered, Worker};
use openrtc_runtime::gate::decline;
use openrtc_runtime::{AgentPool, CallId, CallSource, Exit, Offer, ServeError, WorkerView};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::echo::{Media, echo};
use crate::wire::{Frame, Introduction, Receiver, send};

/// Runs a pool on a worker's jobs to its end, and echoes what the demo's callers say: `callers` is where they are.
///
/// # Errors
/// As [`Worker::serve`].
pub async fn serve(pool: &AgentPool, worker: Worker, callers: SocketAddr) -> Result<Exit, ServeError<Unregistered>> {
    let mut monitor = worker.monitor();
    let name = pool.identity().worker.to_string();
    let exit = pool.serve(Agents { worker, callers, name }, echo).await;
    monitor.left().await;
    exit
}

/// Jobs, as calls of the demo's callers.
struct Agents {
    worker: Worker,
    callers: SocketAddr,
    name: String,
}

impl CallSource for Agents {
    type Offer = Invitation;
    type Error = Unregistered;
    type Reporter = JobReporter;

    fn attach(&mut self, view: WorkerView) -> JobReporter {
        tokio::spawn(tell_full(view.clone(), self.callers, self.name.clone()));
        self.worker.attach(view)
    }

    async fn next(&mut self) -> Result<Option<Invitation>, Unregistered> {
        let offer = self.worker.next().await?;
        Ok(offer.map(|offer| Invitation { offer, callers: self.callers, worker: self.name.clone() }))
    }
}

/// Tells the callers that the worker takes no more calls, as soon as that is so.
async fn tell_full(mut view: WorkerView, callers: SocketAddr, worker: String) {
    let mut was_open = false;
    loop {
        match view.availability() {
            Availability::Open | Availability::Full => was_open = true,
            Availability::Closed if was_open => break,
            Availability::Closed => {}
        }
        view.changed().await;
    }
    // Callers that are gone need not know.
    let _ = dial(callers, &Frame::Full { worker }).await;
}

/// A job that is offered.
struct Invitation {
    offer: JobOffer,
    callers: SocketAddr,
    worker: String,
}

impl Invitation {
    fn introduction(&self) -> Frame {
        let (room, dispatch) = self.offer.job().map_or_else(Default::default, |job| {
            (job.room.as_ref().map_or_else(String::new, |room| room.name.clone()), job.dispatch_id.clone())
        });
        let (worker, job) = (self.worker.clone(), self.offer.id().to_string());
        Frame::Agent(Introduction { worker, room, job, dispatch })
    }
}

impl Offer for Invitation {
    type Session = Media;

    fn id(&self) -> CallId {
        self.offer.id()
    }

    /// A job whose caller is gone when its agent comes ends as withdrawn.
    async fn accept(self) -> Option<Media> {
        let (introduction, callers) = (self.introduction(), self.callers);
        self.offer.accept().await?;
        let (mut from, mut to) = dial(callers, &introduction).await.ok()?;
        send(&mut to, &Frame::Accept).await.ok()?;
        match from.next().await {
            Ok(Some(Frame::Assign)) => Some(Media::new(from, to)),
            Ok(Some(_) | None) | Err(_) => None,
        }
    }

    async fn decline(self, refusal: Refusal) {
        let (introduction, callers) = (self.introduction(), self.callers);
        // The server first: it waits 3 s in all.
        self.offer.decline(refusal).await;
        let answer = Frame::Decline { why: decline(refusal), reason: refusal.to_string() };
        // Callers that are gone need not know.
        if let Ok((_, mut to)) = dial(callers, &introduction).await {
            let _ = send(&mut to, &answer).await;
        }
    }
}

/// Connects to the callers, and says the first thing.
async fn dial(callers: SocketAddr, first: &Frame) -> std::io::Result<(Receiver<OwnedReadHalf>, OwnedWriteHalf)> {
    let stream = TcpStream::connect(callers).await?;
    stream.set_nodelay(true)?;
    let (read, mut to) = stream.into_split();
    send(&mut to, first).await?;
    Ok((Receiver::new(read), to))
}
