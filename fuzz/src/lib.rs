//! What each fuzz target demands of its input. The targets only hand bytes over, so that a test can replay the corpus
//! without a fuzzer: `cargo test --manifest-path fuzz/Cargo.toml`.
#![forbid(unsafe_code)]

pub mod audit;
pub mod certificate;
pub mod journal;
pub mod rollout;
pub mod token;
pub mod worker;
