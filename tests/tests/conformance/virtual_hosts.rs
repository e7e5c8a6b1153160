//! Virtual hosts and limits: made, deleted and held to by an operator, seen from AMQP.

use anyhow::{Context as _, Result, bail, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::management::segment;
use leveret_tests::raw::method::{self, exchange_bits, queue_bits};
use leveret_tests::raw::value::Table;
use leveret_tests::target::Target;

leveret_tests::on_both_targets![
    a_new_virtual_host_has_its_exchanges_and_nothing_else,
    a_deleted_virtual_host_throws_its_connections_out,
    a_deleted_virtual_host_takes_everything_along,
    a_protected_virtual_host_is_not_deleted,
    a_virtual_host_has_no_more_connections_than_it_may,
    a_user_has_no_more_connections_than_it_may,
    a_user_has_no_more_channels_than_it_may,
    a_virtual_host_has_no_more_queues_than_it_may,
    the_limits_are_asked_before_the_rights,
    the_default_queue_type_is_what_a_queue_without_a_type_gets,
];

/// Spec 7.8.3. Spec 3.1.1.
async fn a_new_virtual_host_has_its_exchanges_and_nothing_else(context: &Context) -> Result<()> {
    let host = context.virtual_host().await?;
    let mut client = context.client_in(&host).await?;
    let none = &Table::new();
    for (exchange, kind) in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ] {
        let declare = method::exchange_declare(exchange, kind, exchange_bits::DURABLE, none);
        client.ok(1, declare).await?;
    }
    let answer = context
        .management()?
        .get(&format!("queues/{}", segment(&host)))
        .await?;
    ensure!(
        answer.body.as_array().is_some_and(Vec::is_empty),
        "{answer:?}"
    );
    client.close().await
}

async fn delete(context: &Context, host: &str) -> Result<()> {
    let path = format!("vhosts/{}", segment(host));
    context.management()?.done("DELETE", &path, None).await?;
    Ok(())
}

/// Spec 1.8.3. Spec 7.8.3. Spec 1.5.2.
async fn a_deleted_virtual_host_throws_its_connections_out(context: &Context) -> Result<()> {
    let (host, other) = (context.virtual_host().await?, context.virtual_host().await?);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(context.client_in(&host).await?);
    }
    let mut bystander = context.client_in(&other).await?;
    delete(context, &host).await?;
    for mut client in clients {
        let outcome = client.reply(0).await?;
        let expected = format!("320x vhost '{host}' is deleted");
        match context.target {
            Target::Leveret => outcome.expect(&expected)?,
            // Under load it may see the host's processes go before it knows why.
            Target::RabbitMq => {
                outcome.expect(&format!("{expected} || 320x vhost '{host}' is down"))?;
            }
        }
        let close = outcome.close().context("a close")?;
        ensure!(close.method == method::MethodId(0, 0), "{close:?}");
    }
    bystander.ok(1, method::basic_qos(0, 0, false)).await?;
    bystander.close().await?;
    let account = context.account("").await?;
    let refused = format!("530x vhost {host} not found");
    context.refused_at_open(&account, &host, &refused).await
}

/// Spec 7.8.3. What is made again under the same name is empty.
async fn a_deleted_virtual_host_takes_everything_along(context: &Context) -> Result<()> {
    let host = context.virtual_host().await?;
    let account = context.account("").await?;
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    let mut client = context.client_in(&host).await?;
    let none = &Table::new();
    let declare = method::queue_declare("q", queue_bits::DURABLE, none);
    client.ok(1, declare).await?;
    let declare = method::exchange_declare("x", "topic", exchange_bits::DURABLE, none);
    client.ok(1, declare).await?;
    client
        .ok(1, method::queue_bind("q", "x", "#", none))
        .await?;
    client
        .ok(1, method::queue_bind("q", "amq.fanout", "", none))
        .await?;
    client.put(1, "q", "a").await?;
    client.await_ready(1, "q", 1).await?;
    drop(client);
    delete(context, &host).await?;

    let path = format!("vhosts/{}", segment(&host));
    context.management()?.done("PUT", &path, None).await?;
    let mut client = context.client_in(&host).await?;
    let gone = format!("404c no queue 'q' in vhost '{host}'");
    let look = method::queue_declare("q", queue_bits::PASSIVE, none);
    client.refused(1, look, &gone).await?;
    let gone = format!("404c no exchange 'x' in vhost '{host}'");
    let look = method::exchange_declare("x", "topic", exchange_bits::PASSIVE, none);
    client.refused(1, look, &gone).await?;
    client
        .ok(1, method::queue_declare("q", queue_bits::DURABLE, none))
        .await?;
    let publish = method::basic_publish("amq.fanout", "", 0);
    client.publish(1, publish, &Default::default(), "b").await?;
    client.expect_ready(1, "q", 0).await?;
    client.close().await?;
    let refused = format!(
        "530x access to vhost '{host}' refused for user '{}'",
        account.name
    );
    context.refused_at_open(&account, &host, &refused).await
}

/// Spec 7.8.3.
async fn a_protected_virtual_host_is_not_deleted(context: &Context) -> Result<()> {
    let host = context.virtual_host().await?;
    let management = context.management()?;
    let path = format!("vhosts/{}", segment(&host));
    let protection = format!("{path}/deletion/protection");
    management.done("POST", &protection, None).await?;
    let answer = management.send("DELETE", &path, None).await?;
    let refused = format!(
        "412 precondition_failed: Refusing to delete virtual host '{host}' because it is protected \
         from deletion"
    );
    ensure!(answer.notation() == refused, "{answer:?}");
    context.client_in(&host).await?.close().await?;
    management.done("DELETE", &protection, None).await?;
    management.done("DELETE", &path, None).await?;
    Ok(())
}

/// Spec 7.8.2. Spec 1.5.2.
async fn a_virtual_host_has_no_more_connections_than_it_may(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    let path = format!("vhost-limits/{}/max-connections", segment(&host));
    let full = |limit: i64| {
        format!(
            "530x access to vhost '{host}' refused for user '{}': connection limit ({limit}) is \
             reached",
            account.name
        )
    };
    context.limit(&path, 0).await?;
    context.refused_at_open(&account, &host, &full(0)).await?;
    context.limit(&path, 1).await?;
    let first = client_when_free(context, &account, &host).await?;
    context.refused_at_open(&account, &host, &full(1)).await?;
    context.limit(&path, -1).await?;
    let second = context.client_of(&account, &host).await?;
    second.close().await?;
    first.close().await
}

/// RabbitMQ counts a connection that was just closed for a moment longer.
async fn client_when_free(
    context: &Context,
    account: &leveret_tests::provision::Account,
    host: &str,
) -> Result<Client> {
    for _ in 0..200 {
        if let Ok(mut client) = context.try_client_of(account, host).await? {
            client.open(1).await?;
            return Ok(client);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("no connection is let in")
}

/// Spec 7.8.2. Spec 1.5.2. The limit holds over all virtual hosts.
async fn a_user_has_no_more_connections_than_it_may(context: &Context) -> Result<()> {
    let (host, other) = (context.virtual_host().await?, context.virtual_host().await?);
    let account = context.account("").await?;
    for host in [&host, &other] {
        context.grant(host, &account, [".*", ".*", ".*"]).await?;
    }
    let path = format!("user-limits/{}/max-connections", segment(&account.name));
    let full = |limit: i64| {
        format!(
            "530x connection refused for user '{}': user connection limit ({limit}) is reached",
            account.name
        )
    };
    context.limit(&path, 0).await?;
    context.refused_at_open(&account, &host, &full(0)).await?;
    context.limit(&path, 1).await?;
    let first = client_when_free(context, &account, &host).await?;
    context.refused_at_open(&account, &other, &full(1)).await?;
    context.limit(&path, -1).await?;
    context.client_of(&account, &other).await?.close().await?;
    first.close().await
}

/// Spec 7.8.2. Spec 2.2. The limit holds over all connections.
async fn a_user_has_no_more_channels_than_it_may(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    let path = format!("user-limits/{}/max-channels", segment(&account.name));
    context.limit(&path, 2).await?;
    let mut first = context.client_of(&account, &host).await?;
    first.open(2).await?;
    let Ok(mut second) = context.try_client_of(&account, &host).await? else {
        bail!("the second connection was refused");
    };
    let full = format!(
        "530x number of channels opened for user '{}' has reached the maximum allowed user limit of \
         …2…",
        account.name
    );
    let outcome = second.call(1, method::channel_open()).await?;
    outcome.expect(&full)?;
    let close = outcome.close().context("a close")?;
    ensure!(close.method == method::MethodId(0, 0), "{close:?}");
    first.ok(2, method::channel_close()).await?;
    first.open(2).await?;
    context.limit(&path, -1).await?;
    first.open(3).await?;
    first.close().await
}

/// Spec 4.1.10. Spec 7.8.2.
async fn a_virtual_host_has_no_more_queues_than_it_may(context: &Context) -> Result<()> {
    let host = context.virtual_host().await?;
    let path = format!("vhost-limits/{}/max-queues", segment(&host));
    context.limit(&path, 1).await?;
    let mut client = context.client_in(&host).await?;
    let declare = |queue: &str| method::queue_declare(queue, 0, &Table::new());
    client.ok(1, declare("a")).await?;
    // What exists already may be declared again.
    client.ok(1, declare("a")).await?;
    let full =
        format!("406c cannot declare queue 'b': queue limit in vhost '{host}' (1) is reached");
    client.refused(1, declare("b"), &full).await?;
    client.ok(1, method::queue_delete("a", 0)).await?;
    client.ok(1, declare("b")).await?;
    context.limit(&path, -1).await?;
    client.ok(1, declare("c")).await?;
    client.close().await
}

/// Spec 1.5.1.
async fn the_limits_are_asked_before_the_rights(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let user = segment(&account.name);
    context
        .limit(&format!("user-limits/{user}/max-connections"), 0)
        .await?;
    let refused = "530x connection refused for user '…': user connection limit (0) is reached";
    context.refused_at_open(&account, &host, refused).await?;
    context
        .limit(
            &format!("vhost-limits/{}/max-connections", segment(&host)),
            0,
        )
        .await?;
    let refused = "530x access to vhost '…' refused for user '…': connection limit (0) is reached";
    context.refused_at_open(&account, &host, refused).await?;
    let missing = context.unique("missing");
    let refused = format!("530x vhost {missing} not found");
    context.refused_at_open(&account, &missing, &refused).await
}

/// Spec 4.4.5. Spec 7.8.3.
async fn the_default_queue_type_is_what_a_queue_without_a_type_gets(
    context: &Context,
) -> Result<()> {
    let host = context.virtual_host().await?;
    let management = context.management()?;
    let path = format!("vhosts/{}", segment(&host));
    let body = serde_json::json!({ "default_queue_type": "quorum" });
    management.done("PUT", &path, Some(body)).await?;
    let mut client = context.client_in(&host).await?;
    let none = &Table::new();
    let durable = queue_bits::DURABLE;
    client
        .ok(1, method::queue_declare("q", durable, none))
        .await?;
    client
        .ok(1, method::queue_declare("q", durable, none))
        .await?;
    // What cannot be of that type is classic.
    let exclusive = method::queue_declare("e", queue_bits::EXCLUSIVE, none);
    client.ok(1, exclusive).await?;
    for (queue, kind) in [("q", "quorum"), ("e", "classic")] {
        let shown = management
            .get(&format!("queues/{}/{queue}", segment(&host)))
            .await?;
        ensure!(shown.body["type"] == kind, "{queue}: {shown:?}");
    }
    client.close().await
}
