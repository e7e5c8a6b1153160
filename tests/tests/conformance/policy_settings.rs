//! What is no policy, and the words in which it is refused.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use serde_json::{Value, json};

leveret_tests::on_both_targets![
    what_is_no_policy_is_refused_in_the_same_words,
    settings_that_are_none_are_refused_in_the_same_words,
    operator_policies_hold_fewer_settings,
];

async fn expect_refused(context: &Context, kind: &str, body: Value, reason: &str) -> Result<()> {
    let path = format!("{kind}/%2F/{}", context.unique("refused"));
    let answer = context
        .management()?
        .send("PUT", &path, Some(body.clone()))
        .await?;
    let expected = format!("400 bad_request: {reason}");
    ensure!(answer.notation() == expected, "{body}: {answer:?}");
    Ok(())
}

/// Spec 7.7.2. Spec 7.7.7.
async fn what_is_no_policy_is_refused_in_the_same_words(context: &Context) -> Result<()> {
    let one = json!({ "max-length": 1 });
    for (body, reason) in [
        (
            json!({}),
            "[{key_missing,pattern},{key_missing,definition}]",
        ),
        (
            json!({ "pattern": 1, "definition": one }),
            "Validation failed\n\npattern should be a binary but was 1\n",
        ),
        (
            json!({ "pattern": "", "definition": one, "priority": "5" }),
            "Validation failed\n\npriority should be a number, actually was <<\"5\">>\n",
        ),
        (
            json!({ "pattern": "", "definition": one, "apply-to": "foo" }),
            "Validation failed\n\napply-to 'foo' unrecognised; should be one of: 'queues', \
             'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'\n",
        ),
        (
            json!({ "pattern": "a".repeat(1025), "definition": one }),
            "Validation failed\n\npattern must not exceed 1024 bytes\n",
        ),
    ] {
        expect_refused(context, "policies", body, reason).await?;
    }
    Ok(())
}

/// More of the same.
fn more_flaws() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({ "dead-letter-routing-key": 1 }),
            "1 is not a valid dead letter routing key",
        ),
        (
            json!({ "delivery-limit": 1.5 }),
            "1.5 is not a valid delivery limit",
        ),
        (
            json!({ "consumer-timeout": -1 }),
            "-1 is not a valid consumer timeout",
        ),
        (
            json!({ "queue-mode": "x" }),
            "<<\"x\">> is not a valid queue-mode value",
        ),
        (
            json!({ "queue-version": 3 }),
            "3 is not a valid queue-version value",
        ),
        (
            json!({ "queue-leader-locator": "x" }),
            "<<\"x\">> is not a valid queue leader locator value",
        ),
        (
            json!({ "queue-master-locator": "min-masters" }),
            "use of deprecated queue-master-locator argument is not permitted",
        ),
        (
            json!({ "max-age": "0s" }),
            "<<\"0s\">> is not a valid max age",
        ),
        (
            json!({ "alternate-exchange": 1 }),
            "1 is not a valid alternate exchange name",
        ),
        (
            json!({ "delayed-retry-type": "all" }),
            "delayed-retry-min is required when delayed-retry-type is all",
        ),
        (
            json!({ "message-ttl": -1, "max-length": -1 }),
            "-1 is not a valid maximum length",
        ),
    ]
}

/// Settings that are none, and what RabbitMQ says of them.
fn flaws() -> Vec<(Value, &'static str)> {
    let mut flaws = more_flaws();
    flaws.extend([
        (json!({}), "no policy provided"),
        (
            json!({ "ha-mode": "all" }),
            "[{<<\"ha-mode\">>,<<\"all\">>}] are not recognised policy settings",
        ),
        (
            json!({ "b": 1, "a": { "c": [1, "d", null, 1.5] } }),
            "[{<<\"a\">>,#{<<\"c\">> => [1,<<\"d\">>,null,1.5]}},{<<\"b\">>,1}] are not \
             recognised policy settings",
        ),
        (
            json!({ "message-ttl": -1 }),
            "-1 is not a valid message TTL",
        ),
        (
            json!({ "message-ttl": "x" }),
            "<<\"x\">> is not a valid message TTL",
        ),
        (json!({ "expires": 0 }), "0 is not a valid queue expiry"),
        (
            json!({ "max-length": null }),
            "null is not a valid maximum length",
        ),
        (
            json!({ "max-length-bytes": true }),
            "true is not a valid maximum length in bytes",
        ),
        (
            json!({ "overflow": "x" }),
            "<<\"x\">> is not a valid overflow value",
        ),
        (
            json!({ "dead-letter-exchange": 1 }),
            "1 is not a valid dead letter exchange name",
        ),
    ]);
    flaws
}

/// Spec 7.7.2. Spec 7.7.7.
async fn settings_that_are_none_are_refused_in_the_same_words(context: &Context) -> Result<()> {
    for (definition, flaw) in flaws() {
        let body = json!({ "pattern": "^$", "definition": definition });
        let reason = format!("Validation failed\n\n{flaw}\n");
        expect_refused(context, "policies", body, &reason).await?;
    }
    Ok(())
}

/// Spec 7.7.4.
async fn operator_policies_hold_fewer_settings(context: &Context) -> Result<()> {
    for definition in [
        json!({ "dead-letter-exchange": "x" }),
        json!({ "alternate-exchange": "x" }),
        json!({ "consumer-timeout": "x" }),
        json!({ "queue-mode": "lazy" }),
    ] {
        let (name, value) = definition
            .as_object()
            .and_then(|object| object.iter().next())
            .context("one setting")?;
        let value = value.as_str().context("a text")?;
        let reason = format!(
            "Validation failed\n\n[{{<<\"{name}\">>,<<\"{value}\">>}}] are not recognised policy \
             settings\n"
        );
        let body = json!({ "pattern": "^$", "definition": definition });
        expect_refused(context, "operator-policies", body, &reason).await?;
    }
    Ok(())
}
