//! AMQP on a socket: handshake, channels, methods, and the one task that drives a connection.

mod assembler;
mod channel;
mod class;
mod confirms;
mod connection;
mod content;
mod core;
mod deliver;
mod greeting;
mod handshake;
mod listener;
mod overdue;
mod rights;
mod routes;
mod sasl;
mod settings;
mod settlements;
mod stream;
mod throttle;
mod transaction;
mod window;

use std::sync::Arc;

use crate::engine::Engine;

pub(crate) use self::listener::Listener;
pub(crate) use self::settings::SessionSettings;

/// What every connection of a broker shares.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(super) engine: Arc<Engine>,
    pub(super) settings: Arc<SessionSettings>,
    pub(super) door: listener::Door,
}

impl Sessions {
    /// Sessions on `engine`.
    pub(crate) fn new(engine: Arc<Engine>, settings: SessionSettings) -> Arc<Self> {
        let door = listener::Door::new(
            settings.connections_max,
            settings.handshakes_per_address_max,
        );
        Arc::new(Self {
            engine,
            settings: Arc::new(settings),
            door,
        })
    }
}
