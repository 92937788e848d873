//! What each fuzz target demands of its input. The targets only hand bytes over, so that a test can replay the corpus
//! without a fuzzer: `cargo test --manifest-path fuzz/Cargo.toml`.
#![forbid(unsafe_code)]

pub mod audit;
pub mod certificate;
pub mod journal;
pub mod livekit;
pub mod rollout;
pub mod token;
pub mod worker;

// The gate and the laws of the search for faults, which a LiveKit session is held to here as well.
#[path = "../../livekit/tests/machine/gate.rs"]
mod gate;
#[path = "../../livekit/tests/machine/search/side.rs"]
mod side;
