//! What the second reader knows of gates, and of the annex that they lie in.

use serde::Serialize;
use serde_json::{Value, json, to_value};
use wincode::SchemaRead;
use wincode::config::{Configuration, deserialize_exact};

use super::Opening;

/// An opening ends with the state, or with an annex behind it.
pub(super) fn told_opening(payload: &[u8]) -> Value {
    #[derive(SchemaRead)]
    struct WithGates {
        opening: Opening,
        part: u8,
        gates: Gates,
    }

    #[derive(SchemaRead)]
    struct WithAll {
        with: WithGates,
        part: u8,
        scaled: String,
    }

    let config = Configuration::default().with_varint_encoding();
    if let Ok(opening) = deserialize_exact::<Opening, _>(payload, config) {
        return to_value(opening).expect("names are text");
    }
    let (with, scaled) = if let Ok(with) = deserialize_exact::<WithGates, _>(payload, config) {
        (with, None)
    } else {
        let WithAll { with, part, scaled } = deserialize_exact(payload, config).expect("it is of this format");
        (with, Some((part, scaled)))
    };
    let WithGates { opening, part, gates } = with;
    let mut told = to_value(opening).expect("names are text");
    told["state"]["annex"] = match scaled {
        None => json!([part, gates]),
        Some((next, version)) => json!([part, gates, next, version]),
    };
    told
}

#[derive(SchemaRead, Serialize)]
pub(super) enum Gate {
    ErrorRate,
    Webhook,
    Person,
}

#[derive(SchemaRead, Serialize)]
pub(super) struct GatedStep {
    version: String,
    weight: u8,
}

#[derive(SchemaRead, Serialize)]
pub(super) struct Gates {
    asked: u8,
    on_failure: OnGateFailure,
    passed: u8,
    failed: u8,
}

#[derive(SchemaRead, Serialize)]
pub(super) enum OnGateFailure {
    Pause,
    Undo,
}
