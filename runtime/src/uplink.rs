//! The worker's side of a registrar or coordinator.

pub mod register;
