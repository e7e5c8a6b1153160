//! Which files a log's folder holds, and reading them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use crate::{
    disk::Disk,
    error::OpenError,
    id::SegmentId,
    options::Options,
    segment::{self, FORMAT_VERSION, GROUPS_START, HeaderFound, SegmentHeader},
    window::{Window, read_tolerant},
};

/// A segment's file, judged by its header alone.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) length: u32,
    /// `None` if neither copy holds.
    pub(crate) header: Option<SegmentHeader>,
    pub(crate) copies: usize,
}

/// The folder.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) segments: BTreeMap<SegmentId, SegmentFile>,
    /// Segments that were being made, and spares.
    pub(crate) leftovers: Vec<PathBuf>,
    pub(crate) highest: SegmentId,
}

pub(crate) fn failed<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

pub(crate) fn survey(disk: &dyn Disk, options: &Options) -> Result<Survey, OpenError> {
    let mut survey = Survey::default();
    let directory = &options.directory;
    for name in disk.list(directory).map_err(failed("list", directory))? {
        let path = directory.join(&name);
        if let Some(id) = segment::id_of(&name) {
            survey.highest = survey.highest.max(id);
            survey.segments.insert(id, inspect(disk, id, path)?);
        } else if let Some(id) = leftover(&name) {
            survey.highest = survey.highest.max(id);
            survey.leftovers.push(path);
        }
    }
    survey.drop_abandoned();
    Ok(survey)
}

fn leftover(name: &str) -> Option<SegmentId> {
    let stem = name
        .strip_suffix(".new")
        .or_else(|| name.strip_suffix(".spare"))?;
    segment::id_of(&format!("{stem}.seg"))
}

fn inspect(disk: &dyn Disk, id: SegmentId, path: PathBuf) -> Result<SegmentFile, OpenError> {
    let file = disk.open_read(&path).map_err(failed("open", &path))?;
    let length = file.length().map_err(failed("measure", &path))?;
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let page = read_tolerant(&*file, 0, length.min(GROUPS_START) as usize);
    match SegmentHeader::find(&page, id) {
        HeaderFound::Good { header, copies } => Ok(SegmentFile {
            path,
            length,
            header: Some(header),
            copies,
        }),
        HeaderFound::Bad => Ok(SegmentFile {
            path,
            length,
            header: None,
            copies: 0,
        }),
        HeaderFound::Newer(found) => Err(OpenError::NewerFormat {
            path,
            found,
            supported: FORMAT_VERSION,
        }),
    }
}

impl Survey {
    /// A segment's header names the one that it follows on; those between the two were abandoned by
    /// a recovery and are no part of the chain, whatever they hold.
    fn drop_abandoned(&mut self) {
        let mut abandoned = Vec::new();
        for (id, segment) in &self.segments {
            let Some(header) = &segment.header else {
                continue;
            };
            let previous = header.previous.segment;
            if previous < *id {
                let after = SegmentId(previous.0 + 1);
                abandoned.extend(self.segments.range(after..*id).map(|(id, _)| *id));
            }
        }
        for id in abandoned {
            self.discard(id);
        }
    }

    /// Counts a segment among those to be removed.
    pub(crate) fn discard(&mut self, id: SegmentId) {
        if let Some(segment) = self.segments.remove(&id) {
            self.leftovers.push(segment.path);
        }
    }
}

/// Opens a window on a segment.
pub(crate) fn open(
    disk: &dyn Disk,
    segment: &SegmentFile,
    window: &mut Window,
) -> Result<(), OpenError> {
    let file = disk
        .open_read(&segment.path)
        .map_err(failed("open", &segment.path))?;
    let capacity = segment.header.map_or(u64::MAX, |header| header.capacity);
    let length = u32::try_from(capacity)
        .unwrap_or(u32::MAX)
        .min(segment.length);
    window.open(file, length);
    Ok(())
}
