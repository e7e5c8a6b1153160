//! Who is writing, who is there: handed on to those who may want to know, and forgotten.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use leveret_client::message::properties::EPHEMERAL_EXPIRATION;
use leveret_client::message::{Command, Event, Presence, PresenceState, Typing, UserId, envelope};
use parking_lot::Mutex;

use crate::amqp::{Incoming, Link};
use crate::directory::Directory;
use crate::fanout::{Fanout, Keeping, Parcel};
use crate::identity::{Claims, Services};
use crate::store::ChatStore;
use crate::worker::{HandleError, Handler};

/// Presence that is not said again for so long is over.
const PRESENCE_LEASE: Duration = Duration::from_secs(60);
/// Users whose presence is remembered, to tell what is new from what is said again.
const PRESENT_MAX: usize = 100_000;
/// Members up to which a conversation's members see one another's presence.
const PRESENCE_MEMBERS_MAX: usize = 50;

/// Works on what nobody misses.
#[derive(Debug)]
pub(crate) struct Ephemeral {
    pub(crate) store: Arc<dyn ChatStore>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) services: Services,
    pub(crate) typing_members_max: u64,
    pub(crate) present: Mutex<HashMap<UserId, (PresenceState, Instant)>>,
}

impl Ephemeral {
    fn command(&self, incoming: &Incoming) -> Option<Command> {
        let claims = Claims {
            user_id: incoming.user_id.as_deref(),
            sender: incoming.sender.as_ref(),
            was_dead_lettered: incoming.was_dead_lettered,
        };
        let author = self.services.author(&claims)?;
        let command = envelope::decode::<Command>(&incoming.body).ok()?;
        let claimed = command.author();
        (claimed == (&author.user, &author.device)).then_some(command)
    }

    async fn tell(&self, link: &Link, users: &[UserId], event: Event) -> Result<(), HandleError> {
        let parcel = Parcel {
            event,
            keeping: Keeping::For(EPHEMERAL_EXPIRATION),
            place: None,
        };
        let flying = self.fanout.to_users(link, users, &parcel).await?;
        self.fanout.settle(link, flying).await?;
        Ok(())
    }

    async fn typing(&self, link: &Link, typing: Typing) -> Result<(), HandleError> {
        let members = self.directory.members(&typing.conv).await?;
        let is_member = members.iter().any(|member| member.user == typing.from);
        if !is_member || members.len() as u64 > self.typing_members_max {
            return Ok(());
        }
        let others: Vec<_> = members
            .iter()
            .map(|member| member.user.clone())
            .filter(|user| *user != typing.from)
            .collect();
        self.tell(link, &others, Event::Typing(typing)).await
    }

    /// Whether it is news.
    fn note(&self, presence: &Presence, now: Instant) -> bool {
        let mut present = self.present.lock();
        if present.len() >= PRESENT_MAX {
            present.retain(|_, (_, until)| *until > now);
            if present.len() >= PRESENT_MAX {
                present.clear();
            }
        }
        let until = now + PRESENCE_LEASE;
        let before = present.insert(presence.from.clone(), (presence.state, until));
        !before.is_some_and(|(state, until)| state == presence.state && until > now)
    }

    async fn presence(&self, link: &Link, presence: Presence) -> Result<(), HandleError> {
        if !self.note(&presence, Instant::now()) {
            return Ok(());
        }
        let mut peers = Vec::new();
        for conversation in self.store.conversations_of(&presence.from).await? {
            let members = self.directory.members(&conversation).await?;
            let is_member = members.iter().any(|member| member.user == presence.from);
            if is_member && members.len() <= PRESENCE_MEMBERS_MAX {
                peers.extend(members.iter().map(|member| member.user.clone()));
            }
        }
        peers.sort();
        peers.dedup();
        peers.retain(|user| *user != presence.from);
        self.tell(link, &peers, Event::Presence(presence)).await
    }
}

#[async_trait]
impl Handler for Ephemeral {
    async fn handle(&self, link: &Link, batch: &[Incoming]) -> Result<(), HandleError> {
        for incoming in batch {
            match self.command(incoming) {
                Some(Command::Typing(typing)) => self.typing(link, typing).await?,
                Some(Command::Presence(presence)) => self.presence(link, presence).await?,
                Some(Command::Send(_) | Command::Receive(_)) | None => {
                    tracing::debug!("not typing, not presence, or not from whom it says");
                }
            }
        }
        Ok(())
    }
}
