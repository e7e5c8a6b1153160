//! Where the processes of a run write.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tempfile::TempDir;

/// Where the processes write. It goes away, unless it is asked for.
#[derive(Debug)]
pub(crate) enum Folder {
    Passing(TempDir),
    Kept(PathBuf),
}

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self> {
        match env::var_os("LEVERET_KEEP") {
            Some(kept) => {
                let path = Path::new(&kept).join(name.replace(' ', "-"));
                std::fs::create_dir_all(&path)?;
                ensure!(
                    path.read_dir()?.next().is_none(),
                    "{} is not empty",
                    path.display()
                );
                Ok(Self::Kept(path))
            }
            None => Ok(Self::Passing(TempDir::new()?)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Passing(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}
