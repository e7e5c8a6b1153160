//! What is done once: reading, changing, asking.

use std::time::Duration;

use leveret_client::message::{
    Body, Format, HistoryRange, ReactionChange, Reply, Request, Seq, Timestamp,
};

use super::arguments::{Command, Wait};
use super::output::Output;
use super::person::{Person, To, unexpected};
use super::{Failure, Setting, export, group};

/// For whatever is not waited for on purpose.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Unread messages of one conversation that `inbox` shows; further ones come with the next call.
const INBOX_MAX: u32 = 500;

/// A command that connects, does something, and ends.
pub(crate) async fn once(
    setting: &Setting,
    command: Command,
    output: &Output,
) -> Result<(), Failure> {
    let person = Person::connect(setting).await?;
    let result = run(&person, command, output).await;
    person.close().await;
    result
}

async fn run(person: &Person, command: Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Inbox { ack, peek: _ } => inbox(person, ack, output).await,
        Command::History {
            to,
            limit,
            since,
            before,
        } => history(person, &to, limit, since, before, output).await,
        Command::Status { id } => match person.ask(Request::Status { id }).await? {
            Reply::Status(status) => Ok(output.status(&status)?),
            other => Err(unexpected(&other)),
        },
        Command::Who { to, seq } => who(person, &to, Seq(seq), output).await,
        Command::Read { to } => read(person, &to).await,
        Command::Edit { to, seq, words } => {
            let (target, text) = (Seq(seq), words.join(" "));
            let format = Format::Plain;
            let body = Body::Edit {
                target,
                text,
                format,
            };
            say(person, &to, body).await
        }
        Command::Delete { to, seq } => say(person, &to, Body::Delete { target: Seq(seq) }).await,
        Command::React {
            to,
            seq,
            emoji,
            remove,
        } => {
            let change = if remove {
                ReactionChange::Remove
            } else {
                ReactionChange::Add
            };
            let target = Seq(seq);
            let body = Body::React {
                target,
                emoji,
                change,
            };
            say(person, &to, body).await
        }
        Command::Mute { to, state } => {
            let conv = person.conversation(&to).await?;
            let state = state.into();
            person.order(Request::Mute { conv, state }).await
        }
        Command::Receipts { state } => {
            let state = state.into();
            person.order(Request::Receipts { state }).await
        }
        Command::Group(command) => group::run(person, command, output).await,
        Command::Search { words, within } => search(person, &words, within, output).await,
        Command::Export => export::export(person).await,
        Command::Register { .. }
        | Command::Login { .. }
        | Command::Logout
        | Command::Tui
        | Command::Send(_)
        | Command::Outbox { .. }
        | Command::Tail { .. }
        | Command::Bot(_)
        | Command::Bench(_) => Err(Failure::Usage("not a single request".to_owned())),
    }
}

/// Says something and waits until it is in the history.
pub(crate) async fn say_to(person: &Person, to: &To, body: Body) -> Result<(), Failure> {
    let post = person.post(to, body);
    person.send(&post, Wait::Stored, PATIENCE).await
}

async fn say(person: &Person, to: &str, body: Body) -> Result<(), Failure> {
    say_to(person, &person.to(to).await?, body).await
}

async fn show(person: &Person, request: Request, output: &Output) -> Result<(), Failure> {
    let messages = person.messages(request).await?;
    output.messages(&messages, &person.names(&messages).await?)
}

async fn history(
    person: &Person,
    to: &str,
    limit: u32,
    since: Option<Duration>,
    before: Option<u64>,
    output: &Output,
) -> Result<(), Failure> {
    let conv = person.conversation(to).await?;
    let range = before.map_or(HistoryRange::NEWEST, |seq| HistoryRange::Before(Seq(seq)));
    let mut messages = person
        .messages(Request::History { conv, range, limit })
        .await?;
    if let Some(since) = since {
        let begin = Timestamp::now().minus(since);
        messages.retain(|message| message.ts >= begin);
    }
    output.messages(&messages, &person.names(&messages).await?)
}

async fn search(
    person: &Person,
    words: &[String],
    within: Option<String>,
    output: &Output,
) -> Result<(), Failure> {
    let conv = match within {
        Some(to) => Some(person.conversation(&to).await?),
        None => None,
    };
    // What the shell was given as one argument stands together.
    let quote = |word: &String| {
        if word.contains(char::is_whitespace) {
            format!("\"{}\"", word.replace('"', " "))
        } else {
            word.clone()
        }
    };
    let text = words.iter().map(quote).collect::<Vec<_>>().join(" ");
    let limit = 100;
    show(person, Request::Search { text, conv, limit }, output).await
}

async fn inbox(person: &Person, ack: bool, output: &Output) -> Result<(), Failure> {
    for summary in person.conversations().await? {
        if summary.unread == 0 {
            continue;
        }
        let range = HistoryRange::After(summary.read);
        let request = Request::History {
            conv: summary.conv,
            range,
            limit: INBOX_MAX,
        };
        let messages = person.messages(request).await?;
        output.messages(&messages, &person.names(&messages).await?)?;
        if let (true, Some(last)) = (ack, messages.last()) {
            person.read(last).await?;
        }
    }
    Ok(())
}

async fn read(person: &Person, to: &str) -> Result<(), Failure> {
    let conv = person.conversation(to).await?;
    let range = HistoryRange::NEWEST;
    let newest = Request::History {
        conv,
        range,
        limit: 1,
    };
    match person.messages(newest).await?.pop() {
        Some(message) => person.read(&message).await,
        None => Ok(()),
    }
}

async fn who(person: &Person, to: &str, seq: Seq, output: &Output) -> Result<(), Failure> {
    let conv = person.conversation(to).await?;
    let Reply::Cursors { cursors } = person.ask(Request::Cursors { conv }).await? else {
        return Err(Failure::Denied("nobody".to_owned()));
    };
    let users = cursors.iter().map(|cursor| cursor.cursor.user.clone());
    let names = person.handles(users).await?;
    for cursor in cursors {
        let cursor = cursor.cursor;
        let name = names.get(&cursor.user).map_or("?", String::as_str);
        output.receipt(name, cursor.delivered >= seq, cursor.read >= seq)?;
    }
    Ok(())
}
