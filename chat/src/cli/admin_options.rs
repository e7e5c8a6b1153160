//! What can be said after `leveret-chat admin`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use leveret_chat::accounts::Texts;
use leveret_client::message::{ConversationId, Handle, MessageId};

use super::options::BrokerOptions;

#[derive(Args, Debug)]
pub(crate) struct AdminOptions {
    #[command(flatten)]
    pub(crate) broker: BrokerOptions,
    /// One JSON object per line, for programs.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Groups.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Messages that were set aside because they brought their router down.
    #[command(subcommand)]
    Dead(DeadCommand),
    /// How full each send shard is, and how many routers want it.
    Shards,
    /// Looks everything over: places without gaps, cursors where they can be, nobody unknown. Fails if
    /// something is found.
    Verify(VerifyOptions),
    /// Writes everything into a file, as `leveret-chat export` does.
    Backup {
        /// The file; it is replaced only once everything is written.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// All accounts, deleted ones included.
    List,
    /// Makes an account; the very first one is an administrator.
    Add {
        /// The name to log in with.
        handle: Handle,
        /// The name to show; the same if it is not said.
        #[arg(long)]
        name: Option<String>,
        /// It is a program.
        #[arg(long)]
        bot: bool,
        /// It may do what administrators do.
        #[arg(long)]
        administrator: bool,
        #[command(flatten)]
        password: PasswordOptions,
    },
    /// Gives an account a new password, and logs all its devices out.
    ResetPassword {
        /// Whose.
        handle: Handle,
        #[command(flatten)]
        password: PasswordOptions,
    },
    /// Makes an account an administrator, or no longer one.
    Administrator {
        /// Whose.
        handle: Handle,
        /// `yes` or `no`.
        #[arg(value_enum)]
        is: YesNo,
    },
    /// Deletes an account: it leaves its groups, its devices are shut out, its name is free for others.
    /// Direct conversations stay with whoever it spoke with. Needs a broker that works.
    Delete {
        /// Whose.
        handle: Handle,
        /// What becomes of what it has written.
        #[arg(long, value_enum)]
        texts: WhatOfTexts,
    },
}

#[derive(Args, Debug)]
pub(crate) struct PasswordOptions {
    /// The password is the first line of the standard input. Without this one is made, and printed.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum YesNo {
    /// It is.
    Yes,
    /// It is not.
    No,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WhatOfTexts {
    /// They stay, under the name of a deleted account.
    Keep,
    /// They are erased; that something was there stays visible.
    Erase,
}

impl From<WhatOfTexts> for Texts {
    fn from(what: WhatOfTexts) -> Self {
        match what {
            WhatOfTexts::Keep => Self::Keep,
            WhatOfTexts::Erase => Self::Erase,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// All groups.
    List,
    /// The members of one.
    Show {
        /// Its id.
        id: ConversationId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// All of them, without what they say.
    List,
    /// One, with what it says.
    Show {
        /// Its id.
        id: MessageId,
    },
    /// Sends them again, for those who sent them. What was done before is not done twice.
    Replay(WhichDead),
    /// Throws them away.
    Drop(WhichDead),
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichDead {
    /// Their ids.
    pub(crate) ids: Vec<MessageId>,
    /// All of them.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyOptions {
    /// Also compares with an earlier backup: no cursor has gone back.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
}
