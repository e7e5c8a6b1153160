//! What goes wrong, and what an operator does about it.

use anyhow::{Result, bail, ensure};
use leveret_chat::accounts::AccountError;
use leveret_chat::amqp::{BrokerUrl, Link};
use leveret_chat::operator::{self, Outcome, Verdict};
use leveret_chat::planted::Planted;
use leveret_chat::settings::Settings;
use leveret_client::message::{Event, Post, RejectionCode, Seq};
use leveret_tests::Context;

use crate::stage::{Online, Person, Stage, shards, text};

chat_tests!(
    a_message_that_brings_its_router_down_becomes_a_dead_letter_and_nobody_else_is_affected,
    who_guesses_passwords_has_to_wait,
    policies_that_an_operator_has_changed_are_left_and_named,
);

/// The body that the planted fault answers to.
const POISON: &str = "the planted word";

async fn a_message_that_brings_its_router_down_becomes_a_dead_letter_and_nobody_else_is_affected(
    context: &Context,
) -> Result<()> {
    let settings = Settings {
        planted: Planted {
            poison: Some(POISON.to_owned()),
            ..Planted::default()
        },
        ..Settings::default()
    };
    let stage = Stage::with(context, settings).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let (at_ana, at_bruno) = (ana.connect().await?, bruno.connect().await?);
    let poisoned = talk_around_poison(&ana, &bruno, &at_ana, &at_bruno).await?;
    let broker = BrokerUrl::parse(&stage.url).map_err(anyhow::Error::msg)?;
    let link = Link::open(&broker, "an operator").await?;
    let mut ids = Vec::new();
    let look = operator::dead_letters(&link, &broker, shards(), |letter| {
        ids.push((
            letter.id,
            letter.sender.as_ref().map(|sender| sender.user.clone()),
        ));
        Verdict::Keep
    });
    ensure!(
        look.await?
            == Outcome {
                kept: 1,
                ..Outcome::default()
            }
    );
    ensure!(ids == [(Some(poisoned.id), Some(ana.user.clone()))]);

    // The router is mended; the dead letter is sent again, and is Ana's.
    let stage = stage.restart_with(Settings::default()).await?;
    let replayed = operator::dead_letters(&link, &broker, shards(), |_| Verdict::Replay);
    ensure!(
        replayed.await?
            == Outcome {
                replayed: 1,
                ..Outcome::default()
            }
    );
    let message = at_bruno.message().await?;
    ensure!(message.id == poisoned.id && message.from == ana.user && message.seq == Seq(22));
    let nothing = operator::dead_letters(&link, &broker, shards(), |_| Verdict::Drop);
    ensure!(nothing.await? == Outcome::default());
    let depths = operator::shards(&link, shards()).await?;
    ensure!(
        depths.len() == 4 && depths.iter().all(|(_, depth)| depth.consumers == 1),
        "{depths:?}"
    );
    link.close().await;
    stage.end().await;
    Ok(())
}

/// Sends a message that brings its router down, and others before and behind it in the same conversation,
/// and so in the same shard: these arrive, and that one is refused.
async fn talk_around_poison(
    ana: &Person,
    bruno: &Person,
    at_ana: &Online<'_>,
    at_bruno: &Online<'_>,
) -> Result<Post> {
    let before = ana.to(bruno, "before");
    let poisoned = ana.to(bruno, POISON);
    let after: Vec<_> = (0..20)
        .map(|number| ana.to(bruno, &format!("after {number}")))
        .collect();
    at_ana.send(&before).await?;
    at_ana.send(&poisoned).await?;
    for post in &after {
        at_ana.send(post).await?;
    }
    let said = ["before".to_owned()].into_iter();
    let said = said.chain((0..20).map(|number| format!("after {number}")));
    for (place, said) in (1..).map(Seq).zip(said) {
        let message = at_bruno.message().await?;
        ensure!(
            message.seq == place && text(&message)? == said,
            "{message:?}"
        );
    }
    let rejected = at_ana.wait_for(|event| match event {
        Event::Rejected(rejected) => Some(rejected),
        _ => None,
    });
    let rejected = rejected.await?;
    ensure!(rejected.id == poisoned.id && rejected.code == RejectionCode::Poison);
    Ok(poisoned)
}

async fn who_guesses_passwords_has_to_wait(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let ana = stage.person("ana").await?;
    let bruno = stage.person("bruno").await?;
    let login = |person: &Person, password: &str| {
        let (handle, password) = (person.account.handle.clone(), password.to_owned());
        let accounts = &stage.accounts;
        async move {
            accounts
                .login(&handle, password, None, "a guess")
                .await
                .map(drop)
        }
    };
    for _ in 0..10 {
        ensure!(login(&ana, "a wrong password").await == Err(AccountError::Wrong));
    }
    for guess in ["a wrong password", "ana's password"] {
        ensure!(login(&ana, guess).await == Err(AccountError::Throttled));
    }
    // Nobody else has to wait.
    let Ok(()) = login(&bruno, "bruno's password").await else {
        bail!("bruno does not get in");
    };
    stage.end().await;
    Ok(())
}

async fn policies_that_an_operator_has_changed_are_left_and_named(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let mut policies = leveret_chat::topology::Topology::new(shards()).policies;
    ensure!(stage.management.set_policies(&policies).await?.is_empty());
    // What the chat wants is another thing now: as if the operator had changed what is there.
    policies[0]
        .definition
        .insert("max-length", leveret_chat::topology::Value::Number(5));
    let drift = stage.management.set_policies(&policies).await?;
    ensure!(
        drift.len() == 1 && drift[0].contains("chat-send"),
        "{drift:?}"
    );
    ensure!(
        drift[0].contains("200000"),
        "what is there is left: {drift:?}"
    );
    stage.end().await;
    Ok(())
}
