//! Who is killed and stopped, and when. The decisions come from the seed alone.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Who suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Broker,
    Store,
    Service(usize),
    Device(usize),
    /// The send shards, which have no room.
    Shards,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Torture {
    /// SIGKILL, and it is started again after that time.
    Kill(Duration),
    /// SIGSTOP, and SIGCONT after that time.
    Stop(Duration),
    /// No room, and room again after that time.
    Fill(Duration),
}

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// After the one before.
    pub(crate) pause: Duration,
    pub(crate) victim: Victim,
    pub(crate) torture: Torture,
}

/// Who there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    /// Whether the broker is to be tortured.
    pub(crate) broker: bool,
    /// Whether the store is.
    pub(crate) store: bool,
    pub(crate) services: usize,
    pub(crate) devices: usize,
}

/// One in so many stops is longer than anybody waits for an answer.
const LONG_STOPS: f64 = 0.05;

/// The next decision.
pub(crate) fn decide(random: &mut StdRng, targets: Targets) -> Decision {
    let milliseconds =
        |random: &mut StdRng, from, to| Duration::from_millis(random.random_range(from..to));
    let victim = match random.random_range(0..10) {
        0..=1 if targets.broker => Victim::Broker,
        2 if targets.store => Victim::Store,
        0..=4 => Victim::Service(random.random_range(0..targets.services)),
        _ => Victim::Device(random.random_range(0..targets.devices)),
    };
    // A database is not stopped: what it does to those who wait is theirs to say, with time-outs of their own.
    let torture = if victim == Victim::Store || random.random_bool(0.65) {
        Torture::Kill(milliseconds(random, 0, 1200))
    } else if random.random_bool(LONG_STOPS) {
        Torture::Stop(milliseconds(random, 10_500, 13_000))
    } else {
        Torture::Stop(milliseconds(random, 50, 3000))
    };
    Decision {
        pause: milliseconds(random, 100, 2200),
        victim,
        torture,
    }
}
