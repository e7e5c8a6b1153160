//! The command line of `leveret-bench chat`, and its rounds.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use leveret_client::message::ShardCount;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::crowd::{CONNECTS_MAX, Crowd, Population, Way};
use super::figure::Measured;
use super::report::{self, Series};
use super::rows;
use crate::chat::backend::{Backend, BrokerPlace, ServiceProgram};
use crate::crash::{ChatBroker, TargetOptions};
use crate::interrupt;
use crate::progress::Progress;
use crate::report::Report;

/// Between two looks at whether somebody wants to stop.
const LOOK: Duration = Duration::from_millis(50);
/// What the service refuses otherwise, since people write less.
const LIMITS: [&str; 12] = [
    "--user-rate",
    "1000000",
    "--user-burst",
    "1000000",
    "--group-rate",
    "1000000",
    "--group-burst",
    "1000000",
    "--frame-rate",
    "1000000",
    "--frame-burst",
    "1000000",
];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RowName {
    /// What a connected browser takes. It comes first: what others have left free would hide it.
    Memory,
    /// Accepted and stored sends, and apart from them the client's confirms.
    Sends,
    /// From send to screen at a fixed rate, both by AMQP.
    Latency,
    /// The same, both through the gateway.
    LatencyGateway,
    /// To many readers in groups, through the gateway.
    Deliveries,
    /// Somebody comes back to many messages, by AMQP.
    Backlog,
    /// The same, through the gateway.
    BacklogGateway,
    /// A message to a large group, whose members are at the gateway.
    Group,
    /// The same, with a queue for each member.
    GroupAmqp,
}

impl RowName {
    /// What it is, in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Sends => "sends",
            Self::Latency => "send to screen, by AMQP",
            Self::LatencyGateway => "send to screen, through the gateway",
            Self::Deliveries => "deliveries through the gateway",
            Self::Backlog => "back after a long absence, by AMQP",
            Self::BacklogGateway => "back after a long absence, through the gateway",
            Self::Memory => "a connected browser",
            Self::Group => "a large group at the gateway",
            Self::GroupAmqp => "a large group with a queue for each member",
        }
    }
}

impl fmt::Display for RowName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        formatter.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// How much.
#[derive(Debug, Clone, Args, Serialize)]
pub(super) struct SpeedOptions {
    /// sends: people who write at the same time.
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Rows")]
    pub(super) senders: usize,
    /// sends: messages in all.
    #[arg(long, default_value_t = 8_000, value_name = "N", help_heading = "Rows")]
    pub(super) sends: u32,
    /// latency: messages per second.
    #[arg(long, default_value_t = 200, value_name = "N", help_heading = "Rows")]
    pub(super) rate: u32,
    /// latency: seconds, after one that is not counted.
    #[arg(long, default_value_t = 10, value_name = "S", help_heading = "Rows")]
    pub(super) seconds: u32,
    /// deliveries: groups.
    #[arg(long, default_value_t = 10, value_name = "N", help_heading = "Rows")]
    pub(super) groups: usize,
    /// deliveries: readers of each group.
    #[arg(long, default_value_t = 20, value_name = "N", help_heading = "Rows")]
    pub(super) readers: usize,
    /// deliveries: messages in each group.
    #[arg(long, default_value_t = 200, value_name = "N", help_heading = "Rows")]
    pub(super) group_messages: u32,
    /// backlog: messages that wait.
    #[arg(
        long,
        default_value_t = 10_000,
        value_name = "N",
        help_heading = "Rows"
    )]
    pub(super) backlog: u32,
    /// memory: connected browsers.
    #[arg(long, default_value_t = 1_000, value_name = "N", help_heading = "Rows")]
    pub(super) browsers: usize,
    /// group: members. Above a thousand they are told that there is something, and fetch it.
    #[arg(long, default_value_t = 1_000, value_name = "N", help_heading = "Rows")]
    pub(super) members: usize,
    /// group-amqp: members, each with a connection and a queue.
    #[arg(long, default_value_t = 1_000, value_name = "N", help_heading = "Rows")]
    pub(super) amqp_members: usize,
    /// group, group-amqp: messages, one after the other.
    #[arg(long, default_value_t = 20, value_name = "N", help_heading = "Rows")]
    pub(super) group_sends: u32,
}

impl SpeedOptions {
    fn check(&self) -> Result<()> {
        let counts = [
            self.sends,
            self.rate,
            self.seconds,
            self.group_messages,
            self.backlog,
            self.group_sends,
        ];
        let sizes = [self.senders, self.groups, self.readers, self.browsers];
        ensure!(
            counts.iter().all(|count| *count > 0) && sizes.iter().all(|size| *size > 0),
            "there has to be at least 1 of everything"
        );
        let each = self.sends / u32::try_from(self.senders)?;
        ensure!(each > 0, "--sends is less than --senders");
        Ok(())
    }

    /// People that this row needs.
    fn people(&self, row: RowName) -> usize {
        match row {
            RowName::Sends => self.senders + 1,
            RowName::Latency
            | RowName::LatencyGateway
            | RowName::Backlog
            | RowName::BacklogGateway => 2,
            RowName::Deliveries => self.groups * (self.readers + 1),
            RowName::Memory => self.browsers + CONNECTS_MAX,
            RowName::Group => self.members,
            RowName::GroupAmqp => self.amqp_members,
        }
    }
}

/// `leveret-bench chat`.
#[derive(Debug, Args)]
pub(crate) struct ChatCommand {
    #[command(flatten)]
    targets: TargetOptions,
    #[command(flatten)]
    options: SpeedOptions,
    /// A row to be measured; all, if it is not said.
    #[arg(long, value_enum, value_name = "ROW", help_heading = "Run")]
    row: Vec<RowName>,
    /// Rounds. Within each every row is measured on each broker in turn.
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "Run")]
    rounds: usize,
    /// The service's program [default: the one beside this program, built by cargo in a source tree].
    #[arg(long, value_name = "FILE", help_heading = "Targets")]
    chat: Option<PathBuf>,
    /// The report, a page that needs nothing else; `-` writes none.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "chat-report.html",
        help_heading = "Run"
    )]
    report: PathBuf,
    /// A line of JSON for each row of each round on standard output; the table goes to standard error.
    #[arg(long, help_heading = "Run")]
    json: bool,
}

/// What a row came to on one broker in one round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RoundOutcome {
    benchmark: &'static str,
    pub(super) target: String,
    pub(super) row: RowName,
    pub(super) round: usize,
    parameters: SpeedOptions,
    #[serde(flatten)]
    pub(super) measured: Measured,
}

/// Everything about a run that does not change.
struct Run<'a> {
    options: &'a SpeedOptions,
    rows: &'a [RowName],
    service: PathBuf,
    runtime: Runtime,
}

/// Runs the rounds in turn; false if a message was lost, doubled or out of order.
pub(crate) fn run(command: &ChatCommand) -> Result<bool> {
    ensure!(command.rounds > 0, "--rounds has to be at least 1");
    command.options.check()?;
    let mut rows = match &command.row[..] {
        [] => RowName::value_variants().to_vec(),
        named => named.to_vec(),
    };
    rows.sort();
    rows.dedup();
    let brokers = command.targets.chat_brokers()?;
    let service = match &command.chat {
        Some(program) => program.clone(),
        None => crate::crash::program("leveret-chat", "leveret-chat")?,
    };
    ensure!(service.is_file(), "there is no {}", service.display());
    let run = Run {
        options: &command.options,
        rows: &rows,
        service,
        runtime: tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?,
    };
    let report = Report::new(command.json);
    let mut all: Vec<Series> = Vec::new();
    for row in &rows {
        all.extend(brokers.iter().map(|broker| Series {
            target: broker.name().to_owned(),
            row: *row,
            rounds: Vec::new(),
        }));
    }
    for number in 0..command.rounds {
        let progress = Progress::new(&format!("round {}/{}", number + 1, command.rounds));
        run.round(number, &brokers, &mut all, &report, &progress)?;
    }
    report.lines(&report::table(&all))?;
    let faults = report::faults(&all);
    report.lines(&faults)?;
    if command.report.as_os_str() != "-" {
        let page = report::page(&all, &command.options, &faults)?;
        std::fs::write(&command.report, page)
            .with_context(|| format!("writing {}", command.report.display()))?;
        report.lines(&[format!("report: {}", command.report.display())])?;
    }
    Ok(faults.is_empty())
}

impl Run<'_> {
    /// Every row on each broker in turn. All brokers run meanwhile, the others idle.
    fn round(
        &self,
        number: usize,
        brokers: &[ChatBroker],
        all: &mut [Series],
        report: &Report,
        progress: &Progress,
    ) -> Result<()> {
        let mut stages = Vec::new();
        for broker in brokers {
            progress.show(0.0, &format!("starting {}", broker.name()));
            let stage = self.stage(broker);
            stages.push(stage.with_context(|| broker.name().to_owned())?);
        }
        let steps = all.len();
        for (place, series) in all.iter_mut().enumerate() {
            let (backend, crowd) = &stages[place % stages.len()];
            let name = format!("{} on {}", series.row, series.target);
            progress.show(place as f64 / steps as f64, &name);
            let measured = self.measure(series.row, backend, crowd);
            let outcome = RoundOutcome {
                benchmark: "chat",
                target: series.target.clone(),
                row: series.row,
                round: number,
                parameters: self.options.clone(),
                measured: measured.with_context(|| name.clone())?,
            };
            report.json(&outcome)?;
            series.rounds.push(outcome);
        }
        Ok(())
    }

    fn stage(&self, broker: &ChatBroker) -> Result<(Backend, Crowd)> {
        let needed = self.rows.iter().map(|row| self.options.people(*row));
        let population = Population::new(needed.sum());
        let folder = tempfile::Builder::new()
            .prefix("leveret-bench-chat-")
            .tempdir()?;
        let import = folder.path().join("people.json");
        population.write(&import, ShardCount::default())?;
        let place = match broker {
            ChatBroker::Embedded => BrokerPlace::Embedded,
            ChatBroker::Beside(target) => BrokerPlace::Beside(target),
        };
        let program = ServiceProgram {
            path: Path::new(&self.service),
            options: &LIMITS,
            import: Some(&import),
        };
        let backend = Backend::start(place, program)?;
        let crowd = Crowd::new(population, &backend.http);
        Ok((backend, crowd))
    }

    fn measure(&self, row: RowName, backend: &Backend, crowd: &Crowd) -> Result<Measured> {
        let options = self.options;
        let measured = async {
            match row {
                RowName::Sends => rows::sends(crowd, backend, options).await,
                RowName::Latency => rows::latency(crowd, options, Way::Amqp).await,
                RowName::LatencyGateway => rows::latency(crowd, options, Way::Gateway).await,
                RowName::Deliveries => rows::deliveries(crowd, options).await,
                RowName::Backlog => rows::backlog(crowd, backend, options, Way::Amqp).await,
                RowName::BacklogGateway => {
                    rows::backlog(crowd, backend, options, Way::Gateway).await
                }
                RowName::Memory => rows::memory(crowd, backend, options).await,
                RowName::Group => rows::group(crowd, options, Way::Gateway).await,
                RowName::GroupAmqp => rows::group(crowd, options, Way::Amqp).await,
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                measured = measured => measured,
                () = interrupted() => bail!("interrupted"),
            }
        })
    }
}

/// Returns when somebody wants to stop.
async fn interrupted() {
    while !interrupt::requested() {
        tokio::time::sleep(LOOK).await;
    }
}
