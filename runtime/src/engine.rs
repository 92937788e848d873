//! The engine: everything that the simulator runs as well. It judges commands, journals what became of them and acts on
//! it; the world outside is behind [`ports`].

pub(crate) mod clock;
pub mod control;
pub(crate) mod done;
pub(crate) mod door;
pub(crate) mod ended;
pub(crate) mod force;
pub mod gate;
pub(crate) mod handle;
pub(crate) mod hangup;
pub mod intake;
pub mod ports;
pub(crate) mod roster;
pub(crate) mod sync;
