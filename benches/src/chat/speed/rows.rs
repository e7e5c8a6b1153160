//! The rows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::{join_all, try_join, try_join_all};
use leveret_client::message::{Body, ConversationId, GroupChange, GroupSettings, Post, Request};
use leveret_client::session::{Notice, Session, SessionOptions};
use leveret_client::transport::ClientTransport;

use super::command::SpeedOptions;
use super::crowd::{CONNECTS_MAX, Crowd, Person, Way};
use super::figure::{Better, Figure, Measured, quantile};
use super::talk::{self, Screen, TEXT_BYTES};
use crate::chat::backend::Backend;
use crate::chat::ledger::{Findings, Number, Shown, judge};

/// After browsers have connected, they are told once to ask for what they missed; this takes so long.
const SETTLES: Duration = Duration::from_secs(8);
/// For the next message of a backlog.
const PATIENCE: Duration = Duration::from_secs(60);

fn text(writer: u32, place: u32) -> String {
    Number { writer, place }.padded(TEXT_BYTES)
}

/// Judges a screen, whose reader has this name, of what each writer has written.
fn judge_screen(reader: &str, promised: &[u32], shown: &[(Number, Instant)]) -> Findings {
    let shown: Vec<_> = shown
        .iter()
        .map(|(number, _)| Shown {
            at: 0,
            number: *number,
        })
        .collect();
    judge(promised, &shown).of(reader)
}

/// Accepted, appended, synced: by several at once, each in a conversation of its own, to somebody who is
/// away. Afterwards that one reads everything.
pub(super) async fn sends(
    crowd: &Crowd,
    backend: &Backend,
    options: &SpeedOptions,
) -> Result<Measured> {
    let senders = crowd.strangers(options.senders)?;
    let recipient = &crowd.strangers(1)?[0];
    let reader = crowd.connector(recipient, Way::Amqp).await?;
    let transports = crowd.connect_all(senders, Way::Amqp).await?;
    let each = options.sends / u32::try_from(options.senders)?.max(1);
    let cpu = backend.cpu_seconds();
    let begin = Instant::now();
    let one = async |writer: u32, sender: &Person, transport: &dyn ClientTransport| {
        let posts = (0..each).map(|place| sender.to(recipient, &text(writer, place)));
        let posts: Vec<Post> = posts.collect();
        let ids: Vec<_> = posts.iter().map(|post| post.id).collect();
        try_join(
            talk::hand_over_all(transport, posts),
            talk::hear_of_all(transport, ids),
        )
        .await
    };
    let all = (0..).zip(senders).zip(&transports);
    let all = all.map(|((writer, sender), transport)| one(writer, sender, &**transport));
    let times = try_join_all(all).await?;
    let cpu = backend
        .cpu_seconds()
        .zip(cpu)
        .map(|(after, before)| after - before);
    let last = |time: fn(&(Instant, Instant)) -> Instant| {
        times
            .iter()
            .map(time)
            .max()
            .map_or(Duration::ZERO, |last| last - begin)
    };
    let count = u64::from(each) * senders.len() as u64;
    close(transports).await;
    let transport = reader.connect().await?;
    let mut screen = Screen::new(&*transport);
    screen.catch_up().await?;
    screen.linger().await?;
    transport.close().await;
    let stored = Figure::rate("accepted and stored", count, last(|times| times.1));
    let confirmed = Figure::rate("confirmed to the client", count, last(|times| times.0));
    let per_message = cpu.map(|seconds| seconds * 1e6 / count as f64);
    let cpu = per_message.map(|micros| {
        Figure::new(
            "processor time, service and broker",
            "us/message",
            Better::Lower,
            micros,
        )
    });
    Ok(Measured {
        figures: [stored.with_goal(2.0), confirmed]
            .into_iter()
            .chain(cpu)
            .collect(),
        findings: judge_screen("recipient", &vec![each; senders.len()], &screen.shown),
    })
}

/// From the moment a message is due to the other one's screen, at a fixed rate.
pub(super) async fn latency(crowd: &Crowd, options: &SpeedOptions, way: Way) -> Result<Measured> {
    let pair = crowd.strangers(2)?;
    let (sender, recipient) = (&pair[0], &pair[1]);
    let to = crowd.connect(recipient, way).await?;
    let from = crowd.connect(sender, way).await?;
    // The first second pays for what is remembered later.
    let count = options.rate * (options.seconds + 1);
    let warm_up = options.rate as usize;
    let mut screen = Screen::new(&*to);
    let sends = async {
        let schedule = talk::schedule(count, options.rate);
        let post = |place| sender.to(recipient, &text(0, place));
        talk::send_on_time(&*from, schedule, post).await
    };
    // The sender hears of its messages, as anybody does.
    let mut own = Screen::new(&*from);
    let shows = async {
        tokio::select! {
            shown = screen.read(count as usize) => shown,
            heard = own.read(usize::MAX) => heard,
        }
    };
    let (times, ()) = try_join(sends, shows).await?;
    screen.linger().await?;
    let findings = judge_screen("recipient", &[count], &screen.shown);
    let mut shown: Vec<Duration> = screen
        .shown
        .iter()
        .filter(|(number, _)| number.place as usize >= warm_up)
        .filter_map(|(number, at)| {
            let (due, _) = times.get(number.place as usize)?;
            Some(at.saturating_duration_since(*due))
        })
        .collect();
    let confirmed = times.iter().skip(warm_up).map(|(due, at)| *at - *due);
    let mut confirmed: Vec<Duration> = confirmed.collect();
    close(vec![from, to]).await;
    let figures = [
        ("to the screen, p50", quantile(&mut shown, 0.5), None),
        ("to the screen, p99", quantile(&mut shown, 0.99), Some(2.0)),
        (
            "to the client's confirm, p50",
            quantile(&mut confirmed, 0.5),
            None,
        ),
        (
            "to the client's confirm, p99",
            quantile(&mut confirmed, 0.99),
            None,
        ),
    ];
    let figures = figures.into_iter().filter_map(|(name, time, goal)| {
        let figure = Figure::time(name, time?);
        Some(Figure { goal, ..figure })
    });
    Ok(Measured {
        figures: figures.collect(),
        findings,
    })
}

/// Many readers in groups, all through the gateway.
pub(super) async fn deliveries(crowd: &Crowd, options: &SpeedOptions) -> Result<Measured> {
    let (groups, readers, each) = (options.groups, options.readers, options.group_messages);
    let owners = crowd.strangers(groups)?;
    let people = crowd.strangers(groups * readers)?;
    let speakers = crowd.connect_all(owners, Way::Gateway).await?;
    let screens = crowd.connect_all(people, Way::Gateway).await?;
    let mut ids = Vec::new();
    for ((owner, transport), members) in owners.iter().zip(&speakers).zip(people.chunks(readers)) {
        ids.push(make_group(owner, &**transport, members).await?);
    }
    let begin = Instant::now();
    let speak =
        async |((owner, transport), id): ((&Person, &dyn ClientTransport), &ConversationId)| {
            let posts = (0..each).map(|place| owner.in_group(id, Body::text(&text(0, place))));
            let posts: Vec<Post> = posts.collect();
            let sent: Vec<_> = posts.iter().map(|post| post.id).collect();
            try_join(
                talk::hand_over_all(transport, posts),
                talk::hear_of_all(transport, sent),
            )
            .await
        };
    let speaking = owners
        .iter()
        .zip(speakers.iter().map(|transport| &**transport))
        .zip(&ids);
    let speaking = try_join_all(speaking.map(speak));
    let watch = async |transport: &dyn ClientTransport| {
        let mut screen = Screen::new(transport);
        screen.read(each as usize).await?;
        let end = Instant::now();
        screen.linger().await?;
        anyhow::Ok((screen.shown, end))
    };
    let watching = try_join_all(screens.iter().map(|transport| watch(&**transport)));
    let (_, watched) = try_join(speaking, watching).await?;
    let end = watched.iter().map(|(_, end)| *end).max().unwrap_or(begin);
    let mut findings = Findings::default();
    for (number, (shown, _)) in watched.iter().enumerate() {
        let name = format!("group {} reader {}", number / readers, number % readers);
        findings.absorb(judge_screen(&name, &[each], shown));
    }
    close(speakers).await;
    close(screens).await;
    let count = u64::from(each) * people.len() as u64;
    Ok(Measured {
        figures: vec![Figure::rate("delivered", count, end - begin)],
        findings,
    })
}

async fn make_group(
    owner: &Person,
    transport: &dyn ClientTransport,
    members: &[Person],
) -> Result<ConversationId> {
    let group = ConversationId::random_group();
    let create = GroupChange::Create {
        settings: GroupSettings {
            title: "bench".to_owned(),
            ..GroupSettings::default()
        },
        members: members.iter().map(|member| member.id().clone()).collect(),
    };
    let post = owner.in_group(&group, Body::Group(create));
    let id = post.id;
    let made = try_join(
        talk::hand_over_all(transport, vec![post]),
        talk::hear_of_all(transport, [id]),
    );
    made.await.context("making a group")?;
    Ok(group)
}

/// Somebody was away, and comes back, with a journal on the disk as every client has.
pub(super) async fn backlog(
    crowd: &Crowd,
    backend: &Backend,
    options: &SpeedOptions,
    way: Way,
) -> Result<Measured> {
    let pair = crowd.strangers(2)?;
    let (sender, recipient) = (&pair[0], &pair[1]);
    let count = options.backlog;
    let connector = crowd.connector(recipient, way).await?;
    let from = crowd.connect(sender, Way::Amqp).await?;
    let posts: Vec<Post> = (0..count)
        .map(|place| sender.to(recipient, &text(0, place)))
        .collect();
    let ids: Vec<_> = posts.iter().map(|post| post.id).collect();
    try_join(
        talk::hand_over_all(&*from, posts),
        talk::hear_of_all(&*from, ids),
    )
    .await?;
    from.close().await;
    let journal = backend.folder().join(format!("{}.journal", recipient.id()));
    let options = SessionOptions {
        journal,
        ..SessionOptions::default()
    };
    let begin = Instant::now();
    let started = Session::start(connector.into(), recipient.device.clone(), options).await?;
    let (session, mut notices) = started;
    let mut shown = Vec::new();
    while shown.len() < count as usize {
        let Ok(Some(notice)) = tokio::time::timeout(PATIENCE, notices.recv()).await else {
            break;
        };
        match notice {
            Notice::Message(message) => {
                if let Body::Text(text) = &message.body {
                    shown.extend(Number::parse(&text.text).map(|number| (number, Instant::now())));
                }
            }
            Notice::Disconnected { reason } => bail!("the recipient: {reason}"),
            _ => {}
        }
    }
    let time = begin.elapsed();
    session.close().await;
    Ok(Measured {
        figures: vec![Figure::time("until all were shown", time)],
        findings: judge_screen("recipient", &[count], &shown),
    })
}

/// What a connected browser takes of the service's memory.
pub(super) async fn memory(
    crowd: &Crowd,
    backend: &Backend,
    options: &SpeedOptions,
) -> Result<Measured> {
    let people = crowd.strangers(options.browsers)?;
    // What is made once is made before.
    let first = crowd
        .connect_all(crowd.strangers(CONNECTS_MAX)?, Way::Gateway)
        .await?;
    tokio::time::sleep(SETTLES).await;
    let before = backend.service_bytes().context("its memory is not known")?;
    let browsers = crowd.connect_all(people, Way::Gateway).await?;
    tokio::time::sleep(SETTLES).await;
    for some in browsers.chunks(CONNECTS_MAX) {
        let asked = some.iter().map(|browser| browser.ask(&Request::Me));
        for answer in join_all(asked).await {
            answer.context("a browser lost its connection")?;
        }
    }
    let after = backend.service_bytes().context("its memory is not known")?;
    close(browsers).await;
    close(first).await;
    let kibibytes = after.saturating_sub(before) as f64 / 1024.0;
    Ok(Measured {
        figures: vec![
            Figure::new(
                "resident memory of the service for each",
                "KiB",
                Better::Lower,
                kibibytes / people.len() as f64,
            ),
            Figure::new("connected", "", Better::Aside, people.len() as f64),
        ],
        findings: Findings::default(),
    })
}

/// A message to many: until the last one has it.
pub(super) async fn group(crowd: &Crowd, options: &SpeedOptions, way: Way) -> Result<Measured> {
    let size = match way {
        Way::Gateway => options.members,
        Way::Amqp => options.amqp_members,
    };
    ensure!(size > 1, "a group has more than one member");
    let people = crowd.strangers(size)?;
    let (owner, members) = (&people[0], &people[1..]);
    let from = crowd.connect(owner, Way::Amqp).await?;
    let transports = crowd.connect_all(members, way).await?;
    let id = make_group(owner, &*from, members).await?;
    let screens = transports.iter().map(|transport| Screen::new(&**transport));
    let mut screens: Vec<Screen<'_>> = screens.collect();
    let (mut told, mut last) = (Vec::new(), Vec::new());
    for place in 0..options.group_sends {
        let post = owner.in_group(&id, Body::text(&text(0, place)));
        let message = post.id;
        let begin = Instant::now();
        let sends = try_join(
            talk::hand_over_all(&*from, vec![post]),
            talk::hear_of_all(&*from, [message]),
        );
        let count = place as usize + 1;
        let shows = try_join_all(screens.iter_mut().map(|screen| screen.read(count)));
        let ((_, sent), _) = try_join(sends, shows).await?;
        told.push(sent - begin);
        last.push(begin.elapsed());
    }
    try_join_all(screens.iter_mut().map(Screen::linger)).await?;
    let mut findings = Findings::default();
    for (number, screen) in screens.iter().enumerate() {
        let name = format!("member {number}");
        findings.absorb(judge_screen(&name, &[options.group_sends], &screen.shown));
    }
    close(transports).await;
    from.close().await;
    let mut figures = Vec::new();
    figures.extend(
        quantile(&mut last, 0.5)
            .map(|time| Figure::time("until the last member's copy, p50", time)),
    );
    figures.extend(
        quantile(&mut last, 1.0)
            .map(|time| Figure::time("until the last member's copy, worst", time)),
    );
    figures.extend(
        quantile(&mut told, 0.5).map(|time| Figure::time("until the sender is told, p50", time)),
    );
    figures.push(Figure::new("members", "", Better::Aside, size as f64));
    Ok(Measured { figures, findings })
}

async fn close(transports: Vec<Box<dyn ClientTransport>>) {
    for some in transports.chunks(CONNECTS_MAX) {
        join_all(some.iter().map(|transport| transport.close())).await;
    }
}
