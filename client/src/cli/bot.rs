//! `chat bot run`: a program that answers messages.

use std::process::Stdio;
use std::time::Duration;

use leveret_client::message::{Body, ConversationId, ConversationKind, Message, Post, Timestamp};
use leveret_client::session::{Notice, Session, SessionOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::BotCommand;
use super::person::Person;
use super::{Failure, Setting, connect, eprint_line};

/// An answer is cut off after so many octets.
const ANSWER_BYTES_MAX: usize = 16 << 10;

pub(crate) async fn run(setting: &Setting, command: BotCommand) -> Result<(), Failure> {
    let BotCommand::Run {
        exec,
        within,
        timeout,
    } = command;
    let only: Option<ConversationId> = match within {
        Some(to) => {
            let person = Person::connect(setting).await?;
            let conversation = person.conversation(&to).await;
            person.close().await;
            Some(conversation?)
        }
        None => None,
    };
    let Setting {
        home, login, via, ..
    } = setting;
    let connector = connect::connector(home, login, via.as_deref()).await?;
    let options = SessionOptions {
        journal: home.journal(),
        // What was said before there was a bot is not its business.
        backlog: Some(0),
        presence: Some(leveret_client::message::PresenceState::Online),
        ..SessionOptions::default()
    };
    let (session, mut notices) = Session::start(connector, login.device(), options).await?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let notice = tokio::select! {
            notice = notices.recv() => notice,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        match notice {
            Some(Notice::Message(message)) => {
                let is_here = only.as_ref().is_none_or(|only| *only == message.conv);
                if is_here && message.from != login.account.user {
                    answer(&session, &message, &exec, timeout).await?;
                }
                session.read(&message).await?;
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

async fn answer(
    session: &Session,
    message: &Message,
    exec: &str,
    timeout: Duration,
) -> Result<(), Failure> {
    let Body::Text(text) = &message.body else {
        return Ok(());
    };
    let ran = tokio::time::timeout(timeout, execute(exec, message, &text.text)).await;
    let answer = match ran {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            eprint_line(&format!("the command failed: {error}"));
            return Ok(());
        }
        Err(_) => {
            eprint_line("the command took too long");
            return Ok(());
        }
    };
    if answer.is_empty() {
        return Ok(());
    }
    let (own, now) = (session.device(), Timestamp::now());
    let body = Body::text(&answer);
    let post = match message.conv.kind() {
        ConversationKind::Direct => Post::to_user(&message.from, &own.user, &own.device, body, now),
        ConversationKind::Group => Post::to_group(&message.conv, &own.user, &own.device, body, now),
    };
    Ok(session.send(post).await?)
}

async fn execute(exec: &str, message: &Message, text: &str) -> std::io::Result<String> {
    let mut child = Command::new("sh")
        .args(["-c", exec])
        .env("LEVERET_CHAT_MESSAGE", serde_json::to_string(message)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read its input is no worse for it.
        let _ = input.write_all(text.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        return Err(std::io::Error::other(format!("{}", output.status)));
    }
    let end = output.stdout.len().min(ANSWER_BYTES_MAX);
    let answer = String::from_utf8_lossy(&output.stdout[..end]);
    Ok(answer.trim_end().to_owned())
}
