//! Policies and operator policies: set over HTTP, seen from AMQP.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::management::segment;
use leveret_tests::raw::PATIENCE;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, exchange_bits, queue_bits};
use leveret_tests::raw::value::{Table, one};
use serde_json::{Value, json};

leveret_tests::on_both_targets![
    a_policy_is_listed_as_it_was_set,
    a_policy_applies_to_queues_that_are_there_and_that_come,
    a_lower_limit_trims_what_is_there,
    a_policys_time_to_live_is_for_what_comes,
    the_policy_of_highest_priority_holds,
    a_pattern_is_searched_for_in_the_name,
    a_policy_for_exchanges_leaves_queues_alone,
    a_setting_unknown_to_the_type_keeps_the_whole_policy_away,
    of_two_limits_the_smaller_holds,
    of_two_texts_the_argument_holds,
    an_operator_policy_caps_a_policy,
    an_exchange_gets_its_alternate_by_policy,
    a_policy_that_is_gone_does_nothing,
];

/// Policies of one test; all of them are about names with its prefix.
struct Policies<'a> {
    context: &'a Context,
    prefix: String,
    set: Vec<String>,
}

impl<'a> Policies<'a> {
    fn new(context: &'a Context) -> Self {
        Self {
            prefix: context.unique("p"),
            context,
            set: Vec::new(),
        }
    }

    /// A name that the policies are about.
    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn body(&self, definition: Value, more: Value) -> Value {
        let mut body = json!({ "pattern": format!("^{}", self.prefix), "definition": definition });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        body
    }

    async fn put(&mut self, kind: &str, name: &str, body: Value) -> Result<()> {
        let path = format!("{kind}/%2F/{}", self.name(name));
        self.context
            .management()?
            .done("PUT", &path, Some(body))
            .await?;
        self.set.push(path);
        Ok(())
    }

    /// Sets a policy for everything with the prefix.
    async fn user(&mut self, name: &str, definition: Value) -> Result<()> {
        let body = self.body(definition, json!({}));
        self.put("policies", name, body).await
    }

    /// Sets an operator policy for everything with the prefix.
    async fn operator(&mut self, name: &str, definition: Value) -> Result<()> {
        let body = self.body(definition, json!({}));
        self.put("operator-policies", name, body).await
    }

    async fn clear(&mut self) -> Result<()> {
        for path in self.set.drain(..) {
            // Deleting it may have been a part of the test.
            self.context
                .management()?
                .send("DELETE", &path, None)
                .await?;
        }
        Ok(())
    }
}

async fn declare(client: &mut Client, queue: &str, arguments: &Table) -> Result<()> {
    let declare = method::queue_declare(queue, queue_bits::DURABLE, arguments);
    client.ok(1, declare).await.map(drop)
}

async fn delete(client: &mut Client, queue: &str) -> Result<()> {
    client.ok(1, method::queue_delete(queue, 0)).await.map(drop)
}

/// What leaves a queue room for so many messages.
fn room(max: u32) -> Value {
    json!({ "max-length": max, "overflow": "reject-publish" })
}

/// Waits until the API shows that a policy holds for a queue, and what it says.
async fn await_policy(
    context: &Context,
    queue: &str,
    policy: &str,
    definition: &Value,
) -> Result<()> {
    let path = format!("queues/%2F/{}", segment(queue));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let row = context.management()?.get(&path).await?.body;
        if row["policy"] == policy && row["effective_policy_definition"] == *definition {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{row}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Puts six messages into a queue until, as soon as the policies have come through, so many find
/// room.
async fn await_room(client: &mut Client, queue: &str, room: u32) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        client.ok(1, method::queue_purge(queue)).await?;
        for number in 0..6 {
            client.put(1, queue, number.to_string()).await?;
        }
        client.flush(1, queue).await?;
        let (ready, _) = client.counts(1, queue).await?;
        if ready == room {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{queue} has {ready} places");
    }
}

/// Spec 7.7.1.
async fn a_policy_is_listed_as_it_was_set(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let api = context.management()?;
    let name = policies.name("one");
    let path = format!("policies/%2F/{name}");
    let body = policies.body(
        json!({ "max-length": 5, "dead-letter-exchange": "x" }),
        json!({ "priority": 7, "apply-to": "queues" }),
    );
    policies.put("policies", "one", body.clone()).await?;
    let again = api.send("PUT", &path, Some(body.clone())).await?;
    ensure!(again.status == 204, "{again:?}");
    let shown = api.get(&path).await?.body;
    let mut expected = body;
    expected["vhost"] = json!("/");
    expected["name"] = json!(name);
    ensure!(shown == expected, "{shown}");
    let all = api.get("policies/%2F").await?.body;
    let all = all.as_array().context("a list")?;
    ensure!(all.contains(&expected), "it is not in the list");
    policies.clear().await?;
    let gone = api.get(&path).await?;
    ensure!(
        gone.notation() == "404 Object Not Found: Not Found",
        "{gone:?}"
    );
    let again = api.send("DELETE", &path, None).await?;
    ensure!(again.status == 404, "{again:?}");
    Ok(())
}

/// Spec 7.7.6. Spec 7.3.3.
async fn a_policy_applies_to_queues_that_are_there_and_that_come(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let (early, late) = (policies.name("early"), policies.name("late"));
    let mut client = context.client().await?;
    declare(&mut client, &early, &Table::new()).await?;
    policies.user("p", room(2)).await?;
    declare(&mut client, &late, &Table::new()).await?;
    for queue in [&early, &late] {
        await_room(&mut client, queue, 2).await?;
    }
    policies.user("p", room(4)).await?;
    for queue in [&early, &late] {
        await_room(&mut client, queue, 4).await?;
        delete(&mut client, queue).await?;
    }
    policies.clear().await
}

/// Spec 7.3.3. Spec 7.2.1. The oldest go, in their order.
async fn a_lower_limit_trims_what_is_there(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let (queue, grave) = (policies.name("q"), context.queue("grave"));
    let mut client = context.client().await?;
    declare(&mut client, &grave, &Table::new()).await?;
    let arguments =
        one("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", grave.as_str());
    declare(&mut client, &queue, &arguments).await?;
    for number in 0..10 {
        client.put(1, &queue, number.to_string()).await?;
    }
    client.await_ready(1, &queue, 10).await?;
    for (definition, ready) in [
        (json!({ "max-length": 6 }), 6),
        (json!({ "max-length-bytes": 2 }), 2),
    ] {
        policies.user("p", definition).await?;
        client.expect_ready(1, &queue, ready).await?;
    }
    client.await_ready(1, &grave, 8).await?;
    let dead = client.take_all(1, &grave).await?;
    ensure!(dead == ["0", "1", "2", "3", "4", "5", "6", "7"], "{dead:?}");
    let left = client.take_all(1, &queue).await?;
    ensure!(left == ["8", "9"], "{left:?}");
    delete(&mut client, &queue).await?;
    policies.clear().await
}

/// Spec 7.1.3. What was there before has no deadline, and hides what expires behind it.
async fn a_policys_time_to_live_is_for_what_comes(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let (queue, other) = (policies.name("q"), policies.name("other"));
    let mut client = context.client().await?;
    for queue in [&queue, &other] {
        declare(&mut client, queue, &Table::new()).await?;
    }
    client.put(1, &queue, "before").await?;
    client.await_ready(1, &queue, 1).await?;
    policies.user("p", json!({ "message-ttl": 1 })).await?;
    // In the other queue it shows when the policy holds.
    let deadline = Instant::now() + PATIENCE;
    loop {
        client.ok(1, method::queue_purge(&other)).await?;
        client.put(1, &other, "x").await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        if client.counts(1, &other).await?.0 == 0 {
            break;
        }
        ensure!(Instant::now() < deadline, "the policy never holds");
    }
    client.put(1, &queue, "after").await?;
    client.expect_ready(1, &queue, 2).await?;
    let head = client.take(1, &queue).await?;
    ensure!(head.text() == "before", "{head:?}");
    client.await_ready(1, &queue, 0).await?;
    for queue in [&queue, &other] {
        delete(&mut client, queue).await?;
    }
    policies.clear().await
}

/// Spec 7.7.1.
async fn the_policy_of_highest_priority_holds(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let queue = policies.name("q");
    let mut client = context.client().await?;
    declare(&mut client, &queue, &Table::new()).await?;
    for (name, priority, max) in [("a", 1, 1), ("b", 3, 3), ("c", 2, 2)] {
        let body = policies.body(room(max), json!({ "priority": priority }));
        policies.put("policies", name, body).await?;
    }
    await_room(&mut client, &queue, 3).await?;
    let path = format!("policies/%2F/{}", policies.name("b"));
    context.management()?.done("DELETE", &path, None).await?;
    await_room(&mut client, &queue, 2).await?;
    delete(&mut client, &queue).await?;
    policies.clear().await
}

/// Spec 7.7.1.
async fn a_pattern_is_searched_for_in_the_name(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let (queue, other) = (policies.name("middle.end"), policies.name("end"));
    let mut client = context.client().await?;
    for queue in [&queue, &other] {
        declare(&mut client, queue, &Table::new()).await?;
    }
    // Of the prefix, what a pattern would take for more than itself is nothing.
    let pattern = format!("{}-mid+le\\.", policies.prefix);
    let body = json!({ "pattern": pattern, "definition": room(2) });
    policies.put("policies", "p", body).await?;
    await_room(&mut client, &other, 6).await?;
    let pattern = format!("{}-mid+le\\.e", policies.prefix);
    let body = json!({ "pattern": pattern, "definition": room(2) });
    policies.put("policies", "p", body).await?;
    await_room(&mut client, &other, 6).await?;
    let pattern = format!("{}-mid{{1}}.*\\.[e]nd$", policies.prefix);
    let body = json!({ "pattern": pattern, "definition": room(2) });
    policies.put("policies", "p", body).await?;
    await_room(&mut client, &queue, 2).await?;
    await_room(&mut client, &other, 6).await?;
    for queue in [&queue, &other] {
        delete(&mut client, queue).await?;
    }
    policies.clear().await
}

/// Spec 7.7.1.
async fn a_policy_for_exchanges_leaves_queues_alone(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let queue = policies.name("q");
    let mut client = context.client().await?;
    declare(&mut client, &queue, &Table::new()).await?;
    let low = policies.body(room(2), json!({ "apply-to": "classic_queues" }));
    policies.put("policies", "low", low).await?;
    for (name, about) in [
        ("high", "exchanges"),
        ("higher", "quorum_queues"),
        ("highest", "streams"),
    ] {
        let more = json!({ "apply-to": about, "priority": 5 });
        let high = policies.body(room(1), more);
        policies.put("policies", name, high).await?;
    }
    await_room(&mut client, &queue, 2).await?;
    delete(&mut client, &queue).await?;
    policies.clear().await
}

/// Spec 7.7.3.
async fn a_setting_unknown_to_the_type_keeps_the_whole_policy_away(
    context: &Context,
) -> Result<()> {
    let mut policies = Policies::new(context);
    let (classic, quorum) = (policies.name("classic"), policies.name("quorum"));
    let mut client = context.client().await?;
    declare(&mut client, &classic, &Table::new()).await?;
    declare(&mut client, &quorum, &one("x-queue-type", "quorum")).await?;
    policies.user("low", room(2)).await?;
    let settings = json!({ "max-length": 4, "delivery-limit": 3 });
    let high = policies.body(settings.clone(), json!({ "priority": 5 }));
    policies.put("policies", "high", high).await?;
    await_room(&mut client, &classic, 2).await?;
    await_policy(context, &quorum, &policies.name("high"), &settings).await?;
    for queue in [&classic, &quorum] {
        delete(&mut client, queue).await?;
    }
    policies.clear().await
}

/// Spec 7.7.5.
async fn of_two_limits_the_smaller_holds(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let (below, above) = (policies.name("below"), policies.name("above"));
    let mut client = context.client().await?;
    declare(&mut client, &below, &one("x-max-length", 2)).await?;
    declare(&mut client, &above, &one("x-max-length", 5)).await?;
    policies.user("p", room(3)).await?;
    await_room(&mut client, &above, 3).await?;
    await_room(&mut client, &below, 2).await?;
    for queue in [&below, &above] {
        delete(&mut client, queue).await?;
    }
    policies.clear().await
}

/// The number of publishes, of three, that a queue refuses.
async fn refused(client: &mut Client, queue: &str) -> Result<usize> {
    client.open(2).await?;
    client.ok(2, method::confirm_select()).await?;
    let mut refused = 0;
    for _ in 0..3 {
        let publish = method::basic_publish("", queue, 0);
        client
            .publish(2, publish, &Properties::default(), "x")
            .await?;
        let answer = client.next().await?;
        refused += usize::from(answer.method.id == method::BASIC_NACK);
    }
    client.ok(2, method::channel_close()).await?;
    client.ok(1, method::queue_purge(queue)).await?;
    Ok(refused)
}

/// Spec 7.7.5. Spec 7.3.2.
async fn of_two_texts_the_argument_holds(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let (asking, silent) = (policies.name("asking"), policies.name("silent"));
    let mut client = context.client().await?;
    let arguments = one("x-max-length", 1).with("x-overflow", "drop-head");
    declare(&mut client, &asking, &arguments).await?;
    declare(&mut client, &silent, &one("x-max-length", 1)).await?;
    policies
        .user("p", json!({ "overflow": "reject-publish" }))
        .await?;
    let deadline = Instant::now() + PATIENCE;
    while refused(&mut client, &silent).await? != 2 {
        ensure!(Instant::now() < deadline, "the policy never holds");
    }
    ensure!(refused(&mut client, &asking).await? == 0, "the policy won");
    for queue in [&asking, &silent] {
        delete(&mut client, queue).await?;
    }
    policies.clear().await
}

/// Spec 7.7.4.
async fn an_operator_policy_caps_a_policy(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let queue = policies.name("q");
    let mut client = context.client().await?;
    declare(&mut client, &queue, &Table::new()).await?;
    policies.operator("o", room(3)).await?;
    await_room(&mut client, &queue, 3).await?;
    policies.user("p", room(5)).await?;
    await_room(&mut client, &queue, 3).await?;
    policies.user("p", room(2)).await?;
    await_room(&mut client, &queue, 2).await?;
    let capped = json!({ "overflow": "reject-publish", "max-length": 1 });
    policies.operator("o", capped).await?;
    policies
        .user("p", json!({ "overflow": "drop-head" }))
        .await?;
    let deadline = Instant::now() + PATIENCE;
    while refused(&mut client, &queue).await? != 2 {
        ensure!(Instant::now() < deadline, "the operator's never holds");
    }
    delete(&mut client, &queue).await?;
    policies.clear().await
}

/// Spec 3.3.3. Spec 7.7.2. The argument wins over the policy.
async fn an_exchange_gets_its_alternate_by_policy(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let (silent, asking) = (policies.name("silent"), policies.name("asking"));
    let (by_policy, own) = (context.exchange("by-policy"), context.exchange("own"));
    let queue = context.queue("q");
    let mut client = context.client().await?;
    declare(&mut client, &queue, &Table::new()).await?;
    let exchange = |name: &str, kind: &str, arguments: &Table| {
        method::exchange_declare(name, kind, exchange_bits::DURABLE, arguments)
    };
    for name in [&by_policy, &own] {
        client
            .ok(1, exchange(name, "fanout", &Table::new()))
            .await?;
    }
    let bind = method::queue_bind(&queue, &by_policy, "", &Table::new());
    client.ok(1, bind).await?;
    client
        .ok(1, exchange(&silent, "direct", &Table::new()))
        .await?;
    let arguments = one("alternate-exchange", own.as_str());
    client
        .ok(1, exchange(&asking, "direct", &arguments))
        .await?;
    // Published before, so that a route that is known must be found anew.
    let publish = |exchange: &str| method::basic_publish(exchange, "nowhere", 0);
    client
        .publish(1, publish(&silent), &Properties::default(), "lost")
        .await?;
    client.expect_ready(1, &queue, 0).await?;
    policies
        .user("p", json!({ "alternate-exchange": by_policy }))
        .await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        client
            .publish(1, publish(&silent), &Properties::default(), "found")
            .await?;
        client.flush(1, &queue).await?;
        if client.counts(1, &queue).await?.0 > 0 {
            break;
        }
        ensure!(Instant::now() < deadline, "the policy never holds");
    }
    client.ok(1, method::queue_purge(&queue)).await?;
    client
        .publish(1, publish(&asking), &Properties::default(), "own")
        .await?;
    client.expect_ready(1, &queue, 0).await?;
    for name in [&silent, &asking] {
        client.ok(1, method::exchange_delete(name, 0)).await?;
    }
    policies.clear().await
}

/// Spec 7.7.6.
async fn a_policy_that_is_gone_does_nothing(context: &Context) -> Result<()> {
    let mut policies = Policies::new(context);
    let queue = policies.name("q");
    let mut client = context.client().await?;
    declare(&mut client, &queue, &Table::new()).await?;
    policies.user("p", room(1)).await?;
    await_room(&mut client, &queue, 1).await?;
    await_policy(context, &queue, &policies.name("p"), &room(1)).await?;
    policies.clear().await?;
    await_room(&mut client, &queue, 6).await?;
    delete(&mut client, &queue).await
}
