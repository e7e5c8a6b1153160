//! Tests of the store on a real disk.

mod bench;
mod damage;
mod failures;
mod life;
