//! Asking a worker's ops endpoints.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// No answer needs more, in bytes.
const BODY_MAX: usize = 1 << 20;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// `GET http://HOST PATH`; a leading `http://` in `host` may be left out.
pub(crate) async fn get(host: impl Display, path: &str) -> anyhow::Result<Response> {
    ask(Method::GET, &host.to_string(), path, None, String::new()).await
}

/// `POST` with a JSON body and, if there is one, a bearer token.
pub(crate) async fn post(host: &str, path: &str, token: Option<&str>, body: String) -> anyhow::Result<Response> {
    ask(Method::POST, host, path, token, body).await
}

async fn ask(method: Method, host: &str, path: &str, token: Option<&str>, body: String) -> anyhow::Result<Response> {
    let host = host.strip_prefix("http://").unwrap_or(host).trim_end_matches('/');
    ensure!(!host.starts_with("https://"), "{host}: the ops endpoints speak http; put TLS in front of them yourself");
    let uri: Uri = format!("http://{host}{path}")
        .parse()
        .with_context(|| format!("{host:?} is not a URL like http://127.0.0.1:9464"))?;
    let mut request = Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = async {
        let response = client.request(request).await.map_err(|error| anyhow::anyhow!("{}", root_cause(&error)))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await.map_err(anyhow::Error::from_boxed)?;
        let body = String::from_utf8_lossy(&body.to_bytes()).trim_end().to_owned();
        anyhow::Ok(Response { status, body })
    };
    timeout(PATIENCE, answer).await.with_context(|| format!("{host} did not answer within {PATIENCE:?}"))?
}

/// What the operating system said: the layers above it only say that the request failed.
fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
