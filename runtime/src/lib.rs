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
#![forbid(unsafe_code)]

mod attend;
pub mod audit;
mod builder;
mod call;
mod clock;
mod config;
mod control;
#[doc(hidden)]
pub mod doc;
mod exit;
mod force;
pub mod gate;
mod host;
#[doc(hidden)]
pub mod http;
pub mod journal;
mod key;
mod ops;
mod pool;
pub mod ports;
pub mod register;
pub mod registrar;
mod serve;
pub mod shell;
mod signal;
mod source;
mod sync;
mod systemd;

pub use builder::AgentPoolBuilder;
pub use call::{CallGuard, Lapsed, Reservation};
pub use config::{Config, ConfigError, FLUSH, Secret, Start, VARIABLES, Variable, parse_duration};
pub use control::Control;
pub use exit::Exit;
pub use key::{KeyError, read_public_key, read_signing_key, write_key_pair};
pub use openrtc_core::id::{Actor, CallId, Identity};
pub use openrtc_core::snapshot::RuntimeSnapshot;
pub use openrtc_core::word::{Phase, Refusal};
pub use openrtc_core::worker::{Availability, Cause, Class, DrainOrder, EndReason, OnDeadline, Rejection};
pub use pool::AgentPool;
pub use source::{Call, CallSource, Ending, Offer};
#[cfg(openrtc_loom)]
pub use sync::Site;
