//! The log from outside, on a disk that loses power, fails and runs full.

mod basics;
mod common;
mod damage;
mod failure;
mod power;
mod real;
mod room;
mod rubbish;
mod space;
