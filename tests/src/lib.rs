//! What the tests share: targets, raw peers, processes.

pub mod foreign;
