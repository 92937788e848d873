//! `openrtc run`: the same drain for a program in any language, without changing it.
//!
//! A [`Host`] stands in front of a program on its own machine. It owns admission, drain, journal, audit, signals and
//! the ops endpoints, as any worker does, and passes each call's bytes to the program as they are. The program just
//! runs.
//!
//! For readers of the source: `run` is the whole life, `front` takes calls, `relay` passes their bytes on, `upgrade`
//! takes orders, `programs` carries out the effects of the host's fleet, and `program` is one run of the program in it.
//! The fleet machine and its shell are not the host's own: see [`openrtc_fleet::shell`].
#![forbid(unsafe_code)]

mod before;
mod fate;
mod front;
mod left_behind;
mod memory;
mod program;
mod programs;
mod ready;
mod relay;
mod run;
mod stray;
mod upgrade;

pub use openrtc_runtime::Config;
pub use run::{Front, Host, HostError, Options};
