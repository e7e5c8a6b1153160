//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use leveret_client::message::{Handle, MessageId};

/// The chat for scripts and terminals. TO is @name for a person, and #title or an id for a group.
#[derive(Debug, Parser)]
#[command(
    name = "chat",
    version,
    after_help = "Exit codes: 0 done, 1 something else, 2 used wrongly, 3 not logged in, 4 refused, 5 nobody answers."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// One JSON object per line instead of words.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the login and what is to be sent are kept. One for each account and device.
    #[arg(long, global = true, value_name = "DIR", env = "LEVERET_CHAT_HOME")]
    pub(crate) home: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes an account and logs in. The password comes from LEVERET_CHAT_PASSWORD or standard input.
    Register {
        /// The service, `http://host:port`.
        url: String,
        /// The name.
        name: Handle,
    },
    /// Logs in. The password comes from LEVERET_CHAT_PASSWORD or standard input.
    Login {
        /// The service, `http://host:port`.
        url: String,
        /// The name.
        name: Handle,
    },
    /// Ends the login.
    Logout,
    /// Sends a message; without words, what standard input holds. Prints its id.
    Send {
        /// @name or #group.
        to: String,
        /// What it says.
        words: Vec<String>,
        /// What to wait for.
        #[arg(long, value_enum, default_value_t)]
        wait: Wait,
        /// Seconds to wait.
        #[arg(long, default_value_t = 30)]
        timeout: u64,
    },
    /// Shows messages as they come, and what came since the last time.
    Tail {
        /// Only from here.
        to: Option<String>,
    },
    /// Shows what is unread.
    Inbox {
        /// And says that it was read.
        #[arg(long)]
        ack: bool,
    },
    /// Shows what was said.
    History {
        /// @name or #group.
        to: String,
        /// How many messages, at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Says what became of a message.
    Status {
        /// Its id.
        id: MessageId,
    },
    /// Says that everything was read.
    Read {
        /// @name or #group.
        to: String,
    },
    /// Groups.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Shows messages with all these words, newest first.
    Search {
        /// The words.
        #[arg(required = true)]
        words: Vec<String>,
        /// Only here.
        #[arg(long = "in", value_name = "TO")]
        within: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Makes a group. Prints its id.
    New {
        /// Its title.
        title: String,
        /// Who else is in it, `@name` each.
        members: Vec<String>,
    },
    /// Brings somebody in.
    Add {
        /// The group.
        group: String,
        /// Who, `@name`.
        user: String,
    },
    /// Sends somebody out.
    Rm {
        /// The group.
        group: String,
        /// Who, `@name`.
        user: String,
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
