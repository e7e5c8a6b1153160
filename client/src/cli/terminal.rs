//! `chat tui`.

use std::io::{self, IsTerminal as _};

use leveret_client::message::PresenceState;
use leveret_client::session::{Session, SessionOptions};
use leveret_client::tui::{self, TuiOptions};

use super::{Failure, Setting, connect};

pub(crate) async fn run(setting: &Setting) -> Result<(), Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let what = "the terminal interface needs a terminal: see chat --help for commands";
        return Err(Failure::Usage(what.to_owned()));
    }
    let Setting {
        home, login, via, ..
    } = setting;
    let connector = connect::connector(home, login, via.as_deref()).await?;
    let options = SessionOptions {
        journal: home.journal(),
        // The screen begins with the history: of what was never shown, nothing has to be.
        backlog: Some(0),
        presence: Some(PresenceState::Online),
        ..SessionOptions::default()
    };
    let (session, notices) = Session::start(connector, login.device(), options).await?;
    let options = TuiOptions {
        name: login.account.handle.clone(),
        demo: None,
    };
    Ok(tui::run(session, notices, options).await?)
}
