//! A worker's socket, at the server's end.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::Peer;
use crate::session::FRAME_MAX;

/// How many messages may wait for a worker that does not read.
const FRAMES: usize = 1_024;
/// How long a worker may take to register, as LiveKit gives it.
const REGISTER: Duration = Duration::from_secs(10);

impl Peer {
    /// Answers a worker's request for a socket, whose `Sec-WebSocket-Key` is `key`, and carries the socket until either
    /// side closes it. `early` is what came behind the request's head. Dropped, it closes the socket.
    pub async fn attend<S>(&self, mut stream: S, key: &str, early: Vec<u8>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \
             {accept}\r\n\r\n"
        );
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        let limits = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
        let socket = WebSocketStream::from_partially_read(stream, early, Role::Server, Some(limits)).await;
        let mut open = Open { peer: self, number: None };
        open.carry(socket).await;
    }
}

/// A socket that is open. Dropped, the peer knows that it is gone.
struct Open<'a> {
    peer: &'a Peer,
    /// The number of its registration, once it has one.
    number: Option<u64>,
}

impl Open<'_> {
    async fn carry<S: AsyncRead + AsyncWrite + Unpin>(&mut self, socket: WebSocketStream<S>) {
        let (mut sink, mut stream) = socket.split();
        let (frames, mut waiting) = mpsc::channel(FRAMES);
        // The peer takes it with the registration. Once it has let go of it, this socket is not the worker's any more.
        let mut frames = Some(frames);
        let late = sleep(REGISTER);
        tokio::pin!(late);
        loop {
            tokio::select! {
                frame = waiting.recv() => match frame {
                    Some(frame) => if sink.send(Message::binary(frame)).await.is_err() { return },
                    None => return,
                },
                message = stream.next() => match message {
                    Some(Ok(Message::Binary(frame))) => {
                        if !self.peer.heard(&mut self.number, &mut frames, &frame) {
                            return;
                        }
                    }
                    // The library answers pings by itself.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Text(_) | Message::Close(_)) | Err(_)) | None => return,
                },
                () = &mut late, if self.number.is_none() => return,
            }
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.peer.parted(self.number);
    }
}
