//! Why a request got no response. Each message names the cause and the fix.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

#[cfg(feature = "tls")]
use super::fault::tls_fault;
use crate::config::{UrlError, is_loopback};

/// How long an answer may take, from the beginning of the request to its last byte.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The limit on a response, in bytes, unless the client has another one.
pub(super) const ANSWER_MAX: usize = 1 << 20;

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The request failed: what the operating system said, or what is wrong with the other side.
    #[error("{0}")]
    Failed(String),
    /// The server did not respond in time.
    #[error("{0} did not answer within {PATIENCE:?}")]
    Silent(String),
    /// The response is longer than the limit.
    #[error("{whom} answers with more than {limit} bytes: is this the right URL?")]
    TooLong {
        /// Who was asked.
        whom: String,
        /// The most that is taken, in bytes.
        limit: usize,
    },
}

/// What went wrong with a request.
pub(super) enum Fault {
    Failed(reqwest::Error),
    /// The answer has more than this many bytes.
    TooLong(usize),
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        Self::Failed(error)
    }
}

impl Fault {
    /// Says whose fault it is.
    pub(super) fn at(self, url: &Url) -> HttpError {
        match self {
            Self::TooLong(limit) => HttpError::TooLong { whom: whom(url), limit },
            Self::Failed(error) if error.is_timeout() => HttpError::Silent(whom(url)),
            Self::Failed(error) => HttpError::Failed(describe(&error, url)),
        }
    }
}

/// Who was asked: the host, and the proxy on the way to it.
fn whom(url: &Url) -> String {
    let host = url.authority();
    match proxy(url) {
        Some(proxy) => format!("{host} (by the proxy {proxy})"),
        None => host.to_owned(),
    }
}

/// The proxy that the environment names for a URL.
fn proxy(url: &Url) -> Option<String> {
    let uri = url.as_str().parse().ok().filter(|_| !is_loopback(url))?;
    Matcher::from_env().intercept(&uri)?.uri().authority().map(ToString::to_string)
}

fn describe(error: &reqwest::Error, url: &Url) -> String {
    #[cfg(feature = "tls")]
    if let Some(fault) = causes(error).into_iter().find_map(|cause| tls_fault(cause, url)) {
        return fault;
    }
    let not_http = causes(error).iter().any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_parse));
    if not_http {
        let hint = if url.scheme() == "http" { ": if it speaks TLS, use https://" } else { "" };
        return format!("{} does not answer in HTTP{hint}", whom(url));
    }
    let root = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    match proxy(url) {
        Some(proxy) => format!("{root} (by the proxy {proxy}: see HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY)"),
        None => root,
    }
}

/// The chain of causes of an error, from the outermost to the root. Only the lower ones say more than that the request
/// failed. An I/O error does not return the error that it wraps as its source, so it is unwrapped here.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| below(*cause)).collect()
}

fn below<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => cause.source(),
    }
}
