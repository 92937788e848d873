//! What a worker and its coordinator send each other: JSON objects, each a text message of a WebSocket.
//! `docs/coordinator.md` lays it down for other languages.
//!
//! A field that a side does not know is ignored, and so is a message whose `type` it does not know. So builds that are
//! one version apart understand each other.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::Answer;
use crate::fleet::Facts;
use crate::id::{Deployment, Epoch};
use crate::order::Order;
use crate::time::Span;

/// The protocol's name, as `Sec-WebSocket-Protocol` has it. Its number changes when a side can no longer understand the
/// other.
pub const PROTOCOL: &str = "openrtc.uplink.v1";

/// Where a coordinator waits for its workers.
pub const PATH: &str = "/v1/uplink";

/// No message is longer, in bytes.
pub const MESSAGE_MAX: usize = 16 << 10;

/// How long a side waits for the other's next word, a ping or its answer included, before it takes the connection for
/// broken. Pings come three times as often.
pub const SILENCE_MAX: Span = Span::from_secs(30);

/// What a worker sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromWorker {
    /// Let me join. The first message of every connection.
    Register {
        /// The worker's membership token, as text, for the epoch that the coordinator greeted with.
        token: String,
    },
    /// This is how I am: everything that is stated here is in the worker's journal.
    Report(Facts),
    /// A message of a newer worker.
    #[serde(other)]
    Unknown,
}

/// What a coordinator sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromCoordinator {
    /// Who I am. The first message of every connection.
    Hello {
        /// The deployment that is coordinated.
        deployment: Deployment,
        /// The coordinator's term, for which a worker signs.
        epoch: Epoch,
    },
    /// You have joined.
    Joined {
        /// The coordinator's term.
        epoch: Epoch,
        /// How often a worker that does not change reports, in milliseconds.
        report_every_ms: u64,
        /// Within how many milliseconds workers spread their first attempt to connect again when this connection is
        /// lost.
        reconnect_within_ms: u64,
    },
    /// Your token is no good.
    Refused {
        /// Why, in one word, as [`MembershipError::word`](crate::membership::MembershipError::word) has it.
        reason: String,
        /// The same for people.
        message: String,
    },
    /// Not now: connect again later.
    NotNow {
        /// Why not.
        message: String,
    },
    /// I do not know you, or no longer: register again.
    NotRegistered {
        /// Why it has to.
        message: String,
    },
    /// What I want of you.
    Order(Order),
    /// Something for your log: why the order that follows, say.
    Notice {
        /// What it is.
        message: String,
    },
    /// I cannot make sense of what you sent. The connection ends.
    Error {
        /// What is wrong with it.
        message: String,
    },
    /// A message of a newer coordinator.
    #[serde(other)]
    Unknown,
}

impl FromCoordinator {
    /// What the worker's half of the conversation makes of it, if it is about that.
    #[must_use]
    pub const fn answer(&self) -> Option<Answer> {
        match *self {
            Self::Joined { epoch, .. } => Some(Answer::Joined { epoch }),
            Self::NotRegistered { .. } => Some(Answer::NotRegistered),
            Self::Order(order) => Some(Answer::Order(order)),
            Self::Hello { .. }
            | Self::Refused { .. }
            | Self::NotNow { .. }
            | Self::Notice { .. }
            | Self::Error { .. }
            | Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use serde_json::{Value, from_str, from_value, json, to_value};

    use super::*;
    use crate::id::{Actor, Seq};
    use crate::order::{Stamp, Wish};
    use crate::word::Phase;
    use crate::worker::OnDeadline;

    /// The bytes are a contract with other languages and other versions: what is here must not change.
    #[test]
    fn every_message_is_the_json_that_the_page_lays_down() {
        let stamp = Stamp { epoch: Epoch::new(3), order: Seq::new(17) };
        let facts = Facts {
            seq: Seq::new(42),
            phase: Phase::Draining,
            in_flight: 2,
            capacity: 50,
            available: 0,
            sealed: false,
            obeyed: stamp,
        };
        let report = json!({"type": "report", "seq": 42, "phase": "draining", "in_flight": 2, "capacity": 50,
            "available": 0, "sealed": false, "obeyed": {"epoch": 3, "order": 17}});
        let register = json!({"type": "register", "token": "AQI"});
        for (message, wire) in
            [(FromWorker::Report(facts), report), (FromWorker::Register { token: "AQI".to_string() }, register)]
        {
            assert_eq!((to_value(&message).unwrap(), from_value::<FromWorker>(wire.clone()).unwrap()), (wire, message));
        }
        let order = |wish| FromCoordinator::Order(Order { stamp, actor: Actor::from_static("coordinator"), wish });
        let ordered = |wish: Value| {
            let stamp = json!({"epoch": 3, "order": 17});
            json!({"type": "order", "stamp": stamp, "actor": "coordinator", "wish": wish})
        };
        let terms = json!({"drain": {"within": 30_000_000, "on_deadline": "force"}});
        let within = Some(Span::from_secs(30));
        let (message, reason) = ("so it is".to_string(), "expired".to_string());
        for (said, wire) in [
            (
                FromCoordinator::Hello { deployment: Deployment::from_static("voice"), epoch: Epoch::new(3) },
                json!({"type": "hello", "deployment": "voice", "epoch": 3}),
            ),
            (
                FromCoordinator::Joined { epoch: Epoch::new(3), report_every_ms: 3000, reconnect_within_ms: 1000 },
                json!({"type": "joined", "epoch": 3, "report_every_ms": 3000, "reconnect_within_ms": 1000}),
            ),
            (
                FromCoordinator::Refused { reason, message: message.clone() },
                json!({"type": "refused", "reason": "expired", "message": "so it is"}),
            ),
            (FromCoordinator::NotNow { message: message.clone() }, json!({"type": "not_now", "message": "so it is"})),
            (
                FromCoordinator::NotRegistered { message: message.clone() },
                json!({"type": "not_registered", "message": "so it is"}),
            ),
            (FromCoordinator::Notice { message: message.clone() }, json!({"type": "notice", "message": "so it is"})),
            (FromCoordinator::Error { message }, json!({"type": "error", "message": "so it is"})),
            (order(Wish::Serve), ordered(json!("serve"))),
            (order(Wish::CancelDrain), ordered(json!("cancel_drain"))),
            (order(Wish::ForceDrain), ordered(json!("force_drain"))),
            (order(Wish::Leave), ordered(json!("leave"))),
            (order(Wish::Reject), ordered(json!("reject"))),
            (order(Wish::Drain { within, on_deadline: OnDeadline::Force }), ordered(terms)),
        ] {
            assert_eq!((to_value(&said).unwrap(), from_value::<FromCoordinator>(wire.clone()).unwrap()), (wire, said));
        }
    }

    #[test]
    fn a_newer_message_is_unknown_and_a_newer_field_is_nothing() {
        assert_eq!(from_str::<FromCoordinator>(r#"{"type":"confetti","of":3}"#).unwrap(), FromCoordinator::Unknown);
        assert_eq!(from_str::<FromWorker>(r#"{"type":"confetti"}"#).unwrap(), FromWorker::Unknown);
        let register = from_str::<FromWorker>(r#"{"type":"register","token":"AQI","build":"1.2"}"#).unwrap();
        assert_eq!(register, FromWorker::Register { token: "AQI".to_string() });
        for bad in [r#"{"token":"AQI"}"#, r#"{"type":"register"}"#, r#"{"type":"report","seq":-1}"#, "[]", "", "{"] {
            assert!(from_str::<FromWorker>(bad).is_err(), "{bad}");
        }
    }
}
