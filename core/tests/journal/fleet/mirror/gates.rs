//! What the second reader knows of gates, and of the annex that they lie in.

use serde::Serialize;
use serde_json::{Value, json, to_value};
use wincode::SchemaRead;
use wincode::config::{Configuration, deserialize_exact};

use super::Opening;

/// An opening ends with the state, or with an annex behind it.
pub(super) fn told_opening(payload: &[u8]) -> Value {
    #[derive(SchemaRead)]
    struct WithAnnex {
        opening: Opening,
        part: u8,
        gates: Gates,
    }

    let config = Configuration::default().with_varint_encoding();
    if let Ok(opening) = deserialize_exact::<Opening, _>(payload, config) {
        return to_value(opening).expect("names are text");
    }
    let WithAnnex { opening, part, gates } = deserialize_exact(payload, config).expect("the payload is of this format");
    let mut told = to_value(opening).expect("names are text");
    told["state"]["annex"] = json!([part, gates]);
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
