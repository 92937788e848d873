//! The session machine in virtual time: the conformance matrix, case by case, and a search for faults beside a
//! simulated dispatcher.

mod cases;
mod gate;
mod rig;
mod search;
