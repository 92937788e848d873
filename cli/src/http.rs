//! Asking a worker's ops endpoints, over TCP or through its Unix socket.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use clap::Args;
use openrtc_runtime::http::{Client, Method, Response, Trust, ask_socket, parse_url};

use crate::Usage;

/// How a worker knows that an order may be given.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Access {
    /// A file with the token that orders over TCP need; or set OPENRTC_OPS_TOKEN. A worker's Unix socket needs none.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[arg(long, env = "OPENRTC_OPS_TOKEN", hide = true, hide_env_values = true)]
    token: Option<String>,
}

impl Access {
    /// The token, if there is one.
    pub(crate) fn token(&self) -> Result<Option<String>, Usage> {
        let Some(file) = &self.token_file else { return Ok(self.token.clone()) };
        let text = std::fs::read_to_string(file).with_context(|| format!("the token file {}", file.display()));
        Ok(Some(text.map_err(Usage)?.trim().to_owned()))
    }
}

/// `GET PATH` from the worker at `host`: a URL, whose `http://` may be left out, or `unix:PATH`.
pub(crate) async fn get(host: &str, path: &str, token: Option<&str>) -> anyhow::Result<Response> {
    exchange(Method::GET, host, path, token, String::new()).await
}

/// `POST` with a JSON body and, if there is one, a bearer token.
pub(crate) async fn post(host: &str, path: &str, token: Option<&str>, body: String) -> anyhow::Result<Response> {
    exchange(Method::POST, host, path, token, body).await
}

async fn exchange(
    method: Method,
    host: &str,
    path: &str,
    token: Option<&str>,
    body: String,
) -> anyhow::Result<Response> {
    match socket(host) {
        // Its file's permissions say who may ask; the token is no business of a process that is not asked for it.
        Some(socket) => Ok(ask_socket(method, socket, path, body).await?),
        None => Ok(client()?.ask(method, &parse_url(&url(host, path))?, token, body).await?),
    }
}

/// The one client of this process.
fn client() -> anyhow::Result<&'static Client> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let trust = Trust::new(ca_file().as_deref()).context("OPENRTC_TLS_CA_FILE").map_err(Usage)?;
    Ok(CLIENT.get_or_init(|| Client::new(&trust)))
}

/// The file of authorities to trust, and no others, if one is named.
#[expect(clippy::disallowed_methods, reason = "a command is no worker: it has no other settings to merge this with")]
pub(crate) fn ca_file() -> Option<PathBuf> {
    std::env::var_os("OPENRTC_TLS_CA_FILE").map(PathBuf::from)
}

/// The Unix socket that `host` names, if it names one.
fn socket(host: &str) -> Option<&Path> {
    host.strip_prefix("unix:").or_else(|| host.starts_with('/').then_some(host)).map(Path::new)
}

fn url(host: &str, path: &str) -> String {
    let scheme = if host.contains("://") { "" } else { "http://" };
    format!("{scheme}{}{path}", host.trim_end_matches('/'))
}
