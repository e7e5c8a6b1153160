//! The chat's service as a process.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::broker::Broker;
use super::program::{Program, chat_binary, free_port};
use super::store::Store;

/// Few, so that it starts fast, and more than one.
const SHARDS: &str = "4";

/// A service under torture.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) program: Program,
    /// Its HTTP.
    pub(crate) http: String,
}

impl Service {
    pub(crate) fn start(
        broker: &Broker,
        store: &Store,
        number: usize,
        folder: &Path,
    ) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let name = format!("service{number}");
        let data = folder.join(&name).to_string_lossy().into_owned();
        let mut arguments = vec!["serve".to_owned(), "--data-dir".to_owned(), data];
        arguments.extend(["--http".to_owned(), address.clone()]);
        arguments.extend(["--shards".to_owned(), SHARDS.to_owned()]);
        if let Some(url) = store.url() {
            arguments.extend(["--store".to_owned(), url.to_owned()]);
        }
        if let Some(reach) = broker.reach() {
            arguments.extend(["--broker".to_owned(), reach.url.clone()]);
            arguments.extend(["--management".to_owned(), reach.management.clone()]);
        }
        if let Broker::Embedded { amqp, management } = broker {
            arguments.extend(["--amqp".to_owned(), format!("127.0.0.1:{amqp}")]);
            arguments.extend([
                "--amqp-management".to_owned(),
                format!("127.0.0.1:{management}"),
            ]);
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut program = Program::new(&name, &chat_binary()?, &arguments, folder);
        program
            .start_and_wait("leveret-chat ready ")
            .context("the service does not start")?;
        Ok(Self {
            program,
            http: format!("http://{address}"),
        })
    }
}
