//! `chat tail`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leveret_client::message::{ConversationId, Message, Position, Reply, Request, Seq, UserId};
use leveret_client::session::{Notice, Session, SessionOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use super::output::Output;
use super::person::Person;
use super::{Failure, Setting, connect, eprint_line};

/// The names of those who wrote something, asked for once.
#[derive(Default)]
struct Names(HashMap<UserId, String>);

impl Names {
    async fn of(&mut self, session: &Session, user: &UserId) -> String {
        if !self.0.contains_key(user) {
            let users = vec![user.clone()];
            // The session takes no calls while it fetches what was missed: then the id has to do.
            let asked = session.ask(Request::Users { users });
            let known = tokio::time::timeout(Duration::from_millis(500), asked).await;
            if let Ok(Ok(Reply::Users { users })) = known {
                let users = users.into_iter();
                self.0
                    .extend(users.map(|user| (user.user, user.handle.to_string())));
            }
        }
        self.0
            .get(user)
            .map_or_else(|| user.to_string(), String::clone)
    }
}

/// A file of messages that says itself what was shown.
struct Record {
    file: Arc<File>,
}

impl Record {
    /// Opens it, cuts off a line that a crash left unfinished, and reads where it ends.
    fn open(path: &Path) -> io::Result<(Self, Vec<Position>)> {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        let mut shown: HashMap<ConversationId, Seq> = HashMap::new();
        let mut whole = 0;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if !line.ends_with(b"\n") {
                break;
            }
            whole += line.len() as u64;
            // Somebody may have written something else into it.
            if let Ok(message) = serde_json::from_slice::<Message>(&line) {
                let seq = shown.entry(message.conv).or_default();
                *seq = message.seq.max(*seq);
            }
            line.clear();
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        let shown = shown.into_iter();
        let positions = shown.map(|(conv, after)| Position { conv, after });
        let file = Arc::new(file);
        Ok((Self { file }, positions.collect()))
    }

    /// One write for one line: all of it is there when it returns, or none counts.
    async fn append(&self, message: &Message) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let file = self.file.clone();
        let written = spawn_blocking(move || (&*file).write_all(&line)).await;
        written.map_err(io::Error::other)?
    }
}

/// Shows messages as they come, until it is interrupted.
pub(crate) async fn tail(
    setting: &Setting,
    to: Option<String>,
    into: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let only = match to {
        Some(to) => {
            let person = Person::connect(setting).await?;
            let conversation = person.conversation(&to).await;
            person.close().await;
            Some(conversation?)
        }
        None => None,
    };
    let (record, shown) = match into {
        Some(path) => {
            let path = path.to_owned();
            let opened = spawn_blocking(move || Record::open(&path)).await;
            let (record, shown) = opened.map_err(io::Error::other)??;
            (Some(record), Some(shown))
        }
        None => (None, None),
    };
    let Setting {
        home, login, via, ..
    } = setting;
    let connector = connect::connector(home, login, via.as_deref()).await?;
    let options = SessionOptions {
        journal: home.journal(),
        shown,
        ..SessionOptions::default()
    };
    let (session, mut notices) = Session::start(connector, login.device(), options).await?;
    let mut names = Names::default();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let notice = tokio::select! {
            notice = notices.recv() => notice,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        match notice {
            Some(Notice::Message(message))
                if only.as_ref().is_none_or(|only| *only == message.conv) =>
            {
                match &record {
                    Some(record) => record.append(&message).await?,
                    None => {
                        let from = names.of(&session, &message.from).await;
                        output.message(&message, &from)?;
                    }
                }
            }
            Some(Notice::Disconnected { reason }) => eprint_line(&reason.to_string()),
            Some(Notice::Rejected(rejected, _)) => eprint_line(&rejected.code.to_string()),
            Some(_) => {}
            None => break,
        }
    }
    session.close().await;
    Ok(())
}
