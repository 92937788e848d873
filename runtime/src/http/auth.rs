//! Authorization. A request may give orders and see call ids if it came through a Unix socket or presents the token.
//! Its address proves nothing: behind a proxy on the same host, every client has a loopback address.

use axum::http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use super::accept::Peer;
use crate::secret::Secret;

/// Whose orders are judged, in the words of the answers.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Such as `worker`.
    pub name: &'static str,
    /// How else orders get there than over TCP with a token; empty if they do not.
    pub instead: &'static str,
    /// What to do where no token is set.
    pub no_token: &'static str,
}

/// Whether a request may give orders; an error is the answer to it.
pub fn judge(
    owner: &Owner,
    peer: Peer,
    token: Option<&Secret>,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, String)> {
    // A browser always names the page that sent a request. None of them is a person at work here.
    if headers.contains_key(header::ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "orders do not come from web pages".into()));
    }
    let Owner { name, instead, no_token } = owner;
    match (peer, token, bearer(headers)) {
        // Its file's permissions have let the peer in.
        (Peer::Local { .. }, ..) => Ok(()),
        (Peer::Tcp(_), Some(token), Some(given)) if matches(token, given) => Ok(()),
        (Peer::Tcp(_), Some(_), Some(_)) => Err((
            StatusCode::UNAUTHORIZED,
            format!(
                "the token is wrong: present what the {name}'s OPENRTC_OPS_TOKEN says (openrtc reads it from \
                 --token-file or OPENRTC_OPS_TOKEN){instead}"
            ),
        )),
        (Peer::Tcp(_), Some(_), None) => Err((
            StatusCode::UNAUTHORIZED,
            format!(
                "present the {name}'s token, `Authorization: Bearer …` (openrtc reads it from --token-file or \
                 OPENRTC_OPS_TOKEN){instead}"
            ),
        )),
        (Peer::Tcp(_), None, _) => {
            Err((StatusCode::FORBIDDEN, format!("this {name} has no token, so TCP is read-only: {no_token}")))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default())
        .map(|value| value.strip_prefix("Bearer ").unwrap_or_default())
}

fn matches(token: &Secret, given: &str) -> bool {
    token.expose().as_bytes().ct_eq(given.as_bytes()).into()
}
