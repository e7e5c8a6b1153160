//! Rights: what each operation needs, how a refusal reads, and what happens when rights change.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::management::segment;
use leveret_tests::provision::Account;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, Method, consume_bits, exchange_bits, queue_bits};
use leveret_tests::raw::value::{Table, Value, one};
use serde_json::json;

leveret_tests::on_both_targets![
    a_user_without_rights_in_a_virtual_host_cannot_open_it,
    each_operation_needs_its_rights_and_no_other,
    looking_needs_any_right,
    what_a_channel_holds_is_settled_without_a_right,
    a_pattern_is_searched_for_and_an_empty_one_finds_nothing,
    topic_rights_are_asked_for_each_key,
    names_in_topic_patterns_are_text,
    changed_rights_apply_to_open_channels,
    an_impersonator_publishes_in_other_names,
    a_deleted_user_is_thrown_out,
    a_user_without_tags_may_use_amqp,
];

/// Spec 1.5.2. Spec 8.1.2.
async fn a_user_without_rights_in_a_virtual_host_cannot_open_it(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let refused = format!(
        "530x access to vhost '{host}' refused for user '{}'",
        account.name
    );
    context.refused_at_open(&account, &host, &refused).await?;
    context.grant(&host, &account, ["", "", ""]).await?;
    context.client_of(&account, &host).await?.close().await?;
    context.revoke(&host, &account).await?;
    context.refused_at_open(&account, &host, &refused).await
}

/// A right that an operation needs.
#[derive(Clone, Copy, Debug)]
struct Need {
    verb: &'static str,
    kind: &'static str,
    name: &'static str,
}

const fn need(verb: &'static str, kind: &'static str, name: &'static str) -> Need {
    Need { verb, kind, name }
}

/// An operation with the rights that it needs, in the order in which they are asked for. `q` is a
/// queue that exists, `x` and `y` are exchanges, and `x` leads to `q`; `new` does not exist.
struct Operation {
    method: Method,
    needs: Vec<Need>,
}

/// The table of spec 8.1.
fn operations() -> Vec<Operation> {
    [on_exchanges(), on_queues(), on_bindings(), on_messages()]
        .into_iter()
        .flatten()
        .map(|(method, needs)| Operation { method, needs })
        .collect()
}

fn on_exchanges() -> Vec<(Method, Vec<Need>)> {
    let none = &Table::new();
    let alternate = one("alternate-exchange", "y");
    vec![
        (
            method::exchange_declare("new", "fanout", 0, none),
            vec![need("configure", "exchange", "new")],
        ),
        (
            method::exchange_declare("x", "fanout", exchange_bits::DURABLE, none),
            vec![need("configure", "exchange", "x")],
        ),
        (
            method::exchange_declare("new2", "fanout", 0, &alternate),
            vec![
                need("configure", "exchange", "new2"),
                need("read", "exchange", "new2"),
                need("write", "exchange", "y"),
            ],
        ),
        (
            method::exchange_delete("new", 0),
            vec![need("configure", "exchange", "new")],
        ),
    ]
}

fn on_queues() -> Vec<(Method, Vec<Need>)> {
    let none = &Table::new();
    let dead_letters = one("x-dead-letter-exchange", "y");
    vec![
        (
            method::queue_declare("new", queue_bits::DURABLE, none),
            vec![need("configure", "queue", "new")],
        ),
        (
            method::queue_declare("q", queue_bits::DURABLE, none),
            vec![need("configure", "queue", "q")],
        ),
        (
            method::queue_declare("new2", queue_bits::DURABLE, &dead_letters),
            vec![
                need("configure", "queue", "new2"),
                need("read", "queue", "new2"),
                need("write", "exchange", "y"),
            ],
        ),
        (
            method::queue_delete("new", 0),
            vec![need("configure", "queue", "new")],
        ),
    ]
}

fn on_bindings() -> Vec<(Method, Vec<Need>)> {
    let none = &Table::new();
    vec![
        (
            method::exchange_bind("y", "x", "k", none),
            vec![
                need("write", "exchange", "y"),
                need("read", "exchange", "x"),
            ],
        ),
        (
            method::exchange_unbind("y", "x", "k", none),
            vec![
                need("write", "exchange", "y"),
                need("read", "exchange", "x"),
            ],
        ),
        (
            method::queue_bind("q", "x", "k", none),
            vec![need("write", "queue", "q"), need("read", "exchange", "x")],
        ),
        (
            method::queue_unbind("q", "x", "k", none),
            vec![need("write", "queue", "q"), need("read", "exchange", "x")],
        ),
    ]
}

fn on_messages() -> Vec<(Method, Vec<Need>)> {
    let none = &Table::new();
    vec![
        (
            method::basic_get("q", true),
            vec![need("read", "queue", "q")],
        ),
        (
            method::basic_consume("q", "c", consume_bits::NO_ACK, none),
            vec![need("read", "queue", "q")],
        ),
        (method::queue_purge("q"), vec![need("read", "queue", "q")]),
        (
            method::basic_publish("x", "k", 0),
            vec![need("write", "exchange", "x")],
        ),
        (
            method::basic_publish("", "q", 0),
            vec![need("write", "exchange", "amq.default")],
        ),
    ]
}

/// Patterns for configure, write and read that grant exactly these.
fn patterns(needs: &[Need]) -> [String; 3] {
    ["configure", "write", "read"].map(|verb| {
        let names: Vec<String> = needs
            .iter()
            .filter(|need| need.verb == verb)
            .map(|need| need.name.replace('.', "\\."))
            .collect();
        if names.is_empty() {
            String::new()
        } else {
            format!("^({})$", names.join("|"))
        }
    })
}

/// Does an operation; what came of it.
async fn outcome(client: &mut Client, method: &Method) -> Result<String> {
    if method.id != method::BASIC_PUBLISH {
        return Ok(client.call(1, method.clone()).await?.notation());
    }
    client
        .publish(1, method.clone(), &Properties::default(), "body")
        .await?;
    // A publish is not answered, so the next method's answer tells.
    Ok(client
        .call(1, method::basic_qos(0, 0, false))
        .await?
        .notation())
}

async fn granted_outcome(
    context: &Context,
    host: &str,
    account: &Account,
    needs: &[Need],
    method: &Method,
) -> Result<String> {
    let granted = patterns(needs);
    context
        .grant(host, account, granted.each_ref().map(String::as_str))
        .await?;
    let mut client = context.client_of(account, host).await?;
    let outcome = outcome(&mut client, method).await?;
    // A queue that the test needs again must not stay in use.
    drop(client);
    Ok(outcome)
}

/// Spec 8.1. Spec 8.1.1. Spec 3.1.7. Spec 3.1.8. Spec 3.4.6. Spec 4.1.9. Spec 5.1.1.
///
/// For each operation: with all its rights it succeeds, and without any one of them it is refused by
/// the name of that right.
async fn each_operation_needs_its_rights_and_no_other(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let mut admin = context.client_in(&host).await?;
    let none = &Table::new();
    for exchange in ["x", "y"] {
        let declare = method::exchange_declare(exchange, "fanout", exchange_bits::DURABLE, none);
        admin.ok(1, declare).await?;
    }
    admin
        .ok(1, method::queue_declare("q", queue_bits::DURABLE, none))
        .await?;
    for Operation { method, needs } in operations() {
        for (missing, need) in needs.iter().enumerate() {
            let mut others = needs.clone();
            others.remove(missing);
            let Need { verb, kind, name } = *need;
            let expected = format!(
                "403c {verb} access to {kind} '{name}' in vhost '{host}' refused for user '{}'",
                account.name
            );
            let outcome = granted_outcome(context, &host, &account, &others, &method).await?;
            ensure!(
                outcome == expected,
                "{:?} without {need:?}: {outcome}",
                method.id
            );
        }
        let outcome = granted_outcome(context, &host, &account, &needs, &method).await?;
        ensure!(outcome == "ok", "{:?} with {needs:?}: {outcome}", method.id);
    }
    admin.close().await
}

/// Spec 3.1.5. Spec 4.1.4. A passive declaration needs any one of the three rights.
async fn looking_needs_any_right(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let mut admin = context.client_in(&host).await?;
    let none = &Table::new();
    admin.ok(1, method::queue_declare("n", 0, none)).await?;
    admin
        .ok(1, method::exchange_declare("n", "fanout", 0, none))
        .await?;
    let looks = [
        (
            "queue",
            method::queue_declare("n", queue_bits::PASSIVE, none),
        ),
        (
            "exchange",
            method::exchange_declare("n", "fanout", exchange_bits::PASSIVE, none),
        ),
    ];
    for (kind, look) in looks {
        for verb in ["configure", "write", "read"] {
            let needs = [need(verb, kind, "n")];
            let outcome = granted_outcome(context, &host, &account, &needs, &look).await?;
            ensure!(outcome == "ok", "{kind} with {verb}: {outcome}");
        }
        let refused = format!(
            "403c configure access to {kind} 'n' in vhost '{host}' refused for user '{}'",
            account.name
        );
        let outcome = granted_outcome(context, &host, &account, &[], &look).await?;
        ensure!(outcome == refused, "{kind} without any: {outcome}");
    }
    admin.close().await
}

/// Spec 8.1. Settling, prefetch, confirms and transactions need no right.
async fn what_a_channel_holds_is_settled_without_a_right(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let mut admin = context.client_in(&host).await?;
    admin
        .ok(1, method::queue_declare("q", 0, &Table::new()))
        .await?;
    for body in ["a", "b", "c"] {
        admin.put(1, "q", body).await?;
    }
    admin.await_ready(1, "q", 3).await?;
    context.grant(&host, &account, ["", "", "^q$"]).await?;
    let mut client = context.client_of(&account, &host).await?;
    client.ok(1, method::basic_qos(0, 3, false)).await?;
    client
        .ok(1, method::basic_consume("q", "c", 0, &Table::new()))
        .await?;
    for _ in 0..3 {
        client.delivery(1).await?;
    }
    client.ok(1, method::basic_cancel("c")).await?;
    client.send(1, &method::basic_ack(1, false)).await?;
    client.send(1, &method::basic_nack(2, false, false)).await?;
    client.send(1, &method::basic_reject(3, true)).await?;
    client.ok(1, method::basic_recover(true)).await?;
    client.ok(1, method::confirm_select()).await?;
    client.open(2).await?;
    client.ok(2, method::tx_select()).await?;
    client.ok(2, method::tx_commit()).await?;
    client.ok(2, method::tx_rollback()).await?;
    admin.await_ready(1, "q", 1).await?;
    client.close().await?;
    admin.close().await
}

/// Spec 8.1.2.
async fn a_pattern_is_searched_for_and_an_empty_one_finds_nothing(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let declare = |queue: &str| method::queue_declare(queue, 0, &Table::new());
    for (pattern, good, bad) in [
        ("b", Some("abc"), "ac"),
        ("^a", Some("abc"), "ba"),
        ("c$", Some("abc"), "cb"),
        ("^(a|b)\\.", Some("b.c"), "bc"),
        (".*", Some("anything"), ""),
        ("", None, "a"),
        ("^$", None, "a"),
    ] {
        context.grant(&host, &account, [pattern, "", ""]).await?;
        let mut client = context.client_of(&account, &host).await?;
        if let Some(good) = good {
            client.ok(1, declare(good)).await?;
        }
        if !bad.is_empty() {
            client
                .refused(1, declare(bad), "403c configure access…")
                .await?;
        }
        client.close().await?;
    }
    Ok(())
}

async fn set_topics(
    context: &Context,
    host: &str,
    account: &Account,
    [write, read]: [&str; 2],
) -> Result<()> {
    let path = format!(
        "topic-permissions/{}/{}",
        segment(host),
        segment(&account.name)
    );
    let body = json!({ "exchange": "amq.topic", "write": write, "read": read });
    context.management()?.done("PUT", &path, Some(body)).await?;
    Ok(())
}

async fn published(
    client: &mut Client,
    exchange: &str,
    key: &str,
    copies: &[&str],
) -> Result<String> {
    let mut properties = Properties::default();
    if !copies.is_empty() {
        let copies = copies.iter().map(|key| Value::from(*key)).collect();
        properties = Properties::with_headers(one("CC", Value::Array(copies)));
    }
    let publish = method::basic_publish(exchange, key, 0);
    client.publish(1, publish, &properties, "body").await?;
    let outcome = client.call(1, method::basic_qos(0, 0, false)).await?;
    if outcome.close().is_some() {
        client.open(1).await?;
    }
    Ok(outcome.notation())
}

/// Spec 8.2.1. Spec 5.1.8. Spec 3.4.6.
async fn topic_rights_are_asked_for_each_key(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    set_topics(context, &host, &account, ["^w\\.", "^r\\."]).await?;
    let mut client = context.client_of(&account, &host).await?;
    let refused = |verb: &str, key: &str| {
        format!(
            "403c {verb} access to topic '{key}' in exchange 'amq.topic' in vhost '{host}' refused \
             for user '{}'",
            account.name
        )
    };
    for (key, copies, expected) in [
        ("w.a", vec![], "ok".to_owned()),
        ("r.a", vec![], refused("write", "r.a")),
        ("w.a", vec!["w.b", "w.c"], "ok".to_owned()),
        ("w.a", vec!["w.b", "x"], refused("write", "x")),
    ] {
        let outcome = published(&mut client, "amq.topic", key, &copies).await?;
        ensure!(outcome == expected, "{key} and {copies:?}: {outcome}");
    }
    // Other exchanges, of that type or not, have no such rights.
    for exchange in ["amq.direct", "amq.fanout", ""] {
        let outcome = published(&mut client, exchange, "x", &[]).await?;
        ensure!(outcome == "ok", "{exchange}: {outcome}");
    }
    let other = method::exchange_declare("other", "topic", 0, &Table::new());
    client.ok(1, other).await?;
    let outcome = published(&mut client, "other", "x", &[]).await?;
    ensure!(outcome == "ok", "{outcome}");
    client
        .ok(1, method::queue_declare("q", 0, &Table::new()))
        .await?;
    let bind = |key: &str| method::queue_bind("q", "amq.topic", key, &Table::new());
    client.ok(1, bind("r.*")).await?;
    client
        .refused(1, bind("w.*"), &refused("read", "w.*"))
        .await?;
    let unbind = method::queue_unbind("q", "amq.topic", "w.*", &Table::new());
    client.refused(1, unbind, &refused("read", "w.*")).await?;
    client.close().await
}

/// Spec 8.2.1. What looks like a pattern in a name is none.
async fn names_in_topic_patterns_are_text(context: &Context) -> Result<()> {
    let host = context.virtual_host().await?;
    let name = context.unique("a.b+c|^$-[x]");
    let account = context.account_named(&name, "").await?;
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    set_topics(context, &host, &account, ["^{username}:{vhost}$", ".*"]).await?;
    let mut client = context.client_of(&account, &host).await?;
    let own = format!("{name}:{host}");
    for (key, allowed) in [
        (own.clone(), true),
        (own.replace("a.b", "aXb"), false),
        (own.replace("b+c", "bbc"), false),
        (own.replace("[x]", "x"), false),
        (format!("{own}x"), false),
        (own.split('|').next().unwrap_or_default().to_owned(), false),
    ] {
        let outcome = published(&mut client, "amq.topic", &key, &[]).await?;
        ensure!(
            allowed == (outcome == "ok") && (allowed || outcome.starts_with("403c write access")),
            "{key}: {outcome}"
        );
    }
    client.close().await
}

/// Repeats an attempt until it comes out as expected. RabbitMQ remembers on a channel what was
/// allowed there until the channel has nothing to do for a while.
async fn until(
    client: &mut Client,
    method: &Method,
    is_expected: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut pause = Duration::from_millis(20);
    loop {
        let outcome = client.call(1, method.clone()).await?;
        if outcome.close().is_some() {
            client.open(1).await?;
        }
        if is_expected(&outcome.notation()) {
            return Ok(());
        }
        if pause > Duration::from_secs(6) {
            bail!("{:?} still comes out as {}", method.id, outcome.notation());
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Spec 8.1.2. A change reaches channels that are open, and what they were allowed before.
async fn changed_rights_apply_to_open_channels(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    let mut client = context.client_of(&account, &host).await?;
    let declare = method::queue_declare("q", 0, &Table::new());
    client.ok(1, declare.clone()).await?;
    client.put(1, "q", "a").await?;
    client.await_ready(1, "q", 1).await?;

    context
        .grant(&host, &account, ["^other$", ".*", ".*"])
        .await?;
    until(&mut client, &declare, |outcome| {
        outcome.starts_with("403c configure access")
    })
    .await?;
    context.grant(&host, &account, ["^q$", "^q$", ".*"]).await?;
    until(&mut client, &declare, |outcome| outcome == "ok").await?;
    // The route of the last publish is remembered, too, and is no way around.
    let mut allowed = true;
    for _ in 0..10 {
        let outcome = published(&mut client, "", "q", &[]).await?;
        allowed = outcome == "ok";
        if !allowed {
            ensure!(outcome.starts_with("403c write access"), "{outcome}");
            break;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    ensure!(!allowed, "publishing is still allowed");

    context.revoke(&host, &account).await?;
    until(&mut client, &declare, |outcome| {
        outcome.starts_with("403c configure access")
    })
    .await?;
    client.close().await
}

/// Spec 5.1.7.
async fn an_impersonator_publishes_in_other_names(context: &Context) -> Result<()> {
    let host = context.virtual_host().await?;
    for (tags, expected) in [
        (
            "",
            "406c user_id property set to 'somebody' but authenticated user was…",
        ),
        (
            "administrator",
            "406c user_id property set to 'somebody' but…",
        ),
        ("impersonator", "ok"),
    ] {
        let account = context.account(tags).await?;
        context.grant(&host, &account, [".*", ".*", ".*"]).await?;
        let mut client = context.client_of(&account, &host).await?;
        for (name, expected) in [(account.name.as_str(), "ok"), ("somebody", expected)] {
            let properties = Properties {
                user_id: Some(name.to_owned()),
                ..Properties::default()
            };
            let publish = method::basic_publish("amq.fanout", "", 0);
            client.publish(1, publish, &properties, "body").await?;
            let outcome = client.call(1, method::basic_qos(0, 0, false)).await?;
            outcome.expect(expected).context(tags)?;
        }
    }
    Ok(())
}

/// Spec 1.8.3.
async fn a_deleted_user_is_thrown_out(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    let mut client = context.client_of(&account, &host).await?;
    let mut bystander = context.client_in(&host).await?;
    let path = format!("users/{}", segment(&account.name));
    context.management()?.done("DELETE", &path, None).await?;
    let outcome = client.reply(0).await?;
    outcome.expect(&format!("320x user '{}' is deleted", account.name))?;
    ensure!(
        outcome
            .close()
            .is_some_and(|close| close.method == method::MethodId(0, 0)),
        "{outcome:?}"
    );
    context
        .refused_at_open(&account, &host, "403x Login was refused…")
        .await?;
    bystander.ok(1, method::basic_qos(0, 0, false)).await?;
    bystander.close().await
}

/// Spec 8.3.1.
async fn a_user_without_tags_may_use_amqp(context: &Context) -> Result<()> {
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    context.grant(&host, &account, [".*", ".*", ".*"]).await?;
    context.client_of(&account, &host).await?.close().await?;
    let management = context.management()?;
    let answer = management
        .as_user(&account.name, &account.password)
        .get("whoami")
        .await?;
    ensure!(
        answer.notation() == "401 not_authorised: Not management user",
        "{answer:?}"
    );
    Ok(())
}
