//! What a run does besides killing and stopping: shards without room, and dead letters that are sent again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leveret_chat::amqp::{BrokerUrl, Link};
use leveret_chat::operator::{self, Outcome, Verdict};
use leveret_client::message::MessageId;
use leveret_client::message::properties::VIRTUAL_HOST;
use serde_json::{Value, json};

use super::broker::Reach;
use super::service::SHARDS;

const PATIENCE: Duration = Duration::from_secs(120);
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// The policy under which nothing has room.
const FULL: &str = "torture-full";

fn policy(reach: &Reach) -> (String, String) {
    let (scheme, rest) = reach
        .management
        .split_once("://")
        .unwrap_or(("http", &reach.management));
    let (login, host) = rest.split_once('@').unwrap_or(("guest:guest", rest));
    let host = host.trim_end_matches('/');
    // A virtual host of the tests' own has no octet that is to be encoded.
    let virtual_host = reach
        .url
        .rsplit_once('/')
        .map_or(VIRTUAL_HOST, |(_, name)| name);
    let url = format!("{scheme}://{host}/api/policies/{virtual_host}/{FULL}");
    let login = data_encoding::BASE64.encode(login.as_bytes());
    (url, format!("Basic {login}"))
}

/// A broker that is stopped does not answer, and must not stop the harness, which is to let it go on.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER_PATIENCE));
    config.build().into()
}

/// From now on the send shards take nothing. Fails if the broker is dead at the moment.
pub(crate) fn fill(reach: &Reach) -> Result<()> {
    let (url, login) = policy(reach);
    let definition = json!({
        "pattern": "^chat\\.send\\.",
        "definition": {"max-length": 0, "delivery-limit": 10},
        "priority": 10,
        "apply-to": "queues",
    });
    agent()
        .put(url)
        .header("authorization", login)
        .send_json(definition)?;
    Ok(())
}

/// There is room again.
pub(crate) fn empty(reach: &Reach) -> Result<()> {
    let (url, login) = policy(reach);
    let call = agent().delete(url).header("authorization", login);
    match call.call() {
        Ok(_) | Err(ureq::Error::StatusCode(404)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends every dead letter again, and gives the ids of those that were messages.
pub(crate) async fn replay(reach: &Reach) -> Result<Vec<MessageId>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match try_replay(reach).await {
            Ok(ids) => return Ok(ids),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("dead letters are not sent again");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}

async fn try_replay(reach: &Reach) -> Result<Vec<MessageId>> {
    let broker = BrokerUrl::parse(&reach.url).map_err(anyhow::Error::msg)?;
    let link = Link::open(&broker, "an operator").await?;
    let mut ids = Vec::new();
    let shards = SHARDS.try_into().map_err(anyhow::Error::msg)?;
    let replayed = operator::dead_letters(&link, &broker, shards, |letter| {
        ids.extend(letter.id);
        Verdict::Replay
    });
    let outcome = replayed.await?;
    link.close().await;
    let whole = Outcome {
        replayed: outcome.replayed,
        ..Outcome::default()
    };
    ensure!(outcome == whole, "{outcome:?}");
    Ok(ids)
}

/// The send shards in which messages wait while none of the consumers that there are is the active one. After
/// `kill -9` RabbitMQ 4.3.6 now and then goes on believing in a consumer of before: its unsettled deliveries do
/// not come back, nobody else gets anything, and neither `consumer-timeout` nor another start helps.
pub(crate) fn haunted(reach: &Reach) -> Result<Vec<String>> {
    let (policy, login) = policy(reach);
    let host = policy
        .strip_suffix(FULL)
        .and_then(|url| url.strip_suffix('/'))
        .context("it ends so")?;
    let get = |what: &str| -> Result<Vec<Value>> {
        let url = host.replace("/policies/", what);
        let mut answer = agent().get(url).header("authorization", &login).call()?;
        Ok(answer.body_mut().read_json()?)
    };
    let active: Vec<_> = get("/consumers/")?
        .into_iter()
        .filter(|consumer| consumer["active"] == true)
        .map(|consumer| consumer["queue"]["name"].clone())
        .collect();
    let waits = |queue: &Value| queue["messages"].as_u64() > Some(0);
    let queues = get("/queues/")?.into_iter();
    let haunted = queues.filter(|queue| waits(queue) && !active.contains(&queue["name"]));
    let names = haunted.filter_map(|queue| queue["name"].as_str().map(str::to_owned));
    Ok(names
        .filter(|name| name.starts_with("chat.send."))
        .collect())
}
