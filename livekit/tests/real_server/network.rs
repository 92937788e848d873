//! A network between a worker and its server that breaks when it is told to.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of connections and their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    Open,
    /// Connections are closed, old ones and new ones.
    Closed,
    /// What the server says is lost.
    Deaf,
    /// What either side says is lost.
    Silent,
    /// What the worker says is not read.
    Full,
    /// Each connection is closed behind the server's first words, which make it a socket.
    Short,
    /// What the server says behind its first words is lost: the registration is not confirmed.
    Unconfirmed,
}

pub(crate) struct Network {
    pub(crate) url: String,
    road: watch::Sender<Road>,
    heads: Arc<Mutex<Vec<String>>>,
    life: JoinHandle<()>,
}

impl Drop for Network {
    fn drop(&mut self) {
        self.life.abort();
    }
}

impl Network {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("an address"));
        let (road, heads) = (watch::Sender::new(Road::Open), Arc::new(Mutex::new(Vec::new())));
        let (seen, noted) = (road.subscribe(), Arc::clone(&heads));
        let life = tokio::spawn(async move {
            while let Ok((worker, _)) = listener.accept().await {
                tokio::spawn(carry(worker, server, seen.clone(), Arc::clone(&noted)));
            }
        });
        Self { url, road, heads, life }
    }

    pub(crate) fn be(&self, road: Road) {
        self.road.send_replace(road);
    }

    /// The road, for whoever changes it from elsewhere.
    pub(crate) fn road(&self) -> watch::Sender<Road> {
        self.road.clone()
    }

    /// The first bytes that the worker said on each connection.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn carry(worker: TcpStream, server: u16, road: watch::Receiver<Road>, heads: Arc<Mutex<Vec<String>>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (from_worker, to_worker) = worker.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = road.clone();
    let mut up = road.clone();
    tokio::select! {
        _ = cut.wait_for(|road| *road == Road::Closed) => {}
        _ = pass_up(from_worker, to_server, &mut up, &heads) => {}
        _ = pass_down(from_server, to_worker, &road) => {}
    }
}

/// `None` at the connection's end.
async fn pass_up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    road: &mut watch::Receiver<Road>,
    heads: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut bytes = vec![0; 65_536];
    let mut first = true;
    loop {
        road.wait_for(|road| *road != Road::Full).await.ok()?;
        let length = from.read(&mut bytes).await.ok().filter(|length| *length > 0)?;
        if std::mem::take(&mut first) {
            let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
            heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
        }
        if *road.borrow() != Road::Silent {
            to.write_all(&bytes[..length]).await.ok()?;
        }
    }
}

async fn pass_down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, road: &watch::Receiver<Road>) -> Option<()> {
    let mut bytes = vec![0; 65_536];
    for chunk in 0.. {
        let length = from.read(&mut bytes).await.ok().filter(|length| *length > 0)?;
        let now = *road.borrow();
        if !matches!(now, Road::Deaf | Road::Silent) && (now != Road::Unconfirmed || chunk == 0) {
            to.write_all(&bytes[..length]).await.ok()?;
        }
        if now == Road::Short {
            return None;
        }
    }
    None
}
