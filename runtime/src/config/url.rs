//! The URLs that a worker sends requests to: nothing in them that must not be shown.

#[cfg(feature = "http")]
use openrtc_core::uplink::wire;

#[cfg(feature = "http")]
use super::loopback::is_loopback;
#[cfg(feature = "http")]
use super::{Config, ConfigError};

/// Why a URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The text is not an `http` or `https` URL with a host.
    #[error("{0:?} is not a URL like http://127.0.0.1:9464 or https://host.example/path")]
    Malformed(String),
    /// The part before an `@` may be a password. It would be shown in logs, and sent to nobody.
    #[error("the URL holds a user name or password: leave out everything up to the @")]
    Credentials,
    /// The URL asks for TLS, which this program cannot speak.
    #[error("{0}: this program was built without TLS: turn on the feature `tls` of openrtc-runtime")]
    WithoutTls(String),
}

/// Reads a URL that requests can be sent to.
#[cfg(feature = "http")]
pub fn parse_url(text: &str) -> Result<reqwest::Url, UrlError> {
    if text.contains('@') {
        return Err(UrlError::Credentials);
    }
    let malformed = || UrlError::Malformed(text.into());
    let (scheme, _) = text.split_once("://").ok_or_else(malformed)?;
    let url = reqwest::Url::parse(text).map_err(|_| malformed())?;
    match scheme {
        "https" if !cfg!(feature = "tls") => Err(UrlError::WithoutTls(text.into())),
        "http" | "https" => Ok(url),
        _ => Err(malformed()),
    }
}

#[cfg(feature = "http")]
impl Config {
    /// Where the worker registers.
    pub(super) fn register_url(&self) -> Result<Option<reqwest::Url>, ConfigError> {
        self.register.as_deref().map(parse_url).transpose().map_err(ConfigError::Register)
    }

    /// Where the worker dials in: the place for that at the coordinator.
    pub(super) fn coordinator_url(&self) -> Result<Option<reqwest::Url>, ConfigError> {
        let Some(text) = &self.coordinator else { return Ok(None) };
        let mut url = parse_url(text).map_err(ConfigError::Coordinator)?;
        if url.scheme() != "https" && !is_loopback(&url) {
            return Err(ConfigError::CoordinatorInTheOpen(text.clone()));
        }
        let path = format!("{}{}", url.path().trim_end_matches('/'), wire::PATH);
        url.set_path(&path);
        Ok(Some(url))
    }
}
