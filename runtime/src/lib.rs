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
//! # async fn example(source: Source) -> Result<ExitCode, Box<dyn std::error::Error>> {
//! let pool = AgentPool::builder()
//!     .deployment_version("v2.0.0")
//!     .drain_timeout(Duration::from_secs(3600))
//!     .build()?;
//! let exit = pool.serve(source, |call| async move { handle(call).await }).await?;
//! Ok(exit.into())
//! # }
//! ```
//!
//! A worker with an accept loop of its own asks [`AgentPool::admit`] or [`AgentPool::reserve`] for every call, holds
//! the guard for as long as the call lasts, and leaves once [`AgentPool::drained`] resolves.
//!
//! Reading order: [`pool`](AgentPool), [`gate`] (commands become entries), [`shell`] (entries become effects),
//! [`ports`] (what the shell needs from the world), [`journal`].
//!
//! The folders are rooms: `secret`, `config`, `engine`, `process`, `http`, `audit`, `ops`, `uplink`, `pool`. Each
//! imports only from rooms before it in this list.
#![forbid(unsafe_code)]

pub mod audit;
mod config;
mod engine;
#[cfg(feature = "http")]
#[doc(hidden)]
pub mod http;
#[cfg(feature = "http")]
mod ops;
mod pool;
mod process;
mod secret;
#[cfg(feature = "http")]
mod uplink;

pub use config::{Config, ConfigError, Control, FLUSH, Start, UrlError, VARIABLES, Variable, parse_duration};
pub use engine::clock::Clock;
#[cfg(openrtc_loom)]
pub use engine::sync::Site;
pub use engine::{gate, ports, shell};
pub use openrtc_core::id::{Actor, CallId, Identity};
pub use openrtc_core::snapshot::RuntimeSnapshot;
pub use openrtc_core::word::{Phase, Refusal};
pub use openrtc_core::worker::{Availability, Cause, Class, DrainOrder, EndReason, OnDeadline, Rejection};
pub use openrtc_records::journal;
pub use pool::AgentPool;
pub use pool::builder::AgentPoolBuilder;
pub use pool::call::{CallGuard, Lapsed, Reservation};
#[doc(hidden)]
pub use pool::doc;
pub use pool::source::{Call, CallSource, Ending, Offer};
pub use process::Exit;
pub use secret::{KeyError, Secret, read_public_key, read_signing_key, write_key_pair};
#[cfg(feature = "http")]
pub use uplink::register;
