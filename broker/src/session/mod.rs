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
mod sasl;
mod settings;
mod settlements;
mod stream;
mod transaction;
mod window;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::engine::Engine;
use crate::model::Credentials;

pub(crate) use self::listener::Listener;
pub(crate) use self::settings::SessionSettings;

/// What every connection of a broker shares.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(super) engine: Arc<Engine>,
    pub(super) settings: Arc<SessionSettings>,
    pub(super) credentials: Arc<Credentials>,
    /// Password checks under way; more would take the threads from other blocking work.
    pub(super) logins: Semaphore,
    pub(super) door: listener::Door,
}

impl Sessions {
    /// Sessions on `engine`.
    pub(crate) fn new(
        engine: Arc<Engine>,
        settings: SessionSettings,
        credentials: Credentials,
    ) -> Arc<Self> {
        const LOGINS_AT_ONCE: usize = 4;
        let door = listener::Door::new(
            settings.connections_max,
            settings.handshakes_per_address_max,
        );
        Arc::new(Self {
            engine,
            settings: Arc::new(settings),
            credentials: Arc::new(credentials),
            logins: Semaphore::new(LOGINS_AT_ONCE),
            door,
        })
    }
}
