//! The HTTP client. Workers register and send their audit trails with it, and commands ask workers with it. Requests
//! are bounded in time and size.
//!
//! - A request goes to the named URL and nowhere else: a redirect is an answer like any other, so that a token and a
//!   body never reach somebody who was not named.
//! - Proxies are those of the environment: `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`, but for hosts that `NO_PROXY`
//!   lists (names with their subdomains, addresses, networks such as 10.0.0.0/8, or `*`); in capitals or not.
//!   `HTTP_PROXY` means nothing where `REQUEST_METHOD` is set, as in a CGI script. Loopback is always asked directly: a
//!   proxy would ask itself.
//! - Connections are kept for the next request to the same host.

use reqwest::header::{CONTENT_TYPE, LOCATION};
pub use reqwest::{Method, Url};
use reqwest::{RequestBuilder, redirect};

use super::error::{ANSWER_MAX, Fault, HttpError, PATIENCE};
use super::trust::Trust;
use crate::config::is_loopback;

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, as far as it is text.
    pub body: String,
}

/// Sends requests over HTTP and HTTPS. Its connections belong to the tokio runtime that it is used in, so each runtime
/// needs a client of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    /// For loopback.
    direct: reqwest::Client,
    /// For every other host, through the proxy if the environment names one.
    outward: reqwest::Client,
    /// The longest response that is read, in bytes.
    answer_max: usize,
}

impl Client {
    /// A client that accepts a server's certificate if an authority in `trust` has signed it.
    #[must_use]
    pub fn new(trust: &Trust) -> Self {
        let build = |client: reqwest::ClientBuilder| client.build().expect("none of these settings can be wrong");
        let (direct, outward) = (build(bounded(trust).no_proxy()), build(bounded(trust)));
        Self { direct, outward, answer_max: ANSWER_MAX }
    }

    /// The same client with another limit on a response, in bytes. The default is 1 MiB.
    #[must_use]
    pub fn with_answers_up_to(self, bytes: usize) -> Self {
        Self { answer_max: bytes, ..self }
    }

    /// Sends a request with a JSON body and, if `token` is given, as a bearer token. Fails if no response came within 5
    /// s.
    ///
    /// # Cancel safety
    /// If you drop the future, the server may have got the request or not.
    pub async fn ask(
        &self,
        method: Method,
        url: &Url,
        token: Option<&str>,
        body: String,
    ) -> Result<Response, HttpError> {
        let request = self.towards(url).request(method, url.clone()).header(CONTENT_TYPE, "application/json");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        exchange(request.body(body), self.answer_max).await.map_err(|fault| fault.at(url))
    }

    /// Posts lines of JSON.
    pub(crate) async fn post_lines(&self, url: &Url, lines: Vec<u8>) -> Result<Response, HttpError> {
        let request = self.towards(url).post(url.clone()).header(CONTENT_TYPE, "application/x-ndjson");
        exchange(request.body(lines), self.answer_max).await.map_err(|fault| fault.at(url))
    }

    fn towards(&self, url: &Url) -> &reqwest::Client {
        if is_loopback(url) { &self.direct } else { &self.outward }
    }
}

pub(super) fn bounded(trust: &Trust) -> reqwest::ClientBuilder {
    let client = reqwest::Client::builder()
        .user_agent(concat!("openrtc/", env!("CARGO_PKG_VERSION")))
        .timeout(PATIENCE)
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(1);
    trust.applied_to(client)
}

pub(super) async fn exchange(request: RequestBuilder, answer_max: usize) -> Result<Response, Fault> {
    let mut response = request.send().await?;
    let status = response.status();
    if let Some(place) = response.headers().get(LOCATION).filter(|_| status.is_redirection()) {
        let body = format!("it has moved: use the URL {}", String::from_utf8_lossy(place.as_bytes()));
        return Ok(Response { status: status.as_u16(), body });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > answer_max {
            return Err(Fault::TooLong(answer_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status: status.as_u16(), body: String::from_utf8_lossy(&body).trim_end().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_by_name_and_by_address() {
        for (url, expected) in [
            ("http://127.0.0.1:9464/", true),
            ("http://127.8.0.1/", true),
            ("http://[::1]:9464/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("https://localhost/", true),
            ("https://a.localhost/", true),
            ("http://localhost.example/", false),
            ("http://notlocalhost/", false),
            ("http://10.0.0.1/", false),
            ("http://[fd00::1]/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().expect("a URL")), expected, "{url}");
        }
    }
}
