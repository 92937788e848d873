//! How the connection of a worker ends, and what is said to the worker then.

use std::time::Duration;

use openrtc_core::id::{Deployment, Identity};
use openrtc_core::membership::MembershipError;
use openrtc_core::uplink::wire::FromCoordinator;
use openrtc_runtime::http::websocket::{Cut, TextSocket};

use super::REGISTER;
use crate::coordinator::LOG;

/// Close codes of RFC 6455.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const NOT_TEXT: u16 = 1003;
const TOO_LONG: u16 = 1009;

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the worker has left")]
    Left,
    #[error("it registered on another connection")]
    Replaced,
    #[error("the worker is not wanted")]
    Unwanted,
    #[error("it did not register within {REGISTER:?}")]
    Unregistered,
    #[error("it said nothing for {0:?}")]
    Silent(Duration),
    #[error("{0}")]
    Cut(#[from] Cut),
    /// What was said last is the reason.
    #[error("{0}")]
    Told(String),
    /// The worker breaks the protocol, or lies.
    #[error("{0}")]
    Odd(String),
}

impl End {
    /// The code that the connection closes with.
    pub(super) const fn code(&self) -> u16 {
        match self {
            Self::Odd(_) => PROTOCOL_ERROR,
            Self::Cut(Cut::TooLong(_)) => TOO_LONG,
            Self::Cut(Cut::NotText) => NOT_TEXT,
            _ => NORMAL,
        }
    }
}

/// Refuses a token. A worker that signed for another term, or that there is no room for, comes again.
pub(super) async fn refuse(socket: &mut TextSocket, own: Deployment, error: &MembershipError) -> Result<End, End> {
    let reason = error.word().to_owned();
    let message = match error {
        MembershipError::WrongDeployment(other) => {
            format!("this coordinates {own}, and the worker's token is for {other}: set OPENRTC_DEPLOYMENT={own}")
        }
        error => error.to_string(),
    };
    tracing::warn!(target: LOG, event = "worker.rejected", reason, "{message}");
    let told = match error {
        MembershipError::StaleEpoch(_) | MembershipError::FutureEpoch(_) | MembershipError::TooManyWorkers => {
            FromCoordinator::NotNow { message: message.clone() }
        }
        _ => FromCoordinator::Refused { reason, message: message.clone() },
    };
    say(socket, &told).await?;
    Ok(End::Told(message))
}

/// Has a worker that does not join for now come again later: it goes on as it is.
pub(super) async fn put_off(socket: &mut TextSocket, identity: &Identity, message: String) -> Result<(), End> {
    let Identity { worker, version, incarnation, .. } = identity;
    tracing::warn!(target: LOG, event = "worker.put_off", %worker, %version, %incarnation, "{message}");
    not_now(socket, message).await
}

/// Has the worker come again later.
pub(super) async fn not_now(socket: &mut TextSocket, message: String) -> Result<(), End> {
    say(socket, &FromCoordinator::NotNow { message: message.clone() }).await?;
    Err(End::Told(message))
}

pub(super) async fn say(socket: &mut TextSocket, said: &FromCoordinator) -> Result<(), Cut> {
    let text = serde_json::to_string(said).expect("names, numbers and text are JSON");
    socket.send(text).await
}
