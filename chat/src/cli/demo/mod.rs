//! `leveret-chat demo`: three people, a group, and two faults: somebody who is offline, and a service
//! that is killed. The service is a process of its own, so that it really is.

mod child;
mod people;
mod script;
mod tally;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leveret_chat::management::Management;
use leveret_client::http::ServiceHttp;
use leveret_client::message::{Body, ConversationId, GroupChange, GroupSettings, Post, Timestamp};
use leveret_client::tui::{self, DemoCommand, DemoPort, DemoStatus, TuiOptions};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use self::child::{Elsewhere, Service};
use self::people::{Listening, NAMES, Person};
use self::tally::Tally;
use super::arguments::DemoOptions;

/// For whatever should happen.
const PATIENCE: Duration = Duration::from_secs(120);
/// Without a new message for so long, nobody is going to answer.
const QUIET: Duration = Duration::from_secs(4);
/// How often the counter is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// Everything that takes part.
struct Demo {
    service: Service,
    people: Vec<Person>,
    tally: Arc<Mutex<Tally>>,
    group: ConversationId,
    kills: u64,
    serving: bool,
    options: DemoOptions,
}

/// Shows or runs the demonstration; whether nothing was lost and nothing shown twice.
pub(crate) async fn run(options: DemoOptions) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let borrowed = Borrowed::new(&options).await?;
    let elsewhere = borrowed.as_ref().map(|borrowed| borrowed.elsewhere.clone());
    let result = play(folder.path(), elsewhere, options).await;
    if let Some(borrowed) = borrowed {
        borrowed.give_back().await?;
    }
    result
}

async fn play(folder: &Path, elsewhere: Option<Elsewhere>, options: DemoOptions) -> Result<bool> {
    let is_script = options.script;
    let mut demo = Demo::begin(folder, elsewhere, options).await?;
    let result = if is_script {
        script::run(&mut demo).await
    } else {
        demo.show().await
    };
    demo.end().await?;
    result
}

/// A virtual host of somebody's broker, for as long as the demonstration takes.
struct Borrowed {
    elsewhere: Elsewhere,
    management: Management,
}

impl Borrowed {
    async fn new(options: &DemoOptions) -> Result<Option<Self>> {
        let (Some(broker), Some(management)) = (&options.broker, &options.management) else {
            return Ok(None);
        };
        let (scheme, rest) = broker
            .split_once("://")
            .context("the broker's URL is none")?;
        let authority = rest.split('/').next().unwrap_or(rest);
        let host = format!("leveret-demo-{}", ConversationId::random_group());
        let elsewhere = Elsewhere {
            broker: format!("{scheme}://{authority}/{host}"),
            management: management.clone(),
        };
        let management = Management::new(management, &host)?;
        Ok(Some(Self {
            elsewhere,
            management,
        }))
    }

    async fn give_back(self) -> Result<()> {
        Ok(self.management.delete_virtual_host().await?)
    }
}

impl Demo {
    async fn begin(
        folder: &Path,
        elsewhere: Option<Elsewhere>,
        options: DemoOptions,
    ) -> Result<Self> {
        let mut service = Service::new(folder, elsewhere)?;
        say("starting the service…")?;
        service.start().await?;
        let url = service.url();
        let mut people = Vec::new();
        for number in 0..NAMES.len() {
            people.push(Person::register(number, &url, folder).await?);
        }
        let group = ConversationId::random_group();
        let mut tally = Tally::default();
        tally.begin(group.clone(), &[0, 1, 2]);
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let users = (&people[one].login.user, &people[other].login.user);
            tally.begin(ConversationId::direct(users.0, users.1), &[one, other]);
        }
        let mut demo = Self {
            service,
            people,
            tally: Arc::new(Mutex::new(tally)),
            group,
            kills: 0,
            serving: true,
            options,
        };
        for number in 1..NAMES.len() {
            demo.bring(number).await?;
        }
        Ok(demo)
    }

    /// Brings somebody online.
    async fn bring(&mut self, number: usize) -> Result<()> {
        let ana = self.people[0].login.user.clone();
        let listening = Listening {
            tally: self.tally.clone(),
            // The third one's eyes are those that can be deceived.
            plant: self.options.plant.filter(|_| number == 2),
            answers_in: (number > 0).then(|| (self.group.clone(), ana)),
        };
        self.people[number].come(listening).await
    }

    /// The message with which the group begins.
    fn creation(&self) -> Post {
        let ana = &self.people[0];
        let others = self.people[1..].iter();
        let create = GroupChange::Create {
            settings: GroupSettings {
                title: "geral".to_owned(),
                topic: "F8 takes carla offline, F9 kills the service".to_owned(),
                ..GroupSettings::default()
            },
            members: others.map(|person| person.login.user.clone()).collect(),
        };
        let (user, device) = (&ana.login.user, &ana.login.device);
        let body = Body::Group(create);
        Post::to_group(&self.group, user, device, body, Timestamp::now())
    }

    fn status(&self) -> DemoStatus {
        let tally = self.tally.lock();
        let count = tally.count();
        let away = self.people[1..].iter().find(|person| !person.is_online());
        DemoStatus {
            written: count.written,
            everywhere: count.everywhere,
            lost: count.lost,
            duplicated: count.duplicated,
            kills: self.kills,
            serving: self.serving,
            away: away.map(|person| {
                let waiting = tally.waiting_for(person.number);
                (person.handle.to_string(), waiting)
            }),
        }
    }

    async fn obey(&mut self, command: DemoCommand, told: &watch::Sender<DemoStatus>) -> Result<()> {
        match command {
            DemoCommand::Offline if self.people[2].is_online() => self.people[2].go().await,
            DemoCommand::Offline => self.bring(2).await?,
            DemoCommand::Kill => {
                self.service.kill().await?;
                self.kills += 1;
                self.serving = false;
                // The interface may be over.
                let _ = told.send(self.status());
                self.service.start().await?;
                self.serving = true;
            }
        }
        Ok(())
    }

    /// Opens the terminal interface, and does what is told there.
    async fn show(&mut self) -> Result<bool> {
        self.say_how_to_look()?;
        let (session, notices) = self.people[0].come_to_terminal(self.tally.clone()).await?;
        session.send(self.creation()).await?;
        let (commands, mut commanded) = mpsc::channel(4);
        let (told, status) = watch::channel(self.status());
        let options = TuiOptions {
            name: self.people[0].handle.clone(),
            demo: Some(DemoPort { commands, status }),
        };
        let terminal = tui::run(session, notices, options);
        let mut terminal = std::pin::pin!(terminal);
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                left = &mut terminal => {
                    left?;
                    break;
                }
                Some(command) = commanded.recv() => {
                    // The interface goes on meanwhile.
                    let obeyed = self.obey(command, &told);
                    tokio::select! {
                        obeyed = obeyed => obeyed?,
                        left = &mut terminal => {
                            left?;
                            break;
                        }
                    }
                }
                _ = ticks.tick() => {}
            }
            let _ = told.send(self.status());
        }
        let count = self.tally.lock().count();
        say_count(count, "so far")?;
        Ok(count.lost == 0 && count.duplicated == 0)
    }

    /// Where to look, and as whom.
    fn say_how_to_look(&self) -> Result<()> {
        say(&format!("in a browser: {}/", self.service.url()))?;
        for person in &self.people {
            say(&format!("  {} {}", person.handle, person.password))?;
        }
        Ok(())
    }

    /// Waits until everybody was shown everything, and nobody answers any more.
    async fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut quiet_since = Instant::now();
        let mut before = self.tally.lock().count();
        while Instant::now() < deadline && quiet_since.elapsed() < QUIET {
            tokio::time::sleep(INTERVAL).await;
            let count = self.tally.lock().count();
            let is_done = count.everywhere + count.lost == count.written;
            if count != before || !is_done {
                quiet_since = Instant::now();
            }
            before = count;
        }
    }

    async fn end(mut self) -> Result<()> {
        for person in &mut self.people {
            person.go().await;
        }
        if self.options.broker.is_some() {
            // Their users on the broker go with them.
            let http = ServiceHttp::new(&self.service.url());
            for person in &self.people {
                http.delete_account(&person.login.token).await?;
            }
        }
        self.service.kill().await
    }
}

fn say(text: &str) -> Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{text}")?;
    Ok(output.flush()?)
}

fn say_count(count: tally::Count, when: &str) -> Result<()> {
    say(&format!(
        "{when}: {} written, {} shown to everybody, lost {}, duplicated {}",
        count.written, count.everywhere, count.lost, count.duplicated
    ))
}

/// What the service itself has of the group, compared with what was written.
fn compare(
    written: &[leveret_client::message::MessageId],
    stored: &[leveret_client::message::MessageId],
) -> Result<()> {
    for id in written {
        let times = stored.iter().filter(|stored| *stored == id).count();
        ensure!(times == 1, "{id} is in the history {times} times");
    }
    if stored.len() != written.len() {
        bail!(
            "{} were written, the history has {}",
            written.len(),
            stored.len()
        );
    }
    Ok(())
}
