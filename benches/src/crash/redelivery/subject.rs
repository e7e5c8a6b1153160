//! A broker that can be started and killed, as far as a round needs to know.

use std::time::Instant;

use anyhow::Result;

use crate::crash::victim::Victim;
use crate::wire::{Connection, Uri};

/// What a round does to a broker.
pub(super) trait Subject {
    fn uri(&self) -> &Uri;

    /// Starts it; the moment when the command was given.
    fn launch(&mut self) -> Result<Instant>;

    /// Waits until the port accepts; the moment when it did.
    fn wait_until_accepting(&mut self) -> Result<Instant>;

    /// The first connection that is served.
    fn open(&mut self) -> Result<Connection>;

    /// Fails if it has ended or takes too long to start.
    fn check(&mut self) -> Result<()>;

    /// Kills it as a crash would, and waits until it is gone.
    fn kill(&mut self) -> Result<()>;

    fn resident_bytes(&self) -> Option<u64>;
}

impl Subject for Victim {
    fn uri(&self) -> &Uri {
        self.uri()
    }

    fn launch(&mut self) -> Result<Instant> {
        self.launch()
    }

    fn wait_until_accepting(&mut self) -> Result<Instant> {
        self.wait_until_accepting()
    }

    fn open(&mut self) -> Result<Connection> {
        self.open()
    }

    fn check(&mut self) -> Result<()> {
        self.check()
    }

    fn kill(&mut self) -> Result<()> {
        self.kill()
    }

    fn resident_bytes(&self) -> Option<u64> {
        self.resident_bytes()
    }
}
