//! Tests of the whole queue: each behaviour by name, and random histories against a reference.

mod behaviour;
mod checker;
mod consumers;
mod deaths;
mod delayed;
mod disk;
mod duplicates;
mod invariants;
mod leases;
mod paging;
mod properties;
mod recovery;
mod reference;
mod support;
mod verdicts;
mod world;
