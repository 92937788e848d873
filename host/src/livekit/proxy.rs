//! What a program takes for its LiveKit server: `/agent` is the host's, and everything else passes through to the real
//! one as it is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as Bound};
use std::sync::Arc;
use std::time::Duration;

use openrtc_fleet::child::{Child, Ending};
use openrtc_livekit::{Peer, Upstream};
use openrtc_runtime::http::{Url, accept_each};
use openrtc_runtime::process::Reserve;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::front::head::{self, HEAD_MAX, Head, Kind, Origin};
use crate::front::http::{HEAD, answer, read_head};
use crate::ready::{self, NotReady};

/// Where the agent protocol is spoken.
const AGENT: &str = "/agent";
/// Where livekit-agents opens its health server, unless it is told otherwise.
const HEALTH: u16 = 8081;
/// The most connections at once that are none of the agent protocol.
const CONNECTIONS_MAX: usize = 256;
/// How long it may take to reach the server.
const CONNECT: Duration = Duration::from_secs(10);

/// One program's LiveKit server. Cheap to clone; it is there until the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Proxy(Arc<Open>);

#[derive(Debug)]
struct Open {
    addr: SocketAddr,
    /// A port that nobody has, for a server of the program's own.
    health_port: u16,
    peer: Peer,
    serving: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// Opens one. Must be called inside a tokio runtime.
    pub(super) fn open(upstream: Upstream, peer: Peer) -> io::Result<Self> {
        let listener = Bound::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let (addr, listener) = (listener.local_addr()?, TcpListener::from_std(listener)?);
        let health_port = ready::free_port()?;
        let own = peer.clone();
        let serving = tokio::spawn(accept_each(listener, CONNECTIONS_MAX, Reserve::of(0), move |stream, _, seat| {
            let (upstream, peer) = (upstream.clone(), own.clone());
            async move {
                // A connection that is gone already says so when it is read.
                let _ = stream.set_nodelay(true);
                serve(stream, &upstream, &peer, || seat.keep(())).await;
            }
        }));
        Ok(Self(Arc::new(Open { addr, health_port, peer, serving: serving.abort_handle() })))
    }

    /// What the program is told.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.0.addr)
    }

    pub(crate) fn health_port(&self) -> u16 {
        self.0.health_port
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Waits until the program has registered.
    pub(crate) async fn registered(&self, child: &Child, within: Duration) -> Result<SocketAddr, NotReady> {
        let registered = async {
            tokio::select! {
                biased;
                registered = self.0.peer.registered() => registered.map_err(NotReady::Refused),
                ending = child.left() => Err(ended(ending)),
            }
        };
        match timeout_at(Instant::now() + within, registered).await {
            Ok(registered) => registered.map(|()| self.0.addr),
            Err(_) => Err(NotReady::Unregistered { after: within, url: self.url() }),
        }
    }
}

/// Why a worker has ended before it had registered.
fn ended(ending: Ending) -> NotReady {
    match Bound::bind((Ipv4Addr::UNSPECIFIED, HEALTH)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => NotReady::HealthPort { ending, port: HEALTH },
        _ => NotReady::Ended(ending),
    }
}

/// Serves one connection. `keep` keeps it when there are too many.
async fn serve(mut stream: TcpStream, upstream: &Upstream, peer: &Peer, keep: impl FnOnce()) {
    let Ok(Ok((bytes, Some(end)))) = timeout(HEAD, read_head(&mut stream, HEAD_MAX)).await else { return };
    let Ok(head) = Head::read(&bytes[..end], Origin::Proxied) else {
        return answer(&mut stream, "400 Bad Request", "this is no HTTP/1 request\n").await;
    };
    if head.path != AGENT || head.kind != Kind::Call {
        return pass(stream, upstream, &head, &bytes[end..]).await;
    }
    let header = |name| head::header(&bytes[..end], name);
    let Some(key) = header("sec-websocket-key") else {
        return answer(&mut stream, "400 Bad Request", "it has no Sec-WebSocket-Key\n").await;
    };
    let token = header("authorization").and_then(|header| header.strip_prefix("Bearer ").map(str::to_owned));
    let refusal = match token.map(|token| upstream.admits(&token)) {
        Some(Ok(true)) => None,
        Some(Ok(false)) => Some("the token is none of a worker".to_owned()),
        Some(Err(error)) => Some(error.to_string()),
        None => Some("it has no token".to_owned()),
    };
    if let Some(refusal) = refusal {
        tracing::warn!(refusal, "somebody else than a program of this LIVEKIT_API_KEY wants to be its worker");
        return answer(&mut stream, "401 Unauthorized", &format!("{refusal}\n")).await;
    }
    keep();
    peer.attend(stream, &key, bytes[end..].to_vec()).await;
}

/// Passes a request on to the server, and everything behind it both ways.
async fn pass(mut stream: TcpStream, upstream: &Upstream, head: &Head, early: &[u8]) {
    let mut server = match timeout(CONNECT, upstream.connect()).await {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => return answer(&mut stream, "502 Bad Gateway", &format!("LiveKit: {error}\n")).await,
        Err(_) => return answer(&mut stream, "504 Gateway Timeout", "LiveKit cannot be reached in time\n").await,
    };
    let passed = async {
        server.write_all(&addressed(&head.passed, upstream.base())).await?;
        server.write_all(early).await?;
        server.flush().await?;
        copy_bidirectional(&mut stream, &mut server).await
    };
    // Either end's own affair if it is gone.
    let _ = passed.await;
}

/// A request's head as the server at `base` has to get it: its host, and what stands before its paths.
fn addressed(head: &[u8], base: &Url) -> Vec<u8> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let mut out = Vec::with_capacity(head.len() + 64);
    if let Some(first) = lines.next() {
        let path = first.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        out.extend_from_slice(&first[..path]);
        out.extend_from_slice(base.path().trim_end_matches('/').as_bytes());
        out.extend_from_slice(&first[path..]);
    }
    out.extend_from_slice(format!("Host: {}\r\n", base.authority()).as_bytes());
    for line in lines {
        let is_host = line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
        if !is_host {
            out.extend_from_slice(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_addressed_to_the_server_and_nothing_else_of_it_changes() {
        let head = b"POST /twirp/livekit.RoomService/ListRooms?x=1 HTTP/1.1\r\nHOST: 127.0.0.1:4711\r\nAuthorization: \
                     Bearer t\r\nContent-Length: 2\r\n\r\n";
        let base: Url = "https://lk.example:444/base".parse().expect("a URL");
        let text = String::from_utf8(addressed(head, &base)).expect("text");
        assert_eq!(
            text,
            "POST /base/twirp/livekit.RoomService/ListRooms?x=1 HTTP/1.1\r\nHost: lk.example:444\r\nAuthorization: \
             Bearer t\r\nContent-Length: 2\r\n\r\n"
        );
    }
}
