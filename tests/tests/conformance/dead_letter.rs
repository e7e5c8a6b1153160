//! Dead letters: why, where to, and what they carry.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Delivery};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

use super::dying::{
    causes, deaths, died, dying_to, exchange, header, headers, put_expiring, put_many, queue,
    take_dead, with_graveyard,
};

leveret_tests::on_both_targets![
    rejected_messages_are_dead_lettered,
    an_expired_message_loses_its_expiration_and_remembers_it,
    what_is_too_much_is_dead_lettered,
    the_table_of_deaths_is_complete,
    the_same_death_again_counts_on_and_moves_to_the_front,
    the_first_and_the_last_death_have_headers_of_their_own,
    a_letter_is_delivered_with_its_new_address,
    a_letter_begins_a_new_life,
    without_a_key_of_its_own_a_letter_keeps_all_its_keys,
    a_key_of_its_own_replaces_all_keys,
    letters_to_nowhere_vanish,
    an_alternate_exchange_takes_what_cannot_be_routed,
    properties_and_headers_survive_death,
    what_a_publisher_says_of_deaths_means_nothing,
    a_circle_ends_where_nobody_rejects,
    a_circle_goes_on_where_somebody_rejects,
    letters_keep_their_order,
    a_long_chain_of_queues_is_gone_through,
    deleting_and_purging_dead_letter_nothing,
    a_rejection_in_a_transaction_takes_effect_at_its_commit,
    a_letter_for_a_full_queue_that_rejects_is_lost,
    a_letter_goes_to_every_queue_that_is_bound,
    what_fails_too_often_is_dead_lettered,
];

/// A queue that sends its dead to an exchange, under their own keys.
fn dying_through(exchange: &str) -> Table {
    one("x-dead-letter-exchange", exchange)
}

async fn bind(client: &mut Client, queue: &str, exchange: &str, key: &str) -> Result<()> {
    let bind = method::queue_bind(queue, exchange, key, &Table::new());
    client.ok(1, bind).await?;
    Ok(())
}

async fn reject_next(client: &mut Client, queue: &str) -> Result<()> {
    client.await_ready(1, queue, 1).await?;
    let got = client.get(1, queue, false).await?.context("empty")?;
    client.send(1, &method::basic_reject(got.tag, false)).await
}

/// Spec 7.2.1. Spec 5.5.3.
async fn rejected_messages_are_dead_lettered(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    put_many(&mut client, &queue, 4).await?;
    client.await_ready(1, &queue, 4).await?;
    let mut tags = Vec::new();
    for _ in 0..4 {
        tags.push(client.get(1, &queue, false).await?.context("empty")?.tag);
    }
    for settle in [
        method::basic_reject(tags[0], false),
        method::basic_nack(tags[1], false, false),
        method::basic_nack(tags[3], true, false),
    ] {
        client.send(1, &settle).await?;
    }
    client.await_ready(1, &dead, 4).await?;
    for number in 1..=4 {
        let letter = client.take(1, &dead).await?;
        ensure!(letter.text() == number.to_string(), "{letter:?}");
        died(&letter, &queue, "rejected")?;
    }
    client.expect_ready(1, &queue, 0).await
}

/// Spec 7.2.3. Spec 7.2.4.
async fn an_expired_message_loses_its_expiration_and_remembers_it(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    put_expiring(&mut client, &queue, "60", "by age").await?;
    let letter = take_dead(&mut client, &dead).await?;
    died(&letter, &queue, "expired")?;
    put_expiring(&mut client, &queue, "60000", "by hand").await?;
    reject_next(&mut client, &queue).await?;
    let other = take_dead(&mut client, &dead).await?;
    died(&other, &queue, "rejected")?;
    for (letter, expiration) in [(letter, "60"), (other, "60000")] {
        let now = &letter.content.properties.expiration;
        ensure!(now.is_none(), "{now:?}");
        let death = &deaths(&letter)?[0];
        let original = death.value("original-expiration");
        ensure!(original == Some(&Value::text(expiration)), "{death:?}");
    }
    Ok(())
}

/// Spec 7.2.1. Spec 7.3.1.
async fn what_is_too_much_is_dead_lettered(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let limits = [
        [("x-max-length", Value::I32(2))],
        [("x-max-length-bytes", Value::I32(2))],
    ];
    for limit in limits {
        let (queue, dead) = with_graveyard(context, &mut client, &limit).await?;
        put_many(&mut client, &queue, 5).await?;
        client.await_ready(1, &dead, 3).await?;
        for number in 1..=3 {
            let letter = client.take(1, &dead).await?;
            ensure!(letter.text() == number.to_string(), "{letter:?}");
            died(&letter, &queue, "maxlen")?;
        }
        let left = client.take_all(1, &queue).await?;
        ensure!(left == ["4", "5"], "{left:?}");
    }
    Ok(())
}

fn seconds() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// Spec 7.2.4.
async fn the_table_of_deaths_is_complete(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    let source = exchange(context, &mut client, "source", "direct").await?;
    bind(&mut client, &queue, &source, "key").await?;
    let copies = one("CC", vec![Value::text("copy")]).with("BCC", vec![Value::text("blind")]);
    let properties = Properties {
        expiration: Some("123456".to_owned()),
        ..Properties::with_headers(copies)
    };
    let before = seconds()?;
    let publish = method::basic_publish(&source, "key", 0);
    client.publish(1, publish, &properties, "body").await?;
    reject_next(&mut client, &queue).await?;
    let letter = take_dead(&mut client, &dead).await?;
    let after = seconds()?;
    let deaths = deaths(&letter)?;
    ensure!(deaths.len() == 1, "{deaths:?}");
    let death = deaths[0].clone();
    ensure!(death.0[0].0 == "original-expiration", "{death:?}");
    let Some(Value::Timestamp(time)) = death.value("time") else {
        anyhow::bail!("no time in {death:?}");
    };
    ensure!((before..=after).contains(time), "{time}");
    let keys = vec![Value::text("key"), Value::text("copy")];
    let expected = Table::new()
        .with("original-expiration", "123456")
        .with("count", 1_i64)
        .with("reason", "rejected")
        .with("queue", &queue)
        .with("time", Value::Timestamp(*time))
        .with("exchange", &source)
        .with("routing-keys", keys);
    ensure!(death.clone().sorted() == expected.sorted(), "{death:?}");
    Ok(())
}

/// Spec 7.2.5.
async fn the_same_death_again_counts_on_and_moves_to_the_front(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let wait = context.queue("wait");
    let work = queue(context, &mut client, "work", &dying_to(&wait)).await?;
    let arguments = dying_to(&work).with("x-message-ttl", 50);
    let declare = method::queue_declare(&wait, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    client.put(1, &work, "again and again").await?;
    for _ in 0..3 {
        reject_next(&mut client, &work).await?;
    }
    let letter = take_dead(&mut client, &work).await?;
    let expected = [
        (wait.clone(), "expired".to_owned(), 3),
        (work.clone(), "rejected".to_owned(), 3),
    ];
    ensure!(causes(&letter)? == expected, "{:?}", causes(&letter)?);
    // Address and key are those of the first time.
    let deaths = deaths(&letter)?;
    let keys = |death: &Table| death.value("routing-keys").cloned();
    ensure!(keys(&deaths[1]) == Some(vec![Value::text(&work)].into()));
    ensure!(keys(&deaths[0]) == Some(vec![Value::text(&wait)].into()));
    Ok(())
}

/// Spec 7.2.6.
async fn the_first_and_the_last_death_have_headers_of_their_own(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let last = queue(context, &mut client, "last", &Table::new()).await?;
    let fan = exchange(context, &mut client, "fan", "fanout").await?;
    let arguments = dying_to(&last).with("x-max-length", 0);
    let second = queue(context, &mut client, "second", &arguments).await?;
    bind(&mut client, &second, &fan, "").await?;
    let first = queue(context, &mut client, "first", &dying_through(&fan)).await?;
    client.put(1, &first, "twice").await?;
    reject_next(&mut client, &first).await?;
    let letter = take_dead(&mut client, &last).await?;
    for (name, expected) in [
        ("x-first-death-reason", "rejected"),
        ("x-first-death-queue", &first),
        ("x-first-death-exchange", ""),
        ("x-last-death-reason", "maxlen"),
        ("x-last-death-queue", &second),
        ("x-last-death-exchange", &fan),
    ] {
        let value = header(&letter, name)?;
        ensure!(value == expected, "{name} is {value}");
    }
    Ok(())
}

/// Spec 7.2.8.
async fn a_letter_is_delivered_with_its_new_address(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let dlx = exchange(context, &mut client, "dlx", "topic").await?;
    let dead = queue(context, &mut client, "dead", &Table::new()).await?;
    bind(&mut client, &dead, &dlx, "#").await?;
    let plain = queue(context, &mut client, "plain", &dying_through(&dlx)).await?;
    let keyed = dying_through(&dlx).with("x-dead-letter-routing-key", "new.key");
    let keyed = queue(context, &mut client, "keyed", &keyed).await?;
    for (queue, key) in [(&plain, plain.as_str()), (&keyed, "new.key")] {
        client.put(1, queue, "body").await?;
        reject_next(&mut client, queue).await?;
        let letter = take_dead(&mut client, &dead).await?;
        let address = (letter.exchange.as_str(), letter.routing_key.as_str());
        ensure!(address == (&dlx, key), "{address:?}");
    }
    Ok(())
}

/// Spec 7.2.8.
async fn a_letter_begins_a_new_life(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let limit = [("x-max-length", Value::I32(1))];
    let (queue, dead) = with_graveyard(context, &mut client, &limit).await?;
    put_many(&mut client, &queue, 2).await?;
    let too_much = take_dead(&mut client, &dead).await?;
    ensure!(!too_much.redelivered, "{too_much:?}");
    reject_next(&mut client, &queue).await?;
    let rejected = take_dead(&mut client, &dead).await?;
    let expected = context.differs("7.2.8", true, false)?;
    ensure!(rejected.redelivered == expected, "{rejected:?}");
    Ok(())
}

/// A message with a key, a copy and a blind copy, dead-lettered by a queue with these arguments.
async fn die_with_copies(
    context: &Context,
    client: &mut Client,
    dlx: &str,
    arguments: &Table,
) -> Result<[Option<Delivery>; 4]> {
    let mut queues = Vec::new();
    for key in ["key", "copy", "blind", "other"] {
        let dead = queue(context, client, key, &Table::new()).await?;
        bind(client, &dead, dlx, key).await?;
        queues.push(dead);
    }
    let queue = queue(context, client, "q", arguments).await?;
    let source = exchange(context, client, "source", "direct").await?;
    bind(client, &queue, &source, "key").await?;
    let copies = one("CC", vec![Value::text("copy")]).with("BCC", vec![Value::text("blind")]);
    let publish = method::basic_publish(&source, "key", 0);
    let properties = Properties::with_headers(copies);
    client.publish(1, publish, &properties, "body").await?;
    reject_next(client, &queue).await?;
    client.flush(1, &queue).await?;
    let mut letters = [const { None }; 4];
    for (letter, queue) in letters.iter_mut().zip(&queues) {
        client.flush(1, queue).await?;
        *letter = client.get(1, queue, true).await?;
    }
    Ok(letters)
}

/// Spec 7.2.2. Spec 5.1.8.
async fn without_a_key_of_its_own_a_letter_keeps_all_its_keys(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let dlx = exchange(context, &mut client, "dlx", "direct").await?;
    let letters = die_with_copies(context, &mut client, &dlx, &dying_through(&dlx)).await?;
    let [Some(key), Some(copy), Some(blind), None] = letters else {
        anyhow::bail!("{letters:?}");
    };
    for letter in [key, copy, blind] {
        ensure!(letter.routing_key == "key", "{letter:?}");
        let headers = headers(&letter)?;
        let copies = vec![Value::text("copy")].into();
        ensure!(headers.value("CC") == Some(&copies), "{headers:?}");
        ensure!(headers.value("BCC").is_none(), "{headers:?}");
    }
    Ok(())
}

/// Spec 7.2.2.
async fn a_key_of_its_own_replaces_all_keys(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let dlx = exchange(context, &mut client, "dlx", "direct").await?;
    let arguments = dying_through(&dlx).with("x-dead-letter-routing-key", "other");
    let letters = die_with_copies(context, &mut client, &dlx, &arguments).await?;
    let [None, None, None, Some(letter)] = letters else {
        anyhow::bail!("{letters:?}");
    };
    ensure!(letter.routing_key == "other", "{letter:?}");
    let shows_copies = headers(&letter)?.value("CC").is_some();
    ensure!(
        shows_copies == context.differs("7.2.2", true, false)?,
        "{letter:?}"
    );
    Ok(())
}

/// Spec 7.2.2.
async fn letters_to_nowhere_vanish(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let unbound = exchange(context, &mut client, "unbound", "fanout").await?;
    let missing = context.unique("missing");
    for dlx in [&unbound, &missing] {
        let arguments = dying_through(dlx).with("x-max-length", 1);
        let queue = queue(context, &mut client, "q", &arguments).await?;
        put_many(&mut client, &queue, 3).await?;
        client.expect_ready(1, &queue, 1).await?;
        reject_next(&mut client, &queue).await?;
        client.expect_ready(1, &queue, 0).await?;
    }
    Ok(())
}

/// Spec 7.2.2.
async fn an_alternate_exchange_takes_what_cannot_be_routed(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let fallback = exchange(context, &mut client, "fallback", "fanout").await?;
    let dead = queue(context, &mut client, "dead", &Table::new()).await?;
    bind(&mut client, &dead, &fallback, "").await?;
    let dlx = context.exchange("dlx");
    let alternate = one("alternate-exchange", &fallback);
    let declare = method::exchange_declare(&dlx, "direct", 0, &alternate);
    client.ok(1, declare).await?;
    let queue = queue(context, &mut client, "q", &dying_through(&dlx)).await?;
    client.put(1, &queue, "body").await?;
    reject_next(&mut client, &queue).await?;
    let letter = take_dead(&mut client, &dead).await?;
    ensure!(letter.exchange == dlx, "{letter:?}");
    Ok(())
}

/// Spec 7.2.4. Spec 7.2.8.
async fn properties_and_headers_survive_death(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    let properties = Properties {
        content_type: Some("text/plain".to_owned()),
        delivery_mode: Some(2),
        priority: Some(4),
        correlation_id: Some("c".to_owned()),
        message_id: Some("m".to_owned()),
        timestamp: Some(17),
        kind: Some("kind".to_owned()),
        app_id: Some("app".to_owned()),
        ..Properties::with_headers(one("own", 7).with("bytes", Value::Bytes(vec![0, 255])))
    };
    let publish = method::basic_publish("", &queue, 0);
    client.publish(1, publish, &properties, "body").await?;
    reject_next(&mut client, &queue).await?;
    let letter = take_dead(&mut client, &dead).await?;
    ensure!(letter.text() == "body", "{letter:?}");
    let table = headers(&letter)?;
    ensure!(table.value("own") == Some(&Value::I32(7)), "{table:?}");
    let mut rest = letter.content.properties.clone();
    rest.headers.clone_from(&properties.headers);
    ensure!(rest == properties, "{rest:?}");
    Ok(())
}

/// Spec 5.1.10. Spec 7.2.7.
async fn what_a_publisher_says_of_deaths_means_nothing(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    let forged = Table::new()
        .with("count", 70_i64)
        .with("reason", "expired")
        .with("queue", &dead)
        .with("time", Value::Timestamp(1))
        .with("exchange", "")
        .with("routing-keys", vec![Value::text("k")]);
    let forged = one("x-death", vec![Value::Table(forged)])
        .with("x-first-death-queue", "forged")
        .with("x-last-death-queue", "forged");
    let properties = Properties {
        expiration: Some("50".to_owned()),
        ..Properties::with_headers(forged)
    };
    let publish = method::basic_publish("", &queue, 0);
    client.publish(1, publish, &properties, "body").await?;
    let letter = take_dead(&mut client, &dead).await?;
    died(&letter, &queue, "expired")?;
    for name in ["x-first-death-queue", "x-last-death-queue"] {
        let value = header(&letter, name)?;
        ensure!(value == queue, "{name} is {value}");
    }
    Ok(())
}

/// Spec 7.2.7.
async fn a_circle_ends_where_nobody_rejects(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    // A queue that leads to itself.
    let own = context.queue("own");
    let arguments = dying_to(&own).with("x-message-ttl", 20);
    let declare = method::queue_declare(&own, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    client.put(1, &own, "once").await?;
    // Two that lead to one another, by age and by length.
    let second = context.queue("second");
    let arguments = dying_to(&second).with("x-message-ttl", 20);
    let first = queue(context, &mut client, "first", &arguments).await?;
    let arguments = dying_to(&first).with("x-max-length", 0);
    let declare = method::queue_declare(&second, queue_bits::DURABLE, &arguments);
    client.ok(1, declare).await?;
    client.put(1, &first, "once").await?;
    let later = [("x-message-ttl", Value::I32(300))];
    let (clock, rung) = with_graveyard(context, &mut client, &later).await?;
    client.put(1, &clock, "clock").await?;
    client.await_ready(1, &rung, 1).await?;
    for queue in [own, first, second] {
        client.expect_ready(1, &queue, 0).await?;
    }
    Ok(())
}

/// Spec 7.2.7.
async fn a_circle_goes_on_where_somebody_rejects(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let own = context.queue("own");
    let declare = method::queue_declare(&own, queue_bits::DURABLE, &dying_to(&own));
    client.ok(1, declare).await?;
    client.put(1, &own, "for ever").await?;
    for _ in 0..5 {
        reject_next(&mut client, &own).await?;
    }
    let letter = take_dead(&mut client, &own).await?;
    let expected = [(own, "rejected".to_owned(), 5)];
    ensure!(causes(&letter)? == expected, "{:?}", causes(&letter)?);
    Ok(())
}

/// Spec 7.2.9.
async fn letters_keep_their_order(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let limit = [("x-max-length", Value::I32(10))];
    let (queue, dead) = with_graveyard(context, &mut client, &limit).await?;
    put_many(&mut client, &queue, 1_010).await?;
    client.await_ready(1, &dead, 1_000).await?;
    let letters = client.take_all(1, &dead).await?;
    let expected: Vec<String> = (1..=1_000).map(|number| number.to_string()).collect();
    ensure!(letters == expected, "{letters:?}");
    Ok(())
}

/// Spec 7.2.9.
async fn a_long_chain_of_queues_is_gone_through(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let last = queue(context, &mut client, "last", &Table::new()).await?;
    let mut next = last.clone();
    for _ in 0..200 {
        let arguments = dying_to(&next).with("x-max-length", 0);
        next = queue(context, &mut client, "link", &arguments).await?;
    }
    put_many(&mut client, &next, 20).await?;
    client.await_ready(1, &last, 20).await?;
    let letter = client.take(1, &last).await?;
    ensure!(deaths(&letter)?.len() == 200);
    Ok(())
}

/// Spec 7.2.1. Spec 4.5.1. Spec 4.5.2.
async fn deleting_and_purging_dead_letter_nothing(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    put_many(&mut client, &queue, 2).await?;
    client.await_ready(1, &queue, 2).await?;
    client.ok(1, method::queue_purge(&queue)).await?;
    put_many(&mut client, &queue, 2).await?;
    client.await_ready(1, &queue, 2).await?;
    client.ok(1, method::queue_delete(&queue, 0)).await?;
    client.expect_ready(1, &dead, 0).await
}

/// Spec 6.2.3. Spec 7.2.1.
async fn a_rejection_in_a_transaction_takes_effect_at_its_commit(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.open(2).await?;
    client.ok(2, method::tx_select()).await?;
    let (queue, dead) = with_graveyard(context, &mut client, &[]).await?;
    client.put(1, &queue, "body").await?;
    client.await_ready(1, &queue, 1).await?;
    let got = client.get(2, &queue, false).await?.context("empty")?;
    client
        .send(2, &method::basic_reject(got.tag, false))
        .await?;
    client.expect_ready(2, &dead, 0).await?;
    client.ok(2, method::tx_commit()).await?;
    let letter = take_dead(&mut client, &dead).await?;
    died(&letter, &queue, "rejected")
}

/// Spec 7.3.2.
async fn a_letter_for_a_full_queue_that_rejects_is_lost(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let arguments = one("x-max-length", 1).with("x-overflow", "reject-publish");
    let full = queue(context, &mut client, "full", &arguments).await?;
    client.put(1, &full, "first").await?;
    client.await_ready(1, &full, 1).await?;
    let queue = queue(context, &mut client, "q", &dying_to(&full)).await?;
    client.put(1, &queue, "second").await?;
    reject_next(&mut client, &queue).await?;
    client.expect_ready(1, &queue, 0).await?;
    client.expect_ready(1, &full, 1).await?;
    let left = client.take_all(1, &full).await?;
    ensure!(left == ["first"], "{left:?}");
    Ok(())
}

/// Spec 7.2.2.
async fn a_letter_goes_to_every_queue_that_is_bound(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let dlx = exchange(context, &mut client, "dlx", "fanout").await?;
    let mut bound = Vec::new();
    for _ in 0..20 {
        let dead = queue(context, &mut client, "dead", &Table::new()).await?;
        bind(&mut client, &dead, &dlx, "").await?;
        bound.push(dead);
    }
    let queue = queue(context, &mut client, "q", &dying_through(&dlx)).await?;
    client.put(1, &queue, "body").await?;
    reject_next(&mut client, &queue).await?;
    for dead in bound {
        let letter = take_dead(&mut client, &dead).await?;
        died(&letter, &queue, "rejected")?;
    }
    Ok(())
}

/// Spec 5.5.7. Spec 4.4.3. Spec 7.2.1.
async fn what_fails_too_often_is_dead_lettered(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let limit = [
        ("x-queue-type", Value::text("quorum")),
        ("x-delivery-limit", Value::I32(2)),
    ];
    let (queue, dead) = with_graveyard(context, &mut client, &limit).await?;
    client.put(1, &queue, "fails").await?;
    for failures in 0..=2 {
        client.await_ready(1, &queue, 1).await?;
        let got = client.get(1, &queue, false).await?.context("empty")?;
        let table = got.content.properties.headers.clone().unwrap_or_default();
        let count = table.value("x-delivery-count").and_then(Value::integer);
        let expected = (failures > 0).then_some(failures);
        ensure!(count == expected, "{count:?} after {failures} failures");
        client.send(1, &method::basic_reject(got.tag, true)).await?;
    }
    let letter = take_dead(&mut client, &dead).await?;
    died(&letter, &queue, "delivery_limit")?;
    client.expect_ready(1, &queue, 0).await
}
