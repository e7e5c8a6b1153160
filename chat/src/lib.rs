//! The chat's service: what it knows ([`store`]) and what it needs on a broker ([`topology`]).
//!
//! It runs against the embedded broker and against RabbitMQ alike, and knows neither: it speaks AMQP, and
//! the management API of RabbitMQ. Only the binary `leveret-chat` knows how to start a broker.

pub mod amqp;
pub mod store;
pub mod topology;
