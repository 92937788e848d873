//! The engine: everything that the simulator runs as well. It judges commands, journals what became of them and acts on
//! it; the world outside is behind [`ports`].

pub(crate) mod clock;
pub(crate) mod closing;
pub mod control;
pub(crate) mod done;
pub(crate) mod ended;
pub(crate) mod force;
pub mod gate;
#[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only the ops endpoints ask for some of it"))]
pub(crate) mod handle;
#[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only the ops endpoints end one call"))]
pub(crate) mod hangup;
pub mod intake;
pub mod ports;
#[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only the ops endpoints list calls"))]
pub(crate) mod roster;
pub(crate) mod sync;
