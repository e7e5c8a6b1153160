//! The chat's service as processes: one that does everything, or several with a share each.

use std::path::Path;

use anyhow::{Context as _, Result};
use leveret_tests::torture::POISON;

use super::broker::Broker;
use super::program::{Program, chat_binary, free_port};
use super::store::Store;

/// Few, so that it starts fast, and more than one.
pub(crate) const SHARDS: u16 = 4;
const READY: &str = "leveret-chat ready ";
/// One in so many times a worker dies between two of its steps.
const DEATHS_ONE_IN: &str = "250";

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    Everything,
    /// Everything but routing, and alone the gateway.
    Gateway,
    /// Everything but the gateway.
    Work,
    /// Routing; it comes while the others are under load.
    LateRouter,
}

impl Share {
    fn roles(self) -> Option<&'static str> {
        match self {
            Self::Everything => None,
            Self::Gateway => Some("receipts,ephemeral,desk,dead-letters,retention,gateway"),
            Self::Work => Some("router,receipts,ephemeral,desk,dead-letters"),
            Self::LateRouter => Some("router"),
        }
    }

    pub(crate) fn routes(self) -> bool {
        match self {
            Self::Everything | Self::Work | Self::LateRouter => true,
            Self::Gateway => false,
        }
    }
}

/// A service under torture.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) program: Program,
    /// Its HTTP.
    pub(crate) http: String,
    pub(crate) share: Share,
    /// It was not started yet.
    pub(crate) is_away: bool,
}

impl Service {
    /// Starts it, if it is to be there from the beginning.
    pub(crate) fn start(
        broker: &Broker,
        store: &Store,
        (number, share): (usize, Share),
        folder: &Path,
    ) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let name = format!("service{number}");
        let data = folder.join(&name).to_string_lossy().into_owned();
        let shards = SHARDS.to_string();
        let mut arguments = vec!["serve", "--data-dir", &data, "--shards", &shards];
        if let Some(roles) = share.roles() {
            arguments.extend(["--role", roles]);
        }
        arguments.extend(["--http", &address]);
        if let Some(url) = store.url() {
            arguments.extend(["--store", url]);
        }
        let reach = broker.reach();
        let sockets = broker.sockets();
        if let Some((amqp, management)) = &sockets {
            arguments.extend(["--amqp", amqp, "--amqp-management", management]);
        } else {
            arguments.extend(["--broker", &reach.url, "--management", &reach.management]);
        }
        let mut program = Program::new(&name, &chat_binary()?, &arguments, folder);
        let is_away = share == Share::LateRouter;
        if !is_away {
            program
                .start_and_wait(READY)
                .context("the service does not start")?;
        }
        Ok(Self {
            program,
            http: format!("http://{address}"),
            share,
            is_away,
        })
    }

    /// From now on faults are planted in it.
    pub(crate) fn plant(&mut self) -> Result<()> {
        self.program
            .add_options(&["--plant-poison", POISON, "--plant-deaths", DEATHS_ONE_IN]);
        if self.is_away {
            return Ok(());
        }
        self.program.kill()?;
        self.program.start_and_wait(READY)
    }

    /// From its next start on nothing is planted in it.
    pub(crate) fn mend(&mut self) {
        for option in ["--plant-poison", "--plant-deaths"] {
            self.program.drop_option(option);
        }
    }
}
