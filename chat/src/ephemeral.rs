//! Who is writing, who is there: handed on to those who may want to know, and forgotten.

mod presences;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use leveret_client::message::properties::EPHEMERAL_EXPIRATION;
use leveret_client::message::{Command, Event, Presence, PresenceState, Typing, UserId, envelope};
use parking_lot::Mutex;

use self::presences::{Change, Presences};
use crate::amqp::{Incoming, Link};
use crate::directory::Directory;
use crate::fanout::{Fanout, Keeping, Parcel};
use crate::identity::{Claims, Services};
use crate::store::ChatStore;
use crate::worker::{HandleError, Handler, Settling, settled};

/// Members up to which a conversation's members see one another's presence.
const PRESENCE_MEMBERS_MAX: usize = 50;
/// Of so many people, at most, is somebody told who has just come.
const WELCOME_MAX: usize = 100;
/// How often it is looked who is gone without a word.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Works on what nobody misses.
#[derive(Debug)]
pub(crate) struct Ephemeral {
    pub(crate) store: Arc<dyn ChatStore>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) services: Services,
    pub(crate) typing_members_max: u64,
    pub(crate) presences: Mutex<Presences>,
    pub(crate) swept: Mutex<Option<Instant>>,
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

    async fn presence(&self, link: &Link, presence: Presence) -> Result<(), HandleError> {
        let change = self.presences.lock().note(&presence, Instant::now());
        let Some(Change { before, now: state }) = change else {
            return Ok(());
        };
        let peers = self.peers(&presence.from).await?;
        let news = Event::Presence(Presence {
            state,
            ..presence.clone()
        });
        self.tell(link, &peers, news).await?;
        if before == PresenceState::Offline {
            self.welcome(link, &presence, &peers).await?;
        }
        Ok(())
    }

    /// Those who may see whether a user is there.
    async fn peers(&self, user: &UserId) -> Result<Vec<UserId>, HandleError> {
        let mut peers = Vec::new();
        for conversation in self.store.conversations_of(user).await? {
            let members = self.directory.members(&conversation).await?;
            let is_member = members.iter().any(|member| member.user == *user);
            if is_member && members.len() <= PRESENCE_MEMBERS_MAX {
                peers.extend(members.iter().map(|member| member.user.clone()));
            }
        }
        peers.sort();
        peers.dedup();
        peers.retain(|peer| peer != user);
        Ok(peers)
    }

    /// Who has just come is told who is there.
    async fn welcome(
        &self,
        link: &Link,
        presence: &Presence,
        peers: &[UserId],
    ) -> Result<(), HandleError> {
        let now = Instant::now();
        let there: Vec<_> = {
            let presences = self.presences.lock();
            let state = |user: &UserId| (user.clone(), presences.state(user, now));
            let states = peers.iter().map(state);
            let there = states.filter(|(_, state)| *state != PresenceState::Offline);
            there.take(WELCOME_MAX).collect()
        };
        for (from, state) in there {
            let dev = presence.dev.clone();
            let event = Event::Presence(Presence { from, dev, state });
            self.tell(link, std::slice::from_ref(&presence.from), event)
                .await?;
        }
        Ok(())
    }

    /// Those who have gone without a word.
    async fn sweep(&self, link: &Link, now: Instant) -> Result<(), HandleError> {
        {
            let mut swept = self.swept.lock();
            if swept.is_some_and(|swept| now < swept + SWEEP_INTERVAL) {
                return Ok(());
            }
            *swept = Some(now);
        }
        let gone = self.presences.lock().expired(now);
        for from in gone {
            let peers = self.peers(&from).await?;
            let gone = Event::Presence(Presence {
                from,
                dev: leveret_client::message::DeviceId::random(),
                state: PresenceState::Offline,
            });
            self.tell(link, &peers, gone).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Ephemeral {
    async fn handle(&self, link: &Arc<Link>, batch: &[Incoming]) -> Result<Settling, HandleError> {
        self.sweep(link, Instant::now()).await?;
        for incoming in batch {
            match self.command(incoming) {
                Some(Command::Typing(typing)) => self.typing(link, typing).await?,
                Some(Command::Presence(presence)) => self.presence(link, presence).await?,
                Some(Command::Send(_) | Command::Receive(_)) | None => {
                    tracing::debug!("not typing, not presence, or not from whom it says");
                }
            }
        }
        Ok(settled())
    }
}
