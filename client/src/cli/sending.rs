//! Sending from the command line, with an outbox: what cannot be sent now goes out with the next call.

use std::io::{self, Read as _};
use std::time::Duration;

use leveret_client::journal::AsyncJournal;
use leveret_client::message::{Body, Post, Seq, Text, UserId};

use super::arguments::{SendOptions, Wait};
use super::output::Output;
use super::person::Person;
use super::to::To;
use super::{Failure, Setting};

/// For what was left over by an earlier call.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was written and could not be sent, opened by one call at a time.
struct Outbox {
    journal: AsyncJournal,
    posts: Vec<Post>,
}

impl Outbox {
    async fn open(setting: &Setting) -> Result<Self, Failure> {
        let path = setting.home.outbox();
        // Another call may have it for a moment.
        for _ in 0..100 {
            match AsyncJournal::open(&path).await {
                Ok((journal, remembered)) => {
                    return Ok(Self {
                        journal,
                        posts: remembered.posts,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Io(io::Error::other(
            "another call of chat has the outbox",
        )))
    }

    /// The message is on the disk when this returns.
    async fn keep(&self, post: &Post) -> Result<(), Failure> {
        let post = post.clone();
        Ok(self
            .journal
            .with(move |journal| journal.posted(&post))
            .await?)
    }

    /// Sends what is there. A message that is refused is out of it as well; the last one's refusal is
    /// what the caller is told.
    async fn flush(
        &mut self,
        person: &Person,
        wait: Wait,
        patience: Duration,
    ) -> Result<(), Failure> {
        let mut result = Ok(());
        for post in std::mem::take(&mut self.posts) {
            result = person.send(&post, wait, patience).await;
            match &result {
                Ok(()) | Err(Failure::Denied(_)) => {
                    let settled = post.id;
                    let write = self
                        .journal
                        .with(move |journal| journal.showing(&[], &[settled]));
                    write.await?;
                }
                Err(_) => return result,
            }
        }
        result
    }
}

fn words_or_input(words: &[String]) -> io::Result<String> {
    if !words.is_empty() && words != ["-"] {
        return Ok(words.join(" "));
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

/// `send`.
pub(crate) async fn send(
    setting: &Setting,
    options: SendOptions,
    output: &Output,
) -> Result<(), Failure> {
    let text = words_or_input(&options.words)?;
    let person = match Person::connect(setting).await {
        Ok(person) => person,
        Err(Failure::Unreachable(reason)) => {
            return keep(setting, &options, &text, reason, output).await;
        }
        Err(failure) => return Err(failure),
    };
    let to = person.to(&options.to).await?;
    setting.home.learn(&options.to, &to)?;
    let body = body(&text, options.reply, person.mentions(&text).await?);
    let post = person.post(&to, body);
    output.id(&post.id)?;
    let mut outbox = Outbox::open(setting).await?;
    outbox.keep(&post).await?;
    // What was left over goes first, as it was written first.
    let earlier = outbox.flush(&person, Wait::Stored, PATIENCE).await;
    let result = match earlier {
        Ok(()) | Err(Failure::Denied(_)) => {
            outbox.posts.push(post);
            outbox.flush(&person, options.wait, options.timeout).await
        }
        Err(failure) => Err(failure),
    };
    person.close().await;
    result
}

fn body(text: &str, reply: Option<u64>, mentions: Vec<UserId>) -> Body {
    Body::Text(Text {
        mentions,
        reply_to: reply.map(Seq),
        ..Text::from(text)
    })
}

/// Nobody answers: the message is kept here, if it is known whom it is for.
async fn keep(
    setting: &Setting,
    options: &SendOptions,
    text: &str,
    reason: String,
    output: &Output,
) -> Result<(), Failure> {
    let group = options.to.trim_start_matches('#').parse().ok();
    let to = group
        .map(To::Group)
        .or_else(|| setting.home.known(&options.to));
    let Some(to) = to else {
        return Err(Failure::Unreachable(reason));
    };
    let post = to.post(
        &setting.login.device(),
        body(text, options.reply, Vec::new()),
    );
    let outbox = Outbox::open(setting).await?;
    outbox.keep(&post).await?;
    output.id(&post.id)?;
    Err(Failure::Unreachable(format!(
        "{reason}; the message is kept here: chat outbox --send"
    )))
}

/// `outbox`.
pub(crate) async fn outbox(setting: &Setting, send: bool, output: &Output) -> Result<(), Failure> {
    let mut outbox = Outbox::open(setting).await?;
    for post in &outbox.posts {
        output.post(post)?;
    }
    if !send || outbox.posts.is_empty() {
        return Ok(());
    }
    let person = Person::connect(setting).await?;
    let result = outbox.flush(&person, Wait::Stored, PATIENCE).await;
    person.close().await;
    result
}
