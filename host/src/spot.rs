//! Where a program is reached: a port that it listens on, or a LiveKit server that it takes for its own.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use openrtc_fleet::child::{Child, Launch};

#[cfg(feature = "livekit")]
use crate::livekit::{Hub, Proxy};
use crate::ready::{self, NotReady};

/// What stands for the port in a program's arguments.
const PORT: &str = "{port}";

/// How programs are reached.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// Each listens on a port of its own.
    Listening,
    /// Each registers as a LiveKit worker.
    #[cfg(feature = "livekit")]
    Registering(Hub),
}

/// Where one program is reached. Cheap to clone; whoever holds one keeps it up.
#[derive(Clone, Debug)]
pub(crate) enum Spot {
    Port(u16),
    #[cfg(feature = "livekit")]
    Proxy(Proxy),
}

impl Reach {
    /// A spot for a program that is about to start.
    pub(crate) fn spot(&self) -> io::Result<Spot> {
        match self {
            Self::Listening => ready::free_port().map(Spot::Port),
            #[cfg(feature = "livekit")]
            Self::Registering(hub) => hub.proxy().map(Spot::Proxy),
        }
    }
}

impl Spot {
    /// The variable that tells the program where it is.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        match self {
            Self::Port(port) => ("PORT", port.to_string()),
            #[cfg(feature = "livekit")]
            Self::Proxy(proxy) => ("LIVEKIT_URL", proxy.url()),
        }
    }

    /// Tells the program.
    pub(crate) fn tell(&self, launch: &mut Launch) {
        let (name, value) = self.variable();
        launch.set.push((OsString::from(name), OsString::from(value)));
        match self {
            Self::Port(port) => {
                for arg in &mut launch.args {
                    if let Some(text) = arg.to_str().filter(|text| text.contains(PORT)) {
                        *arg = text.replace(PORT, &port.to_string()).into();
                    }
                }
            }
            #[cfg(feature = "livekit")]
            Self::Proxy(proxy) => {
                crate::livekit::clear_proxies(launch);
                launch.set.push(("PORT".into(), proxy.health_port().to_string().into()));
            }
        }
    }

    /// Waits until the program is there, and returns where.
    pub(crate) async fn ready(&self, child: &Child, within: Duration) -> Result<SocketAddr, NotReady> {
        match self {
            Self::Port(port) => ready::listening(child, *port, within).await,
            #[cfg(feature = "livekit")]
            Self::Proxy(proxy) => proxy.registered(child, within).await,
        }
    }

    /// Whether the program is there still.
    pub(crate) async fn is_served(&self, child: &Child) -> bool {
        match self {
            Self::Port(port) => ready::listens(child, *port).await,
            #[cfg(feature = "livekit")]
            Self::Proxy(proxy) => proxy.peer().is_registered(),
        }
    }
}
