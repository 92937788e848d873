//! What a worker says of itself when it registers, and how long it waits for things.

use std::collections::BTreeMap;
use std::fmt;

use openrtc_runtime::time::Span;

use crate::proto::{JobType, ParticipantPermission, RegisterWorkerRequest};

/// What a worker says of itself when it registers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// The name that a dispatch asks for. Empty: the worker gets every room that asks for no agent by name.
    pub agent_name: String,
    /// What the worker serves.
    pub kind: JobType,
    /// The worker's version, for people. It routes nothing.
    pub version: String,
    /// LiveKit's older routing key; none by default.
    pub namespace: Option<String>,
    /// LiveKit's routing key `deployment`: only dispatches that carry the same text reach the worker, and a dispatch
    /// without one reaches only workers without one. Empty by default. Never put a version here by habit: a rollout
    /// would then cut the new version off from every dispatch that does not name it.
    pub deployment: String,
    /// What the agent may do in its room. `None`: subscribe, publish, send data and update its metadata.
    pub permissions: Option<ParticipantPermission>,
    /// The metadata of the agent as a participant.
    pub metadata: String,
    /// The attributes of the agent as a participant, beside `lk.agent.name`.
    pub attributes: BTreeMap<String, String>,
}

/// A routing key that LiveKit would refuse, by closing the socket without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadDeployment {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub fault: String,
}

impl fmt::Display for BadDeployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, fault } = self;
        write!(
            f,
            "the LiveKit deployment {text:?} {fault}: LiveKit takes at most {DEPLOYMENT_MAX} bytes without `_`, \
             spaces and control characters (it is a routing key: leave it empty unless your dispatches carry it)"
        )
    }
}

impl std::error::Error for BadDeployment {}

/// LiveKit's longest routing key, in bytes.
const DEPLOYMENT_MAX: usize = 64;

impl Registration {
    /// Checks what the server would otherwise refuse by closing the socket.
    pub fn check(&self) -> Result<(), BadDeployment> {
        check_deployment(&self.deployment)
    }

    /// That of a worker that says this on its socket.
    #[must_use]
    pub fn of(message: &RegisterWorkerRequest) -> Self {
        Self {
            agent_name: message.agent_name.clone(),
            kind: message.r#type(),
            version: message.version.clone(),
            namespace: message.namespace.clone(),
            deployment: message.deployment.clone(),
            permissions: message.allowed_permissions.clone(),
            ..Self::default()
        }
    }

    /// The first message on a socket.
    pub(super) fn message(&self) -> RegisterWorkerRequest {
        RegisterWorkerRequest {
            r#type: self.kind.into(),
            version: self.version.clone(),
            ping_interval: 0,
            namespace: self.namespace.clone(),
            allowed_permissions: self.permissions.clone(),
            agent_name: self.agent_name.clone(),
            deployment: self.deployment.clone(),
        }
    }
}

/// LiveKit's rule for the routing key.
pub(crate) fn check_deployment(text: &str) -> Result<(), BadDeployment> {
    let bad = text.char_indices().find(|(_, found)| *found == '_' || *found <= ' ' || *found == '\u{7f}');
    let fault = if text.len() > DEPLOYMENT_MAX {
        format!("is {} bytes long", text.len())
    } else if let Some((at, found)) = bad {
        format!("has {found:?} at byte {at}")
    } else {
        return Ok(());
    };
    Err(BadDeployment { text: text.to_owned(), fault })
}

/// How long the session waits for things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a connection may take to open, and as long again the answer to its registration.
    pub register: Span,
    /// How long a registration must hold before the back-off begins anew.
    pub stable: Span,
    /// The shortest wait before the next attempt, and how far waits are spread.
    pub retry_min: Span,
    /// The longest wait before the next attempt.
    pub retry_max: Span,
    /// The wait after an answer that trying again soon cannot change: a wrong key, a wrong address.
    pub retry_slow: Span,
    /// How long after a ping's answer the next ping goes out.
    pub ping_every: Span,
    /// How long a ping waits for its answer before the socket is given up.
    pub ping_limit: Span,
    /// How long an offer waits for the answer of whoever decides. LiveKit itself gives up after 3 s.
    pub answer: Span,
    /// The longest time between two reports of the worker's status.
    pub status_every: Span,
    /// The shortest time between two reports that differ in load only.
    pub load_every: Span,
    /// How long a load that was set counts.
    pub load_fresh: Span,
    /// How long a socket that the server told to go may finish what was begun on it.
    pub retire: Span,
    /// How long a worker that leaves waits for the proof that its last statuses have arrived.
    pub farewell: Span,
    /// How long a worker without jobs may be without a registration before it fails. `None`: for ever.
    pub unregistered: Option<Span>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            register: Span::from_secs(10),
            stable: Span::from_secs(5),
            retry_min: Span::from_millis(250),
            retry_max: Span::from_secs(10),
            retry_slow: Span::from_secs(30),
            ping_every: Span::from_secs(10),
            ping_limit: Span::from_secs(10),
            answer: Span::from_millis(2_500),
            status_every: Span::from_millis(2_500),
            load_every: Span::from_millis(100),
            load_fresh: Span::from_secs(10),
            retire: Span::from_secs(10),
            // Behind the second in which the pool awaits its last reports, and well before the process's exit watchdog.
            farewell: Span::from_millis(500),
            unregistered: Some(Span::from_secs(600)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_key_that_livekit_would_refuse_is_refused_with_the_rule() {
        for good in ["", "green", "v1.2-rc", &"x".repeat(64)] {
            assert_eq!(check_deployment(good), Ok(()), "{good}");
        }
        for (bad, says) in [("v1_2", "has '_' at byte 2"), ("a b", "has ' ' at byte 1"), ("a\u{7f}", "byte 1")] {
            let error = check_deployment(bad).expect_err(bad).to_string();
            assert!(error.contains(says) && error.contains("at most 64 bytes"), "{error}");
        }
        let long = check_deployment(&"x".repeat(65)).expect_err("too long").to_string();
        assert!(long.contains("65 bytes long"), "{long}");
    }
}
