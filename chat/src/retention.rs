//! Erases what groups do not keep any longer, and forgets what nobody will ask for again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leveret_client::message::{ConversationId, Erasure, HistoryRange, Seq, Timestamp};
use tokio::sync::watch;

use crate::store::{ChatStore, StoreError};

/// How often: a group's time is in days.
const INTERVAL: Duration = Duration::from_secs(600);
/// How often ids are forgotten: each time all of them are looked at.
const IDS_INTERVAL: Duration = Duration::from_secs(DAY_SECONDS);
/// Conversations, and messages, looked at in one step.
const PAGE: usize = 200;
/// Messages sent so long ago are refused, whoever sends them again: their ids can be forgotten. Longer
/// than [`Post::check`](leveret_client::message::Post) lets an outbox wait.
const IDS_KEPT: Duration = Duration::from_secs(30 * DAY_SECONDS);
const DAY_SECONDS: u64 = 86_400;
/// Conversations of which is remembered up to where they are erased; beyond, they are looked at again.
const REMEMBERED_MAX: usize = 100_000;

/// Works until it is told to stop. Several at once do no harm: what is erased stays so.
pub(crate) async fn run(store: Arc<dyn ChatStore>, mut stop: watch::Receiver<bool>) {
    let mut round = Round::default();
    loop {
        let done = round.run(&*store, Timestamp::now());
        tokio::select! {
            Err(error) = done => tracing::warn!(%error, "nothing is erased at the moment"),
            _ = stop.wait_for(|stop| *stop) => return,
            else => {}
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// One look at everything, and what the next one need not look at again.
#[derive(Debug, Default)]
struct Round {
    erased: HashMap<ConversationId, Seq>,
    ids_forgotten: Option<Timestamp>,
}

impl Round {
    async fn run(&mut self, store: &dyn ChatStore, now: Timestamp) -> Result<(), StoreError> {
        let is_due = |last: Timestamp| now.since(last) >= IDS_INTERVAL;
        if self.ids_forgotten.is_none_or(is_due) {
            while store.forget_ids(now.minus(IDS_KEPT)).await? > 0 {}
            self.ids_forgotten = Some(now);
        }
        let mut last = None;
        loop {
            let page = store.conversation_ids(last.as_ref(), PAGE).await?;
            let Some(end) = page.last() else {
                return Ok(());
            };
            last = Some(end.clone());
            for id in page {
                self.conversation(store, id, now).await?;
            }
        }
    }

    async fn conversation(
        &mut self,
        store: &dyn ChatStore,
        id: ConversationId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let conversation = store.conversation(&id).await?;
        let settings = conversation.and_then(|conversation| conversation.settings);
        let Some(days) = settings.and_then(|settings| settings.retention_days) else {
            self.erased.remove(&id);
            return Ok(());
        };
        let before = now.minus(Duration::from_secs(u64::from(days) * DAY_SECONDS));
        let mut after = self.erased.get(&id).copied().unwrap_or(Seq::NONE);
        loop {
            let page = store.history(&id, HistoryRange::After(after), PAGE).await?;
            let old = page.iter().take_while(|message| message.ts < before);
            let seqs: Vec<_> = old.map(|message| message.seq).collect();
            let Some(end) = seqs.last().copied() else {
                break;
            };
            let erased = store.erase(&id, seqs, Erasure::Expired).await?;
            if erased > 0 {
                tracing::info!(conv = %id, erased, "older than the group keeps messages");
            }
            after = end;
        }
        if self.erased.len() >= REMEMBERED_MAX {
            self.erased.clear();
        }
        self.erased.insert(id, after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AddedUser, Append, Appended, MemoryStore, User};
    use leveret_client::message::{
        Body, DeviceId, GroupChange, GroupSettings, Post, Toggle, UserId,
    };

    #[tokio::test]
    async fn what_is_older_than_a_group_keeps_it_is_erased_and_nothing_else() {
        let store = MemoryStore::open();
        let start = Timestamp::now();
        let ana = User {
            id: UserId::random(),
            handle: "ana".parse().unwrap(),
            name: "Ana".to_owned(),
            password: None,
            bot: false,
            administrator: false,
            receipts: Toggle::On,
            created: start,
            deleted: None,
        };
        assert_eq!(store.add_user(ana.clone()).await, Ok(AddedUser::Added));
        let day = Duration::from_secs(DAY_SECONDS);
        let mut groups = Vec::new();
        for retention_days in [Some(2), None] {
            let group = ConversationId::random_group();
            let settings = GroupSettings {
                title: "ops".to_owned(),
                retention_days,
                ..GroupSettings::default()
            };
            let members = Vec::new();
            let create = Body::Group(GroupChange::Create { settings, members });
            let texts = (0..250).map(|_| Body::text("old"));
            let bodies: Vec<_> = [create].into_iter().chain(texts).collect();
            for (number, body) in bodies.into_iter().enumerate() {
                // The last fifty are two days younger.
                let at = if number > 200 {
                    start.plus(day * 2)
                } else {
                    start
                };
                let device: DeviceId = "dterm".parse().unwrap();
                let post = Post::to_group(&group, &ana.id, &device, body, at);
                let appended = store
                    .append(vec![Append { post, at }])
                    .await
                    .unwrap()
                    .outcomes;
                assert!(matches!(&appended[..], [Appended::Stored(_)]));
            }
            groups.push(group);
        }
        let mut round = Round::default();
        let texts = async |group: &ConversationId| {
            let range = HistoryRange::After(Seq::NONE);
            let all = store.history(group, range, 1_000).await.unwrap();
            let is_text = |body: &Body| matches!(body, Body::Text(_));
            all.iter().filter(|message| is_text(&message.body)).count()
        };
        round.run(&*store, start.plus(day)).await.unwrap();
        assert_eq!(texts(&groups[0]).await, 250);
        round.run(&*store, start.plus(day * 3)).await.unwrap();
        assert_eq!(texts(&groups[0]).await, 50);
        round.run(&*store, start.plus(day * 5)).await.unwrap();
        assert_eq!(texts(&groups[0]).await, 0);
        assert_eq!(texts(&groups[1]).await, 250);
    }
}
