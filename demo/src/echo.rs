//! A voice agent that echoes: it takes calls over TCP and says back what it hears.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use openrtc_core::id::{BadCallId, CallId};
use openrtc_core::word::Refusal;
use openrtc_runtime::gate::decline;
use openrtc_runtime::http::accept_until;
use openrtc_runtime::log::Limit;
use openrtc_runtime::process::Reserve;
use openrtc_runtime::{Call, CallGuard, CallSource, EndReason, Listening, Offer, WorkerView};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::wire::{Frame, Receiver, send};

/// How long a connection may take to make its offer.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// The most connections that have not made theirs yet.
const HANDSHAKES_MAX: usize = 1_024;
/// Descriptors held back, so that an offer gets its no when the process has none left.
const RESERVE: usize = 8;

static NO_OFFER: Limit = Limit::new();
/// How long a caller may take to close after the last frame.
const PARTING: Duration = Duration::from_millis(300);

/// What a worker prints once it takes calls.
#[derive(Debug, Deserialize, Serialize)]
pub struct Ready {
    /// Where it takes calls, unless it gets them from elsewhere.
    pub calls: Option<SocketAddr>,
    /// Its ops endpoints, if it has any.
    pub ops: Option<SocketAddr>,
    /// The version it runs.
    pub version: String,
    /// Its name.
    pub worker: String,
    /// Its process.
    pub pid: u32,
}

/// Offers as they come in over TCP.
pub struct Line {
    listener: Option<(TcpListener, Reserve)>,
    yielded: mpsc::Sender<TcpOffer>,
    offers: mpsc::Receiver<TcpOffer>,
}

impl Line {
    /// Takes calls from `listener`.
    pub fn listen(listener: TcpListener) -> Self {
        let (yielded, offers) = mpsc::channel(64);
        Self { listener: Some((listener, Reserve::of(RESERVE))), yielded, offers }
    }
}

/// Accepts connections until the worker is about to leave, and lets each make its offer in a task of its own, so that
/// one that says nothing, or nonsense, costs nobody else anything.
async fn accept(listener: TcpListener, reserve: Reserve, yielded: mpsc::Sender<TcpOffer>, listening: Listening) {
    let closing = listening.closing();
    accept_until(closing, listener, HANDSHAKES_MAX, reserve, move |stream, peer, seat| {
        let (yielded, listening) = (yielded.clone(), listening.clone());
        async move {
            let offer = timeout(HANDSHAKE, handshake(stream, listening)).await.unwrap_or_else(|_| Err(too_slow()));
            match offer {
                Ok(offer) => {
                    // It has made its offer, so it gets an answer.
                    seat.keep(());
                    drop(yielded.send(offer).await);
                }
                Err(error) => {
                    if let Some(suppressed) = NO_OFFER.pass() {
                        tracing::warn!(?peer, %error, suppressed, "the connection made no offer");
                    }
                }
            }
        }
    })
    .await;
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("it said nothing for {HANDSHAKE:?}"))
}

impl CallSource for Line {
    type Offer = TcpOffer;
    type Error = Infallible;
    type Reporter = ();

    fn attach(&mut self, worker: WorkerView) {
        if let Some((listener, reserve)) = self.listener.take() {
            tokio::spawn(accept(listener, reserve, self.yielded.clone(), worker.listening()));
        }
    }

    async fn next(&mut self) -> Result<Option<TcpOffer>, Infallible> {
        Ok(self.offers.recv().await)
    }
}

async fn handshake(stream: TcpStream, listening: Listening) -> io::Result<TcpOffer> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let mut from = Receiver::new(read);
    match from.next().await? {
        Some(Frame::Offer { id }) => Ok(TcpOffer { id: CallId::new(&id), media: Media { from, to: write }, listening }),
        Some(other) => Err(unexpected(&other)),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed without a word")),
    }
}

fn unexpected(frame: &Frame) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame that does not belong here: {frame:?}"))
}

/// A call's two directions.
pub struct Media {
    from: Receiver<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

impl Media {
    /// A connection on which both sides have agreed on a call.
    #[cfg(feature = "livekit")]
    pub(crate) const fn new(from: Receiver<OwnedReadHalf>, to: OwnedWriteHalf) -> Self {
        Self { from, to }
    }
}

/// A connection that has offered a call.
pub struct TcpOffer {
    /// Or why it has none: then it is declined.
    id: Result<CallId, BadCallId>,
    media: Media,
    /// Until it is answered.
    listening: Listening,
}

impl Offer for TcpOffer {
    type Session = Media;

    fn id(&self) -> CallId {
        self.id.clone().expect("only an offer that has one is asked for it")
    }

    fn invalid(&self) -> Option<BadCallId> {
        self.id.as_ref().err().copied()
    }

    async fn accept(mut self) -> Option<Media> {
        send(&mut self.media.to, &Frame::Accept).await.ok()?;
        drop(self.listening);
        match self.media.from.next().await {
            Ok(Some(Frame::Assign)) => Some(self.media),
            Ok(Some(_) | None) | Err(_) => None,
        }
    }

    async fn decline(mut self, refusal: Refusal) {
        let answer = Frame::Decline { why: decline(refusal), reason: refusal.to_string() };
        // A caller that is gone needs no answer.
        let _ = send(&mut self.media.to, &answer).await;
    }
}

/// How a call left the echo loop.
enum Parted {
    CallerHungUp,
    Cancelled,
}

/// The agent: says back what it hears.
pub async fn echo(mut call: Call<Media>) -> io::Result<()> {
    match converse(&mut call.session, &call.guard).await {
        Ok(Parted::CallerHungUp) => {
            call.guard.end(EndReason::CallerHangup).await;
            part(call.session, &Frame::Bye).await
        }
        Ok(Parted::Cancelled) => {
            call.guard.end(EndReason::DrainForced).await;
            part(call.session, &Frame::Cut).await
        }
        Err(error) => {
            call.guard.end(EndReason::Disconnected).await;
            Err(error)
        }
    }
}

async fn converse(media: &mut Media, guard: &CallGuard) -> io::Result<Parted> {
    let cancelled = guard.cancelled();
    tokio::pin!(cancelled);
    loop {
        let frame = tokio::select! {
            biased;
            // First what the caller has said already: a hang-up that is here is no drop.
            frame = media.from.next() => frame?,
            _ = &mut cancelled => return Ok(Parted::Cancelled),
        };
        match frame {
            Some(audio @ Frame::Audio { .. }) => {
                guard.progress();
                send(&mut media.to, &audio).await?;
            }
            Some(Frame::Hangup) => return Ok(Parted::CallerHungUp),
            Some(other) => return Err(unexpected(&other)),
            None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the caller was gone without a word")),
        }
    }
}

/// Sends the last frame and reads on until the caller has closed: closing with its audio unread would reset the
/// connection and could take the last frame with it.
async fn part(mut media: Media, last: &Frame) -> io::Result<()> {
    send(&mut media.to, last).await?;
    media.to.shutdown().await?;
    let rest = async { while let Ok(Some(_)) = media.from.next().await {} };
    // The caller's own affair if it takes longer.
    let _ = timeout(PARTING, rest).await;
    Ok(())
}
