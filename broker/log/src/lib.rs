//! A segment log with group commit.
