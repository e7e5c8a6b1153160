//! The people, their devices, and where they talk.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leveret_client::http::ServiceHttp;
use leveret_client::message::{
    Body, Command, ConversationId, ConversationSummary, Cursor, GroupChange, GroupHistory,
    GroupSettings, HistoryRange, Message, MessageId, MessageStatus, Post, Reply, Request, Seq,
    Timestamp, UserId,
};
use leveret_client::transport::ClientTransport;
use leveret_tests::torture::POISON;
use leveret_tests::torture::actor::{Place, Script, Way};
use leveret_tests::torture::evidence::{Conversation, DeviceDiary, Evidence};
use leveret_tests::torture::record::{self, Entry, Reader, Record};

use super::broker::Broker;
use super::program::{Program, actor_binary};

/// For whatever should happen on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A device, as a program.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) script: Script,
    pub(crate) program: Program,
    pub(crate) reader: Reader,
    /// It is away until the end.
    pub(crate) is_late: bool,
}

impl Device {
    fn new(script: Script, folder: &Path, is_late: bool) -> Result<Self> {
        let path = folder.join(format!("{}.script", script.name));
        std::fs::write(&path, serde_json::to_vec(&script)?)?;
        let actor = actor_binary();
        let program = Program::new(&script.name, &actor, &[&path.to_string_lossy()], folder);
        Ok(Self {
            script,
            program,
            reader: Reader::default(),
            is_late,
        })
    }

    pub(crate) fn read(&mut self) -> Result<()> {
        Ok(self.reader.read(&self.script.diary)?)
    }

    /// The poisoned messages of which it was told that they will not be forgotten.
    fn poisoned(&self) -> impl Iterator<Item = MessageId> {
        let entries = self.reader.entries.iter();
        let promised: HashSet<_> = entries
            .clone()
            .filter_map(|entry| match &entry.record {
                Record::Written { id } => Some(*id),
                _ => None,
            })
            .collect();
        let poisoned = entries.filter_map(|entry| match &entry.record {
            Record::Writing { post } => match &post.body {
                Body::Text(text) if text.text.contains(POISON) => Some(post.id),
                _ => None,
            },
            _ => None,
        });
        poisoned.filter(move |id| promised.contains(id))
    }

    /// A connection besides that of its program.
    async fn connect(&self) -> Result<Box<dyn ClientTransport>> {
        let connector = self.script.connector()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match connector.connect().await {
                Ok(transport) => return Ok(transport),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

/// Who says what where.
#[derive(Debug)]
pub(crate) struct People {
    pub(crate) devices: Vec<Device>,
    /// With those who are in it from the first message; none if that message says it.
    pub(crate) conversations: Vec<(ConversationId, Vec<UserId>)>,
    /// What was written before the devices began.
    before: Vec<Entry>,
}

/// What a device is like, besides its name and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Broker,
    /// It reaches the service through the gateway.
    Gateway,
    /// It comes at the end.
    Late,
}

/// One device of each person, or two.
const DEVICES: [(&str, usize, Kind); 8] = [
    ("ana", 0, Kind::Broker),
    ("ana-phone", 0, Kind::Gateway),
    ("bruno", 1, Kind::Broker),
    ("bruno-late", 1, Kind::Late),
    ("carla", 2, Kind::Broker),
    ("carla-phone", 2, Kind::Gateway),
    ("davi", 3, Kind::Gateway),
    ("eva-slow", 4, Kind::Broker),
];
/// Those of whose messages some are poisoned, and how many. They are in their conversations from the beginning
/// to the end, so that everything they write is to be taken.
const POISONERS: [&str; 2] = ["carla", "ana-phone"];
const POISON_ONE_IN: u64 = 40;
const NAMES: [&str; 5] = ["ana", "bruno", "carla", "davi", "eva"];

/// What one device is let in with.
struct Access {
    name: &'static str,
    person: usize,
    kind: Kind,
    user: UserId,
    device: leveret_client::message::DeviceId,
    way: Way,
}

async fn register(url: &str) -> Result<Vec<Access>> {
    let http = ServiceHttp::new(url);
    for name in NAMES {
        http.register(&name.parse()?, &password(name), false)
            .await?;
    }
    let mut accesses = Vec::new();
    for (name, person, kind) in DEVICES {
        let owner = NAMES[person];
        let login = http
            .login(&owner.parse()?, &password(owner), None, name)
            .await?;
        let way = match kind {
            Kind::Gateway => Way::Gateway {
                url: url.to_owned(),
                token: login.token.clone(),
            },
            Kind::Broker | Kind::Late => {
                let amqp = http.amqp(&login.token).await?;
                Way::Amqp {
                    url: amqp.url,
                    password: amqp.password,
                    shards: amqp.shards,
                }
            }
        };
        accesses.push(Access {
            name,
            person,
            kind,
            user: login.user,
            device: login.device,
            way,
        });
    }
    Ok(accesses)
}

fn password(name: &str) -> String {
    format!("{name}'s password")
}

/// A group of these people; ana makes it.
struct Group {
    id: ConversationId,
    people: Vec<usize>,
    history: GroupHistory,
}

/// Who talks with whom; people by their numbers.
struct Talk {
    users: Vec<UserId>,
    groups: Vec<Group>,
    pairs: Vec<(usize, usize)>,
}

impl Talk {
    fn direct(&self, (one, other): (usize, usize)) -> ConversationId {
        ConversationId::direct(&self.users[one], &self.users[other])
    }

    /// Where somebody writes, and where it has no business.
    fn of(&self, person: usize) -> (Vec<Place>, Vec<ConversationId>) {
        let (mut places, mut foreign) = (Vec::new(), Vec::new());
        for group in &self.groups {
            let conv = group.id.clone();
            if group.people.contains(&person) {
                places.push(Place { conv, to: None });
            } else {
                foreign.push(conv);
            }
        }
        for pair in &self.pairs {
            let conv = self.direct(*pair);
            let other = match *pair {
                (one, other) if one == person => other,
                (one, other) if other == person => one,
                _ => {
                    foreign.push(conv);
                    continue;
                }
            };
            let to = Some(self.users[other].clone());
            places.push(Place { conv, to });
        }
        (places, foreign)
    }
}

impl People {
    /// Registers everybody and makes the groups. The devices do not run yet.
    pub(crate) async fn gather(
        http: &str,
        (seed, pace): (u64, Duration),
        broker: &mut Broker,
        folder: &Path,
    ) -> Result<Self> {
        let accesses = register(http).await?;
        let mut users: Vec<UserId> = Vec::new();
        for access in &accesses {
            if users.last() != Some(&access.user) {
                users.push(access.user.clone());
            }
        }
        ensure!(users.len() == NAMES.len());
        let group = |people: &[usize], history| Group {
            id: ConversationId::random_group(),
            people: people.to_vec(),
            history,
        };
        let groups = [
            group(&[0, 1, 2, 3, 4], GroupHistory::All),
            group(&[0, 1, 2], GroupHistory::Joined),
            // Davi is brought in and sent out all the time.
            group(&[0, 1, 3], GroupHistory::Joined),
        ];
        let talk = Talk {
            users,
            groups: groups.into(),
            pairs: vec![(0, 1), (0, 4), (2, 3)],
        };
        let mut devices = Vec::new();
        for (number, access) in accesses.into_iter().enumerate() {
            let (places, foreign) = talk.of(access.person);
            let is_late = access.kind == Kind::Late;
            let turnstile =
                (access.name == "ana").then(|| (talk.groups[2].id.clone(), talk.users[3].clone()));
            let script = Script {
                name: access.name.to_owned(),
                way: access.way,
                user: access.user,
                device: access.device,
                journal: folder.join(format!("{}.journal", access.name)),
                diary: folder.join(format!("{}.diary", access.name)),
                stop: folder.join("stop"),
                seed: seed ^ number as u64,
                pace_ms: u64::try_from(pace.as_millis())?,
                slowness_ms: if access.name.ends_with("slow") { 60 } else { 0 },
                places: if is_late { Vec::new() } else { places },
                foreign,
                turnstile,
                poison_one_in: POISONERS.contains(&access.name).then_some(POISON_ONE_IN),
            };
            let device = Device::new(script, folder, is_late)?;
            if access.kind != Kind::Gateway {
                broker.made(device.script.login().name());
            }
            devices.push(device);
        }
        let mut people = Self {
            devices,
            conversations: Vec::new(),
            before: Vec::new(),
        };
        for group in &talk.groups {
            people.make(group, &talk.users).await?;
            people.conversations.push((group.id.clone(), Vec::new()));
        }
        for pair in &talk.pairs {
            let both = vec![talk.users[pair.0].clone(), talk.users[pair.1].clone()];
            people.conversations.push((talk.direct(*pair), both));
        }
        Ok(people)
    }

    async fn make(&mut self, group: &Group, users: &[UserId]) -> Result<()> {
        let ana = &self.devices[0];
        let members = group
            .people
            .iter()
            .map(|person| users[*person].clone())
            .collect();
        let settings = GroupSettings {
            title: "torture".to_owned(),
            history: group.history,
            ..GroupSettings::default()
        };
        let create = Body::Group(GroupChange::Create { settings, members });
        let now = Timestamp::now();
        let post = Post::to_group(&group.id, &ana.script.user, &ana.script.device, create, now);
        let transport = ana.connect().await?;
        transport.hand_over(&Command::Send(post.clone())).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = ask(&*transport, &Request::Status { id: post.id }).await?;
            if let Reply::Status(MessageStatus::Stored { .. }) = reply {
                break;
            }
            ensure!(Instant::now() < deadline, "a group is not made: {reply:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        transport.close().await;
        let record = Record::Writing {
            post: Box::new(post),
        };
        self.before.push(Entry {
            at: record::now(),
            record,
        });
        Ok(())
    }

    /// Waits until everything poisoned that was to be sent is in the history.
    pub(crate) async fn await_poisoned(&mut self) -> Result<()> {
        for device in &mut self.devices {
            device.read()?;
            let poisoned: Vec<_> = device.poisoned().collect();
            if poisoned.is_empty() {
                continue;
            }
            let transport = device.connect().await?;
            let deadline = Instant::now() + PATIENCE;
            for id in poisoned {
                // Whatever is not there in time is judged as it is.
                while Instant::now() < deadline {
                    let status = ask(&*transport, &Request::Status { id }).await?;
                    if matches!(status, Reply::Status(MessageStatus::Stored { .. })) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            transport.close().await;
        }
        Ok(())
    }

    /// What there is to be judged. All programs may be dead by then.
    pub(crate) async fn evidence(&mut self) -> Result<Evidence> {
        let mut evidence = Evidence::default();
        let mut names: Vec<&UserId> = Vec::new();
        for device in &self.devices {
            if names.last() == Some(&&device.script.user) {
                continue;
            }
            names.push(&device.script.user);
            let transport = device.connect().await?;
            let Reply::Conversations { conversations } =
                ask(&*transport, &Request::Conversations).await?
            else {
                bail!("no conversations");
            };
            evidence
                .summaries
                .push((device.script.user.clone(), conversations));
            for (id, both) in &self.conversations {
                let is_witness = match both.first() {
                    Some(first) => *first == device.script.user,
                    None => evidence.summaries.len() == 1,
                };
                if is_witness {
                    evidence
                        .conversations
                        .push(conversation(&*transport, id, both).await?);
                }
            }
            transport.close().await;
        }
        evidence.devices = vec![DeviceDiary {
            name: "the preparation".to_owned(),
            // Nobody, so that nothing is expected to be shown to it.
            user: UserId::random(),
            entries: std::mem::take(&mut self.before),
        }];
        for device in &mut self.devices {
            device.read()?;
            evidence.devices.push(DeviceDiary {
                name: device.script.name.clone(),
                user: device.script.user.clone(),
                entries: device.reader.entries.clone(),
            });
        }
        Ok(evidence)
    }

    /// What every user's conversations hold, as far as its devices have to show it; for knowing when
    /// there is nothing left to wait for.
    pub(crate) async fn last_seqs(&self) -> Result<Vec<(UserId, Vec<ConversationSummary>)>> {
        let mut all: Vec<(UserId, Vec<ConversationSummary>)> = Vec::new();
        for device in &self.devices {
            if all
                .last()
                .is_some_and(|(user, _)| *user == device.script.user)
            {
                continue;
            }
            let transport = device.connect().await?;
            let Reply::Conversations { conversations } =
                ask(&*transport, &Request::Conversations).await?
            else {
                bail!("no conversations");
            };
            all.push((device.script.user.clone(), conversations));
            transport.close().await;
        }
        Ok(all)
    }
}

async fn conversation(
    transport: &dyn ClientTransport,
    id: &ConversationId,
    both: &[UserId],
) -> Result<Conversation> {
    let mut history: Vec<Message> = Vec::new();
    loop {
        let after = history.last().map_or(Seq::NONE, |message| message.seq);
        let request = Request::History {
            conv: id.clone(),
            range: HistoryRange::After(after),
            limit: 500,
        };
        match ask(transport, &request).await? {
            Reply::Messages { messages } if messages.is_empty() => break,
            Reply::Messages { messages } => history.extend(messages),
            // Nobody ever wrote there.
            Reply::Refused { .. } if history.is_empty() => break,
            other => bail!("no history: {other:?}"),
        }
    }
    let cursors: Vec<Cursor> = match ask(transport, &Request::Cursors { conv: id.clone() }).await? {
        Reply::Cursors { cursors } => cursors.into_iter().map(|summary| summary.cursor).collect(),
        Reply::Refused { .. } if history.is_empty() => Vec::new(),
        other => bail!("no cursors: {other:?}"),
    };
    Ok(Conversation {
        id: id.clone(),
        both: both.to_vec(),
        history,
        cursors,
    })
}

/// Asks until there is an answer.
async fn ask(transport: &dyn ClientTransport, request: &Request) -> Result<Reply> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match transport.ask(request).await {
            Ok(reply) => return Ok(reply),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("the service does not answer");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
