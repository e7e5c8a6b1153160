//! The command line. Exit codes are stable: 0 done, 1 something else, 2 used wrongly, 3 not logged in,
//! 4 refused, 5 nobody answers.

mod account;
mod arguments;
mod bench;
mod bot;
mod connect;
mod converse;
mod export;
mod group;
mod home;
mod output;
mod person;
mod sending;
mod tail;
mod terminal;
mod to;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use leveret_client::http::HttpError;
use leveret_client::message::RejectionCode;
use leveret_client::transport::{ConnectError, TransportError};
use leveret_client::trust::Trust;

use self::arguments::{Arguments, Command};
use self::home::{Home, Login};
use self::output::Output;

/// Who acts, and how messages travel.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) home: Home,
    pub(crate) login: Login,
    pub(crate) via: Option<String>,
}

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("log in first: chat login URL NAME")]
    NotLoggedIn,
    #[error("{0}")]
    Auth(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Io(_) => 1,
            Self::Usage(_) => 2,
            Self::NotLoggedIn | Self::Auth(_) => 3,
            Self::Denied(_) => 4,
            Self::Unreachable(_) => 5,
        }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let text = error.to_string();
        match error {
            HttpError::Unreachable(_) => Self::Unreachable(text),
            HttpError::Refused { status: 401, .. } => Self::Auth(text),
            HttpError::Refused { status, .. } if status >= 500 => Self::Unreachable(text),
            HttpError::Refused { .. } => Self::Denied(text),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let text = error.to_string();
        match error {
            ConnectError::Unreachable { .. } => Self::Unreachable(text),
            ConnectError::Denied { .. } | ConnectError::Forgotten { .. } => Self::Auth(text),
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

impl From<RejectionCode> for Failure {
    fn from(code: RejectionCode) -> Self {
        Self::Denied(code.to_string())
    }
}

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = tokio::runtime::Runtime::new()
        .map_err(Failure::from)
        .and_then(|runtime| {
            let result = runtime.block_on(run(arguments));
            // A blocking read of a terminal does not end by itself.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing can be done about a closed standard error.
            let _ = writeln!(io::stderr(), "chat: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let trust = Trust::with_file_if_any(arguments.ca_file.as_deref());
    let trust = trust.map_err(|error| Failure::Usage(error.to_string()))?;
    let home = Home::new(arguments.home, trust)?;
    let output = Output::new(arguments.json);
    let via = arguments.via;
    match arguments.command.unwrap_or(Command::Tui) {
        Command::Register { url, name, bot } => {
            account::register(&home, &url, &name, bot, via.as_deref()).await
        }
        Command::Login { url, name } => account::login(&home, &url, &name, via.as_deref()).await,
        Command::Logout => account::logout(&home).await,
        Command::Bench(options) => bench::run(options, &home.trust, output.is_json()).await,
        command => {
            let login = home.login()?;
            let setting = Setting { home, login, via };
            act(&setting, command, &output).await
        }
    }
}

async fn act(setting: &Setting, command: Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Send(options) => sending::send(setting, options, output).await,
        Command::Outbox { send } => sending::outbox(setting, send, output).await,
        Command::Tail { to, into } => tail::tail(setting, to, into.as_deref(), output).await,
        Command::Bot(command) => bot::run(setting, command).await,
        Command::Tui => terminal::run(setting).await,
        command => converse::once(setting, command, output).await,
    }
}

/// A remark for people.
pub(crate) fn eprint_line(text: &str) {
    // Nothing can be done about a closed standard error.
    let _ = writeln!(io::stderr(), "chat: {text}");
}
