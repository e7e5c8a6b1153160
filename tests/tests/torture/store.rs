//! Where the histories are: in a folder of the one service, or in a PostgreSQL that several share.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::service::Share;

/// Which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// In a folder of the service, of which there is one.
    Embedded,
    /// In a PostgreSQL of our own, by `.ci/postgres`; several services share it.
    Postgres { name: String, port: u16 },
}

impl StoreKind {
    /// The PostgreSQL that the environment names, if it names one.
    pub(crate) fn from_environment() -> Result<Self> {
        let Ok(own) = std::env::var("LEVERET_TORTURE_POSTGRES") else {
            return Ok(Self::Embedded);
        };
        let (name, port) = own
            .split_once(' ')
            .context("LEVERET_TORTURE_POSTGRES is NAME PORT")?;
        Ok(Self::Postgres {
            name: name.to_owned(),
            port: port.trim().parse()?,
        })
    }
}

/// A store under torture.
#[derive(Debug)]
pub(crate) enum Store {
    Embedded,
    Postgres {
        script: PathBuf,
        name: String,
        port: u16,
        url: String,
    },
}

impl Store {
    pub(crate) fn start(kind: &StoreKind) -> Result<Self> {
        let StoreKind::Postgres { name, port } = kind else {
            return Ok(Self::Embedded);
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/postgres");
        Ok(Self::Postgres {
            url: up(&script, name, *port)?,
            script,
            name: name.clone(),
            port: *port,
        })
    }

    /// As services are told of it.
    pub(crate) fn url(&self) -> Option<&str> {
        match self {
            Self::Embedded => None,
            Self::Postgres { url, .. } => Some(url),
        }
    }

    /// The services that share it.
    pub(crate) fn shares(&self) -> &'static [Share] {
        match self {
            Self::Embedded => &[Share::Everything],
            Self::Postgres { .. } => &[
                Share::Gateway,
                Share::Work,
                Share::LateRouter,
                Share::LateRouter,
                Share::LateRouter,
            ],
        }
    }

    /// Whether it is to be tortured by itself.
    pub(crate) fn is_victim(&self) -> bool {
        match self {
            Self::Embedded => false,
            Self::Postgres { .. } => true,
        }
    }

    pub(crate) fn kill(&self) -> Result<()> {
        let Self::Postgres { script, name, .. } = self else {
            return Ok(());
        };
        let killed = Command::new(script).args(["--kill", name]).status()?;
        ensure!(killed.success(), "PostgreSQL is not killed: {killed}");
        Ok(())
    }

    pub(crate) fn restart(&self) -> Result<()> {
        let Self::Postgres {
            script, name, port, ..
        } = self
        else {
            return Ok(());
        };
        up(script, name, *port).map(drop)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Self::Postgres { script, name, .. } = self {
            // Nobody is left to be told of a failure.
            let _ = Command::new(script).args(["--down", name]).status();
        }
    }
}

/// Starts the cluster, and gives its URL.
fn up(script: &Path, name: &str, port: u16) -> Result<String> {
    let output = Command::new(script)
        .args([name, &port.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "PostgreSQL does not start: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let url = text
        .lines()
        .find_map(|line| line.strip_prefix("LEVERET_POSTGRES_URL="));
    Ok(url
        .context("no URL is named")?
        .trim_matches(['\'', '"'])
        .to_owned())
}
