//! Asking a worker's ops endpoints.

use std::fmt::Display;

use openrtc_runtime::http::{HttpError, Method, Response, ask, parse_url};

/// `GET http://HOST PATH`; a leading `http://` in `host` may be left out.
pub(crate) async fn get(host: impl Display, path: &str) -> Result<Response, HttpError> {
    ask(Method::GET, &parse_url(&url(&host.to_string(), path))?, None, String::new()).await
}

/// `POST` with a JSON body and, if there is one, a bearer token.
pub(crate) async fn post(host: &str, path: &str, token: Option<&str>, body: String) -> Result<Response, HttpError> {
    ask(Method::POST, &parse_url(&url(host, path))?, token, body).await
}

fn url(host: &str, path: &str) -> String {
    let scheme = if host.contains("://") { "" } else { "http://" };
    format!("{scheme}{}{path}", host.trim_end_matches('/'))
}
