//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use leveret_client::message::{Handle, MessageId, Role};

/// The chat for scripts and terminals; without a command, the terminal interface. TO is @name for a
/// person, and #title or an id for a group; SEQ is a message's number in its conversation, as `history`
/// shows it.
#[derive(Debug, Parser)]
#[command(
    name = "chat",
    version,
    after_help = "Exit codes: 0 done, 1 something else, 2 used wrongly, 3 not logged in, 4 refused, 5 nobody answers."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// One JSON object per line instead of words.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the login and what is to be sent are kept. One for each account and device.
    #[arg(long, global = true, value_name = "DIR", env = "LEVERET_CHAT_HOME")]
    pub(crate) home: Option<PathBuf>,
    /// How messages travel: `amqp://host:port/vhost` or `amqps://…` speaks to the broker itself,
    /// `http://host:port` or `https://…` to the service's gateway. Without it, to the broker that the
    /// service names.
    #[arg(long, global = true, value_name = "URL", env = "LEVERET_CHAT_VIA")]
    pub(crate) via: Option<String>,
    /// Certificates in PEM of who may vouch for the service and its broker, besides the system's
    /// authorities. Without TLS, which `https://` and `amqps://` ask for, they mean nothing.
    #[arg(long, global = true, value_name = "FILE", env = "LEVERET_CHAT_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes an account and logs in. The password comes from LEVERET_CHAT_PASSWORD or standard input.
    Register {
        /// The service, `http[s]://host:port`.
        url: String,
        /// The name.
        name: Handle,
        /// The account is a program's.
        #[arg(long)]
        bot: bool,
    },
    /// Logs in. The password comes from LEVERET_CHAT_PASSWORD or standard input.
    Login {
        /// The service, `http[s]://host:port`.
        url: String,
        /// The name.
        name: Handle,
    },
    /// Ends the login.
    Logout,
    /// Opens the terminal interface.
    Tui,
    /// Sends a message; without words, what standard input holds. Prints its id. `@name` in it mentions
    /// somebody. What cannot be sent is kept, and goes out with the next `send` or `outbox --send`.
    Send(SendOptions),
    /// Shows what was written and could not be sent.
    Outbox {
        /// And sends it.
        #[arg(long)]
        send: bool,
    },
    /// Changes the words of an own message.
    Edit {
        /// @name or #group.
        to: String,
        /// Which message.
        seq: u64,
        /// What it says from now on.
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Takes back an own message, or as a moderator any.
    Delete {
        /// @name or #group.
        to: String,
        /// Which message.
        seq: u64,
    },
    /// Reacts to a message.
    React {
        /// @name or #group.
        to: String,
        /// Which message.
        seq: u64,
        /// With what.
        emoji: String,
        /// Takes the reaction back.
        #[arg(long)]
        remove: bool,
    },
    /// Shows messages as they come, and what came since the last time.
    Tail {
        /// Only from here.
        to: Option<String>,
        /// Appends them to this file as lines of JSON instead. The file says what was shown: a `tail`
        /// that is killed and started again leaves nothing out and writes nothing twice.
        #[arg(long, value_name = "FILE", conflicts_with = "to")]
        into: Option<PathBuf>,
    },
    /// Shows what is unread.
    Inbox {
        /// And says that it was read.
        #[arg(long, conflicts_with = "peek")]
        ack: bool,
        /// And leaves it unread, as without either.
        #[arg(long)]
        peek: bool,
    },
    /// Shows what was said.
    History {
        /// @name or #group.
        to: String,
        /// How many messages, at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Only what is not older: `30m`, `2h`, `1day`.
        #[arg(long, value_parser = humantime::parse_duration)]
        since: Option<std::time::Duration>,
        /// Only what comes before this message.
        #[arg(long, value_name = "SEQ")]
        before: Option<u64>,
    },
    /// Says what became of a message.
    Status {
        /// Its id.
        id: MessageId,
    },
    /// Says who has received a message, and who has read it.
    Who {
        /// @name or #group.
        to: String,
        /// Which message.
        seq: u64,
    },
    /// Says that everything was read.
    Read {
        /// @name or #group.
        to: String,
    },
    /// A conversation does not disturb any more, or does again.
    Mute {
        /// @name or #group.
        to: String,
        /// `on` is silent.
        #[arg(value_enum, default_value_t)]
        state: Switch,
    },
    /// Whether others see how far I have read.
    Receipts {
        /// `on` is visible.
        #[arg(value_enum)]
        state: Switch,
    },
    /// Groups.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Shows messages with all these words, newest first.
    Search {
        /// The words; several in one argument must stand together.
        #[arg(required = true)]
        words: Vec<String>,
        /// Only here.
        #[arg(long = "in", value_name = "TO")]
        within: Option<String>,
    },
    /// Writes everything that I may read, as lines of JSON: conversations, members, messages.
    Export,
    /// A program that answers.
    #[command(subcommand)]
    Bot(BotCommand),
    /// Measures a service with people of its own, who are registered for it: see README.md, The chat.
    Bench(BenchOptions),
}

#[derive(Args, Debug)]
pub(crate) struct SendOptions {
    /// @name or #group.
    pub(crate) to: String,
    /// What it says.
    pub(crate) words: Vec<String>,
    /// The message that this one answers.
    #[arg(long, value_name = "SEQ")]
    pub(crate) reply: Option<u64>,
    /// What to wait for.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) wait: Wait,
    /// How long to wait: `500ms`, `30s`, or a number of seconds.
    #[arg(long, default_value = "30s", value_parser = patience)]
    pub(crate) timeout: std::time::Duration,
}

fn patience(text: &str) -> Result<std::time::Duration, humantime::DurationError> {
    match text.parse() {
        Ok(seconds) => Ok(std::time::Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Makes a group. Prints its id.
    New {
        /// Its title.
        title: String,
        /// Who else is in it, `@name` each.
        members: Vec<String>,
        /// Whoever knows its id may come in.
        #[arg(long)]
        open: bool,
    },
    /// Brings somebody in.
    Add {
        /// The group.
        group: String,
        /// Who, `@name`.
        user: String,
    },
    /// Sends somebody out; it may be brought back.
    #[command(visible_alias = "kick")]
    Rm {
        /// The group.
        group: String,
        /// Who, `@name`.
        user: String,
    },
    /// Sends somebody out, or keeps it out.
    Ban {
        /// The group.
        group: String,
        /// Who, `@name`.
        user: String,
    },
    /// Lifts a ban.
    Unban {
        /// The group.
        group: String,
        /// Who, `@name`.
        user: String,
    },
    /// Lets somebody read and not write for a time.
    Silence {
        /// The group.
        group: String,
        /// Who, `@name`.
        user: String,
        /// How long: `10m`, `1day`; `0s` lifts it.
        #[arg(value_parser = humantime::parse_duration)]
        time: std::time::Duration,
    },
    /// Lets somebody do more, or less.
    Role {
        /// The group.
        group: String,
        /// Who, `@name`.
        user: String,
        /// What.
        #[arg(value_enum)]
        role: RoleName,
    },
    /// Gives the group another title, another topic, or both.
    Set {
        /// The group.
        group: String,
        /// Its title.
        #[arg(long)]
        title: Option<String>,
        /// What it is about.
        #[arg(long)]
        topic: Option<String>,
    },
    /// Comes into an open group.
    Join {
        /// The group's id.
        group: String,
    },
    /// Leaves.
    Leave {
        /// The group.
        group: String,
    },
    /// Lists groups and conversations, or a group's members.
    Ls {
        /// The group.
        group: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BotCommand {
    /// Runs a command for every message: its text on standard input, the message as JSON in
    /// LEVERET_CHAT_MESSAGE, what it writes is the answer; nothing written, no answer.
    Run {
        /// The command, run by `sh -c`.
        #[arg(long)]
        exec: String,
        /// Only here.
        #[arg(long = "in", value_name = "TO")]
        within: Option<String>,
        /// How long the command may take.
        #[arg(long, default_value = "30s", value_parser = patience)]
        timeout: std::time::Duration,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct BenchOptions {
    /// The service, `http://host:port`; everybody must be allowed to register there.
    pub(crate) url: String,
    /// What is measured; everything, if it is not said.
    #[arg(
        long = "only",
        value_enum,
        value_name = "WHAT,…",
        value_delimiter = ','
    )]
    pub(crate) only: Vec<Measurement>,
    /// Messages of `sends`.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) sends: u64,
    /// People who send at the same time, each in a conversation of its own.
    #[arg(long, default_value_t = 8)]
    pub(crate) senders: usize,
    /// Messages of `latency`, one after the other.
    #[arg(long, default_value_t = 500)]
    pub(crate) messages: u64,
    /// Messages that wait for somebody who comes back.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) backlog: u64,
    /// Members of the large group.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) members: usize,
    /// Messages to the large group.
    #[arg(long, default_value_t = 20)]
    pub(crate) group_messages: u64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// Messages accepted, appended and synced per second, by several senders at once.
    Sends,
    /// From the sender's call to the recipient's screen.
    Latency,
    /// Somebody who was away gets what has waited.
    Backlog,
    /// One message to a large group, until everybody was handed it.
    Group,
}

/// On or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    #[default]
    On,
    Off,
}

impl From<Switch> for leveret_client::message::Toggle {
    fn from(switch: Switch) -> Self {
        match switch {
            Switch::On => Self::On,
            Switch::Off => Self::Off,
        }
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Write, read, leave.
    Member,
    /// Also add, remove, ban, silence, and delete messages.
    #[value(alias = "admin")]
    Moderator,
    /// Also give roles and change the group.
    Owner,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Member => Self::Member,
            RoleName::Moderator => Self::Moderator,
            RoleName::Owner => Self::Owner,
        }
    }
}

/// What `send` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// The message is in the history.
    #[default]
    Stored,
    /// Every recipient has it.
    Delivered,
    /// Every recipient has read it.
    Read,
}
