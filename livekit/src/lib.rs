//! Deploys a LiveKit agent without dropping a job.
//!
//! LiveKit hands *jobs* to *agent workers*: programs that hold a WebSocket to the server, get offers, answer them,
//! and join rooms. This crate speaks that protocol for a worker that embeds [`openrtc_runtime`]: a job is a call, an
//! offer is a reservation, and a deploy is a drain.
//!
//! [`session`] is the protocol as a state machine without input and output. [`proto`] has its messages.
#![forbid(unsafe_code)]

pub mod dispatcher;
pub mod proto;
mod random;
pub mod session;
mod url;

pub use session::{BadDeployment, Registration};
pub use url::{BadUrl, ServerUrl};
