//! Deploys a LiveKit agent without dropping a job.
//!
//! LiveKit hands *jobs* to *agent workers*: programs that hold a WebSocket to the server, get offers, answer them,
//! and join rooms. This crate speaks that protocol for a worker that embeds [`openrtc_runtime`]: a job is a call, an
//! offer is a reservation, and a deploy is a drain.
//!
//! [`Worker`] is a call source: give it to a pool. [`session`] is the protocol under it, as a state machine without
//! input and output, and [`dispatcher`] is the server's side of it; `DevServer` is a server around that, for
//! development and tests. [`proto`] has the messages.
//!
//! # Features
//! - `worker` (default): [`Worker`], with its socket: tokio, tungstenite, and the runtime's client for HTTP and TLS.
//! - `server` (default): `DevServer`.
//! - `peer`: `Peer` and `Upstream`, for whoever stands between a worker and its server.
//! - `guard` (default): `Guard`, which makes lost dispatches again, and `Api`, the requests for that.
#![forbid(unsafe_code)]

#[cfg(feature = "guard")]
mod api;
pub mod dispatcher;
#[cfg(feature = "guard")]
mod guard;
#[cfg(feature = "peer")]
mod peer;
pub mod proto;
mod random;
#[cfg(feature = "server")]
mod server;
pub mod session;
#[cfg(feature = "worker")]
mod token;
#[cfg(feature = "peer")]
mod upstream;
mod url;
#[cfg(feature = "worker")]
mod worker;

#[cfg(feature = "guard")]
pub use api::{Api, ApiError, Dispatched};
#[cfg(feature = "guard")]
pub use guard::{Guard, GuardCounts, LostDispatch, Watch};
#[cfg(feature = "peer")]
pub use peer::{Assigned, Peer};
#[cfg(feature = "server")]
pub use server::DevServer;
pub use session::{BadDeployment, Joining, Registration};
#[cfg(feature = "worker")]
pub use token::{ApiKey, BadToken};
#[cfg(feature = "peer")]
pub use upstream::Upstream;
pub use url::{BadUrl, ServerUrl};
#[cfg(feature = "worker")]
pub use worker::{
    Decision, Health, Job, JobOffer, JobReporter, Monitor, Request, SetupError, Unregistered, Worker, WorkerBuilder,
};
