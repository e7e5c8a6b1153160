//! A run: start, torture, heal, wait, judge.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leveret_client::message::{ConversationId, Seq};
use leveret_tests::torture::fault::{Fault, Verdict};
use leveret_tests::torture::judge;
use leveret_tests::torture::record::Record;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::broker::{Broker, BrokerKind};
use super::deeds::Deeds;
use super::faults::{Targets, Torture, Victim, decide};
use super::folder::Folder;
use super::people::{Device, People};
use super::service::Service;
use super::store::{Store, StoreKind};
use super::trials;

/// For everybody to come to rest after everything is healed: an outbox may wait a minute for an answer
/// before it asks again.
const REST_PATIENCE: Duration = Duration::from_secs(240);
/// For a broker that is to come back.
const BROKER_PATIENCE: Duration = Duration::from_secs(120);
/// How long the send shards have no room.
const FULL: Duration = Duration::from_secs(4);
/// A run of this length tries everything.
const WHOLE: Duration = Duration::from_secs(30);
/// Longer than that is long.
const LONG: Duration = Duration::from_secs(300);
/// How often there is no room, in a long run; in a short one thrice, since now and then nobody writes just then.
const FULL_INTERVAL: Duration = Duration::from_secs(180);
/// Between two looks at everything.
const TICK: Duration = Duration::from_millis(20);

/// A fault of the harness's own making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// A device's journal is deleted while it is dead.
    Forgets,
}

/// What a run is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    name: &'static str,
    broker: BrokerKind,
    store: StoreKind,
    planted: Planted,
    seed: u64,
    time: Duration,
}

impl Plan {
    pub(crate) fn new(name: &'static str, broker: BrokerKind) -> Self {
        let number = |name: &str| {
            env::var(name)
                .ok()
                .map(|text| text.parse::<u64>().expect("a number"))
        };
        Self {
            name,
            broker,
            store: StoreKind::Embedded,
            planted: Planted::Nothing,
            seed: number("LEVERET_SEED").unwrap_or_else(rand::random),
            time: Duration::from_secs(number("LEVERET_TORTURE_SECONDS").unwrap_or(12)),
        }
    }

    pub(crate) fn store(mut self, store: StoreKind) -> Self {
        self.store = store;
        self
    }

    /// Between two messages of a device, at most. In a long run less is written, so that a device that starts
    /// again, and the judge, need not read for minutes what was.
    fn pace(&self) -> Duration {
        if self.time > LONG {
            Duration::from_millis(1_600)
        } else {
            Duration::from_millis(700)
        }
    }

    pub(crate) fn planted(mut self, planted: Planted) -> Self {
        self.planted = planted;
        self
    }
}

/// Says a line past the test harness's capture.
pub(crate) fn say(line: &str) {
    // Nothing can be done about a closed standard error.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A run in which nothing may be found.
pub(crate) async fn sound(plan: &Plan) -> Result<()> {
    let verdict = run(plan).await?;
    ensure!(
        verdict.faults.is_empty(),
        "{} faults, LEVERET_SEED={}: {:#?}",
        verdict.faults.len(),
        plan.seed,
        first(&verdict.faults)
    );
    let counts = verdict.counts;
    ensure!(counts.shown > 0 && counts.cursors > 0, "nothing happened");
    if plan.time >= WHOLE {
        ensure!(counts.poisoned > 0, "nothing was poisoned");
        ensure!(counts.busy > 0, "there was always room");
    }
    Ok(())
}

/// A run in which the planted fault must be found.
pub(crate) async fn found_out(plan: &Plan) -> Result<()> {
    let verdict = run(plan).await?;
    let is_lost = |fault: &Fault| matches!(fault, Fault::Lost { .. });
    ensure!(
        verdict.faults.iter().any(is_lost),
        "nothing was found: {:#?}",
        first(&verdict.faults)
    );
    Ok(())
}

/// As many as somebody reads.
fn first(faults: &[Fault]) -> &[Fault] {
    &faults[..faults.len().min(20)]
}

async fn run(plan: &Plan) -> Result<Verdict> {
    say(&format!(
        "torture, {}: {:?}, LEVERET_SEED={}",
        plan.name, plan.time, plan.seed
    ));
    let started = Instant::now();
    let mut world = World::start(plan).await?;
    let done = match plan.planted {
        Planted::Nothing => world.torture(plan.seed, plan.time).await,
        Planted::Forgets => world.forget().await,
    };
    let done = match done {
        Ok(()) => world.rest().await,
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        bail!(
            "{error:#}\n{}\n{}",
            world.services[0].program.tail(),
            world.broker.tail()
        );
    }
    let rested = started.elapsed();
    world.say_deaths();
    let evidence = world.people.evidence().await?;
    let verdict = judge(&evidence);
    say(&format!(
        "torture, {}: {}; {}; {} faults; {} s in all",
        plan.name,
        world.deeds,
        verdict.counts,
        verdict.faults.len(),
        rested.as_secs()
    ));
    Ok(verdict)
}

/// What is to happen at its time.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A service that was not there.
    Comes(usize),
    /// The send shards are full.
    NoRoom,
}

struct World {
    // Dropped in this order: devices first, the folder last.
    people: People,
    services: Vec<Service>,
    store: Store,
    broker: Broker,
    deeds: Deeds,
    /// What is to be undone, and when.
    due: Vec<(Instant, Victim, Torture)>,
    folder: Folder,
}

impl World {
    async fn start(plan: &Plan) -> Result<Self> {
        let folder = Folder::new(plan.name)?;
        let mut broker = Broker::start(&plan.broker, folder.path())?;
        let store = Store::start(&plan.store)?;
        let mut services = Vec::new();
        for (number, share) in store.shares().iter().enumerate() {
            let share = (number, *share);
            services.push(Service::start(&broker, &store, share, folder.path())?);
        }
        let plan = (plan.seed, plan.pace());
        let http = &services[0].http;
        let mut people = People::gather(http, plan, &mut broker, folder.path()).await?;
        for service in &mut services {
            service.plant()?;
        }
        for device in people.devices.iter_mut().filter(|device| !device.is_late) {
            device.program.start()?;
        }
        Ok(Self {
            people,
            services,
            store,
            broker,
            deeds: Deeds::default(),
            due: Vec::new(),
            folder,
        })
    }

    fn device(&mut self, number: usize) -> Result<&mut Device> {
        self.people
            .devices
            .get_mut(number)
            .context("there is such a device")
    }

    fn service(&mut self, number: usize) -> Result<&mut Service> {
        self.services
            .get_mut(number)
            .context("there is such a service")
    }

    async fn torture(&mut self, seed: u64, time: Duration) -> Result<()> {
        let mut random = StdRng::seed_from_u64(seed);
        let begin = Instant::now();
        let end = begin + time;
        let mut programme = self.programme(begin, time);
        let targets = Targets {
            broker: self.broker.is_victim(),
            store: self.store.is_victim(),
            services: self.services.len(),
            devices: self.people.devices.len(),
        };
        while Instant::now() < end {
            let decision = decide(&mut random, targets);
            let next = Instant::now() + decision.pause;
            while Instant::now() < next {
                self.tick()?;
                while let Some((_, event)) = programme.pop_if(|(at, _)| *at <= Instant::now()) {
                    self.happen(event)?;
                }
                tokio::time::sleep(TICK).await;
            }
            self.begin(decision.victim, decision.torture)?;
        }
        for (_, event) in programme {
            self.happen(event)?;
        }
        self.heal().await
    }

    /// What happens whatever the seed says, the first one last: routers come one after the other, and in between
    /// there is no room.
    fn programme(&self, begin: Instant, time: Duration) -> Vec<(Instant, Event)> {
        let away = (0..self.services.len()).filter(|number| self.services[*number].is_away);
        let interval = FULL_INTERVAL.min(time / 4);
        let mut programme = Vec::new();
        let mut at = interval;
        while at < time {
            programme.push((begin + at, Event::NoRoom));
            at += interval;
        }
        for (place, number) in (1..).zip(away) {
            programme.push((begin + time * place / 5, Event::Comes(number)));
        }
        programme.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        programme
    }

    fn happen(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Comes(number) => {
                let service = self.service(number)?;
                service.is_away = false;
                service.program.start()
            }
            Event::NoRoom => {
                // With nobody who takes what is there, and if the broker is not there, a little later.
                if self.broker.sockets().is_none() {
                    for number in 0..self.services.len() {
                        if self.services[number].share.routes() {
                            self.begin(Victim::Service(number), Torture::Stop(FULL))?;
                        }
                    }
                }
                self.begin(Victim::Shards, Torture::Fill(FULL))
            }
        }
    }

    /// Does something to somebody who is well.
    fn begin(&mut self, victim: Victim, torture: Torture) -> Result<()> {
        let suffers = self.due.iter().any(|(_, sufferer, _)| *sufferer == victim);
        let is_away = match victim {
            Victim::Device(number) => self.device(number)?.is_late,
            Victim::Service(number) => self.service(number)?.is_away,
            Victim::Broker => !self.broker.is_ready()?,
            Victim::Store | Victim::Shards => false,
        };
        if suffers || is_away {
            return Ok(());
        }
        let time = match torture {
            Torture::Kill(time) => {
                match victim {
                    Victim::Broker => {
                        self.deeds.broker += 1;
                        self.broker.kill()?;
                    }
                    Victim::Store => {
                        self.deeds.store += 1;
                        self.store.kill()?;
                    }
                    Victim::Service(number) => {
                        self.deeds.service += 1;
                        self.service(number)?.program.kill()?;
                    }
                    Victim::Device(number) => {
                        self.deeds.devices += 1;
                        self.device(number)?.program.kill()?;
                    }
                    Victim::Shards => {}
                }
                time
            }
            Torture::Fill(time) => {
                if trials::fill(self.broker.reach()).is_err() {
                    let again = Instant::now() + Duration::from_millis(500);
                    self.due
                        .push((again, victim, Torture::Kill(Duration::ZERO)));
                    return Ok(());
                }
                time
            }
            Torture::Stop(time) => {
                self.deeds.stops += 1;
                self.signal(victim, "STOP")?;
                time
            }
        };
        self.due.push((Instant::now() + time, victim, torture));
        Ok(())
    }

    fn signal(&mut self, victim: Victim, name: &str) -> Result<()> {
        match victim {
            Victim::Broker => self.broker.signal(name),
            Victim::Store | Victim::Shards => Ok(()),
            Victim::Service(number) => self.service(number)?.program.signal(name),
            Victim::Device(number) => self.device(number)?.program.signal(name),
        }
    }

    fn undo(&mut self, victim: Victim, torture: Torture) -> Result<()> {
        match (torture, victim) {
            (Torture::Fill(_), _) => {
                if trials::empty(self.broker.reach()).is_err() {
                    let again = Instant::now() + Duration::from_millis(500);
                    self.due.push((again, victim, torture));
                }
                Ok(())
            }
            // The broker was dead when there was to be no room.
            (Torture::Kill(_), Victim::Shards) => self.happen(Event::NoRoom),
            (Torture::Stop(_), victim) => self.signal(victim, "CONT"),
            (Torture::Kill(_), Victim::Broker) => self.broker.restart(),
            (Torture::Kill(_), Victim::Store) => self.store.restart(),
            (Torture::Kill(_), Victim::Service(number)) => self.service(number)?.program.start(),
            (Torture::Kill(_), Victim::Device(number)) => self.device(number)?.program.start(),
        }
    }

    /// Undoes what is due, and starts again what ended by itself.
    fn tick(&mut self) -> Result<()> {
        self.broker.is_up()?;
        let now = Instant::now();
        while let Some(place) = self.due.iter().position(|(time, _, _)| *time <= now) {
            let (_, victim, torture) = self.due.swap_remove(place);
            self.undo(victim, torture)?;
        }
        for service in &mut self.services {
            if service.program.has_ended()? {
                self.deeds.restarts += 1;
                service.program.start()?;
            }
        }
        for device in &mut self.people.devices {
            ensure!(
                !device.program.has_ended()?,
                "a device ended: {}",
                device.program.tail()
            );
        }
        Ok(())
    }

    /// Undoes everything, and waits until the broker is there.
    async fn heal(&mut self) -> Result<()> {
        let deadline = Instant::now() + BROKER_PATIENCE;
        for (time, _, _) in &mut self.due {
            *time = Instant::now();
        }
        while !self.due.is_empty() || !self.broker.is_up()? {
            ensure!(Instant::now() < deadline, "not healed: {:?}", self.due);
            self.tick()?;
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    /// Routers that no message brings down any more get those that have.
    async fn replay(&mut self) -> Result<()> {
        for service in &mut self.services {
            service.program.kill()?;
            service.mend();
            service.program.start()?;
        }
        self.deeds.replayed = trials::replay(self.broker.reach()).await?.len();
        self.people.await_poisoned().await
    }

    /// Where services died of what is planted in them.
    fn say_deaths(&self) {
        const MARK: &str = "a planted death ";
        let mut moments: BTreeMap<String, usize> = BTreeMap::new();
        for service in &self.services {
            for moment in service.program.lines_after(MARK) {
                *moments.entry(moment).or_default() += 1;
            }
        }
        say(&format!("died {moments:?}"));
    }

    /// Kills a device that has just promised to send something, and deletes its journal.
    async fn forget(&mut self) -> Result<()> {
        const DEVICE: usize = 2;
        tokio::time::sleep(Duration::from_secs(3)).await;
        // Nobody takes what it writes now.
        self.service(0)?.program.kill()?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let device = self.device(DEVICE)?;
        device.program.kill()?;
        std::fs::remove_file(&device.script.journal)?;
        device.program.start()?;
        self.service(0)?.program.start()
    }

    /// Waits until every device has sent and shown everything. Whoever does not come to rest is judged
    /// as it is.
    async fn rest(&mut self) -> Result<()> {
        std::fs::write(self.folder.path().join("stop"), b"")?;
        for device in self
            .people
            .devices
            .iter_mut()
            .filter(|device| device.is_late)
        {
            device.program.start()?;
        }
        // The poisoned ones are dead letters when nobody waits for an answer any more.
        self.wait_until_at_rest(async |world| world.nothing_waits())
            .await?;
        self.replay().await?;
        self.wait_until_at_rest(async |world| world.is_at_rest().await)
            .await
    }

    async fn wait_until_at_rest(
        &mut self,
        is_so: impl AsyncFn(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + REST_PATIENCE;
        while Instant::now() < deadline {
            for _ in 0..50 {
                self.tick()?;
                tokio::time::sleep(TICK).await;
            }
            if is_so(self).await? {
                return Ok(());
            }
        }
        let haunted = self.haunted();
        say(&format!(
            "somebody does not come to rest; shards given to the dead: {haunted:?}"
        ));
        Ok(())
    }

    /// The shards that a RabbitMQ of our own gives to the dead.
    fn haunted(&self) -> Vec<String> {
        match &self.broker {
            // What cannot be said now is said with the next look.
            Broker::Own { reach, .. } => trials::haunted(reach).unwrap_or_default(),
            Broker::Leveret { .. } | Broker::Embedded { .. } | Broker::Shared { .. } => Vec::new(),
        }
    }

    /// Whether nothing is in anybody's outbox.
    fn nothing_waits(&mut self) -> Result<bool> {
        for device in &mut self.people.devices {
            device.read()?;
            let mut told = device
                .reader
                .entries
                .iter()
                .rev()
                .map(|entry| &entry.record);
            let waiting = told.find_map(|record| match record {
                Record::Outbox { waiting } => Some(*waiting),
                _ => None,
            });
            if waiting != Some(0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_at_rest(&mut self) -> Result<bool> {
        if !self.nothing_waits()? {
            return Ok(false);
        }
        let all = self.people.last_seqs().await?;
        for device in &mut self.people.devices {
            device.read()?;
            let mut shown: HashMap<&ConversationId, Seq> = HashMap::new();
            for entry in &device.reader.entries {
                if let Record::Shown { message } = &entry.record {
                    let last = shown.entry(&message.conv).or_default();
                    *last = message.seq.max(*last);
                }
            }
            let found = all.iter().find(|(user, _)| *user == device.script.user);
            let (_, summaries) = found.context("everybody was asked")?;
            let is_behind = summaries.iter().any(|summary| {
                shown.get(&summary.conv).copied().unwrap_or_default() < summary.last_seq
            });
            if is_behind {
                return Ok(false);
            }
        }
        // Receipts are gathered for a second before they are sent.
        tokio::time::sleep(Duration::from_secs(4)).await;
        Ok(true)
    }
}
