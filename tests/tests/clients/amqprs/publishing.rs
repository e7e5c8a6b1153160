//! amqprs: publishing and its confirms.

use amqprs::channel::{BasicPublishArguments, ConfirmSelectArguments};
use amqprs::{BasicProperties, ByteArray, DecimalValue, FieldArray, FieldTable, FieldValue};
use anyhow::ensure;

use super::{
    Told, connected, filled_queue, get, line_on, publish, queue_on, table, take_all, text,
};
use crate::native::{Stage, Verb, fresh, verbs};

pub(super) const VERBS: &[Verb] = verbs![
    publish_every_property,
    publish_a_body_of_many_frames,
    publish_returns_an_unroutable_message,
    publish_to_a_missing_exchange,
    confirms_of_many_messages,
    confirms_refuse_what_overflows,
];

fn headers() -> anyhow::Result<FieldTable> {
    let array: FieldArray = vec![FieldValue::I(1), text("two")?, FieldValue::V].try_into()?;
    let bytes: ByteArray = vec![0, 255].try_into()?;
    let deep = table(vec![("deeper", FieldValue::A(array.clone()))])?;
    table(vec![
        ("boolean", FieldValue::t(true)),
        ("i8", FieldValue::b(-7)),
        ("u8", FieldValue::B(200)),
        ("i16", FieldValue::s(-3000)),
        ("u16", FieldValue::u(60_000)),
        ("i32", FieldValue::I(-2_000_000_000)),
        ("u32", FieldValue::i(4_000_000_000)),
        ("i64", FieldValue::l(1 << 40)),
        ("float", FieldValue::f(0.25)),
        ("double", FieldValue::d(3.5)),
        ("decimal", FieldValue::D(DecimalValue::new(2, 325))),
        ("text", text("grüße")?),
        ("timestamp", FieldValue::T(1_790_000_000)),
        ("bytes", FieldValue::x(bytes)),
        ("void", FieldValue::V),
        ("array", FieldValue::A(array)),
        ("table", FieldValue::F(deep)),
    ])
}

async fn publish_every_property(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let line = line_on(&connection).await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    let sent = BasicProperties::default()
        .with_content_type("text/plain")
        .with_content_encoding("utf-8")
        .with_headers(headers()?)
        .with_persistence(true)
        .with_priority(9)
        .with_correlation_id("correlation")
        .with_reply_to("reply")
        .with_expiration("60000")
        .with_message_id("message")
        .with_timestamp(1_790_000_000)
        .with_message_type("kind")
        .with_user_id("guest")
        .with_app_id("application")
        .with_cluster_id("cluster")
        .finish();
    let to = BasicPublishArguments::new("", &queue);
    line.channel
        .basic_publish(sent.clone(), b"body".to_vec(), to)
        .await?;
    let held = get(&line.channel, &queue).await?;
    assert_eq!(
        (held.body.as_str(), held.properties.headers()),
        ("body", sent.headers())
    );
    let rest = |properties: &BasicProperties| {
        let mut rest = properties.clone();
        // A map in no order, compared above.
        format!("{:?}", rest.with_headers(FieldTable::new()))
    };
    assert_eq!(rest(&held.properties), rest(&sent));
    Ok(connection.close().await?)
}

async fn publish_a_body_of_many_frames(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let long = "a body of many frames ".repeat(50_000);
    let queue = filled_queue(&connection, &[&long, "next"]).await?;
    let line = line_on(&connection).await?;
    assert_eq!(
        take_all(&line.channel, &queue).await?,
        [long.as_str(), "next"]
    );
    Ok(connection.close().await?)
}

async fn publish_returns_an_unroutable_message(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    let mut to = BasicPublishArguments::new("", &fresh("missing"));
    let (properties, body) = (BasicProperties::default(), b"come back".to_vec());
    line.channel
        .basic_publish(properties, body.clone(), to.mandatory(true).finish())
        .await?;
    assert_eq!(
        line.next().await?,
        Told::Returned(312, "NO_ROUTE".to_owned(), body)
    );
    Ok(connection.close().await?)
}

async fn publish_to_a_missing_exchange(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    publish(&line.channel, &fresh("missing"), "key", "lost").await?;
    assert_eq!(line.next().await?, Told::Closed(404));
    let _line = line_on(&connection).await?;
    Ok(connection.close().await?)
}

async fn confirms_of_many_messages(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    line.channel
        .confirm_select(ConfirmSelectArguments::new(false))
        .await?;
    let queue = queue_on(&line.channel, FieldTable::new()).await?;
    for number in 0..20 {
        publish(&line.channel, "", &queue, &number.to_string()).await?;
    }
    publish(
        &line.channel,
        "",
        &fresh("missing"),
        "dropped, and confirmed",
    )
    .await?;
    let mut open: Vec<u64> = (1..=21).collect();
    while !open.is_empty() {
        match line.next().await? {
            Told::Acked(tag, multiple) => {
                open.retain(|&own| own != tag && !(multiple && own < tag))
            }
            other => anyhow::bail!("expected a confirm, got {other:?}"),
        }
    }
    assert_eq!(take_all(&line.channel, &queue).await?.len(), 20);
    Ok(connection.close().await?)
}

async fn confirms_refuse_what_overflows(stage: Stage) -> anyhow::Result<()> {
    let connection = connected(&stage).await?;
    let mut line = line_on(&connection).await?;
    line.channel
        .confirm_select(ConfirmSelectArguments::new(true))
        .await?;
    let limit = vec![
        ("x-max-length", FieldValue::I(1)),
        ("x-overflow", text("reject-publish")?),
    ];
    let queue = queue_on(&line.channel, table(limit)?).await?;
    publish(&line.channel, "", &queue, "fits").await?;
    assert_eq!(line.next().await?, Told::Acked(1, false));
    publish(&line.channel, "", &queue, "does not fit").await?;
    // Whether it says "this and all before" makes no difference here.
    let told = line.next().await?;
    ensure!(
        matches!(told, Told::Nacked(2, _)),
        "expected a refusal, got {told:?}"
    );
    assert_eq!(take_all(&line.channel, &queue).await?, ["fits"]);
    Ok(connection.close().await?)
}
