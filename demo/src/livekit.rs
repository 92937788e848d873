//! The demo with LiveKit as its dispatcher: calls are jobs of agents.
//!
//! There are no media servers in it. A caller asks the server for an agent in a room of its own; the worker that gets
//! the job connects to the callers, and the call's audio goes over that connection, as it does without LiveKit.

mod agent;
mod exchange;
mod lobby;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use agent::serve;
pub(crate) use exchange::Exchange;

/// Which LiveKit server gives the calls to workers.
#[derive(Clone)]
pub enum Server {
    /// A dev server of the demo's own.
    Own,
    /// One that is there already.
    At {
        /// Where: `ws://`, `wss://`, `http://` or `https://`.
        url: String,
        /// The API key.
        key: String,
        /// Its secret.
        secret: String,
        /// The authorities to trust for TLS (PEM), and no others.
        ca_file: Option<PathBuf>,
    },
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "the dev server",
            Self::At { url, .. } => url,
        })
    }
}

/// The key of the demo's own server: it listens on loopback, and is gone with the demo.
const KEY: &str = "demo";

/// Where the demo's own things listen.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
