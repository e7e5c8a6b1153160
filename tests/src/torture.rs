//! The chat under torture: what each device wrote down of itself ([`record`]), how a device behaves
//! ([`actor`]), and what may be said about all of it at the end ([`judge`]), which is pure.
//!
//! The harness that starts, kills, stops and continues the processes is the test `torture`.

pub mod actor;
pub mod evidence;
pub mod fault;
mod judge;
pub mod record;
mod watched;

/// A message that says this brings its router down, if the router was told so: it becomes a dead letter, and
/// is sent again when the routers are mended.
pub const POISON: &str = "the planted word";

#[cfg(test)]
mod planted;

pub use judge::judge;
