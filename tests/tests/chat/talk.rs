//! People talk.

use anyhow::{Result, bail, ensure};
use leveret_client::message::{
    Body, Command, ConversationId, Event, GroupChange, GroupSettings, HistoryRange, MemberChange,
    MessageStatus, Position, ReceiptStatus, RejectionCode, Reply, Request, Role, Seq, Toggle,
    Typing,
};
use leveret_client::timeline::{Arrival, Timelines};
use leveret_tests::Context;

use crate::stage::{Online, Stage, text};

chat_tests!(
    two_people_talk_and_see_that_it_was_read,
    a_recipient_who_is_away_gets_everything_in_order_after_a_restart,
    sending_again_shows_nothing_twice,
    a_group_is_for_its_members,
    what_is_refused_is_said_to_the_sender,
    what_comes_before_its_turn_is_taken_in_its_turn,
    every_device_of_a_person_has_everything,
    a_deleted_account_is_gone_and_what_it_said_is_as_it_chose,
);

async fn two_people_talk_and_see_that_it_was_read(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let post = ana.to(&bruno, "oi!");
    let sent = at_ana.says(&post).await?;
    ensure!(sent.seq == Seq(1));
    let message = at_bruno.message().await?;
    ensure!(text(&message)? == "oi!" && message.from == ana.user && message.id == post.id);

    at_bruno.receipt(&message, ReceiptStatus::Read).await?;
    let read = at_ana.wait_for(|event| match event {
        Event::Cursor(cursor) if cursor.user == bruno.user => Some(cursor),
        _ => None,
    });
    let read = read.await?;
    ensure!((read.delivered, read.read) == (Seq(1), Seq(1)));
    let Reply::Status(MessageStatus::Stored {
        read: 1,
        recipients: 1,
        ..
    }) = at_ana.ask(Request::Status { id: post.id }).await?
    else {
        bail!("the status does not say that it was read");
    };
    let typing = Command::Typing(Typing {
        from: bruno.user.clone(),
        dev: bruno.device.clone(),
        conv: message.conv.clone(),
        state: Toggle::On,
    });
    at_bruno.transport.hand_over(&typing).await?;
    at_ana
        .wait_for(|event| matches!(event, Event::Typing(_)).then_some(()))
        .await?;
    let Reply::Conversations { conversations } = at_bruno.ask(Request::Conversations).await? else {
        bail!("no conversations");
    };
    ensure!(conversations.len() == 1 && conversations[0].unread == 0);
    let peer = conversations[0].peer.as_ref().map(|peer| &peer.user);
    ensure!(peer == Some(&ana.user));
    stage.end().await;
    Ok(())
}

async fn a_recipient_who_is_away_gets_everything_in_order_after_a_restart(
    context: &Context,
) -> Result<()> {
    const COUNT: u64 = 60;
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let at_ana = ana.connect().await?;
    for number in 1..=COUNT / 2 {
        at_ana.says(&ana.to(&bruno, &number.to_string())).await?;
    }
    let stage = stage.restart().await?;
    for number in COUNT / 2 + 1..=COUNT {
        at_ana.says(&ana.to(&bruno, &number.to_string())).await?;
    }
    let at_bruno = bruno.connect().await?;
    let mut timelines = Timelines::default();
    let mut shown = Vec::new();
    while shown.len() < usize::try_from(COUNT)? {
        if let Arrival::Show(messages) = timelines.arrive(at_bruno.message().await?) {
            shown.extend(messages);
        }
    }
    for (number, message) in (1..=COUNT).zip(&shown) {
        ensure!(message.seq == Seq(number) && text(message)? == number.to_string());
    }
    // The history has the same, for whoever has lost its queue.
    let conv = ConversationId::direct(&ana.user, &bruno.user);
    let positions = vec![Position {
        conv: conv.clone(),
        after: Seq::NONE,
    }];
    let limit = 500;
    let Reply::Sync(page) = at_bruno.ask(Request::Sync { positions, limit }).await? else {
        bail!("no synchronisation");
    };
    ensure!(page.messages == shown && page.more.is_empty());
    stage.end().await;
    Ok(())
}

async fn sending_again_shows_nothing_twice(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let post = ana.to(&bruno, "once");
    let first = at_ana.says(&post).await?;
    for _ in 0..3 {
        let again = at_ana.says(&post).await?;
        ensure!(again.seq == first.seq && again.ts == first.ts);
    }
    let last = ana.to(&bruno, "the end");
    at_ana.says(&last).await?;
    let mut timelines = Timelines::default();
    let (mut shown, mut duplicates) = (Vec::new(), 0);
    while shown.last() != Some(&last.id) {
        match timelines.arrive(at_bruno.message().await?) {
            Arrival::Show(messages) => shown.extend(messages.iter().map(|message| message.id)),
            Arrival::Duplicate => duplicates += 1,
            Arrival::Gap(position) => bail!("a gap: {position:?}"),
        }
    }
    ensure!(shown == [post.id, last.id]);
    ensure!(duplicates == 3, "it did come again: {duplicates}");
    stage.end().await;
    Ok(())
}

/// A group that ana makes, with these in it.
async fn group(at_ana: &Online<'_>, members: &[&crate::stage::Person]) -> Result<ConversationId> {
    let group = ConversationId::random_group();
    let create = Body::Group(GroupChange::Create {
        settings: GroupSettings {
            title: "geral".to_owned(),
            ..GroupSettings::default()
        },
        members: members.iter().map(|member| member.user.clone()).collect(),
    });
    at_ana.says(&at_ana.person.in_group(&group, create)).await?;
    Ok(group)
}

async fn a_group_is_for_its_members(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let ana = stage.person("ana").await?;
    let (bruno, carla) = (stage.person("bruno").await?, stage.person("carla").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let at_carla = carla.connect().await?;
    let id = group(&at_ana, &[&bruno]).await?;
    at_ana
        .says(&ana.in_group(&id, Body::text("for two")))
        .await?;
    let member = |change| Body::Member {
        user: carla.user.clone(),
        change,
    };
    let add = MemberChange::Add { role: Role::Member };
    at_ana.says(&ana.in_group(&id, member(add))).await?;
    at_bruno
        .send(&bruno.in_group(&id, Body::text("for three")))
        .await?;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.push(at_carla.message().await?.seq);
    }
    ensure!(seen == [Seq(3), Seq(4)], "{seen:?}");
    at_ana
        .says(&ana.in_group(&id, member(MemberChange::Remove)))
        .await?;
    ensure!(
        at_carla.message().await?.seq == Seq(5),
        "told that it is out"
    );
    at_ana
        .says(&ana.in_group(&id, Body::text("for two again")))
        .await?;
    at_carla.nothing_arrives().await?;

    let range = HistoryRange::NEWEST;
    let history = Request::History {
        conv: id.clone(),
        range,
        limit: 100,
    };
    let Reply::Messages { messages } = at_carla.ask(history.clone()).await? else {
        bail!("no history for who was there");
    };
    let seqs: Vec<_> = messages.iter().map(|message| message.seq.0).collect();
    ensure!(
        seqs == [3, 4, 5],
        "what was said before and after is not hers: {seqs:?}"
    );
    nothing_is_for_outsiders(&stage, id, history).await?;
    stage.end().await;
    Ok(())
}

/// Who is not in the group is told nothing, not even that there is one.
async fn nothing_is_for_outsiders(
    stage: &Stage,
    id: ConversationId,
    history: Request,
) -> Result<()> {
    let outsider = stage.person("dora").await?;
    let at_dora = outsider.connect().await?;
    let code = RejectionCode::NotMember;
    for request in [
        history,
        Request::Members { conv: id.clone() },
        Request::Cursors { conv: id.clone() },
    ] {
        ensure!(at_dora.ask(request).await? == Reply::Refused { code });
    }
    let positions = vec![Position {
        conv: id,
        after: Seq::NONE,
    }];
    let limit = 10;
    let Reply::Sync(page) = at_dora.ask(Request::Sync { positions, limit }).await? else {
        bail!("no synchronisation");
    };
    ensure!(page.messages.is_empty() && page.hidden.is_empty() && page.more.is_empty());
    Ok(())
}

async fn what_is_refused_is_said_to_the_sender(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let refused = async |post: &leveret_client::message::Post| {
        at_ana.send(post).await?;
        let code = at_ana.wait_for(|event| match event {
            Event::Rejected(rejected) if rejected.id == post.id => Some(rejected.code),
            _ => None,
        });
        code.await
    };
    let elsewhere = ana.in_group(&ConversationId::random_group(), Body::text("let me in"));
    ensure!(refused(&elsewhere).await? == RejectionCode::NotMember);
    let long = ana.to(&bruno, &"x".repeat(64 * 1024 + 1));
    ensure!(refused(&long).await? == RejectionCode::TooLarge);
    let mut forged = ana.to(&bruno, "I am carla");
    forged.from = leveret_client::message::UserId::random();
    ensure!(refused(&forged).await? == RejectionCode::Forged);
    let mut late = ana.to(&bruno, "from long ago");
    late.id = leveret_client::message::MessageId::new(
        leveret_client::message::Timestamp::from_milliseconds(1_000_000_000_000),
    );
    ensure!(refused(&late).await? == RejectionCode::Clock);
    let unknown = ana.in_group(&ConversationId::random_group(), Body::Unknown);
    ensure!(refused(&unknown).await? == RejectionCode::Unsupported);
    // Nobody else is affected.
    at_ana.says(&ana.to(&bruno, "still here")).await?;
    ensure!(text(&at_bruno.message().await?)? == "still here");
    stage.end().await;
    Ok(())
}

async fn what_comes_before_its_turn_is_taken_in_its_turn(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let first = ana.to(&bruno, "first");
    let mut second = ana.to(&bruno, "second");
    second.after = Some(first.id);
    // As a broker hands it over that gives back last what a router had first in its hands.
    at_ana.send(&second).await?;
    let early = at_ana.wait_for(|event| match event {
        Event::Rejected(rejected) if rejected.id == second.id => Some(rejected),
        _ => None,
    });
    let early = early.await?;
    ensure!(
        early.code == RejectionCode::OutOfTurn && early.retry,
        "{early:?}"
    );
    at_ana.send(&first).await?;
    at_ana.says(&second).await?;
    for expected in ["first", "second"] {
        ensure!(text(&at_bruno.message().await?)? == expected);
    }
    stage.end().await;
    Ok(())
}

async fn every_device_of_a_person_has_everything(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let phone = stage.device(&ana.account).await?;
    let (at_ana, at_phone) = (ana.connect().await?, phone.connect().await?);
    let at_bruno = bruno.connect().await?;
    let post = ana.to(&bruno, "from the terminal");
    at_ana.says(&post).await?;
    ensure!(at_phone.message().await?.id == post.id);
    let message = at_bruno.message().await?;
    at_bruno.says(&bruno.to(&ana, "an answer")).await?;
    let answer = loop {
        let message = at_phone.message().await?;
        if message.from == bruno.user {
            break message;
        }
    };
    at_phone.receipt(&answer, ReceiptStatus::Read).await?;
    // What was read on one device is read on the other.
    let cursor = at_ana.wait_for(|event| match event {
        Event::Cursor(cursor) if cursor.user == ana.user && cursor.read == answer.seq => Some(()),
        _ => None,
    });
    cursor.await?;
    // A device that is taken away is out.
    stage
        .accounts
        .remove_device(&ana.user, &phone.device)
        .await?;
    ensure!(phone.connect().await.is_err());
    at_bruno.receipt(&message, ReceiptStatus::Read).await?;
    stage.end().await;
    Ok(())
}

async fn a_deleted_account_is_gone_and_what_it_said_is_as_it_chose(
    context: &Context,
) -> Result<()> {
    use leveret_chat::accounts::Texts;
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let at_ana = ana.connect().await?;
    let id = group(&at_ana, &[&bruno]).await?;
    {
        let at_bruno = bruno.connect().await?;
        at_bruno
            .says(&bruno.in_group(&id, Body::text("my words")))
            .await?;
    }
    stage.accounts.delete(&bruno.user, Texts::Erase).await?;
    ensure!(bruno.connect().await.is_err());
    let Reply::Members { members } = at_ana.ask(Request::Members { conv: id.clone() }).await?
    else {
        bail!("no members");
    };
    ensure!(members.len() == 1);
    let range = HistoryRange::NEWEST;
    let history = Request::History {
        conv: id,
        range,
        limit: 100,
    };
    let Reply::Messages { messages } = at_ana.ask(history).await? else {
        bail!("no history");
    };
    ensure!(messages.len() == 3);
    ensure!(
        matches!(messages[1].body, Body::Erased { .. }),
        "{messages:?}"
    );
    stage.person("bruno").await?;
    stage.end().await;
    Ok(())
}
