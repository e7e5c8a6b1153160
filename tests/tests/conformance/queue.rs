//! Queues: declare, equivalence, exclusivity, auto-delete, delete, purge.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Options, declared};
use leveret_tests::raw::method::{self, consume_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};

use queue_bits::{AUTO_DELETE, DURABLE, EXCLUSIVE, PASSIVE};

leveret_tests::on_both_targets![
    the_server_makes_up_names_that_differ,
    a_name_prefix_replaces_the_usual_one,
    quorum_queues_need_a_name,
    the_reserved_prefix_is_refused,
    declare_ok_counts_ready_messages_and_consumers,
    a_passive_declare_of_a_missing_queue_is_not_found,
    a_passive_declare_compares_nothing,
    an_equal_declare_is_answered_again,
    unequal_properties_are_refused_in_order,
    an_unequal_argument_is_refused,
    a_missing_argument_is_unequal_to_a_present_one,
    integers_are_compared_by_value,
    unknown_arguments_never_conflict,
    the_type_classic_equals_no_type,
    transient_queues_are_permitted,
    deleting_a_missing_queue_is_answered,
    delete_if_empty_and_if_unused_are_conditions,
    delete_ok_counts_ready_messages,
    purge_removes_ready_messages_only,
    purging_a_missing_queue_is_not_found,
];

fn declare(queue: &str, bits: u8) -> method::Method {
    method::queue_declare(queue, bits, &Table::new())
}

fn not_found(queue: &str) -> String {
    format!("404c no queue '{queue}' in vhost '/'")
}

fn locked(queue: &str) -> String {
    format!(
        "405c cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be \
         originally declared on another connection or the exclusive property value does not match \
         that of the original declaration."
    )
}

/// Spec 4.1.1.
async fn the_server_makes_up_names_that_differ(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let mut names = Vec::new();
    for _ in 0..20 {
        let (name, messages, consumers) = declared(&client.ok(1, declare("", EXCLUSIVE)).await?)?;
        ensure!((messages, consumers) == (0, 0), "{messages} {consumers}");
        let random = name
            .strip_prefix("amq.gen-")
            .with_context(|| name.clone())?;
        let url_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        ensure!(random.len() == 22 && random.chars().all(url_safe), "{name}");
        names.push(name);
    }
    names.sort();
    names.dedup();
    ensure!(names.len() == 20, "{names:?}");
    Ok(())
}

/// Spec 4.1.1.
async fn a_name_prefix_replaces_the_usual_one(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let prefix = context.unique("prefix");
    let arguments = one("x-name-prefix", &prefix);
    let reply = client
        .ok(1, method::queue_declare("", EXCLUSIVE, &arguments))
        .await?;
    let (name, ..) = declared(&reply)?;
    let expected = context.differs("4.1.1", "amq.gen-", prefix.as_str())?;
    let random = name.strip_prefix(expected).with_context(|| name.clone())?;
    ensure!(random.len() >= 22, "{name}");
    let long = one("x-name-prefix", "x".repeat(65).as_str());
    let expected = context.differs("4.1.1", "ok", "406c…")?;
    client
        .call(1, method::queue_declare("", EXCLUSIVE, &long))
        .await?
        .expect(expected)
}

/// Spec 4.1.1.
async fn quorum_queues_need_a_name(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let quorum = method::queue_declare("", DURABLE, &one("x-queue-type", "quorum"));
    client
        .expect(
            1,
            quorum,
            "406c Cannot declare a server-named queue for type …",
        )
        .await
}

/// Spec 4.1.2. Also for a queue that exists; only a passive declare may name it.
async fn the_reserved_prefix_is_refused(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (given, ..) = declared(&client.ok(1, declare("", EXCLUSIVE)).await?)?;
    client.ok(1, declare(&given, PASSIVE)).await?;
    let name = format!("amq.{}", context.unique("q"));
    for reserved in [&given, &name] {
        let expected = format!("403c queue name '{reserved}' contains reserved prefix 'amq.*'");
        client
            .refused(1, declare(reserved, EXCLUSIVE), &expected)
            .await?;
    }
    client
        .refused(1, declare(&name, PASSIVE), &not_found(&name))
        .await
}

/// Spec 4.1.3.
async fn declare_ok_counts_ready_messages_and_consumers(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let reply = declared(&client.ok(1, declare(&queue, DURABLE)).await?)?;
    ensure!(reply == (queue.clone(), 0, 0), "{reply:?}");
    for n in 0..3 {
        client.put(1, &queue, n.to_string()).await?;
    }
    client.await_ready(1, &queue, 3).await?;
    client.get(1, &queue, false).await?.context("empty")?;
    client.ok(1, method::basic_qos(0, 1, false)).await?;
    for _ in 0..2 {
        client
            .ok(1, method::basic_consume(&queue, "", 0, &Table::new()))
            .await?;
    }
    client.await_ready(1, &queue, 0).await?;
    client.put(1, &queue, "ready").await?;
    client.await_ready(1, &queue, 1).await?;
    let reply = declared(&client.ok(1, declare(&queue, DURABLE)).await?)?;
    ensure!(reply == (queue, 1, 2), "{reply:?}");
    Ok(())
}

/// Spec 4.1.4.
async fn a_passive_declare_of_a_missing_queue_is_not_found(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.unique("nowhere");
    client
        .refused(1, declare(&queue, PASSIVE), &not_found(&queue))
        .await?;
    // An empty name does not stand for the last declared queue here.
    client.ok(1, declare(&context.queue("q"), 0)).await?;
    client
        .refused(1, declare("", PASSIVE), &not_found(""))
        .await
}

/// Spec 4.1.4.
async fn a_passive_declare_compares_nothing(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client.ok(1, declare(&queue, DURABLE)).await?;
    let other = one("x-message-ttl", "no integer").with("x-queue-type", "unheard-of");
    client
        .ok(
            1,
            method::queue_declare(&queue, PASSIVE | AUTO_DELETE, &other),
        )
        .await?;
    Ok(())
}

/// Spec 4.1.5.
async fn an_equal_declare_is_answered_again(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let arguments = one("x-message-ttl", 60_000).with("x-overflow", "drop-head");
    for _ in 0..3 {
        client
            .ok(1, method::queue_declare(&queue, DURABLE, &arguments))
            .await?;
    }
    Ok(())
}

/// Spec 4.1.5.
async fn unequal_properties_are_refused_in_order(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    let arguments = one("x-message-ttl", 1000);
    client
        .ok(1, method::queue_declare(&queue, DURABLE, &arguments))
        .await?;
    let unequal = |arg: &str, received: &str, current: &str| {
        format!(
            "406c inequivalent arg '{arg}' for queue '{queue}' in vhost '/': \
             received '{received}' but current is '{current}'"
        )
    };
    client
        .refused(
            1,
            declare(&queue, AUTO_DELETE),
            &unequal("durable", "false", "true"),
        )
        .await?;
    let both = declare(&queue, DURABLE | AUTO_DELETE);
    client
        .refused(1, both, &unequal("auto_delete", "true", "false"))
        .await?;
    client
        .refused(1, declare(&queue, DURABLE | EXCLUSIVE), &locked(&queue))
        .await
}

/// Spec 4.1.5.
async fn an_unequal_argument_is_refused(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for (name, current, received, texts) in [
        (
            "x-message-ttl",
            Value::I32(1000),
            Value::I32(2000),
            ("1000", "2000"),
        ),
        (
            "x-expires",
            Value::I32(600_000),
            Value::I64(600_001),
            ("600000", "600001"),
        ),
        ("x-max-length", Value::I32(1), Value::I32(2), ("1", "2")),
        (
            "x-max-length-bytes",
            Value::I32(1),
            Value::I32(2),
            ("1", "2"),
        ),
        ("x-max-priority", Value::I32(1), Value::I32(2), ("1", "2")),
        ("x-dead-letter-exchange", "a".into(), "b".into(), ("a", "b")),
        (
            "x-overflow",
            "drop-head".into(),
            "reject-publish".into(),
            ("drop-head", "reject-publish"),
        ),
        (
            "x-single-active-consumer",
            true.into(),
            false.into(),
            ("true", "false"),
        ),
    ] {
        let queue = context.queue("q");
        let declare = |value| method::queue_declare(&queue, DURABLE, &one(name, value));
        client.ok(1, declare(current)).await?;
        let expected = format!(
            "406c inequivalent arg '{name}' for queue '{queue}' in vhost '/': \
             received '{}' but current is '{}'",
            texts.1, texts.0
        );
        client.refused(1, declare(received), &expected).await?;
    }
    Ok(())
}

/// Spec 4.1.5.
async fn a_missing_argument_is_unequal_to_a_present_one(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (with, without) = (context.queue("with"), context.queue("without"));
    let ttl = one("x-message-ttl", 1000);
    client
        .ok(1, method::queue_declare(&with, DURABLE, &ttl))
        .await?;
    client.ok(1, declare(&without, DURABLE)).await?;
    let expected = format!(
        "406c inequivalent arg 'x-message-ttl' for queue '{with}' in vhost '/': \
         received none but current is the value '1000' of type 'signedint'"
    );
    client
        .refused(1, declare(&with, DURABLE), &expected)
        .await?;
    let expected = format!(
        "406c inequivalent arg 'x-message-ttl' for queue '{without}' in vhost '/': \
         received the value '1000' of type 'signedint' but current is none"
    );
    client
        .refused(1, method::queue_declare(&without, DURABLE, &ttl), &expected)
        .await
}

/// Spec 4.1.5.
async fn integers_are_compared_by_value(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    for width in [
        Value::I32(100),
        Value::I8(100),
        Value::U8(100),
        Value::I16(100),
        Value::U16(100),
        Value::U32(100),
        Value::I64(100),
        Value::UpperL(100),
    ] {
        client
            .ok(
                1,
                method::queue_declare(&queue, DURABLE, &one("x-max-length", width)),
            )
            .await?;
    }
    Ok(())
}

/// Spec 4.1.5.
async fn unknown_arguments_never_conflict(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    for value in [
        Value::I32(1),
        Value::text("two"),
        Value::Table(one("a", 1)),
        Value::Void,
    ] {
        let arguments = one("x-our-own", value).with("plain", true);
        client
            .ok(1, method::queue_declare(&queue, DURABLE, &arguments))
            .await?;
    }
    client.ok(1, declare(&queue, DURABLE)).await?;
    Ok(())
}

/// Spec 4.1.5.
async fn the_type_classic_equals_no_type(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let (first, second) = (context.queue("first"), context.queue("second"));
    let classic = one("x-queue-type", "classic");
    client.ok(1, declare(&first, DURABLE)).await?;
    client
        .ok(1, method::queue_declare(&first, DURABLE, &classic))
        .await?;
    client
        .ok(1, method::queue_declare(&second, DURABLE, &classic))
        .await?;
    client.ok(1, declare(&second, DURABLE)).await?;
    Ok(())
}

/// Spec 4.1.8. RabbitMQ 4.3 is asked by its configuration to permit them.
async fn transient_queues_are_permitted(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    client.ok(1, declare(&context.queue("q"), 0)).await?;
    client
        .ok(1, declare(&context.queue("q"), AUTO_DELETE))
        .await?;
    Ok(())
}

/// Spec 4.5.1.
async fn deleting_a_missing_queue_is_answered(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    for bits in [0, 1, 2, 3] {
        let reply = client
            .ok(1, method::queue_delete(&context.unique("q"), bits))
            .await?;
        ensure!(reply.method.arguments == [0; 4], "{reply:?}");
    }
    Ok(())
}

/// Spec 4.5.1.
async fn delete_if_empty_and_if_unused_are_conditions(context: &Context) -> Result<()> {
    const IF_UNUSED: u8 = 1;
    const IF_EMPTY: u8 = 2;
    let mut client = context.client().await?;
    client.open(2).await?;
    let queue = context.queue("q");
    client.ok(2, declare(&queue, DURABLE)).await?;
    client.ok(2, method::basic_qos(0, 1, false)).await?;
    client
        .ok(2, method::basic_consume(&queue, "c", 0, &Table::new()))
        .await?;
    for n in 0..2 {
        client.put(2, &queue, n.to_string()).await?;
    }
    client.await_ready(2, &queue, 1).await?;
    let not_empty = format!("406c queue '{queue}' in vhost '/' not empty");
    let in_use = format!("406c queue '{queue}' in vhost '/' in use");
    client
        .refused(1, method::queue_delete(&queue, IF_EMPTY), &not_empty)
        .await?;
    client
        .refused(1, method::queue_delete(&queue, IF_UNUSED), &in_use)
        .await?;
    client
        .refused(
            1,
            method::queue_delete(&queue, IF_UNUSED | IF_EMPTY),
            &not_empty,
        )
        .await?;
    client.take(1, &queue).await?;
    client
        .refused(
            1,
            method::queue_delete(&queue, IF_UNUSED | IF_EMPTY),
            &in_use,
        )
        .await?;
    client.ok(2, method::basic_cancel("c")).await?;
    // The delivered message is not settled, and does not count.
    client
        .ok(1, method::queue_delete(&queue, IF_UNUSED | IF_EMPTY))
        .await?;
    client
        .refused(1, declare(&queue, PASSIVE), &not_found(&queue))
        .await
}

/// Spec 4.5.1.
async fn delete_ok_counts_ready_messages(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.queue("q");
    client.ok(1, declare(&queue, DURABLE)).await?;
    for n in 0..3 {
        client.put(1, &queue, n.to_string()).await?;
    }
    client.await_ready(1, &queue, 3).await?;
    let held = client.get(1, &queue, false).await?.context("empty")?;
    let reply = client.ok(1, method::queue_delete(&queue, 0)).await?;
    ensure!(reply.method.arguments == [0, 0, 0, 2], "{reply:?}");
    // The tag of a message whose queue is gone settles nothing, without an error.
    client.send(1, &method::basic_ack(held.tag, false)).await?;
    client.ok(1, declare(&queue, DURABLE)).await?;
    ensure!(
        client.counts(1, &queue).await? == (0, 0),
        "messages of the old queue"
    );
    Ok(())
}

/// Spec 4.5.2.
async fn purge_removes_ready_messages_only(context: &Context) -> Result<()> {
    let mut client = context.client_with(&Options::default()).await?;
    let queue = context.queue("q");
    client.ok(1, declare(&queue, DURABLE)).await?;
    for n in 0..4 {
        client.put(1, &queue, n.to_string()).await?;
    }
    client.await_ready(1, &queue, 4).await?;
    let held = client.get(1, &queue, false).await?.context("empty")?;
    let reply = client.ok(1, method::queue_purge(&queue)).await?;
    ensure!(reply.method.arguments == [0, 0, 0, 3], "{reply:?}");
    client
        .send(1, &method::basic_reject(held.tag, true))
        .await?;
    client.await_ready(1, &queue, 1).await?;
    let consume = method::basic_consume(&queue, "c", consume_bits::NO_ACK, &Table::new());
    client.ok(1, consume).await?;
    ensure!(client.delivery(1).await?.text() == "0", "delivery");
    Ok(())
}

/// Spec 4.5.2.
async fn purging_a_missing_queue_is_not_found(context: &Context) -> Result<()> {
    let mut client = context.client().await?;
    let queue = context.unique("nowhere");
    client
        .expect(1, method::queue_purge(&queue), &not_found(&queue))
        .await
}
