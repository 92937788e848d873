//! The URLs that a worker can ask: plain HTTP, and nothing in them that must not be shown.

/// Why nobody can be asked at a URL.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It is none.
    #[error("{0:?} is not a URL like http://127.0.0.1:9464")]
    Malformed(String),
    /// What stands before an `@` may be a password; it would be sent to nobody and shown in logs.
    #[error("the URL holds a user name or password: leave out everything up to the @")]
    Credentials,
    /// TLS is for a proxy.
    #[error("{0}: only http is spoken here; put TLS in front of it yourself")]
    Https(String),
}

/// Reads a URL that can be asked.
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
