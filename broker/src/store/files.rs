//! The few small files beside the log and the state.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use leveret_log::{Disk, DiskFile, DiskLock};

use super::error::StoreError;

/// The format of the folder as a whole, and the newest that this version reads. 2 knows definitions
/// of users, rights, policies, parameters and delayed exchanges, and flags of messages.
const FORMAT: u32 = 2;

/// Where everything lies in a store's folder.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn definitions(&self) -> PathBuf {
        self.root.join("definitions.json")
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    fn format(&self) -> PathBuf {
        self.root.join("FORMAT")
    }

    /// A state that is being written to take the place of the other.
    pub(crate) fn state_new(&self) -> PathBuf {
        self.root.join("state.new")
    }

    /// A state whose place is being taken.
    pub(crate) fn state_old(&self) -> PathBuf {
        self.root.join("state.old")
    }

    /// Makes the folder if need be and takes it for this broker alone.
    pub(crate) fn lock(&self, disk: &dyn Disk) -> Result<Box<dyn DiskLock>, StoreError> {
        let failed = |source| StoreError::io("create", &self.root, source);
        disk.create_directory(&self.root).map_err(failed)?;
        // The state needs the real folder, wherever the other files are.
        fs::create_dir_all(&self.root).map_err(failed)?;
        let path = self.root.join("LOCK");
        disk.lock(&path, true)
            .map_err(|source| match source.kind() {
                io::ErrorKind::WouldBlock => StoreError::InUse(self.root.clone()),
                _ => StoreError::io("lock", path.clone(), source),
            })
    }

    /// Refuses a folder of a newer version.
    pub(crate) fn check_format(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        let Some(content) = read(disk, &self.format())? else {
            return Ok(());
        };
        let found = String::from_utf8_lossy(&content).trim().parse::<u32>();
        match found {
            Ok(found) if found > FORMAT => Err(StoreError::Newer {
                path: self.root.clone(),
                found,
                supported: FORMAT,
            }),
            // A stamp that cannot be read says nothing; segments and state bear their own.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Stamps a folder that bears no stamp or an older one: from now on it may hold what older
    /// versions do not know.
    pub(crate) fn stamp_format(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        let path = self.format();
        let stamp = format!("{FORMAT}\n");
        if read(disk, &path)?.is_some_and(|content| content == stamp.as_bytes()) {
            return Ok(());
        }
        write(disk, &path, stamp.as_bytes())
    }

    /// Puts something aside and says where it is now. Nothing is ever deleted from there.
    pub(crate) fn put_aside(&self, path: &Path, what: &str) -> Result<PathBuf, StoreError> {
        let folder = self.quarantine();
        fs::create_dir_all(&folder).map_err(|source| StoreError::io("create", &folder, source))?;
        let when = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut number = 0_u32;
        loop {
            let to = folder.join(format!("{}-{number}-{what}", when.as_millis()));
            if to.exists() {
                number += 1;
                continue;
            }
            fs::rename(path, &to).map_err(|source| StoreError::io("move", path, source))?;
            return Ok(to);
        }
    }
}

/// A whole file; `None` if there is none.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |source| StoreError::io("read", path, source);
    let file = match disk.open_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let length = usize::try_from(file.length().map_err(failed)?).unwrap_or(usize::MAX);
    let mut content = vec![0; length];
    let count = file.read_at(0, &mut content).map_err(failed)?;
    content.truncate(count);
    Ok(Some(content))
}

/// Replaces a file durably: whatever happens, the old content is there or the new.
pub(crate) fn write(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), StoreError> {
    replace(disk, path, |file| {
        file.write_at(0, content)
            .map_err(|source| StoreError::io("write", path, source))
    })
}

/// Replaces a file by what `fill` writes: whatever happens, the old content is there or the new.
pub(crate) fn replace<E: From<StoreError>>(
    disk: &dyn Disk,
    path: &Path,
    fill: impl FnOnce(&dyn DiskFile) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |source| StoreError::io("write", path, source);
    let temporary = path.with_extension("tmp");
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error).into()),
        Ok(()) | Err(_) => {}
    }
    let file = disk.create(&temporary).map_err(failed)?;
    fill(&*file)?;
    file.sync_data().map_err(failed)?;
    disk.rename(&temporary, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(disk.sync_directory(folder).map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_log::RealDisk;

    #[test]
    fn a_folder_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout {
            root: folder.path().to_path_buf(),
        };
        layout
            .check_format(&RealDisk)
            .expect("no stamp is no reason");
        layout.stamp_format(&RealDisk).expect("stamps");
        layout
            .check_format(&RealDisk)
            .expect("its own stamp is read");
        fs::write(folder.path().join("FORMAT"), "3\n").expect("writes");
        let refused = layout.check_format(&RealDisk);
        assert!(matches!(refused, Err(StoreError::Newer { found: 3, .. })));
    }

    #[test]
    fn an_older_stamp_is_renewed_so_that_older_versions_refuse_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout {
            root: folder.path().to_path_buf(),
        };
        fs::write(layout.format(), "1\n").expect("writes");
        layout.check_format(&RealDisk).expect("older is no reason");
        layout.stamp_format(&RealDisk).expect("stamps");
        let stamp = fs::read_to_string(layout.format()).expect("reads");
        assert_eq!(stamp, format!("{FORMAT}\n"));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file.json");
        assert_eq!(read(&RealDisk, &path).expect("reads"), None);
        for content in [b"first".as_slice(), b"2"] {
            write(&RealDisk, &path, content).expect("writes");
            assert_eq!(
                read(&RealDisk, &path).expect("reads").as_deref(),
                Some(content)
            );
        }
    }
}
