//! Leveret: a message broker that speaks AMQP 0-9-1 with RabbitMQ's extensions.

#[cfg(feature = "unstable")]
#[doc(hidden)]
pub mod model;
#[cfg(not(feature = "unstable"))]
mod model;
#[cfg(feature = "unstable")]
#[doc(hidden)]
pub mod store;
#[cfg(not(feature = "unstable"))]
mod store;
