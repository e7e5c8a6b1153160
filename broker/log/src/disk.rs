//! The few file operations that the log needs, behind traits, so that a simulated disk can take
//! the real one's place in tests.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, SeekFrom, fallocate, seek, statvfs},
    io::Errno,
};

/// A file system, as far as the log needs one.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Makes a folder and its parents, durably; it may be there already.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a folder, in no order.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Makes a file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading alone.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what bore it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Bytes that may still be written on the file system of this path.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Takes the lock file for this process, creating it if `create` says so; released on drop.
    /// `WouldBlock` means that somebody else holds it.
    fn lock(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Takes up disk space for the first `bytes` bytes and makes the file at least that long.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Writes all of `bytes` at an offset.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads into `buffer` from an offset until it is full or the file ends; says how many.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// The next offset from this one on at which there may be anything but zeroes; `None` if
    /// there is none. A segment is allocated long before it is written: what it has not come to
    /// need not be read.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok(Some(offset))
    }
    /// Makes what was written durable, with the length that is needed to read it.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length.
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file to this length.
    fn truncate(&self, length: u64) -> io::Result<()>;
}

/// A lock that is held until dropped.
pub trait DiskLock: fmt::Debug + Send {}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

impl Disk for RealDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return fs::create_dir(path),
        };
        self.create_directory(parent)?;
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.sync_directory(parent)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(
            OpenOptions::new().read(true).write(true).open(path)?,
        )))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(File::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let facts = statvfs(path)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    fn lock(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(create)
            .create(create)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for RealFile {
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.write_zeroes(bytes),
            Err(error) => Err(error.into()),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        match seek(&self.0, SeekFrom::Data(offset)) {
            Ok(next) => Ok(Some(next)),
            Err(Errno::NXIO) => Ok(None),
            // A file system that cannot tell may hold data anywhere.
            Err(_) => Ok(Some(offset)),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

impl RealFile {
    /// What file systems without `fallocate` need to promise the space.
    fn write_zeroes(&self, bytes: u64) -> io::Result<()> {
        static ZEROES: [u8; 65536] = [0; 65536];
        let mut offset = self.length()?;
        while offset < bytes {
            let count = (bytes - offset).min(ZEROES.len() as u64);
            self.0.write_all_at(&ZEROES[..count as usize], offset)?;
            offset += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allocated_and_not_written_need_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&folder.path().join("f")).unwrap();
        file.allocate(8 << 20).unwrap();
        file.write_at(4 << 20, b"here").unwrap();
        let next = file.next_data(0).unwrap().unwrap();
        assert!(next <= 4 << 20, "{next}");
        assert_eq!(file.next_data(4 << 20).unwrap(), Some(4 << 20));
        assert_eq!(file.next_data(9 << 20).unwrap(), None, "behind the end");
    }
}
