//! Opening a log: survey, judge, repair, replay, and the writer that goes on from there.

use std::{io, path::Path, sync::Arc, time::Instant};

use crate::{
    chain::Chain,
    disk::Disk,
    error::OpenError,
    options::Options,
    repair::{self, Repair},
    replay::Replay,
    report::Report,
    survey::failed,
    table::Table,
    writer::Writer,
};

/// What opening gives to the log.
pub(crate) struct Recovered {
    pub(crate) writer: Writer,
    pub(crate) report: Report,
}

pub(crate) fn recover<R: Replay + ?Sized>(
    disk: Arc<dyn Disk>,
    options: &Options,
    replay: &mut R,
) -> Result<Recovered, OpenError> {
    let begun = Instant::now();
    let directory = &options.directory;
    disk.create_directory(directory)
        .map_err(failed("create", directory))?;
    let path = directory.join("LOCK");
    let lock = disk.lock(&path, true).map_err(locked(&path))?;
    let mut chain = Chain::read(disk.clone(), options, replay)?;
    let mut report = chain.report();
    let repair = Repair {
        disk: &*disk,
        options,
    };
    let next = chain.next(replay.highest_lsn())?;
    repair.quarantine(&chain, &mut report);
    repair.apply(&mut chain)?;
    chain.replay(replay, &mut report)?;
    let link = chain.verdict.link;
    let table = Arc::new(Table::new(disk, chain.table(options)));
    report.segments = table.all().len();
    report.duration = begun.elapsed();
    let writer = Writer::new(table, options.clone(), link, next, lock);
    Ok(Recovered { writer, report })
}

/// Reads and judges a log as opening it would, and changes nothing.
pub fn inspect<R: Replay + ?Sized>(
    disk: Arc<dyn Disk>,
    options: &Options,
    replay: &mut R,
) -> Result<Report, OpenError> {
    let begun = Instant::now();
    let path = options.directory.join("LOCK");
    let _lock = match disk.lock(&path, false) {
        // Nobody ever opened the log, so nobody has it open.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        lock => Some(lock.map_err(locked(&path))?),
    };
    let mut chain = Chain::read(disk, options, replay)?;
    let mut report = chain.report();
    chain.replay(replay, &mut report)?;
    report.segments = chain.table(options).len();
    report.duration = begun.elapsed();
    Ok(report)
}

fn locked(path: &Path) -> impl FnOnce(io::Error) -> OpenError + '_ {
    |source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked {
            path: path.to_owned(),
        },
        _ => failed("lock", path)(source),
    }
}

impl Chain {
    fn report(&mut self) -> Report {
        let mut report = Report {
            damage: std::mem::take(&mut self.damage),
            checkpoint: self.checkpoint_found(),
            last_lsn: self.verdict.link.end_lsn.before(),
            ..Report::default()
        };
        for (id, file) in &self.survey.segments {
            if file.copies == 1 {
                report.damage.push(repair::header_copy(*id, file));
            }
        }
        report
            .damage
            .extend(self.verdict.damage.iter().map(repair::damage_of));
        if self.verdict.missing_end {
            report
                .damage
                .push(repair::missing_end(self.read.back(), &self.verdict));
        }
        report.cut.extend(
            self.verdict
                .cut
                .as_ref()
                .map(|cut| repair::cut_of(cut, &self.read)),
        );
        report.clean = report.cut.is_empty() && report.damage.is_empty() && self.closed();
        report
    }

    fn closed(&self) -> bool {
        let last = self
            .read
            .back()
            .and_then(|segment| segment.contents.as_ref());
        last.is_none_or(|(_, scan)| scan.closed)
    }
}
