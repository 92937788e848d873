//! What a call source is promised: it sees its worker, it hears of every end, and it knows what is dropped when.
#![allow(clippy::unwrap_used)]

mod cancellation;
mod going;
mod leaving;
mod reports;
mod rig;
mod source;
