//! Duplicates of what was there before the broker ended.

use std::time::Duration;

use anyhow::{Result, ensure};
use leveret_tests::raw::content::Properties;
use leveret_tests::raw::method;
use leveret_tests::raw::value::{Value, one};

use super::restart::{ENDS, Restart, block_on};

fn keyed(key: usize) -> Properties {
    let headers = one("x-deduplication-header", Value::I64(key as i64));
    Properties {
        headers: Some(headers),
        ..Properties::persistent()
    }
}

async fn put(restart: &mut Restart, keys: std::ops::Range<usize>, padding: usize) -> Result<()> {
    for key in keys {
        let body = format!("{key}{}", " ".repeat(padding));
        restart.put_with("queue", &[body], &keyed(key)).await?;
    }
    Ok(())
}

fn numbers(bodies: &[String]) -> Vec<usize> {
    let numbers = bodies.iter().map(|body| body.trim_end().parse());
    numbers.map(|number| number.unwrap_or(usize::MAX)).collect()
}

/// Spec 4.3.2. Spec 9.1.
#[test]
fn what_is_still_in_the_queue_has_no_duplicates_after_a_restart() {
    block_on(async {
        let on = || one("x-message-deduplication", true);
        let cases = [
            ("while queued", on(), false),
            ("in a window", on().with("x-cache-size", 1000), false),
            ("by priority", on().with("x-max-priority", 3), false),
            ("after a checkpoint", on(), true),
        ];
        for (case, arguments, pauses) in cases {
            for end in ENDS {
                let mut restart = Restart::new().await?;
                restart.declare("queue", &arguments).await?;
                put(&mut restart, 0..20, 0).await?;
                // Heads of long messages are read by themselves.
                put(&mut restart, 20..25, 100_000).await?;
                if pauses {
                    // A checkpoint is taken a second after the first change.
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                }
                for _ in 0..5 {
                    restart.client.get(1, "queue", false).await?;
                }
                restart.client.send(1, &method::basic_ack(5, true)).await?;
                put(&mut restart, 25..30, 0).await?;
                let mut restart = restart.again(end).await?;
                restart.client.expect_ready(1, "queue", 25).await?;
                // The first five were settled, and may come again.
                put(&mut restart, 0..35, 0).await?;
                let all = restart.client.take_all(1, "queue").await?;
                let expected: Vec<usize> = (5..30).chain(0..5).chain(30..35).collect();
                ensure!(numbers(&all) == expected, "{case}, {end:?}: {all:?}");
            }
        }
        Ok(())
    });
}

/// Spec 4.3.2. Spec 9.1.
#[test]
fn no_more_keys_are_read_back_than_may_be_known() {
    block_on(async {
        for end in ENDS {
            let mut restart = Restart::new().await?;
            let arguments = one("x-message-deduplication", true).with("x-cache-size", 3);
            restart.declare("queue", &arguments).await?;
            put(&mut restart, 0..10, 0).await?;
            let mut restart = restart.again(end).await?;
            put(&mut restart, 7..11, 0).await?;
            put(&mut restart, 6..7, 0).await?;
            let all = restart.client.take_all(1, "queue").await?;
            let expected: Vec<usize> = (0..11).chain(6..7).collect();
            ensure!(numbers(&all) == expected, "{end:?}: {all:?}");
        }
        Ok(())
    });
}
