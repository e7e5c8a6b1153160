//! What is measured.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{try_join, try_join_all};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use leveret_client::message::{Body, ConversationId, GroupChange, GroupSettings, UserId};
use leveret_client::session::{Notice, Session, SessionOptions};
use leveret_client::transport::ClientTransport;

use super::super::Failure;
use super::crowd::{self, Crowd, Guest, PATIENCE, hand_over, message_id, sent_id, wait_for};
use super::{Row, Times, rate};

/// Messages of one sender that are not confirmed, at most.
const WINDOW: usize = 32;
/// Members of the large group whose screens are watched.
const WATCHED: usize = 10;
/// 400 octets, as much as people write.
fn words() -> String {
    "so many words ".repeat(29)[..400].to_owned()
}

/// Accepted, appended, synced: by several at once, each in a conversation of its own.
pub(super) async fn sends(
    crowd: &mut Crowd,
    senders: usize,
    total: u64,
) -> Result<Vec<Row>, Failure> {
    let recipient = crowd.people(1).await?;
    let recipient = recipient[0].login.user.clone();
    let guests = crowd.people(senders.max(1)).await?;
    let each = total / guests.len() as u64;
    let transports = try_join_all(guests.iter().map(Guest::connect)).await?;
    let begin = Instant::now();
    let all = guests.iter().zip(&transports);
    let all = all.map(|(guest, transport)| send_many(guest, &**transport, &recipient, each));
    let confirmed = try_join_all(all).await?;
    let stored = begin.elapsed();
    let confirmed = confirmed.into_iter().max().unwrap_or(begin) - begin;
    let count = each * guests.len() as u64;
    for transport in transports {
        transport.close().await;
    }
    Ok(vec![
        rate(
            "sends: kept by the broker (client's confirm)",
            count,
            confirmed,
        ),
        rate("sends: in the history, synced", count, stored),
    ])
}

/// When the last one was confirmed; returns when the last one is in the history.
async fn send_many(
    guest: &Guest,
    transport: &dyn ClientTransport,
    recipient: &UserId,
    count: u64,
) -> Result<Instant, Failure> {
    let text = words();
    let hands_over = async {
        let posts = (0..count).map(|_| guest.to(recipient, &text));
        stream::iter(posts)
            .map(|post| async move { hand_over(transport, &post).await })
            .buffered(WINDOW)
            .try_collect::<()>()
            .await?;
        Ok::<_, Failure>(Instant::now())
    };
    let hears = async {
        let mut sent = 0;
        while sent < count {
            if sent_id(&crowd::next(transport).await?).is_some() {
                sent += 1;
            }
        }
        Ok(())
    };
    let (confirmed, ()) = try_join(hands_over, hears).await?;
    Ok(confirmed)
}

/// From the sender's call to the recipient's screen, one after the other.
pub(super) async fn latency(crowd: &mut Crowd, count: u64) -> Result<Vec<Row>, Failure> {
    let guests = crowd.people(2).await?;
    let (sender, recipient) = (&guests[0], &guests[1]);
    let from = sender.connect().await?;
    let to = recipient.connect().await?;
    let (mut confirmed, mut shown) = (Times::new(), Times::new());
    let text = words();
    // The first ones pay for what is remembered later.
    let warm_up = count / 10;
    for number in 0..count + warm_up {
        let post = sender.to(&recipient.login.user, &text);
        let begin = Instant::now();
        let confirm = async {
            hand_over(&*from, &post).await?;
            Ok::<_, Failure>(begin.elapsed())
        };
        let show = async {
            wait_for(&*to, message_id, post.id).await?;
            Ok(begin.elapsed())
        };
        let (confirm, show) = try_join(confirm, show).await?;
        wait_for(&*from, sent_id, post.id).await?;
        if number >= warm_up {
            confirmed.note(confirm);
            shown.note(show);
        }
    }
    from.close().await;
    to.close().await;
    Ok(vec![
        confirmed.row("latency: to the client's confirm"),
        shown.row("latency: from send to screen"),
    ])
}

/// Somebody was away, and comes back.
pub(super) async fn backlog(crowd: &mut Crowd, count: u64) -> Result<Vec<Row>, Failure> {
    let guests = crowd.people(2).await?;
    let (sender, recipient) = (&guests[0], &guests[1]);
    let from = sender.connect().await?;
    send_many(sender, &*from, &recipient.login.user, count).await?;
    from.close().await;
    let begin = Instant::now();
    let options = SessionOptions {
        journal: crowd.journal("backlog"),
        ..SessionOptions::default()
    };
    let connector = Arc::new(recipient.connector.clone());
    let started = Session::start(connector, recipient.device(), options).await?;
    let (session, mut notices) = started;
    let mut last = 0;
    while last < count {
        let notice = tokio::time::timeout(PATIENCE, notices.recv()).await;
        let Ok(Some(notice)) = notice else {
            return Err(Failure::Unreachable(format!("{last} of {count} came")));
        };
        if let Notice::Message(message) = notice {
            if message.seq.0 != last + 1 {
                return Err(Failure::Denied(format!("{} after {last}", message.seq)));
            }
            last = message.seq.0;
        }
    }
    let caught_up = begin.elapsed();
    session.close().await;
    Ok(vec![rate(
        "backlog: shown, in order, after coming back",
        count,
        caught_up,
    )])
}

/// A message to many.
pub(super) async fn group(
    crowd: &mut Crowd,
    members: usize,
    count: u64,
) -> Result<Vec<Row>, Failure> {
    let guests = crowd.people(members.max(2)).await?;
    let (owner, others) = (&guests[0], &guests[1..]);
    let from = owner.connect().await?;
    let watched = others.iter().rev().take(WATCHED);
    let watched = try_join_all(watched.map(Guest::connect)).await?;
    let group = ConversationId::random_group();
    let create = GroupChange::Create {
        settings: GroupSettings {
            title: "bench".to_owned(),
            ..GroupSettings::default()
        },
        members: others
            .iter()
            .map(|guest| guest.login.user.clone())
            .collect(),
    };
    let post = owner.in_group(&group, Body::Group(create));
    hand_over(&*from, &post).await?;
    wait_for(&*from, sent_id, post.id).await?;
    let (mut told, mut shown) = (Times::new(), Times::new());
    let text = words();
    for _ in 0..count {
        let post = owner.in_group(&group, Body::text(&text));
        let begin = Instant::now();
        hand_over(&*from, &post).await?;
        let sent = async {
            wait_for(&*from, sent_id, post.id).await?;
            Ok::<_, Failure>(begin.elapsed())
        };
        let screens = watched
            .iter()
            .map(|transport| wait_for(&**transport, message_id, post.id));
        let screens = async {
            try_join_all(screens).await?;
            Ok(begin.elapsed())
        };
        let (sent, screens) = try_join(sent, screens).await?;
        told.note(sent);
        shown.note(screens);
    }
    from.close().await;
    for transport in watched {
        transport.close().await;
    }
    Ok(vec![
        told.row("group: until the sender is told"),
        shown.row("group: until the last of ten watched screens"),
    ])
}
