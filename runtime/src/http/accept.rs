//! The accept loop. It serves a bounded number of connections, and silent clients cannot block it.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::log::{Limit, say};
use crate::process::Reserve;

static NOT_ACCEPTED: Limit = Limit::new();

/// How long to wait when a connection cannot be accepted and there is nobody to hang up on.
const PAUSE: Duration = Duration::from_millis(10);

/// What the connections of a listener bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Perhaps a call.
    Calls,
    /// Requests, such as probes.
    Requests,
}

impl Purpose {
    /// How long a connection can be idle while descriptors are short. What it brings comes right behind the packet that
    /// makes the connection; a busy caller may need this long to send it. Longer, and others would wait behind
    /// connections that say nothing.
    const fn spared(self) -> Duration {
        match self {
            Self::Calls => Duration::from_millis(300),
            Self::Requests => Duration::from_millis(50),
        }
    }
}

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client at this address. The address proves nothing: behind a proxy it is the proxy's.
    Tcp(SocketAddr),
    /// A process of this machine, through a Unix socket. The kernel reports its user.
    Local {
        /// The user that it runs as.
        uid: u32,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Local { uid } => write!(f, "user {uid} of this machine"),
        }
    }
}

/// A socket that accepts connections.
pub trait Listener: AsFd + Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next one. Cancel-safe.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = Self::accept(self).await?;
        Ok((stream, Peer::Tcp(peer)))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = Self::accept(self).await?;
        let uid = stream.peer_cred()?.uid();
        Ok((stream, Peer::Local { uid }))
    }
}

/// A place for one connection among those that are served at once. It is free again when the connection's future is
/// dropped.
#[derive(Debug)]
pub struct Seat {
    _counted: OwnedSemaphorePermit,
    /// Values that live as long as the connection. The connection is idle while there are none.
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Seat {
    /// Marks the connection as not idle: it is no longer closed to make room for others. `with` is dropped when the
    /// connection has ended.
    pub fn keep(&self, with: impl Any + Send) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(with));
    }

    /// A seat without a connection.
    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        let counted = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it is new");
        Self { _counted: counted, kept: Mutex::default() }
    }

    fn is_idle(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Serves every connection by a future of its own, `most` at once, for as long as the process lives.
///
/// At the limit the oldest idle connection is hung up on, and when descriptors run out the oldest of all listeners of
/// the process: one that says nothing keeps nobody out, however many there are of it. A connection is idle until its
/// future says otherwise ([`Seat::keep`]); if none is, `reserve` is used up, and then the next one waits for its turn.
///
/// For requests: a probe is answered soon, whoever else is connected.
pub async fn accept_each<L: Listener, F>(
    listener: L,
    most: usize,
    reserve: Reserve,
    each: impl FnMut(L::Stream, Peer, Arc<Seat>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    accept(pending(), Purpose::Requests, listener, most, reserve, each).await;
}

/// Does the same until `closing` has resolved and nobody waits to be accepted any more: who was there before the
/// listener closes is served. What is served then goes on by itself.
///
/// For calls: when descriptors run out, a connection that was just made is not idle yet, so that each of a burst of
/// offers gets its answer.
pub async fn accept_until<L: Listener, F>(
    closing: impl Future<Output = ()>,
    listener: L,
    most: usize,
    reserve: Reserve,
    each: impl FnMut(L::Stream, Peer, Arc<Seat>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    accept(closing, Purpose::Calls, listener, most, reserve, each).await;
}

async fn accept<L: Listener, F>(
    closing: impl Future<Output = ()>,
    purpose: Purpose,
    listener: L,
    most: usize,
    reserve: Reserve,
    mut each: impl FnMut(L::Stream, Peer, Arc<Seat>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(most));
    let mut closing = pin!(closing);
    let (mut is_closing, mut has_lent) = (false, false);
    while !is_closing || somebody_waits(&listener) {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut closing, if !is_closing => {
                is_closing = true;
                continue;
            }
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                let is_shortage = is_shortage(&error);
                if let Some(suppressed) = NOT_ACCEPTED.pass() {
                    say(move || tracing::warn!(%error, suppressed, "a connection could not be accepted"));
                }
                // Without a descriptor to give away the system says so even if nobody waits to be accepted.
                if !is_shortage || !somebody_waits(&listener) {
                    sleep(PAUSE).await;
                } else if !hang_up_on_the_oldest(|place| place.makes_room_for(purpose)).await {
                    // While the reserve lends, calls are declined. So a request waits for the next one that may go.
                    has_lent = (purpose == Purpose::Calls || !somebody_is_idle()) && reserve.lend();
                    if !has_lent {
                        sleep(PAUSE).await;
                    }
                }
                continue;
            }
        };
        if room.available_permits() == 0 {
            hang_up_on_the_oldest(|place| Arc::ptr_eq(&place.room, &room)).await;
        }
        let Ok(counted) = Arc::clone(&room).acquire_owned().await else { return };
        let seat = Arc::new(Seat { _counted: counted, kept: Mutex::default() });
        let served = each(stream, peer, Arc::clone(&seat));
        let lender = std::mem::take(&mut has_lent).then(|| reserve.clone());
        let seated = Arc::downgrade(&seat);
        let task = tokio::spawn(async move {
            served.await;
            drop(seat);
            // At once: other listeners wait for the descriptor too.
            lender.iter().for_each(Reserve::take_back);
        });
        note(Place { seat: seated, room: Arc::clone(&room), task, since: Instant::now(), purpose });
        reserve.fill();
    }
}

/// Whether there is a connection to accept.
fn somebody_waits(listener: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Whether an error says that the system lacks a resource that each connection needs.
fn is_shortage(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

/// The connections that are served, of every listener, oldest first; some may have ended.
static SERVED: Mutex<VecDeque<Place>> = Mutex::new(VecDeque::new());

/// A connection's task, and since when it is served.
struct Place {
    seat: Weak<Seat>,
    /// Its listener's.
    room: Arc<Semaphore>,
    task: JoinHandle<()>,
    since: Instant,
    purpose: Purpose,
}

impl Place {
    /// Whether it can be hung up on, where descriptors are short, for a connection of this purpose. A request makes
    /// room at once for what may be a call.
    fn makes_room_for(&self, purpose: Purpose) -> bool {
        let is_less = (self.purpose, purpose) == (Purpose::Requests, Purpose::Calls);
        is_less || self.since.elapsed() >= self.purpose.spared()
    }

    fn is_idle(&self) -> bool {
        !self.task.is_finished() && self.seat.upgrade().is_some_and(|seat| seat.is_idle())
    }
}

fn served() -> MutexGuard<'static, VecDeque<Place>> {
    SERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn somebody_is_idle() -> bool {
    served().iter().any(Place::is_idle)
}

fn note(place: Place) {
    let mut served = served();
    // Those that have ended are cleared away in one go, so that each costs the same little.
    if served.len() == served.capacity() {
        served.retain(|place| !place.task.is_finished());
    }
    served.push_back(place);
}

/// Hangs up on the oldest idle connection that `may` go; whether there was one. Its descriptor and its seat are free
/// then, or soon: a thread that is blocked may be serving it.
async fn hang_up_on_the_oldest(may: impl Fn(&Place) -> bool) -> bool {
    let oldest = {
        let mut served = served();
        let found = served.iter().position(|place| may(place) && place.is_idle());
        found.and_then(|oldest| served.remove(oldest))
    };
    let Some(Place { task, .. }) = oldest else { return false };
    task.abort();
    // It ends as cancelled, or has just ended by itself.
    let _ = timeout(PAUSE, task).await;
    true
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::net::TcpStream as Client;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::consume_budget;

    use super::*;

    #[tokio::test]
    async fn who_waits_when_the_listener_closes_is_served() {
        const CLIENTS: usize = 100;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(addr).expect("there is room to wait")).collect();
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        // A task may do 128 things in one go: so this one has to pause while clients wait.
        for _ in 0..100 {
            consume_budget().await;
        }
        accept_until(ready(()), listener, CLIENTS, Reserve::of(0), move |_, _, _| {
            count.fetch_add(1, Ordering::Relaxed);
            async {}
        })
        .await;
        assert_eq!(served.load(Ordering::Relaxed), clients.len());
    }
}
