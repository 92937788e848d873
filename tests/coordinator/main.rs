//! `openrtc coordinator` with real workers that dial in: rollouts under calls, undone, and through a coordinator that
//! is killed; and what it does not put up with.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

mod disk;
mod names;
mod orders;
mod refusals;
mod rig;
mod rollouts;
