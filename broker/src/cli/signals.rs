//! The signals that end the server.

use std::convert::Infallible;
use std::io;
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell shows for a process that a signal ended: this and the signal's number.
const SIGNALLED: i32 = 128;

/// Waits for SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// One of the signals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) name: &'static str,
    number: i32,
}

impl Signals {
    /// Takes the signals over from the system, which would end the process.
    pub(crate) fn take_over() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Received {
        let (name, kind) = tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate()),
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
        };
        Received {
            name,
            number: kind.as_raw_value(),
        }
    }

    /// Ends the process at the next one, whatever it is doing.
    pub(crate) async fn exit_at_next(&mut self) -> Infallible {
        let received = self.next().await;
        tracing::warn!(signal = received.name, "ending at once");
        process::exit(SIGNALLED + received.number)
    }
}
