//! What a demonstration shows, and what it can be told.

use tokio::sync::{mpsc, watch};

/// What a demonstration can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoCommand {
    /// Takes a person offline, or brings it back.
    Offline,
    /// Kills the service, which starts again.
    Kill,
}

/// How a demonstration stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DemoStatus {
    /// Messages written by anybody.
    pub written: u64,
    /// Of those, shown to everybody who is to see them.
    pub everywhere: u64,
    /// Messages that somebody will never be shown.
    pub lost: u64,
    /// Messages that somebody was shown twice.
    pub duplicated: u64,
    /// How often the service was killed.
    pub kills: u64,
    /// Whether the service runs.
    pub serving: bool,
    /// Who is offline, and how many messages wait.
    pub away: Option<(String, u64)>,
}

/// The demonstration behind a terminal.
#[derive(Debug)]
pub struct DemoPort {
    /// What it is told.
    pub commands: mpsc::Sender<DemoCommand>,
    /// How it stands.
    pub status: watch::Receiver<DemoStatus>,
}
