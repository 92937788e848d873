//! Where agents meet their callers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::dispatch::{Target, lock};
use crate::wire::{Frame, Introduction, Receiver};

/// How long an agent that has connected may take to say which one it is.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// How long to wait when there is no descriptor for another connection.
const PAUSE: Duration = Duration::from_millis(200);

/// Where agents meet their callers.
#[derive(Default)]
pub(super) struct Lobby {
    workers: Mutex<BTreeMap<String, (usize, Arc<Target>)>>,
    /// The callers that wait, by room.
    waiting: Mutex<BTreeMap<String, mpsc::UnboundedSender<Said>>>,
}

/// What a worker tells a caller.
pub(super) struct Said {
    pub(super) worker: usize,
    pub(super) introduction: Introduction,
    /// The connection, if it takes the call.
    pub(super) joined: Option<(Receiver<OwnedReadHalf>, OwnedWriteHalf)>,
}

/// Hears what workers say to callers.
pub(super) async fn receive(listener: TcpListener, lobby: Arc<Lobby>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let lobby = Arc::clone(&lobby);
                tokio::spawn(async move { timeout(HANDSHAKE, lobby.hear(stream)).await });
            }
            // Without descriptors: others end first.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

impl Lobby {
    /// Adds a worker, by its name and its place in the demo's list.
    pub(super) fn add(&self, name: &str, place: usize, worker: Arc<Target>) {
        lock(&self.workers).insert(name.to_owned(), (place, worker));
    }

    /// Hears one worker. `None` if no caller heard it: then the connection is closed, which tells it so.
    async fn hear(&self, stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let (read, to) = stream.into_split();
        let mut from = Receiver::new(read);
        let introduction = match from.next().await.ok()?? {
            Frame::Full { worker } => {
                self.worker(&worker)?.1.closed();
                return None;
            }
            Frame::Agent(introduction) => introduction,
            _ => return None,
        };
        let (worker, target) = self.worker(&introduction.worker)?;
        let joined = match from.next().await.ok()?? {
            Frame::Accept => Some((from, to)),
            Frame::Decline { why, .. } => {
                target.declined(why);
                None
            }
            _ => return None,
        };
        let caller = lock(&self.waiting).get(&introduction.room)?.clone();
        caller.send(Said { worker, introduction, joined }).ok()
    }

    pub(super) fn worker(&self, name: &str) -> Option<(usize, Arc<Target>)> {
        lock(&self.workers).get(name).cloned()
    }

    /// The workers that take no more calls.
    pub(super) fn closed(&self) -> Vec<usize> {
        lock(&self.workers).values().filter(|(_, target)| target.is_closed()).map(|(place, _)| *place).collect()
    }

    /// Lets a caller hear what workers say to its room, until the answer is dropped.
    pub(super) fn wait(&self, room: &str, caller: mpsc::UnboundedSender<Said>) -> Waits<'_> {
        lock(&self.waiting).insert(room.to_owned(), caller);
        Waits { lobby: self, room: room.to_owned() }
    }
}

/// A caller that waits. An agent that comes later finds nobody.
pub(super) struct Waits<'a> {
    lobby: &'a Lobby,
    room: String,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        lock(&self.lobby.waiting).remove(&self.room);
    }
}
