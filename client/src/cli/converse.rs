//! Sending, reading, groups.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use leveret_client::message::{
    Body, ConversationId, GroupChange, GroupSettings, HistoryRange, MemberChange, Reply, Request,
    Role,
};
use leveret_client::session::{Notice, Session};

use super::Failure;
use super::arguments::{Command, GroupCommand, Wait};
use super::home::{Home, Login};
use super::output::Output;
use super::person::{Person, To, connector, unexpected};

/// For whatever is not waited for on purpose.
const PATIENCE: Duration = Duration::from_secs(30);
/// Unread messages of one conversation that `inbox` shows; further ones come with the next call.
const INBOX_MAX: u32 = 500;

/// A command that connects, does something, and ends.
pub(crate) async fn once(login: &Login, command: Command, output: &Output) -> Result<(), Failure> {
    let person = Person::connect(login).await?;
    let result = match command {
        Command::Send {
            to,
            words,
            wait,
            timeout,
        } => send(&person, &to, words, wait, timeout, output).await,
        Command::Inbox { ack } => inbox(&person, ack, output).await,
        Command::History { to, limit } => {
            let conv = person.to(&to).await?.conversation(&person.device.user);
            let range = HistoryRange::NEWEST;
            show(&person, Request::History { conv, range, limit }, output).await
        }
        Command::Status { id } => match person.ask(Request::Status { id }).await? {
            Reply::Status(status) => Ok(output.status(&status)?),
            other => Err(unexpected(&other)),
        },
        Command::Read { to } => read(&person, &to).await,
        Command::Group(command) => group(&person, command, output).await,
        Command::Search { words, within } => {
            let conv = match within {
                Some(to) => Some(person.to(&to).await?.conversation(&person.device.user)),
                None => None,
            };
            let (text, limit) = (words.join(" "), 100);
            show(&person, Request::Search { text, conv, limit }, output).await
        }
        Command::Register { .. }
        | Command::Login { .. }
        | Command::Logout
        | Command::Tail { .. } => Err(Failure::Usage("not a single request".to_owned())),
    };
    person.close().await;
    result
}

async fn send(
    person: &Person,
    to: &str,
    words: Vec<String>,
    wait: Wait,
    timeout: u64,
    output: &Output,
) -> Result<(), Failure> {
    let text = if words.is_empty() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text.trim_end().to_owned()
    } else {
        words.join(" ")
    };
    let to = person.to(to).await?;
    let post = person.post(&to, Body::text(&text));
    output.id(&post.id)?;
    person.send(&post, wait, Duration::from_secs(timeout)).await
}

async fn show(person: &Person, request: Request, output: &Output) -> Result<(), Failure> {
    let messages = person.messages(request).await?;
    let names = person.names(&messages).await?;
    for message in &messages {
        let from = names.get(&message.from).map_or("?", String::as_str);
        output.message(message, from)?;
    }
    Ok(())
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
        let names = person.names(&messages).await?;
        for message in &messages {
            let from = names.get(&message.from).map_or("?", String::as_str);
            output.message(message, from)?;
        }
        if let (true, Some(last)) = (ack, messages.last()) {
            person.read(last).await?;
        }
    }
    Ok(())
}

async fn read(person: &Person, to: &str) -> Result<(), Failure> {
    let conv = person.to(to).await?.conversation(&person.device.user);
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

async fn group(person: &Person, command: GroupCommand, output: &Output) -> Result<(), Failure> {
    match command {
        GroupCommand::New { title, members } => {
            let mut users = Vec::new();
            for member in &members {
                users.push(person.user(member).await?);
            }
            let id = ConversationId::random_group();
            let settings = GroupSettings {
                title,
                ..GroupSettings::default()
            };
            let create = GroupChange::Create {
                settings,
                members: users,
            };
            let post = person.post(&To::Group(id.clone()), Body::Group(create));
            person.send(&post, Wait::Stored, PATIENCE).await?;
            Ok(output.id(&id)?)
        }
        GroupCommand::Add { group, user } => {
            let change = MemberChange::Add { role: Role::Member };
            change_member(person, &group, &user, change).await
        }
        GroupCommand::Rm { group, user } => {
            change_member(person, &group, &user, MemberChange::Remove).await
        }
        GroupCommand::Leave { group } => {
            let user = person.device.user.clone();
            let change = MemberChange::Leave;
            let post = person.post(&person.to(&group).await?, Body::Member { user, change });
            person.send(&post, Wait::Stored, PATIENCE).await
        }
        GroupCommand::Ls { group: None } => {
            for summary in person.conversations().await? {
                output.conversation(&summary)?;
            }
            Ok(())
        }
        GroupCommand::Ls { group: Some(group) } => {
            let conv = person.to(&group).await?.conversation(&person.device.user);
            match person.ask(Request::Members { conv }).await? {
                Reply::Members { members } => {
                    for member in &members {
                        output.member(member)?;
                    }
                    Ok(())
                }
                other => Err(unexpected(&other)),
            }
        }
    }
}

async fn change_member(
    person: &Person,
    group: &str,
    user: &str,
    change: MemberChange,
) -> Result<(), Failure> {
    let user = person.user(user).await?;
    let post = person.post(&person.to(group).await?, Body::Member { user, change });
    person.send(&post, Wait::Stored, PATIENCE).await
}

/// Shows messages as they come, until it is interrupted.
pub(crate) async fn tail(
    home: &Home,
    login: &Login,
    to: Option<String>,
    output: &Output,
) -> Result<(), Failure> {
    let only = match to {
        Some(to) => {
            let person = Person::connect(login).await?;
            let to = person.to(&to).await;
            person.close().await;
            Some(to?.conversation(&login.account.user))
        }
        None => None,
    };
    let connector = Arc::new(connector(login)?);
    let (session, mut notices) = Session::start(connector, login.device(), &home.journal()).await?;
    let mut names = std::collections::HashMap::new();
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Message(message) if only.as_ref().is_none_or(|only| *only == message.conv) => {
                if !names.contains_key(&message.from) {
                    let users = vec![message.from.clone()];
                    // The session takes no calls while it fetches what was missed: then the id has to do.
                    let asked = session.ask(Request::Users { users });
                    let known = tokio::time::timeout(Duration::from_millis(500), asked).await;
                    if let Ok(Ok(Reply::Users { users })) = known {
                        let users = users.into_iter();
                        names.extend(users.map(|user| (user.user, user.handle.to_string())));
                    }
                }
                let from = names
                    .get(&message.from)
                    .map_or(message.from.as_str(), String::as_str);
                output.message(&message, from)?;
            }
            Notice::Disconnected { reason } => eprint_line(&reason.to_string()),
            Notice::Rejected(rejected, _) => eprint_line(&rejected.code.to_string()),
            Notice::Message(_)
            | Notice::Connected { .. }
            | Notice::Kept(_)
            | Notice::Sent(_)
            | Notice::Cursor(_)
            | Notice::Typing(_)
            | Notice::Presence(_) => {}
        }
    }
    session.close().await;
    Ok(())
}

fn eprint_line(text: &str) {
    use std::io::Write as _;
    // Nothing can be done about a closed standard error.
    let _ = writeln!(std::io::stderr(), "chat: {text}");
}
