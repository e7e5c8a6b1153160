//! What the client keeps between two commands.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use leveret_client::http::{AmqpAccess, LoggedIn, ServiceHttp};
use leveret_client::message::properties::BrokerUser;
use leveret_client::trust::Trust;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::to::To;

/// Names remembered, at most.
const NAMES_MAX: usize = 1000;

/// Where the client keeps things, and whom it trusts.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    pub(crate) trust: Trust,
}

/// Everything that a login gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The service's URL.
    pub(crate) url: String,
    #[serde(flatten)]
    pub(crate) account: LoggedIn,
    /// For speaking to the broker itself; none for a device that speaks to the gateway.
    #[serde(default)]
    pub(crate) amqp: Option<AmqpAccess>,
}

impl Login {
    pub(crate) fn device(&self) -> BrokerUser {
        BrokerUser {
            user: self.account.user.clone(),
            device: self.account.device.clone(),
        }
    }
}

impl Home {
    pub(crate) fn new(given: Option<PathBuf>, trust: Trust) -> Result<Self, Failure> {
        let default = || std::env::home_dir().map(|home| home.join(".leveret-chat"));
        let path = given.or_else(default);
        path.map(|folder| Self { folder, trust })
            .ok_or_else(|| Failure::Usage("say where to keep things: --home DIR".to_owned()))
    }

    /// The service at that URL.
    pub(crate) fn service(&self, url: &str) -> ServiceHttp {
        ServiceHttp::trusting(url, &self.trust)
    }

    fn login_file(&self) -> PathBuf {
        self.folder.join("login.json")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    /// What `send` could not send.
    pub(crate) fn outbox(&self) -> PathBuf {
        self.folder.join("outbox")
    }

    fn names_file(&self) -> PathBuf {
        self.folder.join("names.json")
    }

    fn names(&self) -> BTreeMap<String, To> {
        let read = fs::read(self.names_file()).ok();
        // What cannot be read is asked for again.
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Whom or what a name meant when there was last a connection.
    pub(crate) fn known(&self, name: &str) -> Option<To> {
        self.names().remove(name)
    }

    /// Remembers whom or what a name means.
    pub(crate) fn learn(&self, name: &str, to: &To) -> Result<(), Failure> {
        let mut names = self.names();
        if names.get(name) == Some(to) || names.len() >= NAMES_MAX {
            return Ok(());
        }
        names.insert(name.to_owned(), to.clone());
        let bytes = serde_json::to_vec_pretty(&names).map_err(io::Error::from)?;
        Ok(write_private(&self.names_file(), &bytes)?)
    }

    pub(crate) fn login(&self) -> Result<Login, Failure> {
        match fs::read(self.login_file()) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| Failure::NotLoggedIn),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::NotLoggedIn),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a login, for nobody else to read.
    pub(crate) fn keep(&self, login: &Login) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder)?;
        let fresh = self.folder.join("login.new");
        write_private(
            &fresh,
            &serde_json::to_vec_pretty(login).map_err(io::Error::from)?,
        )?;
        fs::rename(fresh, self.login_file())?;
        Ok(())
    }

    pub(crate) fn forget(&self) -> Result<(), Failure> {
        Ok(fs::remove_file(self.login_file())?)
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
