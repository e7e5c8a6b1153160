//! `export` and `import`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use leveret_chat::store::{ChatStore, Record};
use leveret_chat::transfer::{Export, Import};
use tokio::task::spawn_blocking;

use super::arguments::{ExportOptions, ImportOptions};
use super::open::open_store;
use super::run::say;

/// Lines read at once.
const PAGE: usize = 500;

/// Writes everything.
pub(crate) async fn run_export(options: ExportOptions) -> Result<()> {
    let store = open_store(&options.place).await?;
    let file = options
        .file
        .as_deref()
        .filter(|file| *file != Path::new("-"));
    let done = export(&store, file).await;
    store.close().await;
    done
}

/// Reads everything, into an empty store.
pub(crate) async fn run_import(options: ImportOptions) -> Result<()> {
    let mut lines = Lines::open(&options.file).await?;
    let store = open_store(&options.place).await?;
    let done = import(&store, &mut lines).await;
    store.close().await;
    say(&format!("{} lines are in", done?))
}

async fn import(store: &Arc<dyn ChatStore>, lines: &mut Lines) -> Result<u64> {
    let mut import = Import::begin(store.clone()).await?;
    while let Some(page) = lines.next().await? {
        for line in page {
            import.line(&line).await?;
        }
    }
    Ok(import.finish().await?)
}

/// Into this file, which is there only once everything is written and synced; or to the standard output.
pub(crate) async fn export(store: &Arc<dyn ChatStore>, file: Option<&Path>) -> Result<()> {
    let mut output = Output::new(file)?;
    let mut export = Export::new(store.clone());
    while let Some(records) = export.next().await? {
        output = spawn_blocking(move || output.put(&records)).await??;
    }
    spawn_blocking(move || output.finish()).await?
}

struct Output {
    writer: BufWriter<Box<dyn Write + Send>>,
    /// What is to be synced, its name for now, and its name in the end.
    file: Option<(File, PathBuf, PathBuf)>,
}

impl Output {
    fn new(file: Option<&Path>) -> Result<Self> {
        let Some(name) = file else {
            return Ok(Self {
                writer: BufWriter::new(Box::new(io::stdout())),
                file: None,
            });
        };
        let mut unfinished = name.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        // It holds what people have written, and the hashes of passwords.
        let open = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished);
        let open = open.with_context(|| format!("cannot write {}", unfinished.display()))?;
        Ok(Self {
            writer: BufWriter::new(Box::new(open.try_clone()?)),
            file: Some((open, unfinished, name.to_owned())),
        })
    }

    fn put(mut self, records: &[Record]) -> Result<Self> {
        for record in records {
            serde_json::to_writer(&mut self.writer, record)?;
            self.writer.write_all(b"\n")?;
        }
        Ok(self)
    }

    fn finish(mut self) -> Result<()> {
        self.writer.flush()?;
        if let Some((file, unfinished, name)) = self.file {
            file.sync_all()?;
            fs::rename(unfinished, &name)?;
            let folder = name
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }
}

/// Lines of a file.
pub(crate) struct Lines(Option<io::Lines<BufReader<File>>>);

impl Lines {
    pub(crate) async fn open(file: &Path) -> Result<Self> {
        let name = file.to_owned();
        let opened = spawn_blocking(move || File::open(name)).await?;
        let opened = opened.with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self(Some(BufReader::new(opened).lines())))
    }

    /// Some more; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<String>>> {
        let Some(mut lines) = self.0.take() else {
            return Ok(None);
        };
        let read = spawn_blocking(move || {
            let page: io::Result<Vec<_>> = lines.by_ref().take(PAGE).collect();
            page.map(|page| (page, lines))
        });
        let (page, lines) = read.await??;
        self.0 = Some(lines);
        Ok((!page.is_empty()).then_some(page))
    }
}
