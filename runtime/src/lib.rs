//! Drains a realtime-call worker without dropping a call.
//!
//! A call lives in one process and can never be moved. So a deploy lets the old version's calls run to their hang-up
//! while the new version takes the new ones. Embed an [`AgentPool`] in a worker and it does this on SIGTERM or on
//! [`AgentPool::begin_drain`]:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::time::Duration;
//! use openrtc_runtime::{AgentPool, Call, CallSource};
//! # type Source = openrtc_runtime::doc::Nothing;
//! # async fn handle<S>(_: Call<S>) {}
//!
//! fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
//!     // First: from here on no signal is lost, and none ends a call.
//!     let _process = openrtc_runtime::process::begin();
//!     // A log that nobody reads stops no call.
//!     tracing_subscriber::fmt().with_writer(openrtc_runtime::log::stderr).init();
//!     # let source = openrtc_runtime::doc::Nothing;
//!     tokio::runtime::Runtime::new()?.block_on(run(source))
//! }
//!
//! async fn run(source: Source) -> Result<ExitCode, Box<dyn std::error::Error>> {
//!     let pool = AgentPool::builder()
//!         .deployment_version("v2.0.0")
//!         .drain_timeout(Duration::from_secs(3600))
//!         .build()?;
//!     let exit = pool.serve(source, |call| async move { handle(call).await }).await?;
//!     Ok(exit.into())
//! }
//! ```
//!
//! A worker with an accept loop of its own asks [`AgentPool::admit`] or [`AgentPool::reserve`] for every call, holds
//! the guard for as long as the call lasts, and ends once [`AgentPool::retired`] resolves. A worker whose calls are
//! HTTP requests adds [`tower::AdmitLayer`], and one without tokio uses [`blocking::AgentPool`]. `examples/` has a
//! program for each.
//!
//! Every type in a public signature is reachable from this crate.
//!
//! For readers of the source: the folders are rooms, `secret`, `config`, `log`, `engine`, `writer`, `process`, `http`,
//! `audit`, `ops`, `uplink`, `pool`, and each imports only from rooms before it in this list. Read
//! [`pool`](AgentPool), then [`gate`], where commands become entries, then [`control`], which turns entries into
//! effects, then [`ports`], which says what the control loop needs from the world, then [`journal`].
//!
//! # Features
//! - `http` (default): the ops endpoints, registration and the audit trail's webhook.
//! - `tls` (default): the same over HTTPS. It needs a C compiler.
//! - `tower` (default): [`tower`], the layer for HTTP servers. It depends on little more than `http` does.
#![forbid(unsafe_code)]

pub mod audit;
mod config;
mod engine;
#[cfg(feature = "http")]
#[doc(hidden)]
pub mod http;
pub mod log;
#[cfg(feature = "http")]
mod ops;
mod pool;
pub mod process;
mod secret;
#[cfg(feature = "http")]
mod uplink;
pub mod writer;

pub use config::{
    Config, ConfigError, Control, DrainTerms, Duplicates, FLUSH, SocketMode, Start, UrlError, VARIABLES, Variable,
    parse_duration,
};
pub use engine::clock::Clock;
pub use engine::done::{CommandError, Done};
pub use engine::ended::Ended;
#[cfg(openrtc_loom)]
pub use engine::sync::Site;
pub use engine::{control, gate, intake, ports};
#[cfg(feature = "http")]
pub use http::PemError;
pub use openrtc_core::id::{
    Actor, BadCallId, BadName, CallId, CallNo, Deployment, Epoch, Fault, Identity, Incarnation, Seq, Version, WorkerId,
};
pub use openrtc_core::journal::{Predecessor, Torn, TornFault};
pub use openrtc_core::membership::{SigningKey, VerifyingKey};
pub use openrtc_core::order::{Order, Stamp, Wish};
pub use openrtc_core::snapshot::{JournalHealth, RuntimeSnapshot};
pub use openrtc_core::time;
pub use openrtc_core::word::{Phase, Refusal};
pub use openrtc_core::worker::{
    Availability, BadDeadline, BadLimits, BadPolicy, CLASSES, Cause, Class, DeadlineMissing, Decline, Drain, EndReason,
    Forced, Leave, Misuse, NoSuchClass, OnDeadline, Outcome, Refused, Repeat, Tally, Terms,
};
pub use openrtc_records::journal;
pub use openrtc_records::trail::TrailError;
#[cfg(feature = "http")]
pub use ops::OpsError;
pub use pool::AgentPool;
pub use pool::blocking;
pub use pool::builder::AgentPoolBuilder;
pub use pool::call::{CallGuard, Lapsed, Reservation};
pub use pool::call_end::{CallEnd, Reporter};
#[doc(hidden)]
pub use pool::doc;
pub use pool::error::{ServeError, StartError};
pub use pool::listening::Listening;
pub use pool::source::{Call, CallSource, Ending, Offer};
#[cfg(feature = "tower")]
pub use pool::tower;
pub use pool::view::WorkerView;
pub use process::Exit;
pub use secret::{KeyError, Secret, read_public_key, read_signing_key, write_key_pair};
#[cfg(feature = "http")]
pub use uplink::register;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
