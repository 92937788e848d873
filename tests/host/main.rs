//! `openrtc run`: a program that knows nothing, behind a host, with real processes, sockets and signals.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

mod bytes;
mod children;
mod ends;
mod http;
mod livekit;
mod livekit_real;
mod matrix;
mod records;
mod rig;
mod upgrades;
