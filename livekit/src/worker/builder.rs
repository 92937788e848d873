//! From settings to a worker.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use openrtc_runtime::PemError;
use openrtc_runtime::http::Trust;
use openrtc_runtime::time::Span;

use super::Worker;
use super::offer::{Decide, Decision, Request};
use super::socket::Server;
use crate::proto::{JobType, ParticipantPermission};
use crate::session::{BadDeployment, Patience, Registration};
use crate::token::ApiKey;
use crate::url::{BadUrl, ServerUrl};

/// Why a worker cannot be set up. Nothing was connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A setting has no value.
    #[error("{0} is not set: set it, or give the value to the builder")]
    Missing(&'static str),
    /// A variable is no text.
    #[error("{0} is not UTF-8")]
    NotText(&'static str),
    /// The address is none.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// The server would refuse the routing key.
    #[error(transparent)]
    Deployment(#[from] BadDeployment),
    /// The file of authorities cannot be used.
    #[error("OPENRTC_TLS_CA_FILE: {0}")]
    Authorities(#[from] PemError),
}

/// Builds a [`Worker`].
#[derive(Default)]
#[must_use]
pub struct WorkerBuilder {
    url: Option<String>,
    key: Option<String>,
    secret: Option<zeroize::Zeroizing<String>>,
    ca_file: Option<PathBuf>,
    registration: Registration,
    patience: Patience,
    decide: Option<Arc<dyn Decide>>,
}

impl WorkerBuilder {
    /// The server's address. Default: `LIVEKIT_URL`, with [`WorkerBuilder::from_env`].
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The API key and its secret. Default: `LIVEKIT_API_KEY` and `LIVEKIT_API_SECRET`, with
    /// [`WorkerBuilder::from_env`].
    pub fn api_key(mut self, key: impl Into<String>, secret: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self.secret = Some(zeroize::Zeroizing::new(secret.into()));
        self
    }

    /// A file (PEM) of the authorities to trust for `wss`, and no others. Default: `OPENRTC_TLS_CA_FILE`, with
    /// [`WorkerBuilder::from_env`]; without it, the platform's authorities.
    pub fn tls_ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// The name that a dispatch asks for. Without one the worker gets every room that asks for no agent by name.
    pub fn agent_name(mut self, name: impl Into<String>) -> Self {
        self.registration.agent_name = name.into();
        self
    }

    /// What the worker serves. A worker serves one kind; register several for more. Default: rooms.
    pub fn kind(mut self, kind: JobType) -> Self {
        self.registration.kind = kind;
        self
    }

    /// LiveKit's older routing key.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.registration.namespace = Some(namespace.into());
        self
    }

    /// LiveKit's routing key `deployment`: only dispatches that carry the same text reach the worker, and a dispatch
    /// without one reaches only workers without one. Leave it empty unless your dispatches carry it. Your version is
    /// told to the server anyway, in a field that routes nothing.
    pub fn deployment(mut self, key: impl Into<String>) -> Self {
        self.registration.deployment = key.into();
        self
    }

    /// What the agent may do in its room. Default: subscribe, publish, send data and update its metadata.
    pub fn permissions(mut self, permissions: ParticipantPermission) -> Self {
        self.registration.permissions = Some(permissions);
        self
    }

    /// The metadata of the agent as a participant.
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.registration.metadata = metadata.into();
        self
    }

    /// Adds an attribute of the agent as a participant.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.registration.attributes.insert(name.into(), value.into());
        self
    }

    /// Decides on each offer that the gate has room for. It has 2.5 s; silence, an error and a panic are a refusal. The
    /// call is reserved meanwhile. Default: every offer is taken.
    pub fn decide<D, F>(mut self, decide: D) -> Self
    where
        D: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Decision> + Send + 'static,
    {
        self.decide = Some(Arc::new(decide));
        self
    }

    /// How long a worker without jobs may be without a registration before [`Worker::serve`] fails, so that a
    /// supervisor notices. `None`: for ever. With jobs it never fails. Default: 10 minutes.
    pub fn give_up_after(mut self, time: Option<std::time::Duration>) -> Self {
        self.patience.unregistered = time.map(Span::from);
        self
    }

    /// Sets what `LIVEKIT_URL`, `LIVEKIT_API_KEY`, `LIVEKIT_API_SECRET`, `LIVEKIT_AGENT_NAME`,
    /// `LIVEKIT_AGENT_DEPLOYMENT` and `OPENRTC_TLS_CA_FILE` say. What was set before by hand stays.
    pub fn from_env(self) -> Result<Self, SetupError> {
        self.with_variables(|name| {
            #[expect(clippy::disallowed_methods, reason = "LiveKit's own variables, and the one that its TLS needs")]
            match std::env::var(name) {
                Ok(value) => Ok(Some(value)),
                Err(std::env::VarError::NotPresent) => Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => Err(SetupError::NotText(name)),
            }
        })
    }

    fn with_variables(
        mut self,
        read: impl Fn(&'static str) -> Result<Option<String>, SetupError>,
    ) -> Result<Self, SetupError> {
        let set = |name| read(name).map(|value| value.filter(|value| !value.is_empty()));
        if self.url.is_none() {
            self.url = set("LIVEKIT_URL")?;
        }
        if self.key.is_none() {
            self.key = set("LIVEKIT_API_KEY")?;
        }
        if self.secret.is_none() {
            self.secret = set("LIVEKIT_API_SECRET")?.map(zeroize::Zeroizing::new);
        }
        if self.ca_file.is_none() {
            self.ca_file = set("OPENRTC_TLS_CA_FILE")?.map(PathBuf::from);
        }
        if self.registration.agent_name.is_empty() {
            self.registration.agent_name = set("LIVEKIT_AGENT_NAME")?.unwrap_or_default();
        }
        if self.registration.deployment.is_empty() {
            self.registration.deployment = set("LIVEKIT_AGENT_DEPLOYMENT")?.unwrap_or_default();
        }
        Ok(self)
    }

    /// Checks the settings, and reads the file of authorities if there is one. Connects nothing: the pool does when it
    /// serves.
    pub fn build(mut self) -> Result<Worker, SetupError> {
        let (registration, patience) = (std::mem::take(&mut self.registration), self.patience);
        let decide = self.decide.take();
        let server = self.server()?;
        registration.check()?;
        Ok(Worker::new(server, registration, patience, decide))
    }

    /// The server that the settings name.
    pub(crate) fn server(self) -> Result<Server, SetupError> {
        let url = ServerUrl::parse(self.url.as_deref().ok_or(SetupError::Missing("LIVEKIT_URL"))?)?;
        let key = self.key.ok_or(SetupError::Missing("LIVEKIT_API_KEY"))?;
        let secret = self.secret.ok_or(SetupError::Missing("LIVEKIT_API_SECRET"))?;
        let trust = Trust::new(self.ca_file.as_deref())?;
        Ok(Server { base: url.http()?, url, key: ApiKey::new(key, secret.as_str()), trust })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(variables: &[(&str, &str)]) -> Result<Worker, SetupError> {
        let read =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Worker::builder().with_variables(|name| Ok(read(name)))?.build()
    }

    #[test]
    fn each_setting_that_is_missing_or_wrong_is_named() {
        let good =
            [("LIVEKIT_URL", "ws://localhost:7880"), ("LIVEKIT_API_KEY", "key"), ("LIVEKIT_API_SECRET", "hidden")];
        assert!(build(&good).is_ok());
        for missing in 0..good.len() {
            let some: Vec<_> =
                good.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, pair)| *pair).collect();
            let error = build(&some).expect_err("one is missing").to_string();
            assert!(error.contains(good[missing].0), "{error}");
        }
        for (variable, says) in [
            (("LIVEKIT_URL", "garbage"), "no scheme"),
            (("LIVEKIT_AGENT_DEPLOYMENT", "v1_2"), "'_'"),
            (("OPENRTC_TLS_CA_FILE", "/nowhere/ca.pem"), "OPENRTC_TLS_CA_FILE: \"/nowhere/ca.pem\" cannot be read"),
        ] {
            let error = build(&[&[variable], &good[..]].concat()).expect_err("wrong").to_string();
            assert!(error.contains(says) && !error.contains("hidden"), "{error}");
        }
        let shown = format!("{:?}", build(&good).expect("good"));
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
