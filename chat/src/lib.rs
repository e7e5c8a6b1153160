//! The chat's service: what it knows ([`store`]), what it needs on a broker ([`topology`]), who may log in
//! ([`accounts`]), what may be asked ([`desk`]), and the workers that do the rest ([`service`]).
//!
//! It runs against the embedded broker and against RabbitMQ alike, and knows neither: it speaks AMQP, and
//! the management API of RabbitMQ. Only the binary `leveret-chat` knows how to start a broker.

pub mod accounts;
pub mod amqp;
pub mod courier;
mod dead_letters;
pub mod desk;
pub mod directory;
mod ephemeral;
mod evictions;
mod fanout;
pub mod gateway;
mod identity;
pub mod links;
pub mod management;
mod news;
pub mod operator;
pub mod planted;
mod rate;
mod receipts;
mod requests;
mod retention;
mod router;
pub mod service;
pub mod settings;
mod shares;
mod stillness;
pub mod store;
pub mod topology;
pub mod transfer;
mod worker;
