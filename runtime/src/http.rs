//! HTTP as this project needs it: a client and an accept loop, both bounded in time and size.

mod accept;
#[doc(hidden)]
pub mod auth;
mod backoff;
mod client;
mod connect;
mod error;
#[cfg(feature = "tls")]
mod fault;
mod pem;
#[doc(hidden)]
pub mod server;
mod socket;
#[cfg(feature = "tls")]
#[doc(hidden)]
pub mod tls;
mod trust;
#[doc(hidden)]
pub mod websocket;

pub use crate::config::parse_url;
pub use accept::{Listener, Peer, Seat, accept_each, accept_until};
pub(crate) use backoff::Backoff;
pub use client::{Client, Method, Response, Url};
pub use connect::{Stream, connect};
pub use error::HttpError;
pub use pem::PemError;
pub use socket::ask_socket;
pub use trust::Trust;
