//! The life of a worker as dialogues: what the world says at which second, what the worker answers, and what it asks of
//! its shell. Time is virtual.

mod calls;
mod drains;
mod hand_over;
mod leave;
mod misfits;
mod orders;
mod story;
mod terms;
