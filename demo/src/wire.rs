//! What a caller and the echo worker say to each other: one TCP connection per call.
//!
//! ```text
//!  frame = kind u8 │ length u16 LE (at most 512) │ payload
//!
//!  caller                     worker
//!    OFFER call id  ────────►
//!                   ◄────────  ACCEPT            or DECLINE why, reason
//!    ASSIGN         ────────►
//!    AUDIO n, 160 B ────────►
//!                   ◄────────  AUDIO n, 160 B    the same frame, every 20 ms
//!    HANGUP         ────────►
//!                   ◄────────  BYE               or CUT reason, at any time: a forced drain ended the call
//! ```
//!
//! Behind LiveKit the worker connects to the caller, once for each job. `AGENT worker, room, job, dispatch` comes
//! first; then the worker says what it says to an OFFER, and all goes on as above. `FULL worker`, on a connection of
//! its own, says that a worker takes no more calls.
//!
//! The first of BYE and CUT that the caller reads decides the call's fate, and the worker sends exactly one of them,
//! after its journal says the same: so both ledgers agree.

use std::io;

use openrtc_core::worker::Decline;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest payload, in bytes.
pub(crate) const PAYLOAD_MAX: usize = 512;

/// 20 ms of G.711: 8 000 samples a second, a byte each.
pub(crate) const AUDIO: usize = 160;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The worker takes the call.
    Accept,
    /// A worker has a job for the caller in a room.
    Agent(Introduction),
    /// The dispatcher gives the call to this worker.
    Assign,
    /// 20 ms of sound, numbered from 0.
    Audio {
        /// Its number.
        number: u32,
        /// Its samples.
        samples: [u8; AUDIO],
    },
    /// The call ended in good order.
    Bye,
    /// A forced drain ended the call.
    Cut,
    /// The worker does not take the call.
    Decline {
        /// Why it is declined.
        why: Decline,
        /// The same for a person.
        reason: String,
    },
    /// A worker takes no more calls, because it drains.
    Full {
        /// Which one.
        worker: String,
    },
    /// The caller hangs up.
    Hangup,
    /// A call for this worker.
    Offer {
        /// What the dispatcher calls it.
        id: String,
    },
}

/// Which job an agent comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Introduction {
    pub(crate) worker: String,
    pub(crate) room: String,
    pub(crate) job: String,
    pub(crate) dispatch: String,
}

const ACCEPT: u8 = 2;
const AGENT: u8 = 9;
const ASSIGN: u8 = 4;
const AUDIO_KIND: u8 = 5;
const BYE: u8 = 7;
const CUT: u8 = 8;
const DECLINE: u8 = 3;
const FULL: u8 = 10;
const HANGUP: u8 = 6;
const OFFER: u8 = 1;
const HEAD: usize = 3;

impl Frame {
    fn encode(&self) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Accept => (ACCEPT, Vec::new()),
            Self::Agent(Introduction { worker, room, job, dispatch }) => {
                (AGENT, format!("{worker}\n{room}\n{job}\n{dispatch}").bytes().take(PAYLOAD_MAX).collect())
            }
            Self::Assign => (ASSIGN, Vec::new()),
            Self::Audio { number, samples } => (AUDIO_KIND, [&number.to_le_bytes()[..], samples].concat()),
            Self::Bye => (BYE, Vec::new()),
            Self::Cut => (CUT, Vec::new()),
            Self::Decline { why, reason } => {
                (DECLINE, std::iter::once(*why as u8).chain(reason.bytes()).take(PAYLOAD_MAX).collect())
            }
            Self::Full { worker } => (FULL, worker.bytes().take(PAYLOAD_MAX).collect()),
            Self::Hangup => (HANGUP, Vec::new()),
            Self::Offer { id } => (OFFER, id.bytes().take(PAYLOAD_MAX).collect()),
        };
        let [low, high] = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_le_bytes();
        [&[kind, low, high][..], &payload].concat()
    }

    fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        match (kind, payload) {
            (ACCEPT, []) => Some(Self::Accept),
            (AGENT, _) => {
                let words = text(payload)?;
                let words: Vec<_> = words.split('\n').map(str::to_owned).collect();
                let [worker, room, job, dispatch] = words.try_into().ok()?;
                Some(Self::Agent(Introduction { worker, room, job, dispatch }))
            }
            (ASSIGN, []) => Some(Self::Assign),
            (AUDIO_KIND, _) => {
                let (number, samples) = payload.split_first_chunk()?;
                Some(Self::Audio { number: u32::from_le_bytes(*number), samples: samples.try_into().ok()? })
            }
            (BYE, []) => Some(Self::Bye),
            (CUT, []) => Some(Self::Cut),
            (DECLINE, [why, reason @ ..]) => {
                Some(Self::Decline { why: *Decline::ALL.get(usize::from(*why))?, reason: text(reason)? })
            }
            (FULL, _) => Some(Self::Full { worker: text(payload)? }),
            (HANGUP, []) => Some(Self::Hangup),
            (OFFER, _) => Some(Self::Offer { id: text(payload)? }),
            _ => None,
        }
    }
}

/// Sends a frame in one write.
pub(crate) async fn send(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    to.write_all(&frame.encode()).await
}

/// Receives frames. Cancel-safe: what was read of a frame is kept.
#[derive(Debug)]
pub(crate) struct Receiver<R> {
    from: R,
    buffer: [u8; HEAD + PAYLOAD_MAX],
    filled: usize,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// Receives from `from`.
    pub(crate) fn new(from: R) -> Self {
        Self { from, buffer: [0; HEAD + PAYLOAD_MAX], filled: 0 }
    }

    /// The next frame; `None` when the other side has closed the connection between two frames.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let needed = match self.buffer {
                [kind, low, high, ..] if self.filled >= HEAD => {
                    let size = HEAD + usize::from(u16::from_le_bytes([low, high]));
                    if size > self.buffer.len() {
                        return Err(invalid(format!(
                            "a frame of {} bytes: at most {PAYLOAD_MAX} are allowed",
                            size - HEAD
                        )));
                    }
                    if self.filled >= size {
                        let frame = Frame::decode(kind, &self.buffer[HEAD..size]);
                        self.buffer.copy_within(size..self.filled, 0);
                        self.filled -= size;
                        return frame
                            .map(Some)
                            .ok_or_else(|| invalid(format!("no frame of kind {kind} looks like this")));
                    }
                    size
                }
                _ => HEAD,
            };
            debug_assert!(self.filled < needed);
            match self.from.read(&mut self.buffer[self.filled..]).await? {
                0 if self.filled == 0 => return Ok(None),
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection closed inside a frame")),
                read => self.filled += read,
            }
        }
    }
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    fn every_kind() -> Vec<Frame> {
        vec![
            Frame::Offer { id: "call-1".into() },
            Frame::Accept,
            Frame::Agent(Introduction {
                worker: "blue-1".into(),
                room: "room".into(),
                job: "AJ_1".into(),
                dispatch: "AD_1".into(),
            }),
            Frame::Full { worker: "blue-1".into() },
            Frame::Decline { why: Decline::Draining, reason: "the worker is draining".into() },
            Frame::Assign,
            Frame::Audio { number: 7, samples: [0x55; AUDIO] },
            Frame::Hangup,
            Frame::Bye,
            Frame::Cut,
        ]
    }

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_however_the_bytes_arrive() {
        let bytes: Vec<u8> = every_kind().iter().flat_map(Frame::encode).collect();
        for piece in [1, 2, 3, 100, bytes.len()] {
            let (mut to, from) = duplex(piece);
            let bytes = bytes.clone();
            let writer = tokio::spawn(async move {
                for chunk in bytes.chunks(piece) {
                    to.write_all(chunk).await.expect("somebody reads");
                }
            });
            let mut receiver = Receiver::new(from);
            let mut frames = Vec::new();
            while let Some(frame) = receiver.next().await.expect("whole frames") {
                frames.push(frame);
            }
            assert_eq!(frames, every_kind());
            writer.await.expect("wrote all");
        }
    }

    #[tokio::test]
    async fn what_is_no_frame_is_named() {
        for (bytes, says) in [
            (&[5, 0xff, 0xff][..], "a frame of 65535 bytes"),
            (b"GET / HTTP/1.1\r\n", "a frame of 21573 bytes"),
            (&[2, 1, 0, 0], "no frame of kind 2 looks like this"),
            (&[99, 0, 0], "no frame of kind 99 looks like this"),
            (&[1, 2, 0, 0xff, 0xfe], "no frame of kind 1 looks like this"),
            (&[3, 1, 0, 9], "no frame of kind 3 looks like this"),
            (b"\x09\x05\0a\nb\nc", "no frame of kind 9 looks like this"),
            (&[5, 164, 0, 1], "closed inside a frame"),
        ] {
            let error = Receiver::new(bytes).next().await.expect_err(says);
            assert!(error.to_string().contains(says), "{error} should say {says:?}");
        }
    }
}
