//! Peers that are faster or slower than the broker: they wait, or are waited for, without a word, and
//! cost nobody else anything.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::Client;
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method::{self, consume_bits, queue_bits};
use leveret_tests::raw::value::Table;

leveret_tests::on_both_targets![
    a_publisher_in_a_hurry_is_slowed_without_a_word,
    a_consumer_that_does_not_read_keeps_nobody_waiting,
];

async fn declare(client: &mut Client, queue: &str) -> Result<()> {
    let declare = method::queue_declare(queue, queue_bits::DURABLE, &Table::new());
    client.ok(1, declare).await.map(drop)
}

/// Spec 11.3. It reads no confirm until everything is sent; meanwhile others are served.
async fn a_publisher_in_a_hurry_is_slowed_without_a_word(context: &Context) -> Result<()> {
    const MESSAGES: u64 = 2_000;
    let queue = context.queue("q");
    let mut bystander = context.client().await?;
    declare(&mut bystander, &queue).await?;
    let mut publisher = context.client().await?;
    publisher.ok(1, method::confirm_select()).await?;
    let body = vec![b'x'; 16 << 10];
    for number in 0..MESSAGES {
        let publish = method::basic_publish("", &queue, 0);
        publisher
            .publish(1, publish, &Properties::persistent(), &body)
            .await?;
        if number % 500 == 0 {
            bystander.counts(1, &queue).await?;
        }
    }
    // Nothing comes but the answers.
    let mut answered = BTreeSet::new();
    while (answered.len() as u64) < MESSAGES {
        let received = publisher.next().await?;
        ensure!(received.method.id == method::BASIC_ACK, "{received:?}");
        let mut reader = received.method.reader();
        let (tag, multiple) = (reader.u64()?, reader.u8()? == 1);
        answered.extend(if multiple { 1..=tag } else { tag..=tag });
    }
    bystander
        .expect_ready(1, &queue, MESSAGES.try_into()?)
        .await
}

/// Spec 11.4. Neither acknowledges, so that nothing but the socket holds back what is sent.
async fn a_consumer_that_does_not_read_keeps_nobody_waiting(context: &Context) -> Result<()> {
    const MESSAGES: usize = 400;
    let queue = context.queue("q");
    let mut deaf = context.client().await?;
    declare(&mut deaf, &queue).await?;
    let consume = method::basic_consume(&queue, "c", consume_bits::NO_ACK, &Table::new());
    deaf.ok(1, consume.clone()).await?;
    let mut reader = context.client().await?;
    reader.ok(1, consume).await?;
    let mut publisher = context.client().await?;
    let body = vec![b'x'; 64 << 10];
    for _ in 0..MESSAGES {
        let publish = method::basic_publish("", &queue, 0);
        publisher
            .publish(1, publish, &Properties::default(), &body)
            .await?;
    }
    // At least every other message is the reader's.
    for _ in 0..MESSAGES / 2 {
        let delivery = reader.delivery(1).await?;
        ensure!(delivery.content.body.len() == body.len(), "it was cut");
    }
    publisher.counts(1, &queue).await.map(drop)
}
