//! The demonstration without anybody: it shows itself whether it holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leveret_client::message::{HistoryRange, MessageId, Reply, Request, Seq};
use leveret_client::session::Session;

use super::{Demo, INTERVAL, PATIENCE, compare, say, say_count};

/// Messages of each act.
const MESSAGES: u64 = 20;
/// Messages of the act in which the service is killed, and when.
const IN_DANGER: u64 = 60;
const KILLED_AT: u64 = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(demo: &mut Demo) -> Result<bool> {
    demo.bring(0).await?;
    let ana = ana(demo)?;
    ana.send(demo.creation()).await?;
    say("ana, bruno and carla talk in #geral")?;
    speak(demo, &ana, 0..MESSAGES).await?;
    demo.settle().await;

    say("carla goes offline, and ana goes on")?;
    demo.people[2].go().await;
    speak(demo, &ana, MESSAGES..2 * MESSAGES).await?;
    let deadline = Instant::now() + PATIENCE;
    while !ana.outbox().await?.is_empty() {
        ensure!(Instant::now() < deadline, "nothing was taken");
        tokio::time::sleep(INTERVAL).await;
    }
    let waiting = demo.tally.lock().waiting_for(2);
    ensure!(waiting >= MESSAGES, "{waiting} messages wait for carla");
    say(&format!(
        "{waiting} messages wait for carla; she comes back"
    ))?;
    demo.bring(2).await?;
    demo.settle().await;

    say("ana sends, and the service is killed in the middle of it")?;
    kill_in_mid_send(demo, &ana).await?;
    demo.settle().await;
    let verdict = demo.tally.lock().verdict();
    say_count(verdict, "in the end")?;
    check_history(demo, &ana).await?;
    Ok(verdict.is_good())
}

fn ana(demo: &Demo) -> Result<Arc<Session>> {
    Ok(demo.people[0].session().context("ana is online")?.clone())
}

async fn speak(demo: &Demo, ana: &Session, numbers: std::ops::Range<u64>) -> Result<()> {
    for number in numbers {
        let post = demo.people[0].post(&demo.group, &format!("message {number}"));
        demo.tally.lock().written(&post.conv, post.id);
        ana.send(post).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn kill_in_mid_send(demo: &mut Demo, ana: &Session) -> Result<()> {
    speak(demo, ana, 0..KILLED_AT).await?;
    demo.service.kill().await?;
    demo.kills += 1;
    let down = Instant::now();
    speak(demo, ana, KILLED_AT..IN_DANGER / 2).await?;
    demo.service.start().await?;
    let up = down.elapsed().as_millis();
    say(&format!("it serves again after {up} ms"))?;
    speak(demo, ana, IN_DANGER / 2..IN_DANGER).await
}

/// The service's own history has what was written, each once.
async fn check_history(demo: &Demo, ana: &Session) -> Result<()> {
    let mut stored: Vec<MessageId> = Vec::new();
    let mut after = Seq::NONE;
    loop {
        let request = Request::History {
            conv: demo.group.clone(),
            range: HistoryRange::After(after),
            limit: 500,
        };
        let Reply::Messages { messages } = ana.ask(request).await? else {
            bail!("no history");
        };
        let Some(last) = messages.last() else { break };
        after = last.seq;
        stored.extend(messages.iter().map(|message| message.id));
    }
    let written = demo.tally.lock().ids(&demo.group);
    compare(&written, &stored)?;
    say(&format!(
        "the history has all {} of the group, each once",
        stored.len()
    ))
}
