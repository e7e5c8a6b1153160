//! Leveret: a message broker that speaks AMQP 0-9-1 with RabbitMQ's extensions.

pub mod wire;
