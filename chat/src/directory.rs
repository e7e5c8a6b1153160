//! Where a user is to be reached: the queues of its devices, and the gateways it is connected to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{ConversationId, DeviceId, MessageId, Seq, UserId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::store::{ChatStore, Conversation, DeviceKind, Member, StoreError};

/// Without news from a gateway for so long, nobody is there any more.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often a gateway gives news of itself.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(5);
/// Users and conversations remembered, each; beyond, all are forgotten and read again.
const REMEMBERED_MAX: usize = 100_000;

/// What services tell one another, over the exchange [`CONTROL_EXCHANGE`](crate::topology).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// A user's devices have changed.
    Devices {
        /// Whose.
        user: UserId,
    },
    /// These users are connected to a gateway, and no others; good for [`LEASE`].
    Gateway {
        /// The gateway's queue.
        queue: String,
        /// All of them.
        users: Vec<UserId>,
    },
    /// A user has come to a gateway.
    Came {
        /// The gateway's queue.
        queue: String,
        /// Who.
        user: UserId,
    },
    /// A user's last connection to a gateway has ended.
    Went {
        /// The gateway's queue.
        queue: String,
        /// Who.
        user: UserId,
    },
    /// A process routes; good for a few seconds, and a sign of life.
    Routes {
        /// Made at its start.
        instance: MessageId,
    },
    /// A process that routed ends, in order.
    Ends {
        /// Made at its start.
        instance: MessageId,
    },
    /// Who has just started asks all gateways to say who is there.
    Who,
    /// From a later version.
    #[serde(other)]
    Unknown,
}

/// Where something for a user goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Devices with queues of their own.
    pub inboxes: Arc<Vec<DeviceId>>,
    /// Queues of gateways.
    pub gateways: Vec<String>,
}

#[derive(Debug)]
struct Gateway {
    users: HashSet<UserId>,
    until: Instant,
}

/// Who is in a conversation, as of this version of its members.
type KnownMembers = (u64, Arc<Vec<Member>>);

/// Where users are to be reached, and who is in a conversation.
#[derive(Debug)]
pub struct Directory {
    store: Arc<dyn ChatStore>,
    inboxes: Mutex<HashMap<UserId, Arc<Vec<DeviceId>>>>,
    gateways: Mutex<HashMap<String, Gateway>>,
    members: Mutex<HashMap<ConversationId, KnownMembers>>,
}

impl Directory {
    /// Over this store.
    #[must_use]
    pub fn new(store: Arc<dyn ChatStore>) -> Self {
        Self {
            store,
            inboxes: Mutex::default(),
            gateways: Mutex::default(),
            members: Mutex::default(),
        }
    }

    /// Where something for this user goes.
    pub async fn targets(&self, user: &UserId) -> Result<Targets, StoreError> {
        let known = self.inboxes.lock().get(user).cloned();
        let inboxes = match known {
            Some(inboxes) => inboxes,
            None => self.read_inboxes(user).await?,
        };
        Ok(Targets {
            inboxes,
            gateways: self.gateways_of(user, Instant::now()),
        })
    }

    async fn read_inboxes(&self, user: &UserId) -> Result<Arc<Vec<DeviceId>>, StoreError> {
        let devices = self.store.devices(user).await?;
        let has_inbox = devices
            .into_iter()
            .filter(|device| device.kind == DeviceKind::Inbox);
        let inboxes = Arc::new(has_inbox.map(|device| device.id).collect::<Vec<_>>());
        let mut known = self.inboxes.lock();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(user.clone(), inboxes.clone());
        Ok(inboxes)
    }

    fn gateways_of(&self, user: &UserId, now: Instant) -> Vec<String> {
        let mut gateways = self.gateways.lock();
        gateways.retain(|_, gateway| gateway.until > now);
        let has_user = |(queue, gateway): (&String, &Gateway)| {
            gateway.users.contains(user).then(|| queue.clone())
        };
        gateways.iter().filter_map(has_user).collect()
    }

    /// Another service has news.
    pub fn learn(&self, control: &Control, now: Instant) {
        match control {
            Control::Devices { user } => {
                self.inboxes.lock().remove(user);
            }
            Control::Gateway { queue, users } => {
                let gateway = Gateway {
                    users: users.iter().cloned().collect(),
                    until: now + LEASE,
                };
                self.gateways.lock().insert(queue.clone(), gateway);
            }
            Control::Came { queue, user } => {
                let mut gateways = self.gateways.lock();
                let gateway = gateways.entry(queue.clone()).or_insert_with(|| Gateway {
                    users: HashSet::new(),
                    until: now,
                });
                gateway.until = now + LEASE;
                gateway.users.insert(user.clone());
            }
            Control::Went { queue, user } => {
                if let Some(gateway) = self.gateways.lock().get_mut(queue) {
                    gateway.users.remove(user);
                }
            }
            Control::Routes { .. } | Control::Ends { .. } | Control::Who | Control::Unknown => {}
        }
    }

    /// News may have been missed: what is known of devices is read again.
    pub fn forget_devices(&self) {
        self.inboxes.lock().clear();
    }

    /// A gateway's queue is not there any more.
    pub fn forget_gateway(&self, queue: &str) {
        self.gateways.lock().remove(queue);
    }

    /// Who is in a conversation now. What is remembered holds as long as the conversation's version of
    /// its members does.
    pub async fn members(&self, id: &ConversationId) -> Result<Arc<Vec<Member>>, StoreError> {
        match self.store.conversation(id).await? {
            Some(conversation) => self.members_of(&conversation).await,
            None => Ok(Arc::default()),
        }
    }

    /// Who of those in a conversation now may read the message of this place. Somebody who was brought in
    /// later is there by now, and is not meant: messages are handed on after others were appended, and
    /// again after a crash.
    pub async fn readers(
        &self,
        conversation: &Conversation,
        seq: Seq,
    ) -> Result<Vec<UserId>, StoreError> {
        let members = self.members_of(conversation).await?;
        let may_read = |member: &&Member| member.visible(conversation).contains(&seq);
        let readers = members.iter().filter(may_read);
        Ok(readers.map(|member| member.user.clone()).collect())
    }

    async fn members_of(
        &self,
        conversation: &Conversation,
    ) -> Result<Arc<Vec<Member>>, StoreError> {
        let id = &conversation.id;
        let version = conversation.member_version;
        if let Some((known, members)) = self.members.lock().get(id)
            && *known == version
        {
            return Ok(members.clone());
        }
        let members = Arc::new(self.store.members(id).await?);
        let mut known = self.members.lock();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(id.clone(), (version, members.clone()));
        Ok(members)
    }

    /// A device could not be told something: it is to be told later that there is more.
    pub async fn mark_behind(&self, device: &BrokerUser, behind: bool) -> Result<(), StoreError> {
        let devices = self.store.devices(&device.user).await?;
        let found = devices.into_iter().find(|found| found.id == device.device);
        match found {
            Some(mut found) if found.behind != behind => {
                found.behind = behind;
                self.store.put_device(found).await
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Device, MemoryStore};
    use leveret_client::message::Timestamp;

    #[tokio::test]
    async fn a_gateway_that_is_silent_is_forgotten_and_news_of_devices_are_heeded() {
        let store = MemoryStore::open();
        let directory = Directory::new(store.clone());
        let ana = UserId::random();
        let now = Instant::now();
        let queue = "gw.1".to_owned();
        let came = Control::Came {
            queue: queue.clone(),
            user: ana.clone(),
        };
        directory.learn(&came, now);
        assert_eq!(
            directory.gateways_of(&ana, now),
            std::slice::from_ref(&queue)
        );
        assert!(directory.gateways_of(&ana, now + LEASE).is_empty());

        assert!(directory.targets(&ana).await.unwrap().inboxes.is_empty());
        let device = Device {
            user: ana.clone(),
            id: DeviceId::random(),
            name: String::new(),
            kind: DeviceKind::Inbox,
            behind: false,
            created: Timestamp::now(),
        };
        store.put_device(device.clone()).await.unwrap();
        directory.learn(&Control::Devices { user: ana.clone() }, now);
        let targets = directory.targets(&ana).await.unwrap();
        assert_eq!(*targets.inboxes, [device.id]);
    }

    #[test]
    fn a_word_of_a_later_version_is_passed_over() {
        let later = br#"{"type":"sleeps","instance":"x","until":[1]}"#;
        let heard: Control = serde_json::from_slice(later).unwrap();
        assert_eq!(heard, Control::Unknown);
    }

    #[tokio::test]
    async fn who_comes_back_is_no_reader_of_what_was_said_without_it() {
        use crate::store::{Append, Appended, User};
        use leveret_client::message::{
            Body, GroupChange, GroupSettings, MemberChange, Post, Role, Toggle,
        };
        let store = MemoryStore::open();
        let directory = Directory::new(store.clone());
        let (ana, bruno) = (UserId::random(), UserId::random());
        for (id, handle) in [(&ana, "ana"), (&bruno, "bruno")] {
            let user = User {
                id: id.clone(),
                handle: handle.parse().unwrap(),
                name: handle.to_owned(),
                password: None,
                bot: false,
                administrator: false,
                receipts: Toggle::On,
                created: Timestamp::now(),
                deleted: None,
            };
            store.add_user(user).await.unwrap();
        }
        let group = ConversationId::random_group();
        let settings = GroupSettings {
            title: "ops".to_owned(),
            ..GroupSettings::default()
        };
        let create = GroupChange::Create {
            settings,
            members: vec![bruno.clone()],
        };
        let member = |change| Body::Member {
            user: bruno.clone(),
            change,
        };
        let bodies = [
            Body::Group(create),
            member(MemberChange::Remove),
            Body::text("he is not here"),
            member(MemberChange::Add { role: Role::Member }),
        ];
        let device = DeviceId::random();
        let at = Timestamp::now();
        let append = |body| Append {
            post: Post::to_group(&group, &ana, &device, body, at),
            at,
        };
        // All at once, as after a pause; or once more, after a crash.
        let batch = bodies.into_iter().map(append).collect();
        let appended = store.append(batch).await.unwrap().outcomes;
        assert!(
            appended
                .iter()
                .all(|one| matches!(one, Appended::Stored(_))),
            "{appended:?}"
        );
        let conversation = store.conversation(&group).await.unwrap().unwrap();
        for (seq, count) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
            let readers = directory.readers(&conversation, Seq(seq)).await.unwrap();
            assert_eq!(readers.len(), count, "of message {seq}: {readers:?}");
        }
    }
}
