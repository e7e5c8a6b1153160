//! Who gets what: bindings and the ways of exchanges to choose among them.
//!
//! Pure: a [`BindingTable`] holds one exchange's bindings to destinations of any type, and a
//! [`Router`] follows them from exchange to exchange. Names, locks and message bodies are the
//! business of the engine.

mod binding;
mod compact_map;
mod headers;
mod shares;
mod topic;
mod traversal;

pub use binding::{Binding, BindingArguments, BindingTable};
pub use headers::HeaderMatch;
pub use traversal::{Destination, Graph, Router, Targets};
