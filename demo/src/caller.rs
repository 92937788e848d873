//! One caller: offers a call, talks, checks every echo, hangs up.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use openrtc_core::worker::Decline;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::wire::{AUDIO, Frame, Receiver, send};

/// One frame of sound.
const FRAME: Duration = Duration::from_millis(20);

/// An echo later than this would be missing from what a usual jitter buffer plays.
pub(crate) const LATE: Duration = Duration::from_millis(100);

/// How long a worker may take to answer an offer, and to answer a hang-up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of an offer to one worker.
pub(crate) enum Answer {
    Accepted(Box<Talk>),
    Declined(Decline),
    /// Nobody there, or not in time.
    Silent,
}

/// How a call that was accepted ended, as its caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// The caller hung up and the worker agreed.
    HungUp,
    /// The caller hung up; the connection broke before the worker could agree.
    HungUpUnheard,
    /// The worker said that a forced drain ends the call.
    Cut,
    /// The connection broke while the caller was talking.
    Lost,
}

impl Fate {
    /// Whether the caller would have talked on.
    pub(crate) const fn is_drop(self) -> bool {
        matches!(self, Self::Cut | Self::Lost)
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HungUp => "hung up",
            Self::HungUpUnheard => "hung up unheard",
            Self::Cut => "was cut",
            Self::Lost => "broke",
        })
    }
}

/// What a caller heard.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) sent: u64,
    pub(crate) echoed: u64,
    pub(crate) late: u64,
    /// The longest time without an echo while talking.
    pub(crate) longest_gap: Duration,
}

/// An accepted call.
pub(crate) struct Talk {
    id: String,
    from: Receiver<OwnedReadHalf>,
    to: OwnedWriteHalf,
    unanswered: VecDeque<(Frame, Instant)>,
    heard: Heard,
    last_echo: Instant,
}

/// Offers a call to one worker.
pub(crate) async fn offer(worker: SocketAddr, id: &str) -> Answer {
    match timeout(PATIENCE, try_offer(worker, id)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Answer::Silent,
    }
}

async fn try_offer(worker: SocketAddr, id: &str) -> std::io::Result<Answer> {
    let stream = TcpStream::connect(worker).await?;
    stream.set_nodelay(true)?;
    let (read, mut to) = stream.into_split();
    let mut from = Receiver::new(read);
    send(&mut to, &Frame::Offer { id: id.into() }).await?;
    Ok(match from.next().await? {
        Some(Frame::Accept) => Answer::Accepted(Box::new(Talk::new(id, from, to))),
        Some(Frame::Decline { why, .. }) => Answer::Declined(why),
        Some(_) | None => Answer::Silent,
    })
}

impl Talk {
    /// A call that the worker at the other end has accepted.
    pub(crate) fn new(id: &str, from: Receiver<OwnedReadHalf>, to: OwnedWriteHalf) -> Self {
        let (unanswered, heard, last_echo) = (VecDeque::new(), Heard::default(), Instant::now());
        Self { id: id.into(), from, to, unanswered, heard, last_echo }
    }

    /// Takes the call up, talks for `time` and hangs up, unless the call ends before.
    pub(crate) async fn talk(mut self: Box<Self>, time: Duration) -> (Fate, Heard) {
        if send(&mut self.to, &Frame::Assign).await.is_err() {
            return (Fate::Lost, self.heard);
        }
        self.last_echo = Instant::now();
        let fate = match self.converse(time).await {
            Some(fate) => fate,
            None => self.hang_up().await,
        };
        (fate, self.heard)
    }

    /// `None` when the caller has said all.
    async fn converse(&mut self, time: Duration) -> Option<Fate> {
        let until = Instant::now() + time;
        let mut tick = interval(FRAME);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0.. {
            loop {
                tokio::select! {
                    biased;
                    frame = self.from.next() => match frame {
                        Ok(Some(Frame::Cut)) => return Some(Fate::Cut),
                        Ok(Some(frame)) => self.hear(&frame),
                        Ok(None) | Err(_) => return Some(Fate::Lost),
                    },
                    _ = tick.tick() => break,
                }
            }
            if Instant::now() >= until {
                break;
            }
            let frame = Frame::Audio { number, samples: self.samples(number) };
            if send(&mut self.to, &frame).await.is_err() {
                return Some(self.last_word().await);
            }
            self.heard.sent += 1;
            self.unanswered.push_back((frame, Instant::now()));
        }
        None
    }

    async fn hang_up(&mut self) -> Fate {
        if send(&mut self.to, &Frame::Hangup).await.is_err() {
            return self.last_word().await;
        }
        let answer = async {
            loop {
                match self.from.next().await {
                    Ok(Some(Frame::Bye)) => return Fate::HungUp,
                    Ok(Some(Frame::Cut)) => return Fate::Cut,
                    Ok(Some(frame)) => self.hear(&frame),
                    Ok(None) | Err(_) => return Fate::HungUpUnheard,
                }
            }
        };
        timeout(PATIENCE, answer).await.unwrap_or(Fate::HungUpUnheard)
    }

    /// A connection that takes no more may still hold what the worker said before it closed.
    async fn last_word(&mut self) -> Fate {
        while let Ok(Some(frame)) = self.from.next().await {
            if frame == Frame::Cut {
                return Fate::Cut;
            }
            self.hear(&frame);
        }
        Fate::Lost
    }

    /// Frames come back whole and in order; one that is not the oldest still unanswered is no echo.
    fn hear(&mut self, frame: &Frame) {
        let Some((sent, at)) = self.unanswered.front() else { return };
        if sent != frame {
            return;
        }
        let now = Instant::now();
        self.heard.echoed += 1;
        self.heard.late += u64::from(now - *at > LATE);
        self.heard.longest_gap = self.heard.longest_gap.max(now - self.last_echo);
        self.last_echo = now;
        self.unanswered.pop_front();
    }

    /// Sound that no other frame of any call has.
    fn samples(&self, number: u32) -> [u8; AUDIO] {
        let mut samples = [0; AUDIO];
        let pattern = self.id.bytes().chain(number.to_le_bytes()).collect::<Vec<_>>();
        for (sample, byte) in samples.iter_mut().zip(pattern.iter().cycle()) {
            *sample = *byte;
        }
        samples
    }
}
