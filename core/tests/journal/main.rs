//! The journal's bytes: pinned, read back by a second reader, torn, and forged. The format is written down in
//! `docs/journal-format.md`.

#[path = "../common/allocations.rs"]
mod allocations;
#[expect(dead_code, reason = "these tests take states apart and put none together")]
#[path = "../common/mod.rs"]
mod common;
mod golden;
mod hostile;
mod reader;
mod sample;
mod torn;
