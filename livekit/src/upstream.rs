//! A LiveKit server, for whoever makes workers of it later and passes other requests on to it.

use std::fmt;
use std::sync::Arc;

use openrtc_runtime::http::{HttpError, Stream, Url, connect};

use crate::proto::RegisterWorkerRequest;
use crate::session::{BadDeployment, Registration};
use crate::token::BadToken;
use crate::url::ServerUrl;
use crate::worker::{Server, SetupError, Worker, now_secs};

/// A LiveKit server, with what it takes to register there. Cheap to clone.
#[derive(Clone)]
pub struct Upstream(Arc<Server>);

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("url", &self.0.url).finish_non_exhaustive()
    }
}

impl Upstream {
    /// The server that `LIVEKIT_URL`, `LIVEKIT_API_KEY`, `LIVEKIT_API_SECRET` and `OPENRTC_TLS_CA_FILE` name.
    ///
    /// # Errors
    /// Names the variable that is missing or wrong.
    pub fn from_env() -> Result<Self, SetupError> {
        Worker::builder().from_env()?.server().map(|server| Self(Arc::new(server)))
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &ServerUrl {
        &self.0.url
    }

    /// Its address as requests over HTTP use it, without a `/` at its end unless it has no path.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.0.base
    }

    /// Connects to it, over TLS if its address says so. It has no time limit of its own. Dropped, the connection is
    /// closed.
    ///
    /// # Errors
    /// If it cannot be reached, or is not trusted.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, HttpError> {
        connect(&self.0.base, &self.0.trust).await
    }

    /// Whether a token is one of a worker of this server: signed with its key, and good now.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn admits(&self, token: &str) -> Result<bool, BadToken> {
        self.0.key.verify(token, now_secs()).map(|claims| claims["video"]["agent"] == true)
    }

    /// A worker of it that registers as another one asked to. The version is its pool's.
    ///
    /// # Errors
    /// If the server would refuse the routing key.
    pub fn worker(&self, like: &RegisterWorkerRequest) -> Result<Worker, BadDeployment> {
        let registration = Registration::of(like);
        registration.check()?;
        Ok(Worker::plain(Server::clone(&self.0), registration))
    }
}
