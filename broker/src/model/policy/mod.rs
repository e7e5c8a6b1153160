//! Policies: what an operator says of all queues and exchanges of some name (spec 7.7).
//!
//! ```text
//!   user policies ────► the one of highest priority ──┐
//!                                                     ├──► what holds ──► with the arguments: the terms
//!   operator policies ► the one of highest priority ──┘
//! ```
//!
//! Pure: definitions in, what holds out. Patterns are searched for in linear time.

mod definition;
mod erlang;
mod merge;
mod scope;
mod set;
mod setting;

pub use definition::{PolicyDefinition, PolicyError};
pub use erlang::json_term;
pub use merge::{Settings, alternate_exchange, merged};
pub use scope::{AppliesTo, PolicyScope};
pub use set::{Governed, PolicySet, Subject};
