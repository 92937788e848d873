//! Why there is no answer, told so that whoever reads it knows what to change.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

#[cfg(feature = "tls")]
use super::fault::tls_fault;
use super::loopback::is_loopback;
use crate::config::UrlError;

/// How long an answer may take, from the beginning of the request to its last byte.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer may be if nothing else is said, in bytes.
pub(super) const ANSWER_MAX: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Nobody can be asked there.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The request failed: what the operating system said, or what is wrong with the other side.
    #[error("{0}")]
    Failed(String),
    /// Nothing came back.
    #[error("{0} did not answer within {PATIENCE:?}")]
    Silent(String),
    /// The answer is longer than any that is expected.
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

/// What lies below an error, from the outermost to the root. The layers above it only say that the request failed. An
/// I/O error does not give what it wraps as its source.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| below(*cause)).collect()
}

fn below<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => cause.source(),
    }
}
