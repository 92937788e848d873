//! Where a host's calls come from, and what that means for its worker and its programs.

use std::sync::Arc;

use openrtc_runtime::Config;
use tokio::net::TcpListener;

use crate::front::Speaks;
use crate::front::http::Settings as Http;
#[cfg(feature = "livekit")]
use crate::livekit;
use crate::run::{Front, HostError, Options};
use crate::spot::Reach;

/// Where calls come from.
#[derive(Debug)]
pub(crate) enum Entrance {
    /// Whoever connects.
    Callers(TcpListener, Speaks),
    /// A LiveKit server.
    #[cfg(feature = "livekit")]
    Jobs(livekit::Hub),
}

impl Entrance {
    /// Opens the one that the options name.
    pub(crate) async fn open(options: &Options) -> Result<Self, HostError> {
        let speaks = match &options.front {
            Front::Tcp => Speaks::Tcp,
            Front::Http { health, proxies } => {
                let (health, proxies) = (health.clone(), proxies.clone());
                Speaks::Http(Arc::new(Http { health, proxies, half_open: options.half_open }))
            }
            #[cfg(feature = "livekit")]
            Front::LiveKit(upstream) => return Ok(Self::Jobs(livekit::Hub::new(upstream.clone()))),
        };
        let listening = TcpListener::bind(options.listen).await;
        let listener = listening.map_err(|error| HostError::Listen { addr: options.listen, error })?;
        Ok(Self::Callers(listener, speaks))
    }

    /// How programs are reached.
    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Callers(..) => Reach::Listening,
            #[cfg(feature = "livekit")]
            Self::Jobs(hub) => Reach::Registering(hub.clone()),
        }
    }

    /// Sets what the host's worker must know of its calls.
    pub(crate) fn set(&self, config: &mut Config) {
        match self {
            // The caller's connection, and the program's.
            Self::Callers(..) => config.call_descriptors = 2,
            #[cfg(feature = "livekit")]
            Self::Jobs(_) => {
                // A job passes the host by: nobody here sees whether it moves.
                (config.call_descriptors, config.stall_after) = (0, config.stall_after.map(|_| None));
            }
        }
    }
}
