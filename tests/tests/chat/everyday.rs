//! What people do every day beside writing and reading.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use leveret_chat::settings::Settings;
use leveret_client::message::{
    Body, Command, ConversationId, ConversationSummary, Cursor, Event, Format, GroupChange,
    GroupSettings, HistoryRange, MemberChange, Message, Presence, PresenceState, ReceiptStatus,
    RejectionCode, Reply, Request, Role, Seq, Text, Timestamp, Toggle, UserId,
};
use leveret_tests::Context;

use crate::stage::{Online, Person, Stage};

chat_tests!(
    a_message_is_changed_by_its_sender_and_taken_back_by_its_sender_or_a_moderator,
    a_reply_and_a_mention_arrive_as_they_were_sent,
    muting_is_everybodys_own_business,
    roles_say_who_may_send_whom_out,
    who_is_banned_or_silenced_is_told_so,
    who_sends_too_fast_is_refused_and_nobody_else_is,
    a_group_that_gets_too_much_refuses_and_its_members_talk_elsewhere,
    how_far_somebody_reads_can_be_kept_to_oneself,
    who_comes_and_goes_is_told_to_those_it_talks_with,
    a_search_finds_exact_words_in_what_one_may_read,
);

async fn group(at_owner: &Online<'_>, members: &[&Person]) -> Result<ConversationId> {
    let group = ConversationId::random_group();
    let create = Body::Group(GroupChange::Create {
        settings: GroupSettings {
            title: "geral".to_owned(),
            ..GroupSettings::default()
        },
        members: members.iter().map(|member| member.user.clone()).collect(),
    });
    at_owner
        .says(&at_owner.person.in_group(&group, create))
        .await?;
    Ok(group)
}

async fn history(online: &Online<'_>, conv: &ConversationId) -> Result<Vec<Message>> {
    let request = Request::History {
        conv: conv.clone(),
        range: HistoryRange::NEWEST,
        limit: 100,
    };
    match online.ask(request).await? {
        Reply::Messages { messages } => Ok(messages),
        other => bail!("no history: {other:?}"),
    }
}

async fn summary(online: &Online<'_>, conv: &ConversationId) -> Result<ConversationSummary> {
    let Reply::Conversations { conversations } = online.ask(Request::Conversations).await? else {
        bail!("no conversations");
    };
    let mut found = conversations.into_iter();
    match found.find(|summary| summary.conv == *conv) {
        Some(summary) => Ok(summary),
        None => bail!("the conversation is not among them"),
    }
}

fn edit(target: Seq, text: &str) -> Body {
    Body::Edit {
        target,
        text: text.to_owned(),
        format: Format::Plain,
    }
}

fn member(user: &UserId, change: MemberChange) -> Body {
    Body::Member {
        user: user.clone(),
        change,
    }
}

async fn a_message_is_changed_by_its_sender_and_taken_back_by_its_sender_or_a_moderator(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let id = group(&at_ana, &[&bruno]).await?;
    let words = Body::text("the words of bruno");
    let said = at_bruno.says(&bruno.in_group(&id, words)).await?.seq;
    at_bruno
        .says(&bruno.in_group(&id, edit(said, "other words")))
        .await?;
    let seen = at_ana.wait_for(|event| match event {
        Event::Msg(message) => match message.body {
            Body::Edit { target, text, .. } => Some((target, text)),
            _ => None,
        },
        _ => None,
    });
    ensure!(seen.await? == (said, "other words".to_owned()));

    let not_mine = ana.in_group(&id, edit(said, "words of somebody else"));
    ensure!(at_ana.refused(&not_mine).await? == RejectionCode::Forbidden);
    let nothing = bruno.in_group(&id, edit(Seq(99), "x"));
    ensure!(at_bruno.refused(&nothing).await? == RejectionCode::NoSuchMessage);
    let of_ana = at_ana
        .says(&ana.in_group(&id, Body::text("of ana")))
        .await?;
    let not_his = bruno.in_group(&id, Body::Delete { target: of_ana.seq });
    ensure!(at_bruno.refused(&not_his).await? == RejectionCode::Forbidden);

    // Ana made the group: she may take anything back.
    at_ana
        .says(&ana.in_group(&id, Body::Delete { target: said }))
        .await?;
    let messages = history(&at_bruno, &id).await?;
    let is_gone = |message: &&Message| matches!(message.body, Body::Erased { .. });
    let gone: Vec<_> = messages.iter().filter(is_gone).collect();
    ensure!(
        gone.iter().any(|message| message.seq == said),
        "{messages:?}"
    );
    let text = format!("{messages:?}");
    ensure!(!text.contains("the words of bruno") && !text.contains("other words"));
    let late = bruno.in_group(&id, edit(said, "again"));
    ensure!(at_bruno.refused(&late).await? == RejectionCode::NoSuchMessage);
    stage.end().await;
    Ok(())
}

async fn a_reply_and_a_mention_arrive_as_they_were_sent(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let question = at_ana.says(&ana.to(&bruno, "when?")).await?;
    let mut answer = bruno.to(&ana, "");
    let body = Text {
        reply_to: Some(question.seq),
        mentions: vec![ana.user.clone()],
        ..Text::from("now, @ana")
    };
    answer.body = Body::Text(body.clone());
    at_bruno.says(&answer).await?;
    let arrived = at_ana.wait_for(|event| match event {
        Event::Msg(message) if message.from == bruno.user => Some(message.body),
        _ => None,
    });
    ensure!(arrived.await? == Body::Text(body.clone()));
    answer = bruno.to(&ana, "");
    answer.body = Body::Text(Text {
        reply_to: Some(Seq(77)),
        ..body
    });
    ensure!(at_bruno.refused(&answer).await? == RejectionCode::NoSuchMessage);
    let mut many = bruno.to(&ana, "");
    many.body = Body::Text(Text {
        mentions: (0..60).map(|_| UserId::random()).collect(),
        ..Text::from("everybody")
    });
    ensure!(at_bruno.refused(&many).await? == RejectionCode::TooLarge);
    stage.end().await;
    Ok(())
}

async fn muting_is_everybodys_own_business(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let id = group(&at_ana, &[&bruno]).await?;
    let mute = |conv: &ConversationId, state| Request::Mute {
        conv: conv.clone(),
        state,
    };
    ensure!(at_ana.ask(mute(&id, Toggle::On)).await? == Reply::Done);
    ensure!(summary(&at_ana, &id).await?.muted == Toggle::On);
    ensure!(summary(&at_bruno, &id).await?.muted == Toggle::Off);
    ensure!(at_ana.ask(mute(&id, Toggle::Off)).await? == Reply::Done);
    ensure!(summary(&at_ana, &id).await?.muted == Toggle::Off);
    let elsewhere = mute(&ConversationId::random_group(), Toggle::On);
    let code = RejectionCode::NotMember;
    ensure!(at_ana.ask(elsewhere).await? == Reply::Refused { code });
    stage.end().await;
    Ok(())
}

async fn roles_say_who_may_send_whom_out(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let carla = stage.person("carla").await?;
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let at_carla = carla.connect().await?;
    let id = group(&at_ana, &[&bruno, &carla]).await?;
    let kick = |who: &Person| member(&who.user, MemberChange::Remove);

    let early = bruno.in_group(&id, kick(&carla));
    ensure!(at_bruno.refused(&early).await? == RejectionCode::Forbidden);
    let role = Role::Moderator;
    let promote = bruno.in_group(&id, member(&bruno.user, MemberChange::Role { role }));
    ensure!(at_bruno.refused(&promote).await? == RejectionCode::Forbidden);
    at_ana
        .says(&ana.in_group(&id, member(&bruno.user, MemberChange::Role { role })))
        .await?;
    ensure!(summary(&at_bruno, &id).await?.role == Role::Moderator);
    // A moderator sends members out, and not the owner.
    let too_high = bruno.in_group(&id, kick(&ana));
    ensure!(at_bruno.refused(&too_high).await? == RejectionCode::Forbidden);
    at_bruno.says(&bruno.in_group(&id, kick(&carla))).await?;
    let outside = carla.in_group(&id, Body::text("hello?"));
    ensure!(at_carla.refused(&outside).await? == RejectionCode::NotMember);
    // Settings are the owner's.
    let settings = GroupSettings {
        title: "bruno's".to_owned(),
        ..GroupSettings::default()
    };
    let change = Body::Group(GroupChange::Settings { settings });
    let not_his = bruno.in_group(&id, change.clone());
    ensure!(at_bruno.refused(&not_his).await? == RejectionCode::Forbidden);
    // The owner goes: the group has another one.
    at_ana
        .says(&ana.in_group(&id, member(&ana.user, MemberChange::Leave)))
        .await?;
    ensure!(summary(&at_bruno, &id).await?.role == Role::Owner);
    at_bruno.says(&bruno.in_group(&id, change)).await?;
    stage.end().await;
    Ok(())
}

async fn who_is_banned_or_silenced_is_told_so(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let id = group(&at_ana, &[&bruno]).await?;
    let change = |change| ana.in_group(&id, member(&bruno.user, change));
    let speak = || bruno.in_group(&id, Body::text("may I?"));
    let until = Timestamp::now().plus(Duration::from_secs(3600));
    at_ana
        .says(&change(MemberChange::Silence { until }))
        .await?;
    ensure!(at_bruno.refused(&speak()).await? == RejectionCode::Silenced);
    let until = Timestamp::from_milliseconds(0);
    at_ana
        .says(&change(MemberChange::Silence { until }))
        .await?;
    at_bruno.says(&speak()).await?;

    at_ana.says(&change(MemberChange::Ban)).await?;
    ensure!(at_bruno.refused(&speak()).await? == RejectionCode::Banned);
    let add = MemberChange::Add { role: Role::Member };
    ensure!(at_ana.refused(&change(add)).await? == RejectionCode::Banned);
    at_ana.says(&change(MemberChange::Unban)).await?;
    at_ana.says(&change(add)).await?;
    at_bruno.says(&speak()).await?;
    stage.end().await;
    Ok(())
}

async fn who_sends_too_fast_is_refused_and_nobody_else_is(context: &Context) -> Result<()> {
    let settings = Settings {
        user_rate: 1,
        user_burst: 5,
        ..Settings::default()
    };
    let stage = Stage::with(context, settings).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let posts: Vec<_> = (0..20).map(|_| ana.to(&bruno, "quick")).collect();
    for post in &posts {
        at_ana.send(post).await?;
    }
    let mut answers = Vec::new();
    while answers.len() < posts.len() {
        let answer = at_ana.wait_for(|event| match event {
            Event::Rejected(rejected) => Some(Err(rejected)),
            Event::Sent(sent) => Some(Ok(sent.id)),
            _ => None,
        });
        answers.push(answer.await?);
    }
    let refused: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .collect();
    ensure!(
        !refused.is_empty() && refused.len() <= 15,
        "{}",
        refused.len()
    );
    for rejected in &refused {
        ensure!(rejected.code == RejectionCode::RateLimited && rejected.retry);
    }
    at_bruno.says(&bruno.to(&ana, "I have time")).await?;
    // What was refused may be sent again, and one that was taken is answered as before.
    let taken = answers.iter().find_map(|answer| answer.as_ref().ok());
    let taken = posts.iter().find(|post| Some(&post.id) == taken);
    if let Some(taken) = taken {
        at_ana.says(taken).await?;
    }
    stage.end().await;
    Ok(())
}

async fn a_group_that_gets_too_much_refuses_and_its_members_talk_elsewhere(
    context: &Context,
) -> Result<()> {
    let settings = Settings {
        group_rate: 1,
        group_burst: 4,
        ..Settings::default()
    };
    let stage = Stage::with(context, settings).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let id = group(&at_ana, &[&bruno]).await?;
    let code = loop {
        let post = ana.in_group(&id, Body::text("more"));
        at_ana.send(&post).await?;
        let answer = at_ana.wait_for(|event| match event {
            Event::Rejected(rejected) if rejected.id == post.id => Some(Some(rejected.code)),
            Event::Sent(sent) if sent.id == post.id => Some(None),
            _ => None,
        });
        if let Some(code) = answer.await? {
            break code;
        }
    };
    ensure!(code == RejectionCode::RateLimited);
    at_bruno.says(&bruno.to(&ana, "here we can talk")).await?;
    stage.end().await;
    Ok(())
}

async fn how_far_somebody_reads_can_be_kept_to_oneself(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let phone = stage.device(&bruno.account).await?;
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let at_phone = phone.connect().await?;
    let state = Toggle::Off;
    ensure!(at_bruno.ask(Request::Receipts { state }).await? == Reply::Done);
    let sent = at_ana.says(&ana.to(&bruno, "read this")).await?;
    let message = at_bruno.message().await?;
    at_bruno.receipt(&message, ReceiptStatus::Read).await?;
    let of_bruno = |read: Seq| {
        let bruno = bruno.user.clone();
        move |event| match event {
            Event::Cursor(Cursor {
                user, read: got, ..
            }) if user == bruno && got == read => Some(()),
            _ => None,
        }
    };
    // Bruno's other device knows, and ana learns that it was delivered.
    at_phone.wait_for(of_bruno(sent.seq)).await?;
    at_ana.wait_for(of_bruno(Seq::NONE)).await?;
    let conv = sent.conv.clone();
    let Reply::Cursors { cursors } = at_ana.ask(Request::Cursors { conv }).await? else {
        bail!("no cursors");
    };
    let cursor = cursors.iter().find(|one| one.cursor.user == bruno.user);
    let cursor = cursor.map(|one| (one.cursor.delivered, one.cursor.read));
    ensure!(cursor == Some((sent.seq, Seq::NONE)), "{cursor:?}");
    stage.end().await;
    Ok(())
}

async fn who_comes_and_goes_is_told_to_those_it_talks_with(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let stranger = stage.person("dora").await?;
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let at_stranger = stranger.connect().await?;
    at_ana.says(&ana.to(&bruno, "are you there?")).await?;
    let says = async |online: &Online<'_>, state| {
        let presence = Command::Presence(Presence {
            from: online.person.user.clone(),
            dev: online.person.device.clone(),
            state,
        });
        online.transport.hand_over(&presence).await
    };
    let of = |user: &UserId, state: PresenceState| {
        let user = user.clone();
        move |event| match event {
            Event::Presence(presence) if presence.from == user && presence.state == state => {
                Some(())
            }
            _ => None,
        }
    };
    says(&at_bruno, PresenceState::Online).await?;
    at_ana
        .wait_for(of(&bruno.user, PresenceState::Online))
        .await?;
    // Who comes later is told who is there.
    says(&at_ana, PresenceState::Online).await?;
    at_ana
        .wait_for(of(&bruno.user, PresenceState::Online))
        .await?;
    says(&at_bruno, PresenceState::Offline).await?;
    at_ana
        .wait_for(of(&bruno.user, PresenceState::Offline))
        .await?;
    at_stranger.nothing_arrives().await?;
    stage.end().await;
    Ok(())
}

async fn a_search_finds_exact_words_in_what_one_may_read(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let carla = stage.person("carla").await?;
    let (at_ana, at_carla) = (ana.connect().await?, carla.connect().await?);
    for text in ["A casa amarela", "a casa é amarela", "nothing of the kind"] {
        at_ana.says(&ana.to(&bruno, text)).await?;
    }
    let gone = at_ana.says(&ana.to(&bruno, "amarela casa")).await?;
    let mut delete = ana.to(&bruno, "");
    delete.body = Body::Delete { target: gone.seq };
    at_ana.says(&delete).await?;
    let search = async |online: &Online<'_>, text: &str| {
        let request = Request::Search {
            text: text.to_owned(),
            conv: None,
            limit: 10,
        };
        match online.ask(request).await? {
            Reply::Messages { messages } => Ok(messages.len()),
            other => bail!("no messages: {other:?}"),
        }
    };
    ensure!(search(&at_ana, "amarela CASA").await? == 2);
    ensure!(search(&at_ana, "\"casa amarela\"").await? == 1);
    ensure!(search(&at_ana, "verde").await? == 0);
    ensure!(
        search(&at_carla, "casa").await? == 0,
        "it is not hers to read"
    );
    stage.end().await;
    Ok(())
}
