//! A small HTTP client, bounded in time and size: workers register and send their trails with it, commands ask with it.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
pub use hyper::{Method, Uri};
use hyper::{Request, header, http};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::config::UrlError;

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// No answer needs more, in bytes.
pub(super) const BODY_MAX: usize = 1 << 20;

/// What was answered.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, as far as it is text.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody can be asked there.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The request failed; what the operating system said.
    #[error("{0}")]
    Failed(String),
    /// Nothing came back.
    #[error("{0} did not answer within {PATIENCE:?}")]
    Silent(String),
}

/// Asks, with a JSON body and, if there is one, a bearer token.
pub async fn ask(method: Method, url: &Uri, token: Option<&str>, body: String) -> Result<Response, HttpError> {
    let mut request = Request::builder().method(method).uri(url).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    exchange(url, request.body(Full::new(body.into()))).await
}

/// Hands over lines of JSON.
pub(crate) async fn post_lines(url: &Uri, lines: Vec<u8>) -> Result<Response, HttpError> {
    let request = Request::builder().method(Method::POST).uri(url);
    let request = request.header(header::CONTENT_TYPE, "application/x-ndjson");
    exchange(url, request.body(Full::new(lines.into()))).await
}

async fn exchange(url: &Uri, request: http::Result<Request<Full<Bytes>>>) -> Result<Response, HttpError> {
    let request = request.map_err(|error| failed(&error))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = async {
        let response = client.request(request).await.map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await.map_err(|error| failed(&*error))?;
        let body = String::from_utf8_lossy(&body.to_bytes()).trim_end().to_owned();
        Ok(Response { status, body })
    };
    let host = || url.authority().map_or_else(|| url.to_string(), ToString::to_string);
    timeout(PATIENCE, answer).await.map_err(|_| HttpError::Silent(host()))?
}

/// A request that failed.
pub(super) fn failed(error: &(dyn Error + 'static)) -> HttpError {
    HttpError::Failed(root_cause(error).to_string())
}

/// What the operating system said: the layers above it only say that the request failed.
fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
