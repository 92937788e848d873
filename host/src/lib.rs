//! `openrtc run`: the same drain for a program in any language, without changing it.
//!
//! A [`Host`] stands in front of a program on its own machine. It owns admission, drain, journal, audit, signals and
//! the ops endpoints, as any worker does, and passes each call's bytes to the program as they are. The program just
//! runs.
//!
//! For readers of the source: `run` is the whole life, `front` takes calls, `relay` passes their bytes on, `upgrade`
//! takes orders, `programs` carries out the effects of the host's fleet, and `program` is one run of the program in it.
//! With the feature `livekit`, `livekit` takes jobs of a LiveKit server for programs that are workers themselves. The
//! fleet machine and its shell are not the host's own: see [`openrtc_fleet::shell`].
#![forbid(unsafe_code)]

mod before;
mod entrance;
mod fate;
mod front;
mod left_behind;
#[cfg(feature = "livekit")]
mod livekit;
mod memory;
mod program;
mod programs;
mod ready;
mod relay;
mod run;
mod spot;
mod stray;
mod upgrade;

#[cfg(feature = "livekit")]
pub use openrtc_livekit::Upstream;
pub use openrtc_runtime::Config;
pub use run::{Front, Host, HostError, Options};
