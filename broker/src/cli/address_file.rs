//! The file in a data folder that says where the broker which uses the folder answers HTTP.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const NAME: &str = "management";

/// Says it. That the file cannot be written keeps nobody from using the broker.
pub(crate) fn write(directory: &Path, address: Option<SocketAddr>) {
    let Some(address) = address else {
        remove(directory);
        return;
    };
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join(NAME))
        .and_then(|mut file| writeln!(file, "{address}"));
    if let Err(error) = written {
        tracing::warn!(%error, "the folder does not say where its broker answers HTTP");
    }
}

/// Where the broker that uses the folder answers; `None` if nobody says.
pub(crate) fn read(directory: &Path) -> io::Result<Option<SocketAddr>> {
    match fs::read_to_string(directory.join(NAME)) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes it back.
pub(crate) fn remove(directory: &Path) {
    match fs::remove_file(directory.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the folder still says where its broker answers HTTP");
        }
        Ok(()) | Err(_) => {}
    }
}
