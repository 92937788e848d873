//! The journal's bytes: pinned, read back by a second reader, torn, and forged. The format is written down in
//! `docs/journal-format.md`.

#[path = "../common/allocations.rs"]
mod allocations;
#[expect(dead_code, reason = "these tests take states apart and put none together")]
#[path = "../common/mod.rs"]
mod common;
mod fleet;
#[expect(dead_code, reason = "the stories need more of it than these tests")]
#[path = "../fleet/world.rs"]
mod fleet_world;
mod format_1;
mod golden;
mod hostile;
mod ids;
mod ledger;
mod newer;
mod reader;
mod reader_1;
mod sample;
mod torn;
