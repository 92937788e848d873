//! Requests through a Unix socket.

use std::error::Error;
use std::io;
use std::path::Path;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};

use super::client::{Response, bounded, exchange};
use super::error::{ANSWER_MAX, Fault, HttpError, causes};
use super::trust::Trust;

/// Sends a request with a JSON body to the server on this Unix socket. `target` is the path and the query.
pub async fn ask_socket(method: Method, socket: &Path, target: &str, body: String) -> Result<Response, HttpError> {
    let trust = Trust::new(None).expect("there is no file to read");
    let client = bounded(&trust).unix_socket(socket).build().expect("none of these settings can be wrong");
    let url: Url = format!("http://localhost{target}").parse().expect("targets are paths of ours");
    let request = client.request(method, url.clone()).header(CONTENT_TYPE, "application/json").body(body);
    exchange(request, ANSWER_MAX).await.map_err(|fault| match fault {
        Fault::Failed(error) if error.is_timeout() => HttpError::Silent(socket.display().to_string()),
        Fault::Failed(error) if error.is_connect() => explain(socket, &error),
        fault => fault.at(&url),
    })
}

/// The system's message about a path, with the path and the fix.
fn explain(socket: &Path, error: &(dyn Error + 'static)) -> HttpError {
    let said = causes(error).into_iter().rev().find_map(|cause| cause.downcast_ref::<io::Error>());
    let (told, fix) = match said {
        Some(said) if said.kind() == io::ErrorKind::NotFound => {
            (said.to_string(), " (it is what the worker's OPENRTC_OPS_SOCKET says)")
        }
        Some(said) if said.kind() == io::ErrorKind::PermissionDenied => {
            (said.to_string(), " (its file says who may: become that user, or a member of its group)")
        }
        Some(said) => (said.to_string(), ""),
        None => (error.to_string(), ""),
    };
    HttpError::Failed(format!("{}: {told}{fix}", socket.display()))
}
