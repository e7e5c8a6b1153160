//! What the client keeps between two commands.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use leveret_client::http::{AmqpAccess, LoggedIn};
use leveret_client::message::properties::BrokerUser;
use serde::{Deserialize, Serialize};

use super::Failure;

/// Where the client keeps things.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

/// Everything that a login gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The service's URL.
    pub(crate) url: String,
    #[serde(flatten)]
    pub(crate) account: LoggedIn,
    pub(crate) amqp: AmqpAccess,
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
    pub(crate) fn new(given: Option<PathBuf>) -> Result<Self, Failure> {
        let default = || std::env::home_dir().map(|home| home.join(".leveret-chat"));
        let path = given.or_else(default);
        path.map(Self)
            .ok_or_else(|| Failure::Usage("say where to keep things: --home DIR".to_owned()))
    }

    fn login_file(&self) -> PathBuf {
        self.0.join("login.json")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal")
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
        fs::create_dir_all(&self.0)?;
        let fresh = self.0.join("login.new");
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
