//! The URLs that a worker sends requests to: plain HTTP, and nothing in them that must not be shown.

/// Why a URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The text is not an `http` URL with a host.
    #[error("{0:?} is not a URL like http://127.0.0.1:9464")]
    Malformed(String),
    /// The part before an `@` may be a password. It would be shown in logs, and sent to nobody.
    #[error("the URL holds a user name or password: leave out everything up to the @")]
    Credentials,
    /// The URL asks for TLS, which is left to a proxy.
    #[error("{0}: only http is spoken here; put TLS in front of it yourself")]
    Https(String),
}

/// Reads a URL that requests can be sent to.
#[cfg(feature = "http")]
pub fn parse_url(url: &str) -> Result<hyper::Uri, UrlError> {
    if url.contains('@') {
        return Err(UrlError::Credentials);
    }
    if url.starts_with("https://") {
        return Err(UrlError::Https(url.into()));
    }
    match url.parse::<hyper::Uri>() {
        Ok(uri) if uri.scheme_str() == Some("http") && uri.host().is_some() => Ok(uri),
        Ok(_) | Err(_) => Err(UrlError::Malformed(url.into())),
    }
}
