//! The compose file, as Docker reads it.

use openrtc_runtime::parse_duration;
use serde_json::Value;
use tempfile::tempdir;

use super::{args_here, deploy, drains, here, ladder, start};

fn service(file: &str) -> Value {
    let file: Value = serde_saphyr::from_str(file).unwrap();
    file["services"]["worker-v2"].clone()
}

fn settings(service: &Value) -> Vec<(String, String)> {
    let value = |value: &Value| match value.as_str().unwrap() {
        required if required.starts_with("${OPENRTC_OPS_TOKEN:?") => "0123456789abcdef".to_owned(),
        text => text.to_owned(),
    };
    let environment = service["environment"].as_object().unwrap();
    environment.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

#[test]
fn the_deadlines_are_in_order_and_what_docker_starts_again_does_not_serve() {
    let service = service(&deploy("compose/compose.yaml"));
    let grace = parse_duration(service["stop_grace_period"].as_str().unwrap()).unwrap();
    ladder(&settings(&service), grace).unwrap();
    assert_eq!(service["restart"], "unless-stopped");
    assert_eq!(service["environment"]["OPENRTC_LEAVE"], "parked");
    assert!(service["init"].is_null(), "the worker is process 1, and needs nobody to pass on its signals");
    for port in service["ports"].as_array().unwrap() {
        assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{port} is open to everybody");
    }
}

#[test]
fn a_worker_started_as_the_file_says_drains() {
    let service = service(&deploy("compose/compose.yaml"));
    let root = tempdir().unwrap();
    let args = service["command"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
    drains(start(&args_here(args), &here(settings(&service), root.path())));
}
