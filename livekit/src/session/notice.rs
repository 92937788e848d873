//! What a session tells the log, and what it counts.

use std::fmt;

use openrtc_runtime::CallId;
use openrtc_runtime::time::Span;

/// Why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The server does not take the token.
    Unauthorized {
        /// How far this machine's clock is ahead of the server's, in seconds, if the server said its time.
        ahead_secs: Option<i64>,
        /// What the server said.
        said: String,
    },
    /// There is no agent endpoint at this address.
    NotFound,
    /// The server answered with another HTTP status.
    Status(u16),
    /// Anything else: no such host, no connection, a certificate that is not trusted.
    Unreachable(String),
    /// The connection took too long.
    TimedOut,
}

/// A clock that is off by more than this is the reason why a token is refused: LiveKit allows a minute.
const SKEW_MAX_SECS: u64 = 60;

impl Failure {
    /// Whether trying again soon cannot help.
    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Unauthorized { .. } | Self::NotFound)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized { ahead_secs: Some(ahead), .. } if ahead.unsigned_abs() >= SKEW_MAX_SECS => {
                let way = if *ahead > 0 { "ahead of" } else { "behind" };
                let secs = ahead.unsigned_abs();
                write!(
                    f,
                    "LiveKit refuses the token: clock skew, this clock is {secs} s {way} the server's: set the clock"
                )
            }
            Self::Unauthorized { said, .. } => {
                write!(f, "LiveKit refuses the token ({said:?}): check LIVEKIT_API_KEY and LIVEKIT_API_SECRET")
            }
            Self::NotFound => f.write_str("there is no LiveKit agent endpoint there: check LIVEKIT_URL"),
            Self::Status(status) => write!(f, "LiveKit answers with HTTP status {status}"),
            Self::Unreachable(why) => write!(f, "LiveKit cannot be reached: {why}"),
            Self::TimedOut => f.write_str("LiveKit does not answer in time"),
        }
    }
}

/// Why a socket is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// It was never made.
    Failed(Failure),
    /// The server closed it, or it broke.
    Closed(Option<u16>),
    /// The registration was not answered in time.
    NotRegistered,
    /// A ping was not answered in time.
    Silent,
    /// The server sent a frame above [`FRAME_MAX`](super::FRAME_MAX).
    TooLarge(usize),
    /// The server asks for more than it takes.
    Flooded,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Closed(None) => f.write_str("the connection to LiveKit broke"),
            Self::Closed(Some(1008)) => f.write_str("LiveKit closed the connection: policy violation (1008)"),
            Self::Closed(Some(1009)) => f.write_str("LiveKit closed the connection: a message was too big (1009)"),
            Self::Closed(Some(code)) => write!(f, "LiveKit closed the connection (code {code})"),
            Self::NotRegistered => f.write_str("LiveKit did not answer the registration in time"),
            Self::Silent => f.write_str("LiveKit did not answer a ping in time"),
            Self::TooLarge(bytes) => write!(f, "LiveKit sent a frame of {bytes} bytes, more than the limit"),
            Self::Flooded => f.write_str("LiveKit sent offers faster than it reads their answers"),
        }
    }
}

/// What the log should say. Each kind that the server can cause at will is counted, and worth a line at most rarely.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The worker is registered.
    Registered {
        /// What the server calls the worker on this socket.
        worker_id: String,
        /// The server's version.
        server: String,
    },
    /// A socket is gone. Calls are not touched.
    Lost(Loss),
    /// When the next attempt comes.
    Retrying(Span),
    /// The server asked the worker to register elsewhere.
    GoAway,
    /// Whoever decides on an offer took too long: it was refused.
    DecidedTooLate(CallId),
    /// An assignment could not be taken: it is reported as failed.
    AssignmentFailed(CallId, String),
    /// The worker leaves and could not prove that this terminal status has arrived.
    Undelivered(CallId),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { worker_id, server } => write!(f, "registered as {worker_id} at LiveKit {server}"),
            Self::Lost(loss) => loss.fmt(f),
            Self::Retrying(wait) => write!(f, "connecting to LiveKit in {wait}"),
            Self::GoAway => f.write_str("LiveKit asks to register elsewhere: doing so before leaving this connection"),
            Self::DecidedTooLate(job) => write!(f, "job {job}: the decision took too long, so it was refused"),
            Self::AssignmentFailed(job, why) => write!(f, "job {job}: reported as failed: {why}"),
            Self::Undelivered(job) => write!(f, "job {job}: its last status may not have reached LiveKit"),
        }
    }
}

/// What happened so far, as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Registrations that the server confirmed.
    pub registrations: u64,
    /// Sockets that broke, were closed by the server, or were given up.
    pub losses: u64,
    /// Offers that came.
    pub offers: u64,
    /// Offers that were answered with yes.
    pub accepted: u64,
    /// Offers that were answered with no.
    pub refused: u64,
    /// Offers whose answer died with their socket.
    pub unanswered: u64,
    /// Offers of a job that this worker has already.
    pub repeated_offers: u64,
    /// Jobs that were assigned and taken.
    pub assigned: u64,
    /// Assignments that were not taken, and reported as failed.
    pub assignments_failed: u64,
    /// Assignments of a job that runs already or has ended.
    pub repeated_assignments: u64,
    /// Promises to which no assignment came in time.
    pub lapsed: u64,
    /// Jobs that the server ended.
    pub terminated: u64,
    /// Jobs that the server spoke of and this worker does not have.
    pub unknown_jobs: u64,
    /// Terminal statuses whose arrival is proven.
    pub delivered: u64,
    /// Terminal statuses whose arrival could not be proven before the worker left.
    pub undelivered: u64,
    /// Requests to register elsewhere.
    pub go_aways: u64,
    /// Messages of a kind that this worker does not know, or that came before the registration was confirmed.
    pub ignored: u64,
    /// Frames that are no message.
    pub undecodable: u64,
}
