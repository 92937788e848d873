//! The accept loop. It serves a bounded number of connections, and silent clients cannot block it.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::log::{Limit, say};
use crate::process::Reserve;

static NOT_ACCEPTED: Limit = Limit::new();

/// How long to wait when a connection cannot be accepted and there is nobody to hang up on.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a connection that may bring a call can be idle while descriptors are short. An offer comes right behind the
/// packet that makes the connection; a busy caller may need this long to send it. Longer, and offers would wait behind
/// connections that say nothing.
const ON_ITS_WAY: Duration = Duration::from_millis(300);

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
/// At the limit, and when descriptors run out, the oldest idle connection is hung up on: one that says nothing keeps
/// nobody out, however many there are of it. A connection is idle until its future says otherwise ([`Seat::keep`]); if
/// none is, `reserve` is used up, and then the next one waits for its turn.
///
/// For requests: a probe is answered at once, whoever else is connected.
pub async fn accept_each<L: Listener, F>(
    listener: L,
    most: usize,
    reserve: Reserve,
    each: impl FnMut(L::Stream, Peer, Arc<Seat>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    accept(pending(), Duration::ZERO, listener, most, reserve, each).await;
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
    accept(closing, ON_ITS_WAY, listener, most, reserve, each).await;
}

/// `spared` is how long a connection may be idle while descriptors are short.
async fn accept<L: Listener, F>(
    closing: impl Future<Output = ()>,
    spared: Duration,
    listener: L,
    most: usize,
    reserve: Reserve,
    mut each: impl FnMut(L::Stream, Peer, Arc<Seat>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(most));
    let mut seated = Seated::default();
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
                } else if !seated.hang_up_on_the_oldest(spared).await {
                    has_lent = reserve.lend();
                    if !has_lent {
                        sleep(PAUSE).await;
                    }
                }
                continue;
            }
        };
        if room.available_permits() == 0 {
            seated.hang_up_on_the_oldest(Duration::ZERO).await;
        }
        let Ok(counted) = Arc::clone(&room).acquire_owned().await else { return };
        let seat = Arc::new(Seat { _counted: counted, kept: Mutex::default() });
        let place = Arc::downgrade(&seat);
        let served = each(stream, peer, Arc::clone(&seat));
        let lender = std::mem::take(&mut has_lent).then(|| reserve.clone());
        seated.seat(
            place,
            tokio::spawn(async move {
                served.await;
                drop(seat);
                // At once: other listeners wait for the descriptor too.
                lender.iter().for_each(Reserve::take_back);
            }),
        );
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

/// The connections that are served, oldest first; some may have ended.
#[derive(Default)]
struct Seated(VecDeque<Place>);

/// A connection's task, and since when it is served.
struct Place {
    seat: Weak<Seat>,
    task: JoinHandle<()>,
    since: Instant,
}

impl Seated {
    fn seat(&mut self, seat: Weak<Seat>, task: JoinHandle<()>) {
        // Those that have ended are cleared away in one go, so that each costs the same little.
        if self.0.len() == self.0.capacity() {
            self.0.retain(|place| !place.task.is_finished());
        }
        self.0.push_back(Place { seat, task, since: Instant::now() });
    }

    /// Hangs up on the oldest connection that was idle for so long; whether there was one. Its descriptor and its seat
    /// are free then.
    async fn hang_up_on_the_oldest(&mut self, idle_for: Duration) -> bool {
        let now = Instant::now();
        let idle = |Place { seat, task, since }: &Place| {
            now.duration_since(*since) >= idle_for
                && !task.is_finished()
                && seat.upgrade().is_some_and(|seat| seat.is_idle())
        };
        let Some(oldest) = self.0.iter().position(idle) else { return false };
        let Some(Place { task, .. }) = self.0.remove(oldest) else { return false };
        task.abort();
        // It ends as cancelled, or has just ended by itself.
        let _ = task.await;
        true
    }
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
