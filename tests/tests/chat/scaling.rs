//! One router, then four, while people write; and one of the four that is stopped and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Child, Command as Program, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::{try_join_all, try_join3};
use leveret_chat::amqp::BrokerUrl;
use leveret_chat::management::{Management as ChatManagement, ManagementError};
use leveret_chat::service::{Role, Service, ServiceOptions};
use leveret_chat::settings::Settings;
use leveret_chat::store::PostgresStore;
use leveret_client::message::{
    Body, ConversationId, Event, GroupChange, GroupSettings, HistoryRange, Message, MessageId, Seq,
};
use leveret_tests::management::Management;
use leveret_tests::{Context, process};
use serde_json::{Value, json};

use crate::database::Database;
use crate::stage::{Online, Person, Stage, shards};

chat_tests!(
    four_workers_of_one_process_share_the_shards_and_nothing_is_lost_or_reordered,
    four_processes_share_the_shards_and_one_of_them_may_stop_and_go_on,
    a_login_that_may_not_end_connections_is_refused_and_ends_none,
);

/// A message of everybody each.
const PACE: Duration = Duration::from_millis(60);
/// A shard may rest so long, whatever happens; the aim, which is printed and not asserted, is 2 s.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Each test ends with so many.
const ROUTERS: usize = 4;
/// Whatever the machine does besides, and with a list of connections that RabbitMQ renews every five seconds.
const SHARED_WITHIN: Duration = Duration::from_secs(30);
/// By then a router is known to those that have just started; who was never heard is not missed.
const KNOWN_AFTER: Duration = Duration::from_secs(2);
/// Seconds between heartbeats, in the broker's URL: a broker would miss a stopped router after two minutes or three.
const HEARTBEAT: &str = "heartbeat=60";

async fn four_workers_of_one_process_share_the_shards_and_nothing_is_lost_or_reordered(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let people = people(&stage).await?;
    let scene = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut more = Vec::new();
        for _ in 0..3 {
            more.push(router(&stage).await?);
        }
        shards_are_shared(&stage).await?;
        // Two of them go again.
        for one in more.drain(..2) {
            one.shutdown().await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(more)
    };
    let more = under_load(&stage, &people, "workers of one process", scene).await?;
    for one in more {
        one.shutdown().await;
    }
    stage.end().await;
    Ok(())
}

/// Waits until as many routers deal with shards as there are, or all but one: who had them all leaves them one by one.
async fn shards_are_shared(stage: &Stage) -> Result<()> {
    let connections = Connections::new(stage)?;
    until("enough of them route", || async {
        Ok(connections.of_shards().await?.len() >= ROUTERS - 1)
    })
    .await
}

/// Waits until it is so.
async fn until<F: Future<Output = Result<bool>>>(what: &str, is_so: impl Fn() -> F) -> Result<()> {
    let deadline = Instant::now() + SHARED_WITHIN;
    while !is_so().await? {
        ensure!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// The connections of the stage, as the management API shows them.
struct Connections {
    management: Management,
    host: String,
}

impl Connections {
    fn new(stage: &Stage) -> Result<Self> {
        let (_, host) = stage.url.rsplit_once('/').context("a URL with a host")?;
        Ok(Self {
            management: Management::new(&stage.management_url)?,
            host: host.to_owned(),
        })
    }

    /// The services', by the name that each gives itself: what the broker calls them.
    async fn of_services(&self) -> Result<BTreeMap<String, String>> {
        let path = format!("vhosts/{}/connections", self.host);
        let all = self.management.get(&path).await?.body;
        let all = all.as_array().context("connections")?.iter();
        let named = all.filter_map(|connection| {
            let given = connection["user_provided_name"].as_str()?;
            let name = connection["name"].as_str()?;
            let is_service = given.starts_with("leveret-chat ");
            is_service.then(|| (given.to_owned(), name.to_owned()))
        });
        Ok(named.collect())
    }

    /// What the broker calls those that have shards, and how many.
    async fn of_shards(&self) -> Result<BTreeMap<String, usize>> {
        let path = format!("consumers/{}", self.host);
        let consumers = self.management.get(&path).await?.body;
        let mut shards = BTreeMap::new();
        for consumer in consumers.as_array().context("consumers")? {
            let text = |path| consumer.pointer(path).and_then(Value::as_str);
            let is_of_shard =
                text("/queue/name").is_some_and(|queue| queue.starts_with("chat.send."));
            if let Some(name) = text("/channel_details/connection_name")
                && is_of_shard
                && consumer["active"] == true
            {
                *shards.entry(name.to_owned()).or_default() += 1;
            }
        }
        Ok(shards)
    }

    /// Waits until one service has all shards: the name that it gives itself.
    async fn only_router(&self) -> Result<String> {
        let deadline = Instant::now() + SHARED_WITHIN;
        let all = usize::from(shards().number());
        loop {
            let shards = self.of_shards().await?;
            let mut services = self.of_services().await?.into_iter();
            let has_all = |(_, name): &(String, String)| shards.get(name) == Some(&all);
            if let Some((service, _)) = services.find(has_all) {
                return Ok(service);
            }
            ensure!(Instant::now() < deadline, "nobody has all of {shards:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Whether this service has a shard.
    async fn routes(&self, service: &str) -> Result<bool> {
        let shards = self.of_shards().await?;
        let services = self.of_services().await?;
        Ok(services
            .get(service)
            .is_some_and(|name| shards.contains_key(name)))
    }

    /// Whether this service has no connection, and others have all shards.
    async fn go_on_without(&self, service: &str) -> Result<bool> {
        // In this order: whoever is gone has none of them.
        let is_gone = !self.of_services().await?.contains_key(service);
        let all = self.of_shards().await?.values().sum::<usize>();
        Ok(is_gone && all == usize::from(shards().number()))
    }
}

async fn router(stage: &Stage) -> Result<Service> {
    let options = ServiceOptions {
        broker: BrokerUrl::parse(&stage.url).map_err(anyhow::Error::msg)?,
        management: Some(stage.management.clone()),
        store: stage.service.store().clone(),
        roles: BTreeSet::from([Role::Router]),
        shards: shards(),
        trusted: Vec::new(),
        settings: Settings::default(),
    };
    Ok(Service::start(options).await?)
}

async fn four_processes_share_the_shards_and_one_of_them_may_stop_and_go_on(
    context: &Context,
) -> Result<()> {
    let Some(database) = Database::new("scaling").await? else {
        return Ok(());
    };
    let store = PostgresStore::open(&database.url).await?;
    let mut roles = BTreeSet::from(Role::ALL);
    roles.remove(&Role::Router);
    let stage = Stage::on(context, store, roles).await?;
    let binary = process::program("leveret-chat")?;
    let start = || RouterProcess::start(&binary, &stage, &database.url);
    let first = start()?;
    let people = people(&stage).await?;
    let connections = Connections::new(&stage)?;
    let scene = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let name = connections.only_router().await?;
        let others = [start()?, start()?, start()?];
        shards_are_shared(&stage).await?;
        until("it has a shard", || connections.routes(&name)).await?;
        tokio::time::sleep(KNOWN_AFTER).await;
        first.signal("STOP")?;
        until("others have its shards", || {
            connections.go_on_without(&name)
        })
        .await?;
        first.signal("CONT")?;
        until("it comes back", || async {
            Ok(connections.of_services().await?.contains_key(&name))
        })
        .await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(others)
    };
    let others = under_load(&stage, &people, "processes, one of them stopped", scene).await?;
    drop((first, others));
    stage.end().await;
    database.drop_schema().await
}

async fn a_login_that_may_not_end_connections_is_refused_and_ends_none(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let connections = Connections::new(&stage)?;
    let service = connections.only_router().await?;
    let link = stage.service.links().current().await?;
    let host = stage.management_url.rsplit_once('@');
    let (_, host) = host.context("a URL with a login")?;
    let monitor = context.account("monitoring").await?;
    let permissions = format!("permissions/{}/{}", connections.host, monitor.name);
    let none = json!({"configure": "", "write": "", "read": ""});
    let api = context.management()?;
    api.done("PUT", &permissions, Some(none)).await?;
    let login = format!("{}:{}", monitor.name, monitor.password.replace(' ', "%20"));
    let monitor = ChatManagement::new(&format!("http://{login}@{host}"), &connections.host)?;
    let refused = monitor.close_connections(&service, "no reason").await;
    ensure!(
        matches!(refused, Err(ManagementError::Refused { status: 401, .. })),
        "{refused:?}"
    );
    ensure!(link.is_open(), "it was closed all the same");
    let count = stage.management.close_connections(&service, "a reason");
    ensure!(count.await? == 1, "it is one connection");
    until("it is closed", || async { Ok(!link.is_open()) }).await?;
    stage.end().await;
    Ok(())
}

/// A process that routes; killed when it is dropped.
struct RouterProcess(Child);

impl RouterProcess {
    fn start(binary: &std::path::Path, stage: &Stage, store: &str) -> Result<Self> {
        let child = Program::new(binary)
            .args(["serve", "--role", "router"])
            .args(["--log", "warn", "--store", store])
            .args(["--broker", &format!("{}?{HEARTBEAT}", stage.url)])
            .args(["--management", &stage.management_url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    fn signal(&self, name: &str) -> Result<()> {
        let pid = self.0.id().to_string();
        let sent = Program::new("kill").args(["-s", name, &pid]).status()?;
        ensure!(sent.success(), "no signal was sent: {sent}");
        Ok(())
    }
}

impl Drop for RouterProcess {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = process::kill(&mut self.0);
    }
}

async fn people(stage: &Stage) -> Result<Vec<Person>> {
    try_join_all(["ana", "bruno", "carla"].map(|name| stage.person(name))).await
}

/// A group in every shard, with everybody in it.
async fn groups(people: &[Person], online: &[Online<'_>]) -> Result<Vec<ConversationId>> {
    let mut groups = BTreeMap::new();
    while groups.len() < usize::from(shards().number()) {
        let group = ConversationId::random_group();
        groups
            .entry(shards().shard_of(&group).number())
            .or_insert(group);
    }
    for group in groups.values() {
        let settings = GroupSettings {
            title: "ops".to_owned(),
            ..GroupSettings::default()
        };
        let members = people.iter().map(|person| person.user.clone()).collect();
        let create = Body::Group(GroupChange::Create { settings, members });
        online[0].says(&people[0].in_group(group, create)).await?;
    }
    Ok(groups.into_values().collect())
}

/// What one person saw.
#[derive(Default)]
struct Seen {
    messages: BTreeMap<(ConversationId, Seq), MessageId>,
    repeated: u64,
    /// When each message of its own was said to be stored, by its conversation.
    stored: Vec<(ConversationId, Instant)>,
}

/// Everybody writes in every group until the scene is over; then everything must be there.
async fn under_load<T>(
    stage: &Stage,
    people: &[Person],
    what: &str,
    scene: impl Future<Output = Result<T>>,
) -> Result<T> {
    let online = try_join_all(people.iter().map(Person::connect)).await?;
    let groups = groups(people, &online).await?;
    let over = AtomicBool::new(false);
    let expected = AtomicUsize::new(usize::MAX);
    let begun = Instant::now();
    let scene = async {
        let scene = scene.await;
        over.store(true, Ordering::Release);
        scene
    };
    let writing = async {
        let writing = online.iter().map(|one| write(one, &groups, &over));
        let mut sent = try_join_all(writing).await?;
        let ended = Instant::now();
        let count: usize = sent.iter().map(Vec::len).sum();
        expected.store(count + online.len(), Ordering::Release);
        // The last message, after which everybody knows how many there are.
        for (one, sent) in online.iter().zip(&mut sent) {
            let post = one.person.in_group(&groups[0], Body::text("the end"));
            one.send(&post).await?;
            sent.push((groups[0].clone(), post.id));
        }
        Ok((sent, ended))
    };
    let reading = try_join_all(online.iter().map(|one| read(one, &expected)));
    let (result, (sent, ended), seen) = try_join3(scene, writing, reading).await?;
    for group in &groups {
        check_history(stage, group, &sent).await?;
    }
    let pause = longest_pause(&groups, &seen, begun, ended);
    let repeated: u64 = seen.iter().map(|seen| seen.repeated).sum();
    let line = format!(
        "{what}: {} messages, none lost, none out of order, {repeated} deliveries repeated; \
         longest pause of a shard {:.2} s\n",
        sent.iter().map(Vec::len).sum::<usize>(),
        pause.as_secs_f64()
    );
    // Past the test harness's capture: it is a measurement.
    std::io::stderr().write_all(line.as_bytes())?;
    ensure!(pause < PAUSE_MAX, "{line}");
    Ok(result)
}

/// Gives what was sent, in its order.
async fn write(
    one: &Online<'_>,
    groups: &[ConversationId],
    over: &AtomicBool,
) -> Result<Vec<(ConversationId, MessageId)>> {
    let mut sent = Vec::new();
    for (number, group) in groups.iter().cycle().enumerate() {
        if over.load(Ordering::Acquire) {
            break;
        }
        let post = one.person.in_group(group, Body::text(&number.to_string()));
        one.send(&post).await?;
        sent.push((group.clone(), post.id));
        tokio::time::sleep(PACE).await;
    }
    Ok(sent)
}

/// Reads until everything has come that is expected.
async fn read(one: &Online<'_>, expected: &AtomicUsize) -> Result<Seen> {
    let mut seen = Seen::default();
    while seen.messages.len() != expected.load(Ordering::Acquire) {
        match one.next().await?.event {
            // Who made the groups has seen that already.
            Event::Msg(message) if matches!(message.body, Body::Group(_)) => {}
            Event::Msg(message) => {
                let place = (message.conv, message.seq);
                if let Some(before) = seen.messages.insert(place, message.id) {
                    ensure!(before == message.id, "two messages in one place");
                    seen.repeated += 1;
                }
            }
            Event::Sent(sent) => seen.stored.push((sent.conv, Instant::now())),
            Event::Rejected(rejected) => bail!("refused: {rejected:?}"),
            _ => {}
        }
    }
    Ok(seen)
}

/// Every message is in the history once, without gaps, and each person's in the order of sending.
async fn check_history(
    stage: &Stage,
    group: &ConversationId,
    sent: &[Vec<(ConversationId, MessageId)>],
) -> Result<()> {
    let range = HistoryRange::After(Seq::NONE);
    let history = stage.service.store().history(group, range, 100_000).await?;
    for (expected, message) in (1..).map(Seq).zip(&history) {
        ensure!(
            message.seq == expected,
            "{group}: {} comes after a gap",
            message.seq
        );
    }
    let mut count = 1;
    for sent in sent {
        let of_group = sent
            .iter()
            .filter(|(conversation, _)| conversation == group);
        let ids: Vec<_> = of_group.map(|(_, id)| *id).collect();
        let is_theirs = |message: &&Message| ids.contains(&message.id);
        let stored: Vec<_> = history
            .iter()
            .filter(is_theirs)
            .map(|message| message.id)
            .collect();
        ensure!(stored == ids, "{group}: something is lost, or out of order");
        count += ids.len();
    }
    ensure!(history.len() == count, "{group}: something is there twice");
    Ok(())
}

/// The longest time in which a shard with work stored nothing.
fn longest_pause(
    groups: &[ConversationId],
    seen: &[Seen],
    begun: Instant,
    ended: Instant,
) -> Duration {
    let pause = |group: &ConversationId| {
        let all = seen.iter().flat_map(|seen| &seen.stored);
        let of_group = all.filter(|(conversation, _)| conversation == group);
        let mut times: Vec<_> = of_group.map(|(_, at)| *at).collect();
        times.extend([begun, ended]);
        times.sort();
        let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
        pauses.max().unwrap_or_default()
    };
    groups.iter().map(pause).max().unwrap_or_default()
}
