//! The gateway: HTTP and WebSockets, on both brokers.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use leveret_chat::settings::GatewaySettings;
use leveret_client::message::{
    Body, ByeCode, ClientSays, Command, ConversationId, Event, GroupChange, GroupSettings,
    HistoryRange, MessageId, Position, ReceiptStatus, RejectionCode, Reply, Request, Seq,
    ServerFrame, Timestamp, UserId,
};
use leveret_tests::Context;
use serde_json::json;

use crate::browser::{Socket, Surfer, http, http_text};
use crate::stage::{PATIENCE, Stage, text};

chat_tests!(
    a_message_goes_from_socket_to_socket_and_its_marks_come_back,
    who_was_away_resumes_after_its_place,
    a_browser_and_a_device_that_speaks_amqp_talk,
    every_window_of_a_person_has_a_copy,
    bad_input_is_answered_with_a_code_and_nobody_else_is_affected,
    who_is_not_logged_in_is_told_so_and_let_go,
    who_does_not_read_is_told_that_there_is_more,
    answers_that_nobody_takes_leave_room_for_others,
    too_many_frames_are_refused_and_too_many_sockets_are_not_let_in,
    a_script_sends_once_however_often_it_asks_and_a_hook_writes_to_its_group_alone,
    the_page_is_served_with_a_strict_policy,
    who_is_silent_is_let_go,
    when_the_brokers_connection_breaks_everybody_is_told_to_ask,
);

async fn a_message_goes_from_socket_to_socket_and_its_marks_come_back(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let address = gateway.address();
    let ana = Surfer::register(address, "ana").await?;
    let bruno = Surfer::register(address, "bruno").await?;
    let (mut at_ana, mut at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let post = ana.to(&bruno.user, "oi!");
    at_ana.hand_over(Command::Send(post.clone())).await?;
    let message = at_bruno.message().await?;
    ensure!(message.id == post.id && message.seq == Seq(1) && text(&message)? == "oi!");
    at_bruno
        .receipt(&bruno, &message, ReceiptStatus::Delivered)
        .await?;
    at_bruno
        .receipt(&bruno, &message, ReceiptStatus::Read)
        .await?;
    at_ana.read_by(&bruno.user, Seq(1)).await?;
    // The same again is the same.
    ensure!(at_ana.says(&post).await?.seq == Seq(1));
    let id = post.id;
    let Reply::Status(status) = at_ana.ask(Request::Status { id }).await? else {
        bail!("no status");
    };
    let status = serde_json::to_value(status)?;
    ensure!(status["delivered"] == 1 && status["read"] == 1, "{status}");
    ensure!(gateway.connected() == 2);
    at_bruno.close().await?;
    gateway.shutdown().await;
    ensure!(at_ana.bye().await? == ByeCode::Stopping);
    stage.end().await;
    Ok(())
}

async fn who_was_away_resumes_after_its_place(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let address = gateway.address();
    let ana = Surfer::register(address, "ana").await?;
    let bruno = Surfer::register(address, "bruno").await?;
    let conv = ConversationId::direct(&ana.user, &bruno.user);
    let mut at_ana = ana.connect().await?;
    for number in 1..=5 {
        at_ana
            .says(&ana.to(&bruno.user, &number.to_string()))
            .await?;
    }
    let after = Seq(2);
    let mut at_bruno = bruno
        .resume(vec![Position {
            conv: conv.clone(),
            after,
        }])
        .await?;
    let page = at_bruno.wait_for(|frame| match frame {
        ServerFrame::Resumed(page) => Some(page),
        _ => None,
    });
    let page = page.await?;
    let seqs: Vec<_> = page.messages.iter().map(|message| message.seq.0).collect();
    ensure!(seqs == [3, 4, 5] && page.more.is_empty(), "{page:?}");
    at_ana.says(&ana.to(&bruno.user, "6")).await?;
    ensure!(at_bruno.message().await?.seq == Seq(6));
    // What was resumed is not in the way of who has nothing.
    let path = format!("/v1/conversations/{conv}/messages?after=4&limit=1");
    let (status, page) = bruno.call("GET", &path, None).await?;
    ensure!(status == 200 && page["messages"][0]["seq"] == 5, "{page}");
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn a_browser_and_a_device_that_speaks_amqp_talk(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let carla = stage.person("carla").await?;
    let at_carla = carla.connect().await?;
    let ana = Surfer::register(gateway.address(), "ana").await?;
    let mut at_ana = ana.connect().await?;
    at_ana
        .says(&ana.to(&carla.user, "from the browser"))
        .await?;
    let message = at_carla.message().await?;
    ensure!(text(&message)? == "from the browser" && message.from == ana.user);
    at_carla.receipt(&message, ReceiptStatus::Read).await?;
    at_ana.read_by(&carla.user, Seq(1)).await?;
    let now = Timestamp::now();
    let body = Body::text("from the terminal");
    let answer =
        leveret_client::message::Post::to_user(&ana.user, &carla.user, &carla.device, body, now);
    at_carla.says(&answer).await?;
    ensure!(text(&at_ana.message().await?)? == "from the terminal");
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn every_window_of_a_person_has_a_copy(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let address = gateway.address();
    let ana = Surfer::register(address, "ana").await?;
    let bruno = Surfer::register(address, "bruno").await?;
    let laptop = Surfer::login(address, "ana").await?;
    let (mut window, mut other) = (ana.connect().await?, ana.connect().await?);
    let (mut at_laptop, mut at_bruno) = (laptop.connect().await?, bruno.connect().await?);
    let post = ana.to(&bruno.user, "oi");
    window.says(&post).await?;
    for socket in [&mut other, &mut at_laptop, &mut at_bruno] {
        ensure!(socket.message().await?.id == post.id);
    }
    // What one window has read, the others have.
    let answer = bruno.to(&ana.user, "olá");
    at_bruno.says(&answer).await?;
    let message = at_laptop.message().await?;
    at_laptop
        .receipt(&laptop, &message, ReceiptStatus::Read)
        .await?;
    window.read_by(&ana.user, message.seq).await?;
    other.read_by(&ana.user, message.seq).await?;
    // A device that is taken away is out, the other stays.
    let path = format!("/v1/devices/{}", laptop.device);
    ensure!(ana.call("DELETE", &path, None).await?.0 == 204);
    ensure!(at_laptop.bye().await? == ByeCode::NotLoggedIn);
    window.says(&ana.to(&bruno.user, "still here")).await?;
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn bad_input_is_answered_with_a_code_and_nobody_else_is_affected(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let address = gateway.address();
    let ana = Surfer::register(address, "ana").await?;
    let bruno = Surfer::register(address, "bruno").await?;
    let (mut at_ana, mut at_bruno) = (ana.connect().await?, bruno.connect().await?);

    let elsewhere = ana.in_group(&ConversationId::random_group(), Body::text("let me in"));
    ensure!(at_ana.refused(&elsewhere).await? == RejectionCode::NotMember);
    let long = ana.to(&bruno.user, &"x".repeat(64 * 1024 + 1));
    ensure!(at_ana.refused(&long).await? == RejectionCode::TooLarge);
    let mut forged = ana.to(&bruno.user, "I am somebody else");
    forged.from = UserId::random();
    ensure!(at_ana.refused(&forged).await? == RejectionCode::Forged);
    let mut late = ana.to(&bruno.user, "from long ago");
    late.id = MessageId::new(Timestamp::from_milliseconds(1_000_000_000_000));
    ensure!(at_ana.refused(&late).await? == RejectionCode::Clock);
    let empty = ana.to(&bruno.user, "");
    ensure!(at_ana.refused(&empty).await? == RejectionCode::Malformed);
    let nobody = ana.to(&UserId::random(), "is anybody there?");
    ensure!(at_ana.refused(&nobody).await? == RejectionCode::NoSuchUser);
    for (frame, expected) in [
        (
            r#"{"v":1,"nr":90,"type":"dance"}"#,
            RejectionCode::Unsupported,
        ),
        (
            r#"{"v":1,"nr":90,"type":"send","id":7}"#,
            RejectionCode::Malformed,
        ),
        (
            r#"{"v":7,"nr":90,"type":"send"}"#,
            RejectionCode::Unsupported,
        ),
        (
            r#"{"v":1,"nr":90,"type":"hello","token":"again"}"#,
            RejectionCode::Malformed,
        ),
    ] {
        at_ana.write(frame.to_owned()).await?;
        let code = at_ana.wait_for(|frame| match frame {
            ServerFrame::Refused {
                nr: Some(90), code, ..
            } => Some(code),
            _ => None,
        });
        ensure!(code.await? == expected, "{frame}");
    }
    at_ana.write("not JSON".to_owned()).await?;
    at_ana.says(&ana.to(&bruno.user, "still here")).await?;
    ensure!(text(&at_bruno.message().await?)? == "still here");

    let (status, answer) = http_text(address, "POST", "/v1/login", None, Some(json!([1]))).await?;
    ensure!(
        (400..500).contains(&status) && answer.contains("malformed"),
        "{answer}"
    );
    let (status, answer) = http(address, "GET", "/v1/nowhere", None, None).await?;
    ensure!(status == 404 && answer["code"] == "not_found");
    // Longer than any envelope: the connection ends, and only this one.
    at_ana.write("x".repeat(200_000)).await?;
    ensure!(at_ana.bye().await.is_err());
    at_bruno.says(&bruno.to(&ana.user, "and I as well")).await?;
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn who_is_not_logged_in_is_told_so_and_let_go(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let address = gateway.address();
    let ana = Surfer::register(address, "ana").await?;
    let mut stranger = Socket::open(address).await?;
    stranger
        .write(r#"{"v":1,"type":"hello","token":"x"}"#.to_owned())
        .await?;
    ensure!(stranger.bye().await? == ByeCode::NotLoggedIn);
    let mut rude = Socket::open(address).await?;
    rude.write(r#"{"v":1,"nr":1,"type":"ask","request":{"type":"me"}}"#.to_owned())
        .await?;
    ensure!(rude.bye().await? == ByeCode::Protocol);
    let (status, answer) = http(address, "GET", "/v1/conversations", Some("x"), None).await?;
    ensure!(status == 401 && answer["code"] == "not_logged_in");
    // Another site's page does not get as far.
    ensure!(Socket::status_from(address, "http://evil.example").await? == 403);
    ensure!(Socket::status_from(address, &format!("http://{address}")).await? == 101);
    let mut at_ana = ana.connect().await?;
    ensure!(ana.call("POST", "/v1/logout", None).await?.0 == 204);
    ensure!(at_ana.bye().await? == ByeCode::NotLoggedIn);
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn who_does_not_read_is_told_that_there_is_more(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let settings = GatewaySettings {
        events_max: 0,
        ..GatewaySettings::default()
    };
    // Two gateways: at one of them nothing fits.
    let (narrow, wide) = (
        stage.gateway(settings).await?,
        stage.gateway(GatewaySettings::default()).await?,
    );
    let ana = Surfer::register(wide.address(), "ana").await?;
    let bruno = Surfer::register(narrow.address(), "bruno").await?;
    let (mut at_ana, mut at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let conv = ConversationId::direct(&ana.user, &bruno.user);
    let mut last = Seq::NONE;
    for number in 1..=20 {
        last = at_ana
            .says(&ana.to(&bruno.user, &number.to_string()))
            .await?
            .seq;
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&last.0) {
        at_bruno
            .wait_for(|frame| match frame {
                ServerFrame::Event(Event::Bump(bump)) if bump.conv == conv => Some(()),
                ServerFrame::Resync => Some(()),
                ServerFrame::Event(Event::Msg(_)) => None,
                _ => None,
            })
            .await?;
        let after = Seq(seen.last().copied().unwrap_or_default());
        let range = HistoryRange::After(after);
        let (conv, limit) = (conv.clone(), 100);
        match at_bruno
            .ask(Request::History { conv, range, limit })
            .await?
        {
            Reply::Messages { messages } => {
                seen.extend(messages.iter().map(|message| message.seq.0));
            }
            // Before the first message there is no conversation.
            Reply::Refused {
                code: RejectionCode::NotMember,
            } => {}
            other => bail!("{other:?}"),
        }
    }
    ensure!(seen == (1..=20).collect::<Vec<_>>(), "{seen:?}");
    narrow.shutdown().await;
    wide.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn answers_that_nobody_takes_leave_room_for_others(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let settings = GatewaySettings {
        answer_bytes_max: 2 << 20,
        answer_bytes_per_user_max: 1 << 20,
        frames_burst: 10_000,
        ..GatewaySettings::default()
    };
    let gateway = stage.gateway(settings).await?;
    let ana = Surfer::register(gateway.address(), "ana").await?;
    let bruno = Surfer::register(gateway.address(), "bruno").await?;
    let mut at_ana = ana.connect().await?;
    let long = "so many words ".repeat(4_000);
    for _ in 0..16 {
        at_ana.says(&ana.to(&bruno.user, &long)).await?;
    }
    let history = || Request::History {
        conv: ConversationId::direct(&ana.user, &bruno.user),
        range: HistoryRange::NEWEST,
        limit: 500,
    };
    // Asks, and takes nothing; what the system holds for it is full sooner or later.
    let (mut deaf, mut other) = (bruno.connect().await?, bruno.connect().await?);
    let refused = async {
        loop {
            for number in 0..8 {
                let request = history();
                deaf.say(Some(number), ClientSays::Ask { request }).await?;
            }
            let number = other.number();
            let request = history();
            other.say(Some(number), ClientSays::Ask { request }).await?;
            let code = other.wait_for(|frame| match frame {
                ServerFrame::Answer { nr, .. } if nr == number => Some(None),
                ServerFrame::Refused { nr, code, .. } if nr == Some(number) => Some(Some(code)),
                _ => None,
            });
            if let Some(code) = code.await? {
                return anyhow::Ok(code);
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await??;
    ensure!(refused == RejectionCode::Unavailable, "{refused:?}");
    let Reply::Messages { messages } = at_ana.ask(history()).await? else {
        bail!("somebody else is not answered");
    };
    ensure!(messages.len() == 16, "{}", messages.len());
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn too_many_frames_are_refused_and_too_many_sockets_are_not_let_in(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let settings = GatewaySettings {
        frames_per_second: 1,
        frames_burst: 5,
        sockets_per_user_max: 2,
        ..GatewaySettings::default()
    };
    let gateway = stage.gateway(settings).await?;
    let ana = Surfer::register(gateway.address(), "ana").await?;
    let (mut window, _other) = (ana.connect().await?, ana.connect().await?);
    let mut third = Socket::open(gateway.address()).await?;
    let hello = json!({"v": 1, "type": "hello", "token": ana.token});
    third.write(hello.to_string()).await?;
    ensure!(third.bye().await? == ByeCode::TooManyConnections);
    for number in 0..50 {
        let ask = json!({"v": 1, "nr": number, "type": "ask", "request": {"type": "me"}});
        window.write(ask.to_string()).await?;
    }
    let refused = window.wait_for(|frame| match frame {
        ServerFrame::Refused { code, retry, .. } => Some((code, retry)),
        _ => None,
    });
    ensure!(refused.await? == (RejectionCode::RateLimited, true));
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn a_script_sends_once_however_often_it_asks_and_a_hook_writes_to_its_group_alone(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let address = gateway.address();
    let ana = Surfer::register(address, "ana").await?;
    let bruno = Surfer::register(address, "bruno").await?;
    let id = MessageId::new(Timestamp::now());
    let message = json!({"handle": "bruno", "text": "from a script", "id": id});
    for _ in 0..2 {
        let (status, sent) = ana
            .call("POST", "/v1/messages", Some(message.clone()))
            .await?;
        ensure!(status == 201 && sent["seq"] == 1, "{status} {sent}");
    }
    let (status, answer) = bruno.call("GET", "/v1/search?text=script", None).await?;
    ensure!(
        status == 200 && answer["messages"][0]["from"] == ana.user.as_str(),
        "{answer}"
    );
    let (status, found) = ana.call("GET", "/v1/users/bruno", None).await?;
    let direct = ConversationId::direct(&ana.user, &bruno.user);
    ensure!(
        status == 200 && found["direct"] == direct.as_str(),
        "{found}"
    );

    a_hook_writes_to_its_group_alone(&ana, &bruno, &direct).await?;
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn a_hook_writes_to_its_group_alone(
    ana: &Surfer,
    bruno: &Surfer,
    direct: &ConversationId,
) -> Result<()> {
    let address = ana.address;
    let group = ConversationId::random_group();
    let create = Body::Group(GroupChange::Create {
        settings: GroupSettings {
            title: "ops".to_owned(),
            ..GroupSettings::default()
        },
        members: vec![bruno.user.clone()],
    });
    let creation = json!({"conv": group, "body": create});
    let (status, answer) = ana.call("POST", "/v1/messages", Some(creation)).await?;
    ensure!(status == 201, "{status} {answer}");
    let hooks = format!("/v1/conversations/{group}/hooks");
    let (status, answer) = bruno
        .call("POST", &hooks, Some(json!({"name": "ci"})))
        .await?;
    ensure!(
        status == 403 && answer["code"] == "forbidden",
        "{status} {answer}"
    );
    let (status, hook) = ana
        .call("POST", &hooks, Some(json!({"name": "ci"})))
        .await?;
    ensure!(status == 201, "{status} {hook}");
    let path = hook["path"].as_str().context("a path")?;
    let mut at_bruno = bruno.connect().await?;
    let (status, sent) = http(address, "POST", path, None, Some(json!({"text": "green"}))).await?;
    ensure!(status == 201 && sent["seq"] == 3, "{status} {sent}");
    let message = at_bruno.message().await?;
    ensure!(text(&message)? == "green" && hook["user"] == message.from.as_str());
    // Its secret opens nothing else.
    let secret = path.rsplit('/').next().context("a secret")?;
    for token in [secret.to_owned(), format!("hook.{secret}")] {
        let (status, _) = http(address, "GET", "/v1/me", Some(&token), None).await?;
        ensure!(status == 401);
    }
    let elsewhere = format!("/v1/hooks/{direct}/{secret}");
    let (status, _) = http(
        address,
        "POST",
        &elsewhere,
        None,
        Some(json!({"text": "x"})),
    )
    .await?;
    ensure!(status == 400 || status == 403, "{status}");
    Ok(())
}

async fn the_page_is_served_with_a_strict_policy(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let url = format!("http://{}/", gateway.address());
    let ask = move || {
        ureq::get(url)
            .call()
            .map(|response| response.headers().clone())
    };
    let headers = tokio::task::spawn_blocking(ask).await??;
    let policy = headers["content-security-policy"].to_str()?;
    ensure!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    ensure!(headers["x-content-type-options"] == "nosniff");
    let (status, described) = http(gateway.address(), "GET", "/openapi.json", None, None).await?;
    ensure!(
        status == 200
            && described["openapi"]
                .as_str()
                .is_some_and(|v| v.starts_with("3."))
    );
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn who_is_silent_is_let_go(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let settings = GatewaySettings {
        hello_patience: Duration::from_secs(5),
        ping_interval: Duration::from_millis(500),
        idle_max: Duration::from_secs(10),
        ..GatewaySettings::default()
    };
    let gateway = stage.gateway(settings).await?;
    let mut mute = Socket::open(gateway.address()).await?;
    ensure!(mute.bye().await? == ByeCode::Idle);
    let ana = Surfer::register(gateway.address(), "ana").await?;
    let mut asleep = ana.connect().await?;
    ensure!(asleep.bye_without_a_word().await? == ByeCode::Idle);
    // Who answers pings stays, however little it has to say.
    let mut awake = ana.connect().await?;
    let stays = tokio::time::timeout(Duration::from_secs(13), awake.bye()).await;
    ensure!(stays.is_err(), "{stays:?}");
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}

async fn when_the_brokers_connection_breaks_everybody_is_told_to_ask(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let gateway = stage.gateway(GatewaySettings::default()).await?;
    let ana = Surfer::register(gateway.address(), "ana").await?;
    let bruno = Surfer::register(gateway.address(), "bruno").await?;
    let (mut at_ana, mut at_bruno) = (ana.connect().await?, bruno.connect().await?);
    at_ana.says(&ana.to(&bruno.user, "before")).await?;
    ensure!(at_bruno.message().await?.seq == Seq(1));
    stage.service.links().close().await;
    at_bruno
        .wait_for(|frame| matches!(frame, ServerFrame::Resync).then_some(()))
        .await?;
    let post = ana.to(&bruno.user, "after");
    while at_ana.hand_over(Command::Send(post.clone())).await.is_err() {}
    ensure!(at_bruno.message().await?.id == post.id);
    gateway.shutdown().await;
    stage.end().await;
    Ok(())
}
