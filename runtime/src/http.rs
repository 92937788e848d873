//! HTTP as this project needs it: a client and an accept loop, both bounded in time and size.

mod accept;
mod backoff;
mod client;
#[doc(hidden)]
pub mod server;
mod socket;

pub use crate::config::parse_url;
pub use accept::{Listener, Peer, Seat, accept_each};
pub(crate) use backoff::Backoff;
pub(crate) use client::post_lines;
pub use client::{HttpError, Method, Response, Uri, ask};
pub use socket::ask_socket;
